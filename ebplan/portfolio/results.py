"""What a portfolio came to, as tables and as plain data (docs/portfolio.md)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ebplan import __version__
from ebplan.document import SCHEMA_VERSION, make_folder, write_atomically
from ebplan.portfolio.check import called_kw, held_kw
from ebplan.portfolio.run import Outcome
from ebplan.portfolio.share import Shared
from ebplan.solvers.program import FloatArray
from ebplan.study.tables import Columns, write_parquet


def plain(outcome: Outcome) -> dict[str, Any]:
    """Return what was shared as JSON holds it."""
    spec, built, shared = outcome.spec, outcome.built, outcome.shared
    return {
        "kind": "portfolio_result",
        "schema_version": SCHEMA_VERSION,
        "portfolio": spec.name,
        "currency": built.spec.currency,
        "start": built.starts[0].isoformat(),
        "steps": built.numbers.steps,
        "step_s": built.spec.period.step_s,
        "objective": shared.objective,
        "bound": shared.bound,
        "gap": shared.gap,
        "rounds": shared.rounds,
        "awards": [_award(outcome, i) for i in range(len(built.numbers.services))],
        "regions": [_region(outcome, i) for i in range(len(outcome.regions))],
        "groups": [_group(outcome, i) for i in range(len(built.numbers.groups))],
        "inputs": {
            "portfolio": spec.digest(),
            "study": built.spec.digest(),
            **{f"site {s.name}": s.digest() for s in built.sites},
            **{f"service {s.id}": s.digest() for s in built.services},
        },
        "versions": {
            "ebplan": __version__,
            "python": sys.version.split()[0],
            **{name: version(name) for name in ("highspy", "numpy")},
        },
    }


def _award(outcome: Outcome, at: int) -> dict[str, Any]:
    numbers, shared = outcome.built.numbers, outcome.shared
    # an award for both directions is carried twice, once each way
    held = [held_kw(plan)[at] + plan.absorb_award_kw[at] for plan in shared.plan.groups]
    total = float(np.sum(held))
    return {
        "service": numbers.services[at].id,
        "given": not np.isnan(outcome.award_kw[at]).any(),
        "releases": numbers.services[at].releases,
        "absorbs": numbers.services[at].absorbs,
        "mean_kw": float(shared.plan.award_kw[at].mean()),
        "highest_kw": float(shared.plan.award_kw[at].max()),
        "earned": float(shared.earned[at]),
        "price_per_kw_mean": float(shared.price_per_kw[at].mean()),
        "price_per_kw_highest": float(shared.price_per_kw[at].max()),
        "carried": [
            {
                "group": group.name,
                "battery_kw_mean": float(plan.battery_award_kw[at].mean()),
                "compute_kw_mean": float(plan.compute_award_kw[at].sum(axis=1).mean()),
                "absorb_kw_mean": float(plan.absorb_award_kw[at].mean()),
                "share": float(one.sum()) / total if total > 0.0 else 0.0,
            }
            for group, plan, one in zip(numbers.groups, shared.plan.groups, held, strict=True)
        ],
    }


def _region(outcome: Outcome, at: int) -> dict[str, Any]:
    region, shared = outcome.regions[at], outcome.shared
    _, lowest, highest = called_kw(outcome.built.numbers, region, shared)
    return {
        "region": region.name,
        "groups": list(region.groups),
        "import_limit_kw": region.import_kw,
        "export_limit_kw": region.export_kw,
        "highest_called_kw": float(highest.max()),
        "lowest_called_kw": float(lowest.min()),
        "import_price_per_kw": float(shared.import_price_per_kw[at].sum()),
        "export_price_per_kw": float(shared.export_price_per_kw[at].sum()),
        "steps_at_import_limit": _at_limit(shared.import_price_per_kw[at]),
        "steps_at_export_limit": _at_limit(shared.export_price_per_kw[at]),
    }


def _at_limit(price: FloatArray) -> int:
    """Count the steps in which a kW more would save money, rounding of a solver apart."""
    return int((price > 1e-6 * max(float(price.max()), 1.0)).sum())


def _group(outcome: Outcome, at: int) -> dict[str, Any]:
    numbers, shared = outcome.built.numbers, outcome.shared
    return {
        "group": numbers.groups[at].name,
        "sites": numbers.groups[at].sites,
        "paid": float(shared.paid[at]),
        "highest_draw_kw": float(shared.plan.groups[at].grid_kw.max()),
        **{f"highest_{name}": float(lack[at].max()) for name, lack in lacking(shared).items()},
    }


def lacking(shared: Shared) -> dict[str, FloatArray]:
    """Return what is missing for awards that were given, by name, shape (G, T) each."""
    return {
        "missing_kw": shared.missing_kw,
        "missing_kwh": shared.missing_kwh,
        "unabsorbed_kw": shared.unabsorbed_kw,
        "unstored_kwh": shared.unstored_kwh,
    }


def _groups_table(outcome: Outcome) -> Iterator[Columns]:
    numbers, shared = outcome.built.numbers, outcome.shared
    for i, (group, plan) in enumerate(zip(numbers.groups, shared.plan.groups, strict=True)):
        yield {
            "start": list(outcome.built.starts),
            "group": [group.name] * numbers.steps,
            "baseline_kw": group.baseline_kw,
            "charge_kw": plan.charge_kw,
            "discharge_kw": plan.discharge_kw,
            "compute_kw": plan.release_kw.sum(axis=1),
            "grid_kw": plan.grid_kw,
            "energy_kwh": plan.energy_kwh[1:],
            **{name: lack[i] for name, lack in lacking(shared).items()},
        }


def _holdings_table(outcome: Outcome) -> Iterator[Columns]:
    numbers, plans = outcome.built.numbers, outcome.shared.plan.groups
    for i, service in enumerate(numbers.services):
        for group, plan in zip(numbers.groups, plans, strict=True):
            yield {
                "start": list(outcome.built.starts),
                "service": [service.id] * numbers.steps,
                "group": [group.name] * numbers.steps,
                "battery_kw": plan.battery_award_kw[i],
                "compute_kw": plan.compute_award_kw[i].sum(axis=1),
                "absorb_kw": plan.absorb_award_kw[i],
            }


def _awards_table(outcome: Outcome) -> Iterator[Columns]:
    numbers, shared = outcome.built.numbers, outcome.shared
    for i, service in enumerate(numbers.services):
        yield {
            "start": list(outcome.built.starts),
            "service": [service.id] * numbers.steps,
            "award_kw": shared.plan.award_kw[i],
            "given": ~np.isnan(outcome.award_kw[i]),
            "price_per_kw": shared.price_per_kw[i],
        }


def _regions_table(outcome: Outcome) -> Iterator[Columns]:
    for i, region in enumerate(outcome.regions):
        draw, lowest, highest = called_kw(outcome.built.numbers, region, outcome.shared)
        steps = len(draw)
        yield {
            "start": list(outcome.built.starts),
            "region": [region.name] * steps,
            "draw_kw": draw,
            "lowest_called_kw": lowest,
            "highest_called_kw": highest,
            "import_limit_kw": np.full(steps, region.import_kw),
            "export_limit_kw": np.full(steps, region.export_kw),
            "import_price_per_kw": outcome.shared.import_price_per_kw[i],
            "export_price_per_kw": outcome.shared.export_price_per_kw[i],
        }


TABLES = {
    "groups": _groups_table,
    "holdings": _holdings_table,
    "awards": _awards_table,
    "regions": _regions_table,
}
"""Tables by name; one that has no rows is not written."""


def write_results(outcome: Outcome, folder: Path) -> None:
    """Write the tables, and last what they came to: ``portfolio.json``.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(folder)
    for name, rows in TABLES.items():
        parts = list(rows(outcome))
        if parts:
            write_parquet(folder / f"{name}.parquet", {c: _joined(parts, c) for c in parts[0]})
    write_atomically(folder / "portfolio.json", json.dumps(plain(outcome), indent=1))


def _joined(parts: list[Columns], column: str) -> Any:
    values = [part[column] for part in parts]
    return list(chain(*values)) if isinstance(values[0], list) else np.concatenate(values)
