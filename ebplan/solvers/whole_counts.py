"""Whole numbers for one pool, close to what it does in the linear relaxation.

    minimise    (c - A'pi)'x + sum_l (w_l (profile - A x)_l^+ + v_l (A x - profile)_l^+)
    subject to  x in X, some of x whole

pi are the prices of the relaxation, ``profile`` is what the pool is to contribute to the coupling
rows, and w and v make leaving it dearer than the prices say, so that the pools together still do
what the relaxation does. To fall short of what is paid for costs more than the price as soon as the
site has nothing left to make up for it; to exceed it is merely of less use (``Try``). As a linear
program it takes about a millisecond; whole numbers come in turns:

1. commands (sleep, wake, change of weights, pre-warm): the running sum is rounded, so that as many
   instances move as before. Who is asleep or in a lower precision is then whole by itself.
2. instances that serve, in each way to run: rounded, once to the nearest, once up, once down;
   the best is kept. Who is drained is what is left.
3. what else is whole (which line of a curve is lowest) by branch and bound, with the rest held.

Where no rounding is feasible, branch and bound settles the pool alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import highspy
import numpy as np

from ebplan.errors import NoPlanError
from ebplan.solvers.part_solver import load
from ebplan.solvers.parts import NO_ROWS, Part, join
from ebplan.solvers.program import FloatArray, IndexArray

if TYPE_CHECKING:  # it knows problems, and a solver process needs none
    from ebplan.solvers.formulation import Formulation

UP_FROM = (0.5, 0.05, 0.95)
"""A number is rounded up where its fraction is at least this."""
WHOLE = 1e-6
"""Further from a whole number than this is not whole."""
OF_HIGHEST = 0.05
"""The price of leaving a row of the profile reckons with at least this share of the highest."""
BRANCHED_GAP = 1e-2
"""Gap at which branch and bound on one pool stops: it is one of many."""


@dataclass(frozen=True)
class Turns:
    """The whole numbers of a pool in the order in which they are settled, as its part's columns."""

    commands: tuple[IndexArray, ...]
    """Shape (K,) each."""
    serving: tuple[IndexArray, ...]
    """Shape (K,) each."""


def turns(formulation: Formulation, pool: int, part: Part) -> Turns:
    """Return the turns of a pool whose columns the part holds."""
    counts, warmth = formulation.counts[pool], formulation.prewarms[pool]
    commands = [counts.to_sleep, counts.to_wake]
    commands += [counts.tier.to_tier, counts.tier.to_own] if counts.tier is not None else []
    commands += [counts.to_wake_warm] if counts.to_wake_warm is not None else []
    commands += [warmth.command] if warmth is not None else []

    def own(columns: Sequence[IndexArray]) -> tuple[IndexArray, ...]:
        return tuple(np.searchsorted(part.columns, c) for c in columns)

    return Turns(commands=own(commands), serving=own(counts.serving))


