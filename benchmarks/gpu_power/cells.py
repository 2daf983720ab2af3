"""Measures cells one after the other; one that fails costs its own row only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.gpu_power import tables
from benchmarks.gpu_power.meter import Sample
from benchmarks.gpu_power.plan import Block, Cell, Durations, cell_seconds
from benchmarks.gpu_power.statistics import summarise

WRITTEN_S = 0.2
"""Seconds waited before a window is read back: its last reading is then in the file."""


class Load(Protocol):
    """What runs on the GPU: one cell's load open at a time (`load.Loads`)."""

    def open(self, cell: Cell) -> None:
        """Make one cell ready to run."""
        ...

    def run(self, seconds: float) -> list[float]:
        """Run for so long; return the seconds of each step."""
        ...

    def check(self) -> None:
        """Raise where what was computed is no number."""
        ...

    def close(self) -> None:
        """Free what the cell needed."""
        ...


class Windows(Protocol):
    """Where readings are looked up (`sampler.Readings`)."""

    def between(self, begin_s: float, end_s: float) -> Sequence[Sample]:
        """Return the readings of a stretch of time."""
        ...


class Clock(Protocol):
    """The module `time`, or a stand-in."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Let time pass."""
        ...


@dataclass(frozen=True)
class Files:
    """Where a run writes."""

    folder: Path

    @property
    def runs(self) -> Path:
        """One row per measured cell."""
        return self.folder / "runs.csv"

    @property
    def failed(self) -> Path:
        """One row per cell that was not measured, with the reason."""
        return self.folder / "failed.csv"

    @property
    def transitions(self) -> Path:
        """Readings around starts and stops of the load."""
        return self.folder / "transitions.csv"

    @property
    def samples(self) -> Path:
        """Every reading."""
        return self.folder / "samples.csv"


@dataclass(frozen=True)
class Task:
    """A block to measure and what is due after it.

    `deadline_s` is the end of the budget in `time.monotonic()`, None without a budget.
    """

    block: Block
    later: Sequence[Block]
    durations: Durations
    deadline_s: float | None
    machine: Mapping[str, str]
    files: Files


def measure_cells(task: Task, load: Load | None, windows: Windows, clock: Clock) -> None:
    """Measure the cells of a block; write and print each row as soon as it is there."""
    due = [*task.block, *(cell for block in task.later for cell in block)]
    for place, cell in enumerate(task.block):
        try:
            left_s = None if task.deadline_s is None else task.deadline_s - clock.monotonic()
            seconds = cell_seconds(task.durations, left_s, due[place:], len(task.later))
            if cell.loaded:
                row = _loaded(task, cell, seconds, load, windows, clock)
            else:
                row = _idle(task, cell, seconds, windows, clock)
        except Exception as error:  # whatever it is, the other cells are still worth measuring
            fail(task.files, cell, f"{type(error).__name__}: {error}")
            continue
        tables.append(task.files.runs, tables.RUN_COLUMNS, [row])
        print(_progress(cell, row, left_s), flush=True)


def fail(files: Files, cell: Cell, reason: str) -> None:
    """Write and print that a cell was not measured."""
    row = tables.failed_row(cell, reason)
    tables.append(files.failed, tables.FAILED_COLUMNS, [row])
    print(f"{cell!s:28} FAILED: {row['reason']}", flush=True)


def _idle(
    task: Task, cell: Cell, seconds: float, windows: Windows, clock: Clock
) -> dict[str, object]:
    clock.sleep(task.durations.settle_s)
    begin_s = clock.monotonic()
    clock.sleep(seconds)
    end_s = clock.monotonic()
    clock.sleep(WRITTEN_S)
    read = summarise(windows.between(begin_s, end_s))
    return tables.run_row(task.machine, cell, end_s - begin_s, (), read)


def _loaded(
    task: Task, cell: Cell, seconds: float, load: Load, windows: Windows, clock: Clock
) -> dict[str, object]:
    rest_s = task.durations.rest_s if cell.ramp else 0.0
    try:
        load.open(cell)
        clock.sleep(rest_s)
        start_s = clock.monotonic()
        load.run(task.durations.warm_up_s)
        begin_s = clock.monotonic()
        steps_s = load.run(seconds)
        end_s = clock.monotonic()
        clock.sleep(max(rest_s, WRITTEN_S))
        load.check()
    finally:
        load.close()
    read = summarise(windows.between(begin_s, end_s))
    if cell.ramp:
        for kind, at_s in (("start", start_s), ("stop", end_s)):
            around = windows.between(at_s - tables.BEFORE_S, at_s + tables.AFTER_S)
            rows = tables.transition_rows(cell, kind, at_s, around)
            tables.append(task.files.transitions, tables.TRANSITION_COLUMNS, rows)
    return tables.run_row(task.machine, cell, end_s - begin_s, steps_s, read)


def _progress(cell: Cell, row: Mapping[str, object], left_s: float | None) -> str:
    words = [f"{cell!s:28}", f"{row['seconds']:6.1f} s", f"{row['samples']:5d} readings"]
    for name, unit in (
        ("power_instant_mean_w", "W"),
        ("energy_counter_power_w", "W by counter"),
        ("sm_clock_mhz", "MHz"),
        ("temperature_c", "C"),
        ("tokens_per_s", "tokens/s"),
    ):
        value = row.get(name)
        words.append("" if value is None else f"{value:9.1f} {unit}")
    words.append("" if left_s is None else f"({left_s:.0f} s were left)")
    return " ".join(word for word in words if word)
