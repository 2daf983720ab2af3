"""The most that a posed problem can promise, with the checked plan that keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ebplan.checker import check_plan
from ebplan.errors import NoPlanError
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import Plan, PlanStatus
from ebplan.problem import Problem
from ebplan.solvers.complete import complete
from ebplan.solvers.decision import decide, round_off
from ebplan.solvers.extract import extract_plan
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.program import FloatArray
from ebplan.solvers.promise import Promise, promise
from ebplan.solvers.search import gap_of, objective, peaks_to_watch, settle

SMALLEST_KW = 1e-3
"""A promise below a watt is none."""
ROUNDS = 8
"""Rounds of watching further instants, and of lowering a promise; two are usual."""
FINE = 1e-3
"""Share to which a promise is found where the relaxation promises more than can be kept."""
UNTOLD_KW = 1e-4
"""A tenth of a watt that a plan misses is rounding."""


@dataclass(frozen=True)
class Kept:
    """A plan that keeps a promise whole."""

    kw: float
    """What is promised."""
    plan: Plan
    """Checked; nothing of the target is missing."""
    problem: Problem
    formulation: Formulation
    x: FloatArray
    """The plan's point, shape (n,)."""
    calls: int = 1
    restorable_kwh: float = 0.0
    """Energy that the rest before the next call can restore at most."""


@dataclass
class Firm:
    """Finds promises of one problem; remembers the instants that had to be watched.

    Args:
        problem: what is asked, in one direction; its size does not matter.
        calls: how many calls there must be energy for.
    """

    problem: Problem
    calls: int = 1
    watched: list[float] = field(default_factory=list)
    found: FloatArray | None = None
    """The solution with the largest promise, shape (n + 2,); None before it is found."""
    _stated: Promise | None = None

    def stated(self) -> Promise:
        """Return the program of what is watched until now."""
        if self._stated is None:
            self._stated = promise(self.problem, calls=self.calls, instants_s=self.watched)
        return self._stated

    def most(self, *, quick: bool = False) -> tuple[Kept | None, float]:
        """Return the largest promise with its plan, and the proven bound in kW.

        None where nothing can be promised. The bound is the relaxation's; where it burns energy in
        the converter's loss, it lies higher than what can be kept.

        Args:
            quick: leave the instances as the search for the largest promise has them, instead of
                looking for those that keep it for the least money.
        """
        bound_kw = np.inf
        for _ in range(ROUNDS):
            try:
                solution = self.stated().most()
            except NoPlanError:
                return None, 0.0
            bound_kw = min(bound_kw, -(solution.bound or -np.inf))
            self.found = solution.x
            kw = float(solution.x[self.stated().column])
            if kw < SMALLEST_KW:
                return None, max(bound_kw, 0.0)
            if self._watch_peaks(kw, self.stated().point(solution.x)):
                continue
            watched = len(self.watched)
            kept = self._below(kw, solution.x if quick else None)
            if kept is not None or len(self.watched) == watched:
                return kept, max(bound_kw, kw)
        return None, bound_kw

    def _below(self, kw: float, like: FloatArray | None) -> Kept | None:
        """Return a promise that is kept whole, as little below ``kw`` as need be.

        None where there is none, or where further instants have to be watched first.
        """
        for _ in range(ROUNDS):
            kept, missed_kw = self._kept(kw, like)
            if kept is not None:
                return kept
            kw -= max(missed_kw, FINE * kw)
            if kw < SMALLEST_KW or (like is not None and self._stated is None):
                return None
        return None

    def cheapest(self, kw: float) -> Kept | None:
        """Return the plan of least money that keeps a promise; None where none keeps it whole."""
        return self._kept(kw)[0]

    def _kept(self, kw: float, like: FloatArray | None = None) -> tuple[Kept | None, float]:
        """Return the plan that keeps a promise, or by how many kW the promise is too large.

        Args:
            kw: what is promised.
            like: a solution whose integers are kept, shape (n + 2,); the best if absent.
        """
        for _ in range(ROUNDS):
            stated = self.stated()
            try:
                if like is None:
                    solution = stated.cheapest(kw)
                    solved, bound = solution.x, solution.bound
                else:
                    solved, bound = stated.cheapest_with(kw, like)
            except NoPlanError:
                return None, 0.0
            point = stated.point(solved)
            problem, formulation = stated.at(kw)
            x = _just_kept(problem, formulation, point)
            missed_kw = _missed_kw(problem, formulation, x)
            if missed_kw > UNTOLD_KW and self._watch_peaks(kw, point):
                if like is not None:
                    return None, missed_kw  # its columns are no longer those of the program
                continue
            plan = _plan(problem, formulation, x, bound)
            if missed_kw > UNTOLD_KW or not plan.check.ok:
                return None, missed_kw
            restorable_kwh = 0.0 if self.calls == 1 else stated.restorable_kwh(kw, solved)
            return Kept(kw, plan, problem, formulation, x, self.calls, restorable_kwh), 0.0
        return None, 0.0

    def _watch_peaks(self, kw: float, point: FloatArray) -> bool:
        """Watch the instants at which a point cheats between the edges; tell whether it does."""
        problem, formulation = self.stated().at(kw)
        peaks = [s for s in peaks_to_watch(problem, formulation, point) if s not in self.watched]
        if peaks:
            self.watched += peaks
            self._stated = None
        return bool(peaks)