@dataclass(frozen=True)
class Try:
    """One way to come to whole numbers.

    To leave the profile costs a share of the price of its row, on top of the price.
    """

    short: float
    """Where less is contributed than is paid for."""
    beyond: float
    """Where more is."""
    branching: bool = False
    """Branch and bound at once, as suits a pool of a few instances."""

    def price_of_leaving(self, prices: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the prices w and v of lying below a profile and above it, shape (L,) each."""
        size = np.abs(prices)
        size = size + OF_HIGHEST * float(size.max(initial=0.0))
        paid = prices >= 0.0
        short, beyond = self.short * size, self.beyond * size
        return np.where(paid, short, beyond), np.where(paid, beyond, short)


def whole_point(
    part: Part,
    order: Turns,
    prices: FloatArray,
    profile: FloatArray,
    way: Try,
    *,
    until: float | None = None,
) -> FloatArray:
    """Return a point of the part with whole numbers, near a profile, shape (n,).

    Args:
        part: the pool.
        order: its whole numbers in turns.
        prices: of the coupling rows, shape (L,).
        profile: what it is to contribute to them, shape (L,).
        way: how to come to whole numbers.
        until: ``time.monotonic()`` by which branch and bound, where it is needed, ends.

    Raises:
        NoPlanError: none was found.
    """
    near = _NearProfile(part, prices, profile, way)
    if way.branching:
        return near.branch(until)
    relaxed = near.solve()
    if relaxed is None:
        raise NoPlanError("HiGHS found no point of a pool near its profile")
    best, least = None, np.inf
    commands = np.concatenate(order.commands)
    for moved in _rounded_sums(relaxed[0], order.commands):
        near.hold(commands, moved)
        found = near.solve()
        for point, value in _serving(near, order, found[0], until) if found is not None else ():
            if value < least:
                best, least = point, value
        if best is not None:
            return best
        near.release(commands)
    return near.branch(until)


def _serving(
    near: _NearProfile, order: Turns, point: FloatArray, until: float | None
) -> Iterator[tuple[FloatArray, float]]:
    """Yield points with whole serving counts, and all else whole with them."""
    serving = np.concatenate(order.serving)
    tried: list[FloatArray] = []
    for up_from in UP_FROM:
        counts = np.floor(point[serving] + 1.0 - up_from + WHOLE)
        if any(np.array_equal(counts, other) for other in tried):
            continue
        tried.append(counts)
        near.hold(serving, counts)
        found = near.solve()
        if found is not None and not near.is_whole(found[0]):
            found = near.branched(until)
        if found is not None:
            yield found
    near.release(serving)


def _rounded_sums(point: FloatArray, groups: Sequence[IndexArray]) -> Iterator[FloatArray]:
    """Yield the commands rounded so that their running sums are the rounded ones."""
    tried: list[FloatArray] = []
    for up_from in UP_FROM:
        rounded = []
        for columns in groups:
            so_far = np.floor(np.cumsum(np.maximum(point[columns], 0.0)) + 1.0 - up_from + WHOLE)
            rounded.append(np.diff(so_far, prepend=0.0))
        moved = np.concatenate(rounded)
        if not any(np.array_equal(moved, other) for other in tried):
            tried.append(moved)
            yield moved


class _NearProfile:
    """A pool with the price of leaving its profile, live in HiGHS."""

    def __init__(self, part: Part, prices: FloatArray, profile: FloatArray, way: Try) -> None:
        self._part = part
        priced = replace(part, cost=part.priced(prices))
        pair = [(priced, 1.0), (_leaving(*way.price_of_leaving(prices)), 1.0)]
        self._solver: Any = load(join(pair, profile, profile))
        self._whole = np.flatnonzero(part.integer)

    def solve(self) -> tuple[FloatArray, float] | None:
        """Return the optimum with what is held and its value; None where there is none."""
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return self._read()

    def is_whole(self, point: FloatArray) -> bool:
        """Tell whether everything that is to be whole is."""
        values = point[self._whole]
        return bool(np.abs(values - np.round(values)).max(initial=0.0) <= WHOLE)

    def hold(self, columns: IndexArray, values: FloatArray) -> None:
        """Hold columns at values, within their bounds."""
        lower, upper = self._part.lower[columns], self._part.upper[columns]
        held = np.clip(values, lower, upper)
        self._solver.changeColsBounds(len(columns), columns.astype(np.int32), held, held)

    def release(self, columns: IndexArray) -> None:
        """Let columns move within their bounds again."""
        lower, upper = self._part.lower[columns], self._part.upper[columns]
        self._solver.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def branched(self, until: float | None) -> tuple[FloatArray, float] | None:
        """Return the best point with whole numbers, with what is held; None where there is none."""
        self._make(highspy.HighsVarType.kInteger)
        left_s = np.inf if until is None else max(until - monotonic(), 0.001)
        self._solver.setOptionValue("time_limit", self._solver.getRunTime() + left_s)
        self._solver.setOptionValue("mip_rel_gap", BRANCHED_GAP)
        self._solver.run()
        feasible = highspy.SolutionStatus.kSolutionStatusFeasible
        found = self._solver.getInfo().primal_solution_status == feasible
        read = self._read() if found else None
        self._solver.setOptionValue("time_limit", np.inf)
        self._make(highspy.HighsVarType.kContinuous)
        if read is not None:
            read[0][self._whole] = np.round(read[0][self._whole])
        return read

    def branch(self, until: float | None) -> FloatArray:
        """Return the best point with whole numbers.

        Raises:
            NoPlanError: branch and bound found none in time.
        """
        found = self.branched(until)
        if found is None:
            raise NoPlanError("no whole numbers were found for a pool")
        return found[0]

    def _read(self) -> tuple[FloatArray, float]:
        x = np.array(self._solver.getSolution().col_value)[: self._part.n_columns]
        return x, float(self._solver.getInfo().objective_function_value)

    def _make(self, kind: Any) -> None:
        columns = self._whole.astype(np.int32)
        self._solver.changeColsIntegrality(len(columns), columns, np.full(len(columns), kind))


def _leaving(below: FloatArray, above: FloatArray) -> Part:
    """Return a part that makes up for what a profile is left by, at prices of shape (L,)."""
    rows = len(below)
    start, columns = np.arange(rows + 1), np.arange(2 * rows)
    none = np.zeros(0)
    return Part(
        columns=columns,
        cost=np.r_[below, above],
        lower=np.zeros(2 * rows),
        upper=np.full(2 * rows, np.inf),
        integer=np.zeros(2 * rows, dtype=np.bool_),
        rows=NO_ROWS,
        row_lower=none,
        row_upper=none,
        coupling=type(NO_ROWS)(
            start=2 * start,
            column=np.stack([columns[:rows], columns[rows:]], axis=1).ravel(),
            value=np.tile([1.0, -1.0], rows),
        ),
    )
