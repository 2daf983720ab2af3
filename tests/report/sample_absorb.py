"""Absorb events and their plans, as the planner makes them for the built-in site."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ebplan.case import Case, load_case
from ebplan.event import Target
from ebplan.plan import Plan
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.state import State

EXAMPLE = Path(__file__).parents[2] / "examples" / "surplus_absorb.json"


@cache
def surplus() -> tuple[Problem, Plan]:
    """Return 1.5 kW for 30 min: an instance goes to work, the battery charges."""
    case = load_case(EXAMPLE)
    problem = pose(case.event, case.site, case.state)
    return problem, solve_problem(problem)


@cache
def too_much() -> tuple[Problem, Plan]:
    """Return 7 kW for an hour into a battery that is nearly full, by the merit order."""
    case = load_case(EXAMPLE)
    event = case.event.model_copy(
        update={"target": Target(delta_kw=7.0), "duration_s": 3600.0, "handoff": None}
    )
    state = case.state.model_copy(update={"soc": 0.85})
    problem = pose(event, case.site, state)
    return problem, solve_problem(problem, method="merit_order")


@cache
def battery_alone() -> tuple[Problem, Plan]:
    """Return 1.0 kW for 30 min at once, with the whole fleet at work already."""
    case = load_case(EXAMPLE)
    shape = case.event.response.model_copy(
        update={"initial_delay_s": 0.1, "full_activation_s": 0.1}
    )
    event = case.event.model_copy(
        update={"target": Target(delta_kw=1.0), "response": shape, "handoff": None}
    )
    problem = pose(event, case.site, _whole_fleet_at_work(case))
    return problem, solve_problem(problem)


def _whole_fleet_at_work(case: Case) -> State:
    pools = {
        name: pool.model_copy(update={"active": pool.active + pool.drained, "drained": 0})
        for name, pool in case.state.pools.items()
    }
    return case.state.model_copy(update={"pools": pools})
