"""The most that can be promised: the target's size as one more column of the formulation.

With every target ``R`` times a unit one, each row's right-hand side is affine in R, so R can stand
on the left as a column with minus that slope, and the same program answers two questions:

    most      maximise R                    every grid-side slack is 0: the promise is whole
    cheapest  minimise the money at R = r   for a point of the cost curve

The slopes are read off two formulations, so a new block needs no word here; where a row is not
affine in the target, that is an error and not a wrong offer.

Repeats. n calls with a rest in between, of which this is the first. What is not restored by the
end of the rest, with the margin's energy called in full, is a ``deficit`` q that each further call
begins with:

repeat_rest     |e_0 - e_T| + sum_t h_t s_t k <= q
repeat_energy   as ``margin_energy`` (and ``reserve``), with (n - 1) q more
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.blocks.margin import end_of_margin, energy_per_kwh
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.highs import Solution
from ebplan.solvers.program import FloatArray, Group, IndexArray, Program

SLACKS = (
    "shortfall",
    "margin_missing",
    "margin_energy_missing",
    "reserve_dip",
    "overrun",
    "soc_missing",
    "handoff_excess",
)
"""Columns by which a plan may fall short of what is asked; a promise leaves them none."""
AFFINE = 1e-6
"""kW by which a right-hand side may differ from its line."""
MOST_GAP, COST_GAP = 5e-4, 2e-3
"""The promise is proven to this share, its money to that."""


def with_target(problem: Problem, kw: float) -> Problem:
    """Return a problem whose target is ``kw`` at full activation, in its own direction."""
    factor = kw / max(map(abs, problem.target_kw))
    return problem.model_copy(
        update={
            "target_kw": tuple(factor * t for t in problem.target_kw),
            "handoff_kw": factor * problem.handoff_kw,
        }
    )


@dataclass(frozen=True)
class Promise:
    """A program with the promised kW as its last but one column, the deficit as its last."""

    problem: Problem
    """With a target of 1 kW."""
    formulation: Formulation
    """Of ``problem``; its columns come first in ``program``."""
    program: Program
    calls: int

    @property
    def column(self) -> int:
        """Column of the promised kW."""
        return self.program.n_columns - 2

    def point(self, x: FloatArray) -> FloatArray:
        """Return the formulation's part of a solution, shape (n,)."""
        return x[: self.column]

    def at(self, kw: float) -> tuple[Problem, Formulation]:
        """Return problem and formulation of a promise of ``kw``."""
        problem = with_target(self.problem, kw)
        return problem, formulate(problem, instants_s=self.formulation.instants_s)

    def most(self) -> Solution:
        """Return the solution with the largest promise; its objective is minus the kW.

        Raises:
            NoPlanError: not even a promise of 0 kW can be kept whole.
        """
        cost = np.zeros(self.program.n_columns)
        cost[self.column] = -1.0
        program = replace(self.program, cost_of={"promise": cost}, constant_of={})
        return highs.solve(program, gap=MOST_GAP)

    def cheapest(self, kw: float) -> Solution:
        """Return the solution of least money that keeps a promise of ``kw``.

        Raises:
            NoPlanError: it cannot be kept whole.
        """
        return highs.solve(self._of(kw), gap=COST_GAP)

    def cheapest_with(self, kw: float, x: FloatArray) -> tuple[FloatArray, float]:
        """Return the point of least money that keeps a promise with given integers, and a bound.

        Args:
            kw: what is promised.
            x: a solution of the program that keeps as much, shape (n + 2,).

        Returns:
            The point, shape (n + 2,), and the least money of the linear relaxation.
        """
        program = self._of(kw)
        at = highs.fixed_optimum(program, x)
        return at.x, highs.least_in_turn(program, [program.cost])[0].objective + program.constant

    def restorable_kwh(self, kw: float, x: FloatArray) -> float:
        """Return the most energy that the rest can give back to the cells (to absorb: take out).

        Args:
            kw: what is promised.
            x: a solution of the program that keeps as much, shape (n + 2,); its integers are kept.
        """
        battery = self.formulation.battery
        if battery is None:
            return 0.0
        sign = -self.problem.direction
        cost = np.zeros(self.program.n_columns)
        cost[battery.energy[end_of_margin(self.problem)]] = sign
        cost[battery.energy[-1]] = -sign
        return max(-highs.fixed_optimum(self._of(kw), x, cost).objective, 0.0)

    def _of(self, kw: float) -> Program:
        lower, upper = self.program.lower.copy(), self.program.upper.copy()
        lower[self.column] = upper[self.column] = kw
        return replace(self.program, lower=lower, upper=upper)


def promise(
    problem: Problem,
    *,
    calls: int = 1,
    instants_s: Sequence[float] = (),
) -> Promise:
    """State the promise of a problem that asks in one direction, whatever its size.

    Args:
        problem: the problem; its horizon after the event is the rest before the next call.
        calls: how many calls the battery must have energy for.
        instants_s: times inside steps at which the converter's limit is watched.

    Raises:
        ValueError: the event asks for nothing or both ways, or a row is not affine in the target.
    """
    if problem.asks != "one_way":
        raise ValueError("a promise has one direction")
    one = with_target(problem, 1.0)
    own, twice, thrice = (
        formulate(with_target(one, kw), instants_s=instants_s) for kw in (1.0, 2.0, 3.0)
    )
    slope = _slope(own.program, twice.program, thrice.program)
    program = _with_promise(own.program, slope, most_kw=_highest_kw(one))
    program = _with_repeats(program, one, own, calls)
    return Promise(problem=one, formulation=own, program=program, calls=calls)


