"""Results as tidy tables, written as Parquet; what each column means stands in docs/study.md.

Every table carries the policy and the corner it belongs to. Money > 0 is earned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.document import write_atomically
from ebplan.errors import InputError
from ebplan.solvers.program import FloatArray
from ebplan.study.build import Built
from ebplan.study.decisions import Track
from ebplan.study.kpi import LAYERS, Kpi
from ebplan.study.ledger import Ledger, absent_of, released_kwh

Columns = dict[str, Any]
"""A table: its columns by name."""


def steps_table(built: Built, track: Track, ledger: Ledger) -> Columns:
    """Return one row for each step."""
    numbers = built.numbers
    layers = {f"money_{layer}": ledger.layer(layer) for layer in LAYERS}
    return {
        "start": list(built.starts),
        "hours": np.full(numbers.steps, numbers.hours),
        "spot_per_kwh": numbers.market.spot_per_kwh,
        "imbalance_per_kwh": numbers.market.imbalance_per_kwh,
        "baseline_kw": np.sum([g.baseline_kw for g in numbers.groups], axis=0),
        "position_kw": track.position_kw,
        "bought_kw": track.bought_kw,
        "sold_kw": track.sold_kw,
        "grid_kw": ledger.grid_kw,
        "delivered_kwh": ledger.delivered_kwh.sum(axis=0),
        "absorbed_kwh": ledger.absorbed_kwh.sum(axis=0),
        "imbalance_kwh": ledger.imbalance_kwh,
        **layers,
        "money": np.sum(list(layers.values()), axis=0),
    }


def groups_table(built: Built, track: Track, ledger: Ledger) -> Columns:
    """Return one row for each step and group."""
    numbers = built.numbers
    parts = []
    for group, done in zip(numbers.groups, track.groups, strict=True):
        called = released_kwh(numbers, done).sum(axis=1)
        called = called - done.release_kw.sum(axis=1) * numbers.hours
        size = group.battery.problem.energy_kwh if group.battery else np.nan
        battery = done.battery_called_kwh.sum(axis=0)
        absorbed = done.battery_absorbed_kwh.sum(axis=0)
        planned = done.release_kw.sum(axis=1)
        net_kw = done.discharge_kw - done.charge_kw + (battery - absorbed) / numbers.hours
        parts.append(
            {
                "start": list(built.starts),
                "group": [group.name] * numbers.steps,
                "baseline_kw": group.baseline_kw,
                "charge_kw": done.charge_kw,
                "discharge_kw": done.discharge_kw,
                "battery_called_kwh": battery,
                "battery_absorbed_kwh": absorbed,
                "battery_missed_kwh": done.missed_kwh.sum(axis=0),
                "battery_kw": net_kw,
                "compute_planned_kw": planned,
                "compute_called_kwh": called,
                "grid_kw": group.baseline_kw - planned - called / numbers.hours - net_kw,
                "energy_kwh": done.energy_kwh[1:],
                "soc": done.energy_kwh[1:] / size,
            }
        )
    return _stacked(parts)


def slices_table(built: Built, track: Track, ledger: Ledger) -> Columns:
    """Return one row for each step, group and slice of the compute frontier."""
    numbers, parts = built.numbers, []
    for group, done in zip(numbers.groups, track.groups, strict=True):
        gave = released_kwh(numbers, done)
        held = done.compute_award_kw.sum(axis=0)
        parts += [
            {
                "start": list(built.starts),
                "group": [group.name] * numbers.steps,
                "slice": np.full(numbers.steps, k, dtype=np.int32),
                "width_kw": group.width_kw[:, k],
                "planned_kw": done.release_kw[:, k],
                "held_kw": held[:, k],
                "released_kwh": gave[:, k],
                "lost_per_kwh": group.lost_per_kwh[:, k],
            }
            for k in range(group.slices)
        ]
    return _stacked(parts)


def awards_table(built: Built, track: Track, ledger: Ledger) -> Columns:
    """Return one row for each step and product."""
    numbers, parts = built.numbers, []
    absent = absent_of(numbers, track)
    for i, service in enumerate(numbers.services):
        parts.append(
            {
                "start": list(built.starts),
                "service": [service.id] * numbers.steps,
                "bid_kw": track.bid_kw[i],
                "award_kw": track.award_kw[i],
                "battery_kw": np.sum([d.battery_award_kw[i] for d in track.groups], axis=0),
                "compute_kw": np.sum(
                    [d.compute_award_kw[i].sum(axis=1) for d in track.groups], axis=0
                ),
                "absorb_kw": np.sum([d.absorb_award_kw[i] for d in track.groups], axis=0),
                "price_per_kw": service.price_per_kw,
                "activation_share": service.activation,
                "absorb_share": service.absorption,
                "delivered_kwh": ledger.delivered_kwh[i],
                "absorbed_kwh": ledger.absorbed_kwh[i],
                "missed_kwh": np.sum([d.missed_kwh[i] for d in track.groups], axis=0),
                "money_capacity": ledger.of["grid_services", f"{service.id}.capacity"],
                "money_energy": ledger.of["grid_services", f"{service.id}.energy"],
                "money_fees": ledger.of["fees", service.id],
                "absent_kw": absent[i],
                "money_penalty": ledger.of["penalty", service.id]
                + ledger.of["penalty", f"{service.id}.unavailable"],
            }
        )
    return _stacked(parts)


def holdings_table(built: Built, track: Track, ledger: Ledger) -> Columns:
    """Return one row for each step, product and group: who holds an award."""
    numbers = built.numbers
    return _stacked(
        {
            "start": list(built.starts),
            "service": [service.id] * numbers.steps,
            "group": [group.name] * numbers.steps,
            "battery_kw": done.battery_award_kw[i],
            "compute_kw": done.compute_award_kw[i].sum(axis=1),
            "absorb_kw": done.absorb_award_kw[i],
            "lacking_kw": done.lacking_kw[i],
        }
        for i, service in enumerate(numbers.services)
        for group, done in zip(numbers.groups, track.groups, strict=True)
    )


def ledger_table(built: Built, track: Track, ledger: Ledger) -> Columns:
    """Return one row for each month, layer and item."""
    numbers, rows = built.numbers, []
    for month in np.unique(numbers.month):
        inside = numbers.month == month
        name = built.starts[int(np.argmax(inside))].strftime("%Y-%m")
        rows += [
            (name, layer, item, float(values[inside].sum()))
            for (layer, item), values in ledger.of.items()
        ]
    return {
        key: [row[i] for row in rows] for i, key in enumerate(("month", "layer", "item", "money"))
    }


def kpi_table(found: Iterable[Kpi]) -> Columns:
    """Return one row for each number."""
    rows = list(found)
    return {
        "kpi": [row.name for row in rows],
        "value": [row.value for row in rows],
        "unit": [row.unit for row in rows],
    }


TABLES = {
    "steps": steps_table,
    "groups": groups_table,
    "slices": slices_table,
    "awards": awards_table,
    "holdings": holdings_table,
    "ledger": ledger_table,
}
"""Tables of a run by name; ``kpi`` besides."""


def tagged(columns: Mapping[str, Any], policy: str, corner: str) -> Columns:
    """Return a table with the policy and the corner it belongs to before its columns."""
    size = len(next(iter(columns.values()), []))
    return {"policy": [policy] * size, "corner": [corner] * size, **columns}


def write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    """Write a table, whole or not at all.

    Raises:
        InputError: the path cannot be written, or pyarrow is not installed.
    """
    lib, parquet = _pyarrow(path)
    arrays = {name: lib.array(values) for name, values in columns.items()}
    table = lib.Table.from_pydict(
        {name: a.dictionary_encode() if a.type == lib.string() else a for name, a in arrays.items()}
    )
    sink = BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    write_atomically(path, sink.getvalue())


def _pyarrow(path: Path) -> tuple[Any, Any]:
    try:
        from pyarrow import lib, parquet
    except ImportError:
        raise InputError(
            field="(output)",
            value="Parquet",
            allowed="where pyarrow is installed",
            remedy="pip install 'ebplan[study]'",
            file=str(path),
        ) from None
    return lib, parquet


def _stacked(parts: Iterable[Mapping[str, Any]]) -> Columns:
    """Return tables one under the other."""
    tables = list(parts)
    if not tables:
        return {}
    out: Columns = {}
    for name in tables[0]:
        values = [table[name] for table in tables]
        if isinstance(values[0], list):
            out[name] = [v for part in values for v in part]
        else:
            out[name] = np.concatenate([np.asarray(v) for v in values])
    return out


__all__ = [
    "TABLES",
    "Columns",
    "FloatArray",
    "kpi_table",
    "tagged",
    "write_parquet",
]
