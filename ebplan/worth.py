"""What mechanisms are worth: the same event planned with and without them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ebplan.mechanisms import least_impact_first
from ebplan.plan import Plan
from ebplan.planner import solve_problem
from ebplan.problem import Problem
from ebplan.solvers.leave_out import available


@dataclass(frozen=True)
class Worth:
    """A mechanism and the plan without it."""

    mechanism: str
    """Its name."""
    plan: Plan
    """The checked plan without it."""
    more_money: float
    """What it costs more, surcharges apart, in the plan's currency; < 0 where less is delivered."""
    more_shortfall_kwh: float
    """How much more of the target is missed."""


def worths(problem: Problem, plan: Plan, *, time_limit_s: float | None = None) -> Iterator[Worth]:
    """Yield what each mechanism of a problem is worth, least impact first; solves once for each.

    Args:
        problem: what ``plan`` answers.
        plan: the plan with all of them.
        time_limit_s: for each of the plans.

    Raises:
        NoPlanError: no plan without a mechanism passed the check.
    """
    for name in least_impact_first(available(problem)):
        without = solve_problem(problem, time_limit_s=time_limit_s, without=(name,), with_all=plan)
        yield Worth(
            mechanism=name,
            plan=without,
            more_money=without.money - plan.money,
            more_shortfall_kwh=without.shortfall_kwh - plan.shortfall_kwh,
        )
