"""A request far beyond a site: what answers is told by what is met, not by what is asked."""

from __future__ import annotations

from ebplan import load_case
from ebplan.planner.one_shot import solve_problem
from ebplan.pose import pose
from ebplan.report.phases import mechanism_names
from ebplan.solvers.merit_view import merit_view


def test_what_carries_all_that_is_met_is_used() -> None:
    case = load_case("examples/under_frequency.json")
    target = case.event.target.model_copy(update={"delta_kw": -1000.0})  # watts, written as kW
    event = case.event.model_copy(update={"target": target})
    problem = pose(event, case.site, case.state)
    plan = solve_problem(problem)
    assert min(step.shortfall_kw for step in plan.steps if step.target_kw < -999.0) > 990.0
    assert mechanism_names(plan) == ["battery"]
    assert [rung.mechanism for rung in merit_view(problem, plan) if rung.used] == ["battery"]
    assert not any("Not used: battery" in sentence for sentence in plan.explanation)
