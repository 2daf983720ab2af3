"""The steps of a search: solve, settle what was solved, and see what is left to prove."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ebplan.plan import OPTIMAL_GAP, PRIORITY_CAUSES, money_gap
from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.complete import complete
from ebplan.solvers.decision import NOTHING_KW, decide, round_off
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.highs import Solution
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.program import FloatArray
from ebplan.solvers.transients import overshoots

Method = Literal["highs", "cvxpy", "merit_order"]

FINEST_GAP = 1e-9
"""A solver's tolerances allow no finer proof."""


def solve_once(
    problem: Problem,
    formulation: Formulation,
    method: Method,
    solver: str | None,
    time_limit_s: float | None,
    gap: float | None,
) -> Solution:
    """Solve a formulation with the solver asked for.

    Raises:
        NoPlanError: no feasible point was found in time.
    """
    if method == "highs":
        # Under a limit the merit order is in hand before the solver is asked.
        start = None if time_limit_s is None else merit_order(problem, formulation)
        return highs.solve(formulation.program, time_limit_s=time_limit_s, gap=gap, start=start)
    from ebplan.solvers import cvxpy_door  # a second to import; only where it is asked for

    return cvxpy_door.solve(formulation.program, solver=solver, time_limit_s=time_limit_s)


def settle(problem: Problem, formulation: Formulation, x: FloatArray) -> FloatArray:
    """Work a solution out again from what it decides, so that the plan's numbers are its own.

    What a relaxation may leave open (a loss larger than the converter's, rounding in a slack that
    costs thousands per kWh) is gone; what that costs shows in the gap.
    """
    battery_kw = None
    if formulation.battery is not None:
        columns = formulation.battery
        battery_kw = round_off(x[columns.discharge] - x[columns.charge])
    return complete(problem, formulation, decide(problem, formulation, x), battery_kw)


def fixed_ways(problem: Problem, formulation: Formulation, x: FloatArray) -> FloatArray | None:
    """Return the direction of each step of a target followed both ways, (T,); None where it is.

    The sign of the net power of the relaxation: > 0 gives, < 0 takes, 0 is left open outside the
    event. Where it rests, the battery answers what is asked.
    """
    columns = formulation.battery
    if not problem.tracks or columns is None or columns.charge_loss is None:
        return None
    discharge, charge = x[columns.discharge], x[columns.charge]
    if float(np.minimum(discharge, charge).max()) <= NOTHING_KW:
        return None
    net_kw = round_off(discharge - charge)
    ways = np.where(net_kw == 0.0, np.where(np.array(problem.target_kw) > 0.0, -1.0, 1.0), net_kw)
    return np.where(problem.in_event, np.sign(ways), 0.0)


def peaks_to_watch(problem: Problem, formulation: Formulation, x: FloatArray) -> list[float]:
    """Return the instants inside steps where a solution asks too much of the converter."""
    granted = np.zeros(problem.grid.n_steps)
    granted[problem.in_event] = x[formulation.connection.shortfall]
    return overshoots(problem, decide(problem, formulation, x), granted)


def objective(formulation: Formulation, x: FloatArray) -> float:
    """Return what a point costs."""
    return float(formulation.program.cost @ x) + formulation.program.constant


def gap_of(formulation: Formulation, x: FloatArray, bound: float | None) -> float | None:
    """Return what is not proven as a share of the money; surcharges would hide it."""
    if bound is None:
        return None
    costs = formulation.program.cost_by_cause(x)
    return money_gap(objective(formulation, x), bound, costs)


def finer_gap(formulation: Formulation, x: FloatArray, apart: float | None) -> float | None:
    """Return the gap to ask for where a share of the objective was not fine enough."""
    if apart is None or apart <= OPTIMAL_GAP:
        return None
    costs = formulation.program.cost_by_cause(x)
    money = sum(costs.values()) - sum(costs.get(cause, 0.0) for cause in PRIORITY_CAUSES)
    finer = 0.5 * OPTIMAL_GAP * abs(money) / max(abs(objective(formulation, x)), 1e-9)
    return finer if finer > FINEST_GAP else None