def _highest_kw(problem: Problem) -> float:
    """Return a bound on any promise: everything off, or everything on, and the converter's all."""
    battery = problem.battery
    converter_kw = 0.0 if battery is None else battery.rated_kw
    compute_kw = sum(pool.highest_kw for pool in problem.pools)
    return compute_kw + converter_kw + max(problem.other_kw) + max(problem.baseline_kw)


def _slope(own: Program, twice: Program, thrice: Program) -> FloatArray:
    """Return by how much each row's sides move with a kW of target, shape (m,)."""
    moved = []
    for name in ("row_lower", "row_upper"):
        sides = np.array([getattr(program, name) for program in (own, twice, thrice)])
        sides = np.where(np.isfinite(sides), sides, 0.0)
        steps = np.diff(sides, axis=0)
        if np.abs(steps[1] - steps[0]).max(initial=0.0) > AFFINE:
            raise ValueError("a right-hand side is not affine in the target")
        moved.append(steps[0])
    lower, upper = moved
    both = np.isfinite(own.row_lower) & np.isfinite(own.row_upper)
    if np.abs(lower - upper)[both].max(initial=0.0) > AFFINE:
        raise ValueError("the two sides of a row move apart with the target")
    return np.asarray(np.where(np.isfinite(own.row_upper), upper, lower))


def _with_promise(program: Program, slope: FloatArray, *, most_kw: float) -> Program:
    """Return the program of a target of R kW, R a column; every slack is held at 0."""
    upper = program.upper.copy()
    for name in SLACKS:
        if name in program.ranges:
            upper[program.ranges[name]] = 0.0
    program = replace(
        program,
        upper=upper,
        row_lower=program.row_lower - slope,
        row_upper=program.row_upper - slope,
    )
    rows = np.flatnonzero(slope)
    return _with_column(program, "promised", rows, -slope[rows], upper=most_kw)


def _with_repeats(
    program: Program, problem: Problem, formulation: Formulation, calls: int
) -> Program:
    """Add the deficit and its rows; a column of nothing where the call comes once."""
    battery, columns = problem.battery, formulation.battery
    none = np.empty(0, dtype=np.int64)
    if calls <= 1 or battery is None or columns is None:
        return _with_column(program, "deficit", none, np.empty(0), upper=0.0)
    sign = -problem.direction
    width_kwh = battery.max_kwh - battery.min_kwh
    program = _with_column(program, "deficit", none, np.empty(0), upper=width_kwh)
    deficit = program.n_columns - 1
    carried = np.empty(0, dtype=np.int64)
    behind = np.empty(0)
    if formulation.margin is not None and "margin_carried" in program.ranges:
        part = program.ranges["margin_carried"]
        carried = np.arange(part.start, part.stop)
        hours = problem.grid.durations_s[formulation.margin.steps] / 3600.0
        behind = energy_per_kwh(problem, battery) * hours
    end = columns.energy[end_of_margin(problem)]
    rest = columns.energy[-1]
    # sign (e_0 - e_T) + behind <= q
    program = _with_row(
        program,
        "repeat_rest",
        np.r_[rest, carried, deficit],
        np.r_[-sign, behind, -1.0],
        upper=-sign * battery.start_kwh,
    )
    more = float(calls - 1)
    if sign > 0:
        return _with_row(
            program,
            "repeat_energy",
            np.r_[end, carried, deficit],
            np.r_[1.0, -behind, -more],
            lower=battery.kept_kwh,
        )
    return _with_row(
        program,
        "repeat_energy",
        np.r_[end, carried, deficit],
        np.r_[1.0, behind, more],
        upper=battery.max_kwh,
    )


def _with_column(
    program: Program, name: str, rows: IndexArray, values: FloatArray, *, upper: float
) -> Program:
    """Return a program with one more column, from 0 to ``upper``, that costs nothing."""
    n, m = program.n_columns, program.n_rows
    row = np.concatenate([np.repeat(np.arange(m), np.diff(program.row_start)), rows])
    column = np.concatenate([program.entry_column, np.full(len(rows), n, dtype=np.int64)])
    value = np.concatenate([program.entry_value, values])
    order = np.lexsort((column, row))
    return replace(
        program,
        columns=(*program.columns, Group(name, n, 1)),
        lower=np.append(program.lower, 0.0),
        upper=np.append(program.upper, upper),
        integer=np.append(program.integer, False),
        row_start=np.searchsorted(row[order], np.arange(m + 1)).astype(np.int64),
        entry_column=column[order],
        entry_value=value[order],
        cost_of={cause: np.append(cost, 0.0) for cause, cost in program.cost_of.items()},
    )


def _with_row(
    program: Program,
    label: str,
    columns: IndexArray,
    values: FloatArray,
    *,
    lower: float = -np.inf,
    upper: float = np.inf,
) -> Program:
    """Return a program with one more row."""
    order = np.argsort(columns)
    return replace(
        program,
        rows=(*program.rows, Group(label, program.n_rows, 1)),
        row_lower=np.append(program.row_lower, lower),
        row_upper=np.append(program.row_upper, upper),
        row_start=np.append(program.row_start, program.row_start[-1] + len(columns)),
        entry_column=np.concatenate([program.entry_column, columns[order]]),
        entry_value=np.concatenate([program.entry_value, values[order]]),
    )
