"""The steps of a search: solve, settle what was solved, and see what is left to prove."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import PRIORITY_CAUSES, money_gap
from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.blocks.battery import loss_lines
from ebplan.solvers.complete import complete
from ebplan.solvers.decision import NOTHING_KW, decide, round_off
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.highs import Solution
from ebplan.solvers.margins import planned_margin_kw
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.program import FloatArray
from ebplan.solvers.steady import steadied
from ebplan.solvers.transients import overshoots
from ebplan.solvers.turns import without_burning

Method = Literal["highs", "cvxpy", "merit_order"]

FINEST_GAP = 1e-9
"""A solver's tolerances allow no finer proof."""
SAME_MONEY = 1e-9
"""Money that differs by less, as a share, is the same."""
INFLATED_KW = 1e-5
"""A loss this much above the converter's is no rounding."""


def solve_once(
    problem: Problem,
    formulation: Formulation,
    method: Method,
    solver: str | None,
    time_limit_s: float | None,
    gap: float | None,
    start: FloatArray | None = None,
) -> Solution:
    """Solve a formulation with the solver asked for, from a point that is known where there is one.

    Raises:
        NoPlanError: no feasible point was found in time.
    """
    if method == "highs":
        # Under a limit the merit order is in hand before the solver is asked.
        if start is None and time_limit_s is not None:
            start = merit_order(problem, formulation)
        return highs.solve(formulation.program, time_limit_s=time_limit_s, gap=gap, start=start)
    from ebplan.solvers import cvxpy_door  # a second to import; only where it is asked for

    return cvxpy_door.solve(formulation.program, solver=solver, time_limit_s=time_limit_s)


def settle(problem: Problem, formulation: Formulation, x: FloatArray) -> FloatArray:
    """Work a solution out again from what it decides, so that the plan's numbers are its own.

    What a relaxation may leave open (a loss larger than the converter's, rounding in a slack that
    costs thousands per kWh) is gone; what that costs shows in the gap.
    """
    return carried_over(problem, formulation, x, formulation)


def carried_over(
    problem: Problem, formulation: Formulation, x: FloatArray, to: Formulation
) -> FloatArray:
    """Work a solution out again as a point of another formulation of its problem, shape (n,).

    Of points that cost the same it is the one in which the battery holds its power steady.
    """
    decisions = decide(problem, formulation, x)
    columns = formulation.battery
    if columns is None:
        return complete(problem, to, decisions)
    compute_kw = x[formulation.compute.mean]
    battery_kw = round_off(x[columns.discharge] - x[columns.charge])
    battery_kw = without_burning(problem, battery_kw, compute_kw)
    steady_kw = steadied(problem, battery_kw, compute_kw)
    if steady_kw is None:
        return complete(problem, to, decisions, battery_kw)
    steady = complete(problem, to, decisions, steady_kw)
    costs = objective(to, steady)
    same = SAME_MONEY * max(abs(costs), 1.0)
    if costs <= objective(formulation, x) + same:
        return steady
    worked_out = complete(problem, to, decisions, battery_kw)
    return steady if costs <= objective(to, worked_out) + same else worked_out


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


def losses_to_hold(problem: Problem, formulation: Formulation, x: FloatArray) -> list[int]:
    """Return the steps in which the loss is to be held exactly, if a solution burns energy in it.

    Held where it burns alone, it would burn in the next step: all steps count in which it may pay.
    """
    columns, battery = formulation.battery, problem.battery
    if columns is None or battery is None:
        return []
    power_kw, loss_kw = x[columns.discharge] + x[columns.charge], x[columns.loss].copy()
    if columns.charge_loss is not None:
        loss_kw += x[columns.charge_loss]
    true_kw = np.max([slope * power_kw + above for slope, above in loss_lines(battery)], axis=0)
    burns = loss_kw - true_kw > INFLATED_KW
    if not burns.any():
        return []
    may_pay = problem.in_event | (problem.energy_prices_per_kwh <= 0.0)
    return [int(t) for t in np.flatnonzero(burns | may_pay)]


def peaks_to_watch(problem: Problem, formulation: Formulation, x: FloatArray) -> list[float]:
    """Return the instants inside steps where a solution asks too much of the converter."""
    granted = np.zeros(problem.grid.n_steps)
    granted[problem.in_event] = x[formulation.connection.shortfall]
    granted -= planned_margin_kw(problem, formulation, x)
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
