"""The folder of a replay: all of it, or none.

summary.json         numbers of both sides and why they differ
intervals.parquet    a row for each interval of the recording
epochs.parquet       what each pool was told, whenever that changed
decisions.parquet    of a run of ebplan: each decision, then and now
replay.png           both sides over time
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.document import make_folder, read_json
from ebplan.errors import InputError
from ebplan.replay.compare import twin_baseline_kw
from ebplan.replay.measures import numbers_of
from ebplan.replay.run import Replayed
from ebplan.settlement.series import FloatArray
from ebplan.study.tables import write_parquet

SUMMARY, INTERVALS, EPOCHS, FIGURE = (
    "summary.json",
    "intervals.parquet",
    "epochs.parquet",
    "replay.png",
)
DECISIONS = "decisions.parquet"
UNFINISHED = ".unfinished-"


def working_folder(place: Path) -> Path:
    """Return where a replay is written until it is whole; finished stretches are kept there.

    Raises:
        InputError: the place holds something else, or nothing can be written beside it.
    """
    if place.exists() and not _is_replay(place):
        raise InputError(
            field="(output)",
            value=place.name,
            allowed="a folder of a replay, or none yet",
            remedy="choose another with --output",
            file=str(place),
        )
    working = place.with_name(f"{UNFINISHED}{place.name}")
    make_folder(working, of=place)
    return working


def put_in_place(working: Path, place: Path) -> None:
    """Let a folder that is whole be the one, and forget what it was made from."""
    shutil.rmtree(working / "stretches", ignore_errors=True)
    before = place.with_name(f"{UNFINISHED}{place.name}-before")
    shutil.rmtree(before, ignore_errors=True)
    if place.exists():
        place.rename(before)
    working.rename(place)
    shutil.rmtree(before, ignore_errors=True)


def _is_replay(place: Path) -> bool:
    if place.is_dir() and not any(place.iterdir()):
        return True
    file = place / SUMMARY
    return file.is_file() and read_json(file).get("kind") == "replay_summary"


def write_tables(replayed: Replayed, folder: Path) -> None:
    """Write both tables.

    Raises:
        InputError: the folder cannot be written, or pyarrow is not installed.
    """
    write_parquet(folder / INTERVALS, intervals_table(replayed))
    if replayed.decisions is not None:
        rows = replayed.decisions
        columns: dict[str, Any] = {
            name: [row[name] for row in rows] for name in (rows[0] if rows else ())
        }
        columns["time"] = [datetime.fromisoformat(text) for text in columns.get("time", [])]
        write_parquet(folder / DECISIONS, columns)
    epochs = [row for stretch in replayed.stretches for row in stretch.epochs]
    table = {name: [row[name] for row in epochs] for name in epochs[0]} if epochs else {}
    if table:
        table["time"] = [datetime.fromisoformat(text) for text in table["time"]]
    write_parquet(folder / EPOCHS, table)


def intervals_table(replayed: Replayed) -> dict[str, Any]:
    """Return a row for each interval: recorded, asked, and what ebplan would have done."""
    meter, twin = replayed.recording.meter, replayed.twin
    count, interval_s = len(twin), meter.interval_s
    slots = np.round(meter.time_s / interval_s).astype(int)

    def on_slots(values: FloatArray) -> FloatArray:
        whole = np.full(count, np.nan)
        whole[slots] = values
        return whole

    rows = [row for stretch in replayed.stretches for row in stretch.rows]
    names = dict.fromkeys(name for row in rows for name in row if name != "slot")
    nan = float("nan")
    columns: dict[str, Any] = {
        "time": [meter.start + timedelta(seconds=interval_s * i) for i in range(count)],
        "recorded_grid_kw": on_slots(meter.grid_kw),
    }
    if meter.battery_kw is not None:
        columns["recorded_battery_kw"] = on_slots(meter.battery_kw)
    columns |= {f"load.{pool}.{key}": v for (pool, key), v in replayed.loads.by_class.items()}
    columns |= _asked_columns(replayed, count, on_slots)
    columns |= {
        name: np.array([nan if row.get(name) is None else row[name] for row in rows], dtype=float)
        for name in names
    }
    price = replayed.site.energy_price_per_kwh * interval_s / 3600.0
    columns["recorded_energy_money"] = price * columns["recorded_grid_kw"]
    columns["ebplan_energy_money"] = price * columns["ebplan_grid_kw"]
    return columns


def _asked_columns(replayed: Replayed, count: int, on_slots: Any) -> dict[str, Any]:
    """Return event, baselines, and between what the draw was to lie, on both sides."""
    names: list[str | None] = [None] * count
    found = {
        name: np.full(count, np.nan)
        for side in ("recorded", "ebplan")
        for name in (f"{side}_baseline_kw", f"{side}_least_kw", f"{side}_most_kw")
    }
    target = np.zeros(count)
    twin, tolerance = replayed.twin, replayed.spec.tolerance
    for event, kw in zip(replayed.recording.events, replayed.baselines_kw, strict=True):
        theirs = twin_baseline_kw(replayed, twin, event, kw)
        for side, meter, base in (
            ("recorded", replayed.recording.meter, kw),
            ("ebplan", twin, theirs),
        ):
            _, want = numbers_of(meter, event, base, tolerance)
            allowed = tolerance * want.size_kw
            ends = (want.sense * (want.least_kw - allowed), want.sense * (want.most_kw + allowed))
            low, high = np.minimum(*ends), np.maximum(*ends)
            place = on_slots if side == "recorded" else (lambda values: values)
            for name, values in (
                (f"{side}_baseline_kw", base),
                (f"{side}_least_kw", base + low),
                (f"{side}_most_kw", base + high),
            ):
                inside = place(np.where(want.inside, values, np.nan))
                found[name] = np.where(np.isfinite(inside), inside, found[name])
            if side == "ebplan":
                target = np.where(want.inside, want.kw, target)
                for i in np.flatnonzero(want.inside):
                    names[int(i)] = event.id
    return {"event": names, "target_kw": target, **found}
