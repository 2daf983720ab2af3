"""The files written: each whole after every cell, so that a cut-off run loses nothing."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks.gpu_power.meter import Sample
from benchmarks.gpu_power.plan import Cell
from benchmarks.gpu_power.statistics import Reading

RUN_COLUMNS = (
    "gpu", "driver", "torch", "phase", "precision", "batch", "prompt_tokens", "context_tokens",
    "seconds", "steps", "tokens_per_s", "itl_ms", "power_instant_mean_w", "power_instant_std_w",
    "power_average_mean_w", "energy_counter_power_w", "sm_clock_mhz", "mem_clock_mhz",
    "temperature_c", "utilisation", "power_limit_w", "samples",
)  # fmt: skip
FAILED_COLUMNS = ("phase", "precision", "batch", "reason")
TRANSITION_COLUMNS = (
    "transition", "kind", "phase", "precision", "batch", "t_s", "power_instant_w",
    "power_average_w", "sm_clock_mhz",
)  # fmt: skip

BEFORE_S, AFTER_S = 1.0, 3.0
"""Seconds of readings kept before and after a start or stop of the load."""

Row = Mapping[str, object]


def run_row(
    machine: Mapping[str, str], cell: Cell, seconds: float, steps_s: Sequence[float], read: Reading
) -> dict[str, object]:
    """Return the row of a cell: `steps_s` are the seconds of each step within its `seconds`."""
    row: dict[str, object] = {
        **machine,
        "phase": cell.phase,
        "precision": cell.precision,
        "batch": cell.batch if cell.loaded else None,
        "seconds": round(seconds, 3),
        **{name: _rounded(value) for name, value in asdict(read).items()},
    }
    if cell.loaded:
        per_step = cell.batch * (cell.tokens if cell.phase == "prefill" else 1)
        row["steps"] = len(steps_s)
        row["tokens_per_s"] = _rounded(per_step * len(steps_s) / sum(steps_s))
    if cell.phase == "prefill":
        row["prompt_tokens"] = cell.tokens
    if cell.phase == "decode":
        row["context_tokens"] = cell.tokens
        row["itl_ms"] = round(1e3 * median(steps_s), 4)
    return row


def transition_rows(
    cell: Cell, kind: str, at_s: float, samples: Sequence[Sample]
) -> list[dict[str, object]]:
    """Return the readings around a start or stop of the load at `at_s`, times relative to it."""
    return [
        {
            "transition": f"{cell.phase}-{cell.precision}-{cell.batch}-{kind}",
            "kind": kind,
            "phase": cell.phase,
            "precision": cell.precision,
            "batch": cell.batch,
            "t_s": round(sample.t_s - at_s, 4),
            "power_instant_w": _rounded(sample.power_instant_w),
            "power_average_w": _rounded(sample.power_average_w),
            "sm_clock_mhz": _rounded(sample.sm_clock_mhz),
        }
        for sample in samples
    ]


def failed_row(cell: Cell, reason: str) -> dict[str, object]:
    """Return the row of a cell that was not measured; the reason on one line."""
    batch = cell.batch if cell.loaded else None
    words = " ".join(reason.split())
    return {"phase": cell.phase, "precision": cell.precision, "batch": batch, "reason": words}


def append(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Add rows to a CSV file, which is whole at every instant: the new one replaces the old.

    Raises:
        ValueError: a row has a column the file does not have.
    """
    new = path.with_suffix(".new")
    with new.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if path.exists():
            file.write(path.read_text())
        else:
            writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _rounded(value: float | None) -> float | None:
    # four decimals: finer than any of these readings
    return None if value is None else round(value, 4)
