"""Which cells are measured, in which order, and how many seconds each gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Phase = Literal["idle", "loaded_idle", "decode", "prefill"]
Precision = Literal["bf16", "fp8"]

SETUP_S = 1.5
"""Seconds granted to the capture of a cell's step: to be seen in a run, not a measurement."""

START_S = 15.0
"""Seconds granted to the start of a block: import torch, make the weights."""

SHORTEST_S = 3.0
"""A cell of fewer seconds is not measured: its mean would hang on some 20 fresh power readings."""


@dataclass(frozen=True)
class Cell:
    """One row to measure.

    `tokens`: of each prompt (prefill) or of each sequence's context (decode); 0 when idle.
    `ramp`: rest before and after the load, so that its start and stop are seen from and to rest.
    """

    phase: Phase
    precision: Precision | None
    batch: int = 0
    tokens: int = 0
    ramp: bool = False

    @property
    def loaded(self) -> bool:
        """Whether kernels run in this cell."""
        return self.phase in ("decode", "prefill")

    def __str__(self) -> str:
        words = [self.phase, self.precision or "", f"batch {self.batch}" if self.loaded else ""]
        return " ".join(word for word in words if word)


Block = tuple[Cell, ...]
"""Cells of one precision measured in one process, after one making of the weights."""


@dataclass(frozen=True)
class Durations:
    """Seconds: wanted of each cell, of load before a loaded one, of quiet before an idle one.

    `rest_s` is the quiet before the load of a ramp, and after it.
    """

    cell_s: float = 60.0
    warm_up_s: float = 2.0
    settle_s: float = 5.0
    rest_s: float = 2.0

    def overhead_s(self, cell: Cell) -> float:
        """Return the seconds a cell takes beside its own."""
        if not cell.loaded:
            return self.settle_s
        return SETUP_S + self.warm_up_s + (2.0 * self.rest_s if cell.ramp else 0.0)


class BudgetSpent(Exception):
    """Too little of the budget is left to measure a cell."""


def cell_seconds(
    durations: Durations, left_s: float | None, cells: Sequence[Cell], starts: int = 0
) -> float:
    """Return the seconds of the first of `cells` such that all of them fit.

    `left_s` is what is left of the budget, None without one; `starts` counts the blocks that
    are still to be started after this one. Asked again before each cell, so that what a quick
    or a failed cell saves goes to the later ones.

    Raises:
        BudgetSpent: not even this cell fits, with `SHORTEST_S` or what is wanted, if less.
    """
    if left_s is None:
        return durations.cell_s
    overhead_s = sum(durations.overhead_s(cell) for cell in cells) + START_S * starts
    share_s = (left_s - overhead_s) / len(cells)
    least_s = min(SHORTEST_S, durations.cell_s)
    if share_s < least_s:
        # the last ones are given up rather than all of them spoilt
        if left_s < durations.overhead_s(cells[0]) + least_s:
            raise BudgetSpent(f"{left_s:.1f} s of the budget are left: too few for this cell")
        return least_s
    return min(durations.cell_s, share_s)


def plan_blocks(
    precisions: Sequence[Precision],
    phases: Sequence[Phase],
    decode: Sequence[tuple[int, int]],
    prefill: Sequence[tuple[int, int]],
) -> list[Block]:
    """Return the blocks in the order of their worth, should the time run out.

    Decode first, in every precision, then prefill; the first block of a precision begins with
    its loaded idle. Sizes are (batch, tokens); of each phase the first, middle and last ramp.
    """
    sizes = {"decode": decode, "prefill": prefill}
    blocks: list[Block] = []
    for phase in (p for p in ("decode", "prefill") if p in phases):
        for precision in precisions:
            known = any(cell.precision == precision for block in blocks for cell in block)
            idle = () if known else (Cell("loaded_idle", precision),)
            ramps = {0, len(sizes[phase]) // 2, len(sizes[phase]) - 1}
            loads = tuple(
                Cell(phase, precision, batch, tokens, ramp=place in ramps)
                for place, (batch, tokens) in enumerate(sizes[phase])
            )
            blocks.append(idle + loads)
    return blocks
