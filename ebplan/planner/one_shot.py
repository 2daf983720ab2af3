"""One problem in, one checked and explained plan out, without a deadline."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from ebplan.checker import check_plan
from ebplan.errors import NoPlanError
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import Plan, PlanStatus
from ebplan.problem import Problem
from ebplan.solvers.carried import CannotCarryOn, carried_battery_kw, carried_decisions
from ebplan.solvers.complete import complete
from ebplan.solvers.explain import explain, worth_sentence
from ebplan.solvers.extract import extract_plan
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.leave_out import leave_out
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.program import FloatArray
from ebplan.solvers.search import (
    Method,
    carried_over,
    finer_gap,
    fixed_ways,
    gap_of,
    losses_to_hold,
    objective,
    peaks_to_watch,
    settle,
    solve_once,
)

__all__ = ["Method", "solve_problem"]

MOST_ROUNDS = 10
"""Rounds of watching further instants; each closes in on a peak, two or three are usual."""


def solve_problem(
    problem: Problem,
    *,
    method: Method = "highs",
    solver: str | None = None,
    time_limit_s: float | None = None,
    without: Sequence[str] = (),
    with_all: Plan | None = None,
) -> Plan:
    """Return a checked plan for a posed problem.

    Args:
        problem: the frozen problem.
        method: ``highs`` directly, the same arrays through ``cvxpy``, or ``merit_order``.
        solver: name of the solver behind cvxpy; its default if absent.
        time_limit_s: stop improving after this.
        without: mechanisms to leave out. The plan answers ``leave_out(problem, without)``, and its
            explanation says what they are worth.
        with_all: the plan that leaves nothing out, to compare with; it is solved for if absent.

    Raises:
        InputError: there is no such mechanism to leave out.
        NoPlanError: neither the optimised plan nor the merit order's passed the check.
    """
    if without:
        left = leave_out(problem, without)
        options: dict[str, Any] = {"method": method, "solver": solver, "time_limit_s": time_limit_s}
        plan = solve_problem(left, **options)
        whole = solve_problem(problem, **options) if with_all is None else with_all
        sentence = worth_sentence(whole, plan, without)
        return plan.model_copy(update={"explanation": (sentence, *plan.explanation)})
    if method == "merit_order":
        return checked(problem, merit_order_plan(problem, formulate(problem)))
    try:
        return checked(problem, _optimised_plan(problem, method, solver, time_limit_s))
    except NoPlanError as error:
        plan = merit_order_plan(problem, formulate(problem))
        sentence = f"The optimised plan was not used: {error}."
        plan = plan.model_copy(update={"explanation": (*plan.explanation, sentence)})
        return checked(problem, plan)


def checked(problem: Problem, plan: Plan) -> Plan:
    """Return the plan with the checker's verdict.

    Raises:
        NoPlanError: the plan breaks a law.
    """
    checked = plan.model_copy(update={"check": check_plan(problem, plan)})
    if not checked.check.ok:
        broken = "; ".join(violation.message for violation in checked.check.violations)
        raise NoPlanError(f"the plan failed the check: {broken}", plan=checked)
    return checked


def _optimised_plan(
    problem: Problem, method: Method, solver: str | None, time_limit_s: float | None
) -> Plan:
    """Solve, and again where the draw peaks between the edges or surcharges hide the money.

    Raises:
        NoPlanError: the solver found no feasible point in time.
    """
    until = None if time_limit_s is None else monotonic() + time_limit_s
    watched: list[float] = []
    held: list[int] = []
    gap: float | None = None
    known: tuple[Formulation, FloatArray] | None = None
    for _ in range(MOST_ROUNDS):
        formulation = formulate(problem, instants_s=watched, exact_loss=held)
        start = None if known is None else carried_over(problem, *known, formulation)
        left_s = _left_s(until)
        solution = solve_once(problem, formulation, method, solver, left_s, gap, start)
        chosen = solution.x
        if (ways := fixed_ways(problem, formulation, chosen)) is not None:
            # The relaxation bounds the cost; the plan is made again with one direction a step.
            one_way = formulate(problem, instants_s=watched, ways=ways, exact_loss=held)
            chosen = solve_once(problem, one_way, method, solver, _left_s(until), gap).x
        x = settle(problem, formulation, chosen)
        watched += (more := peaks_to_watch(problem, formulation, chosen))
        apart = gap_of(formulation, x, solution.bound)
        asked, gap = gap, finer_gap(formulation, x, apart) if method == "highs" else None
        if gap is not None and not held:
            # Energy burnt in the loss is proven away exactly, where it keeps a plan from its proof.
            held, known = losses_to_hold(problem, formulation, chosen), (formulation, x)
        # A finer gap is asked for once: what it leaves open is not the search's to prove.
        done = not more and (gap is None or asked is not None)
        if done or (until is not None and monotonic() >= until):
            break
    if solution.bound is None:
        plan = merit_order_plan(problem, formulate(problem))
        sentence = "In the time given the solver never got beyond it: nothing is proven."
        return plan.model_copy(update={"explanation": (*plan.explanation, sentence)})
    bound = min(solution.bound, objective(formulation, x))
    proven = apart is not None and apart <= OPTIMAL_GAP
    status: PlanStatus = "optimal" if proven else "gap"
    plan = extract_plan(problem, formulation, x, status=status, bound=bound, gap=apart)
    return plan.model_copy(update={"explanation": explain(problem, plan, formulation, x)})


def _left_s(until: float | None) -> float | None:
    """Return the seconds left until a time, as good as none where it has passed."""
    return None if until is None else max(until - monotonic(), 0.001)


def carried_plan(
    problem: Problem, plan: Plan, elapsed_s: float, formulation: Formulation | None = None
) -> Plan | None:
    """Return a plan carried on under the state of a problem, not checked; None where it cannot be.

    Args:
        problem: the problem now.
        plan: the plan that is carried on.
        elapsed_s: how long ago it began.
        formulation: the problem's, where it is there already.
    """
    formulation = formulation or formulate(problem)
    try:
        decisions = carried_decisions(problem, plan, elapsed_s)
    except CannotCarryOn:
        return None
    x = complete(problem, formulation, decisions, carried_battery_kw(problem, plan, elapsed_s))
    carried = extract_plan(problem, formulation, x, status="carried", bound=None, gap=None)
    return carried.model_copy(update={"explanation": ("Carried on from the plan before.",)})


def merit_order_plan(problem: Problem, formulation: Formulation) -> Plan:
    """Return the plan of the escalation rule; nobody has checked it yet."""
    x = merit_order(problem, formulation)
    plan = extract_plan(problem, formulation, x, status="merit_order", bound=None, gap=None)
    sentence = "Least impact first, not optimised: the whitepaper's rule, without a solver."
    return plan.model_copy(update={"explanation": (sentence,)})
