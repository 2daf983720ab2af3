"""The planner: one event in, one checked plan out."""

from __future__ import annotations

from time import monotonic
from typing import Literal

import numpy as np

from ebplan.checker import check_plan
from ebplan.errors import NoPlanError
from ebplan.event import Event
from ebplan.plan import OPTIMAL_GAP, Plan
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.site import Site
from ebplan.solvers import highs
from ebplan.solvers.decision import decide
from ebplan.solvers.explain import explain
from ebplan.solvers.extract import extract_plan
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.highs import Solution
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.transients import overshoots
from ebplan.state import State

Method = Literal["highs", "cvxpy", "merit_order"]


MOST_ROUNDS = 10
"""Rounds of watching further instants; each closes in on a peak, two or three are usual."""


class Planner:
    """Plans events for one site.

    Args:
        site: the site to plan for.

    Example:
        >>> from ebplan import Planner, load_case
        >>> case = load_case("examples/under_frequency.json")
        >>> plan = Planner(case.site).plan(case.event, case.state)
        >>> plan.status
        'optimal'
    """

    def __init__(self, site: Site) -> None:
        self.site = site

    def plan(self, event: Event, state: State, *, time_limit_s: float | None = None) -> Plan:
        """Return a checked plan for an event.

        Args:
            event: what the grid asks.
            state: the state of the site when the plan starts.
            time_limit_s: stop improving after this; the plan then tells its gap.

        Raises:
            InputError: event, site and state contradict each other.
            NoPlanError: no plan passed the check.
        """
        return solve_problem(pose(event, self.site, state), time_limit_s=time_limit_s)


def solve_problem(
    problem: Problem,
    *,
    method: Method = "highs",
    solver: str | None = None,
    time_limit_s: float | None = None,
) -> Plan:
    """Return a checked plan for a posed problem.

    Args:
        problem: the frozen problem.
        method: ``highs`` directly, the same arrays through ``cvxpy``, or ``merit_order``.
        solver: name of the solver behind cvxpy; its default if absent.
        time_limit_s: stop improving after this.

    Raises:
        NoPlanError: no plan was found, or the one found failed the check.
    """
    formulation = formulate(problem)
    if method == "merit_order":
        plan = _merit_order_plan(problem, formulation)
    else:
        formulation, solution = _solve(problem, formulation, method, solver, time_limit_s)
        if solution.bound is None:  # the search never got beyond the point it began with
            plan = _merit_order_plan(problem, formulation)
        else:
            plan = _solved_plan(problem, formulation, solution)
    checked = plan.model_copy(update={"check": check_plan(problem, plan)})
    if not checked.check.ok:
        raise NoPlanError(
            "the plan failed the check: "
            + "; ".join(violation.message for violation in checked.check.violations),
            plan=checked,
        )
    return checked


def _solve(
    problem: Problem,
    formulation: Formulation,
    method: Method,
    solver: str | None,
    time_limit_s: float | None,
) -> tuple[Formulation, Solution]:
    """Solve, and again with further instants watched while the draw peaks between the edges."""
    until = None if time_limit_s is None else monotonic() + time_limit_s
    watched: list[float] = []
    for _ in range(MOST_ROUNDS):
        left = None if until is None else max(until - monotonic(), 0.001)
        solution = _solve_once(problem, formulation, method, solver, left)
        granted = np.zeros(problem.grid.n_steps)
        granted[problem.in_event] = solution.x[formulation.connection.shortfall]
        more = overshoots(problem, decide(problem, formulation, solution.x), granted)
        if not more:
            break
        watched += more
        formulation = formulate(problem, instants_s=watched)
    return formulation, solution


def _solve_once(
    problem: Problem,
    formulation: Formulation,
    method: Method,
    solver: str | None,
    time_limit_s: float | None,
) -> Solution:
    if method == "highs":
        # Under a limit the merit order is in hand before the solver is asked.
        start = None if time_limit_s is None else merit_order(problem, formulation)
        return highs.solve(formulation.program, time_limit_s=time_limit_s, start=start)
    from ebplan.solvers import cvxpy_door  # a second to import; only where it is asked for

    return cvxpy_door.solve(formulation.program, solver=solver, time_limit_s=time_limit_s)


def _solved_plan(problem: Problem, formulation: Formulation, solution: Solution) -> Plan:
    proven = solution.gap is not None and solution.gap <= OPTIMAL_GAP
    plan = extract_plan(
        problem,
        formulation,
        solution.x,
        status="optimal" if proven else "gap",
        bound=solution.bound,
        gap=solution.gap,
    )
    sentences = explain(problem, plan, formulation, solution.x)
    return plan.model_copy(update={"explanation": sentences})


def _merit_order_plan(problem: Problem, formulation: Formulation) -> Plan:
    plan = extract_plan(
        problem,
        formulation,
        merit_order(problem, formulation),
        status="merit_order",
        bound=None,
        gap=None,
    )
    sentence = "Least impact first: consolidate, then cap, then turn requests away; not optimised."
    return plan.model_copy(update={"explanation": (sentence,)})
