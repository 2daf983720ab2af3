"""Solve a program by pools: relaxation, whole numbers pool by pool, and the rest with these held.

1. The linear relaxation by pools gives prices, a lower bound, and what each pool does
   (``relaxation.py``).
2. Each pool gets whole numbers near its part of that (``whole_counts.py``). What rounding leaves of
   its profile the next pool is to make up for, so that errors do not add up.
3. With the whole numbers of the pools held, one program over all settles powers, battery and grid;
   whole numbers of the site are still free in it.

Steps 2 and 3 are tried again with other prices of leaving a profile until the gap is good enough.
Each step takes time in proportion to the number of pools. The result is a point of the program, and
the bound holds for every plan: their distance is certified, not estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from ebplan.errors import NoPlanError
from ebplan.optimality import OPTIMAL_GAP
from ebplan.solvers import highs
from ebplan.solvers.parts import Parts, cut, owners
from ebplan.solvers.program import FloatArray, Program
from ebplan.solvers.relaxation import (
    DEFAULT_GAP,
    MOST_ROUNDS,
    NO_MONEY,
    Answerer,
    Relaxation,
    relax,
)
from ebplan.solvers.whole_counts import Try, Turns, turns, whole_point

if TYPE_CHECKING:  # it knows problems, and a solver process needs none
    from ebplan.solvers.formulation import Formulation

TRIES = (Try(short=0.05, beyond=0.05), Try(short=0.2, beyond=0.02), Try(short=3.0, beyond=0.02))
"""Where pools have a hundred instances; no other shares from 0.02 to 10 do better on all of
benchmarks/size.py."""
TRIES_OF_SMALL_POOLS = (
    Try(short=0.5, beyond=0.02),
    Try(short=0.02, beyond=0.02, branching=True),
    *TRIES[1:],
)
"""Rounding is coarse where pools have few instances, and branch and bound on one is quick."""
SMALL_POOL = 16
"""A pool of at most so many instances is small."""
GOOD_ENOUGH = OPTIMAL_GAP
"""Gap from which on nothing further is tried: such a plan may be called optimal."""
ROUNDS_LEFT = 4.0
"""Whole numbers and the rest take about as long as so many of the slowest rounds: under a deadline
the relaxation leaves that time."""


@dataclass(frozen=True)
class Decomposed(highs.Solution):
    """A feasible point with its proof, and how it was come by."""

    relaxation: Relaxation
    tries: int
    """How often whole numbers were looked for."""
    seconds_of: dict[str, float]
    """Seconds by step: ``relaxation``, ``whole``, ``rest``."""


def solve_by_pools(
    formulation: Formulation,
    names: Sequence[str],
    *,
    gap: float = DEFAULT_GAP,
    until: float | None = None,
    prices: FloatArray | None = None,
    ask: Answerer | None = None,
) -> Decomposed:
    """Solve a formulation by pools.

    Args:
        formulation: what to solve.
        names: of its pools, in their order.
        gap: relative distance between the bounds at which the relaxation ends.
        until: ``time.monotonic()`` by which a point is wanted.
        prices: of the coupling rows to begin with, as in ``relaxation.prices`` of an earlier
            solution with the same coupling rows, shape (L,).
        ask: who answers for the pools; this process if absent.

    Raises:
        NoPlanError: no feasible point was found in time.
    """
    by_pools = by_pools_of(formulation, names)
    return decompose(
        formulation.program,
        by_pools.parts,
        by_pools.orders,
        gap=gap,
        until=until,
        prices=prices,
        ask=ask,
    )


@dataclass(frozen=True)
class ByPools:
    """A program in parts, and the whole numbers of each pool in turns: arrays only."""

    parts: Parts
    orders: tuple[Turns, ...]


def by_pools_of(formulation: Formulation, names: Sequence[str]) -> ByPools:
    """Tell a formulation's pools apart, named in their order."""
    program = formulation.program
    parts = cut(program, owners(program.columns, names), len(names))
    orders = tuple(turns(formulation, p, part) for p, part in enumerate(parts.pools))
    return ByPools(parts, orders)