def _just_kept(problem: Problem, formulation: Formulation, x: FloatArray) -> FloatArray:
    """Work a solution out again, the battery answering no more than is promised, shape (n,).

    A relaxation may give energy beyond the promise instead of holding it back.
    """
    columns = formulation.battery
    if columns is None:
        return settle(problem, formulation, x)
    sign = -problem.direction
    draw_kw = x[formulation.compute.mean] + np.array(problem.other_kw)
    aim_kw = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    needed_kw = np.maximum(sign * (draw_kw - aim_kw), 0.0)
    battery_kw = round_off(x[columns.discharge] - x[columns.charge])
    trimmed_kw = sign * np.minimum(sign * battery_kw, needed_kw)
    battery_kw = np.where(problem.in_event, trimmed_kw, battery_kw)
    return complete(problem, formulation, decide(problem, formulation, x), battery_kw)


def _plan(problem: Problem, formulation: Formulation, x: FloatArray, bound: float | None) -> Plan:
    """Return the checked plan of a settled point.

    A battery that answers no more than is promised may cost less than the program's least, which
    holds margins to the last watt: the bound of the plan is no higher than the plan.
    """
    bound = None if bound is None else min(bound, objective(formulation, x))
    gap = gap_of(formulation, x, bound)
    proven = gap is not None and gap <= OPTIMAL_GAP
    status: PlanStatus = "optimal" if proven else "gap"
    plan = extract_plan(problem, formulation, x, status=status, bound=bound, gap=gap)
    return plan.model_copy(update={"check": check_plan(problem, plan)})


def _missed_kw(problem: Problem, formulation: Formulation, x: FloatArray) -> float:
    """Return what a settled point misses of its promise, as kW throughout.

    A relaxation may burn energy in the converter's loss; settled, the energy is not there, and the
    target is missed at the end. Spread over the event, that is by how much it was too large.
    Margins are not asked for: how surely the promise is kept is worked out from the plan.
    """
    ranges = formulation.program.ranges
    hours = problem.grid.durations_s / 3600.0
    event_h = float(hours[problem.in_event].sum())
    short_kwh = float(x[formulation.connection.shortfall] @ hours[problem.in_event])
    dip_kwh = float(x[ranges["reserve_dip"]].sum()) if "reserve_dip" in ranges else 0.0
    excess = x[ranges["handoff_excess"]] if "handoff_excess" in ranges else np.zeros(1)
    return max(short_kwh / event_h, dip_kwh / event_h, float(excess.max(initial=0.0)))


def levels(most_kw: float, count: int) -> Sequence[float]:
    """Return evenly spaced promises up to the largest, kW."""
    return [most_kw * (i + 1) / count for i in range(count)]