def decompose(
    program: Program,
    parts: Parts,
    orders: Sequence[Turns],
    *,
    gap: float = DEFAULT_GAP,
    until: float | None = None,
    work: tuple[int, int] | None = None,
    prices: FloatArray | None = None,
    ask: Answerer | None = None,
) -> Decomposed:
    """Solve a program in parts; everything that goes in and comes out is arrays.

    Args:
        program: what to solve.
        parts: the same in parts.
        orders: the whole numbers of each pool in turns.
        gap: as in ``solve_by_pools``, likewise the rest.
        until: deadline.
        work: rounds of the relaxation and tries of whole numbers to make, as an earlier solution
            tells them: it is found again, whatever its deadline was.
        prices: to begin with.
        ask: who answers.

    Raises:
        NoPlanError: no feasible point was found in time.
    """
    watch = _Watch()
    relaxation = relax(
        parts,
        gap=gap,
        until=until,
        rounds_left=ROUNDS_LEFT,
        most_rounds=MOST_ROUNDS if work is None else work[0],
        prices=prices,
        ask=ask,
    )
    watch.lap("relaxation")
    best: highs.Solution | None = None
    tries = 0
    for way in _tries(parts, orders)[: None if work is None else work[1]]:
        began, tries = monotonic(), tries + 1
        points = whole_points(parts, orders, relaxation, way, until=until)
        watch.lap("whole")
        left_s = None if until is None else max(until - monotonic(), 0.001)
        found = highs.solve(holding(program, parts, points), time_limit_s=left_s, gap=gap)
        watch.lap("rest")
        if best is None or found.objective < best.objective:
            best = found
        apart = (best.objective - relaxation.bound) / max(abs(best.objective), NO_MONEY)
        took_s = monotonic() - began
        if apart <= GOOD_ENOUGH or (until is not None and monotonic() + took_s >= until):
            break
    assert best is not None
    return Decomposed(
        x=np.where(program.integer, np.round(best.x), best.x),
        objective=best.objective,
        bound=min(relaxation.bound, best.objective),
        seconds=watch.seconds,
        nodes=best.nodes,
        relaxation=relaxation,
        tries=tries,
        seconds_of=watch.laps,
    )


def whole_points(
    parts: Parts,
    orders: Sequence[Turns],
    relaxation: Relaxation,
    way: Try,
    *,
    until: float | None = None,
) -> list[FloatArray]:
    """Return a point with whole numbers for each pool, shape (n,) each.

    Raises:
        NoPlanError: none was found for a pool, or not in time.
    """
    points, missed = [], np.zeros(len(parts.lower))
    for part, order, relaxed in zip(parts.pools, orders, relaxation.points, strict=True):
        if until is not None and monotonic() >= until:
            raise NoPlanError("no whole numbers in time: only the relaxation was solved")
        profile = part.profile(relaxed) + missed
        point = whole_point(part, order, relaxation.prices, profile, way, until=until)
        missed = profile - part.profile(point)
        points.append(point)
    return points


def holding(program: Program, parts: Parts, points: Sequence[FloatArray]) -> Program:
    """Return the program with the whole numbers of its pools held; only the site's are left."""
    lower, upper, integer = program.lower.copy(), program.upper.copy(), program.integer.copy()
    for part, point in zip(parts.pools, points, strict=True):
        whole = part.columns[part.integer]
        lower[whole] = upper[whole] = np.round(point[part.integer])
        integer[whole] = False  # held as they are: without any other it is a linear program
    return replace(program, lower=lower, upper=upper, integer=integer)


def _tries(parts: Parts, orders: Sequence[Turns]) -> tuple[Try, ...]:
    """Return the ways to come to whole numbers, in the order in which they are tried."""
    serving = [
        float(part.upper[columns].max())
        for part, order in zip(parts.pools, orders, strict=True)
        for columns in order.serving
    ]
    return TRIES_OF_SMALL_POOLS if max(serving) <= SMALL_POOL else TRIES


class _Watch:
    """Seconds by step."""

    def __init__(self) -> None:
        self._began = self._last = monotonic()
        self.laps: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Seconds until the end of the last step."""
        return self._last - self._began

    def lap(self, step: str) -> None:
        """End a step."""
        now = monotonic()
        self.laps[step] = self.laps.get(step, 0.0) + now - self._last
        self._last = now
