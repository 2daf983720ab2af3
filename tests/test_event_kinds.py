"""Each kind of event has a way through: posed, solved and checked, also without a solver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebplan import Case, Plan, Problem, load_case, solve_problem
from ebplan.pose import pose

EXAMPLE = Path(__file__).parents[1] / "examples" / "under_frequency.json"
LATER = "2026-06-01T12:05:00+09:00"
"""Five minutes after the state was measured."""
CURVES = {
    "droop": {"shape": "droop", "dead_band_hz": 0.01, "full_hz": 0.2},
    "threshold": {"shape": "threshold", "full_hz": 0.3},
}
TRACE = [[0, 50.0], [30, 49.6], [90, 49.9], [150, 50.35], [240, 50.0], [400, 50.0]]
ONE_DRAINED = {"active": 3, "drained": 1}


def response_to(curve: str) -> dict[str, Any]:
    return {
        "type": "frequency_response",
        "duration_s": 300,
        "target": {
            "frequency": {
                "release_capacity_kw": 1.5,
                "absorb_capacity_kw": 1.0,
                "curve": CURVES[curve],
                "nominal_hz": 50,
                "trace": TRACE,
            }
        },
        "response": {"recovery_s": 300, "restore_soc": 0.6},
    }


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "over-frequency with a delay and a ramp": (
        {
            "type": "over_frequency",
            "target": {"delta_kw": 1.0},
            "response": {"initial_delay_s": 0.5, "full_activation_s": 5, "recovery_s": 120},
        },
        ONE_DRAINED,
    ),
    "over-frequency with notice and a sleeper": (
        {"type": "over_frequency", "start": LATER, "target": {"delta_kw": 1.0}},
        {"active": 3, "drained": 0, "asleep": 1},
    ),
    "surplus with a slow ramp": (
        {
            "type": "renewable_surplus",
            "start": LATER,
            "duration_s": 1800,
            "target": {"fraction_of_baseline": 0.2},
            "response": {"full_activation_s": 60, "recovery_s": 300},
        },
        ONE_DRAINED,
    ),
    "congestion with a two-minute ramp": (
        {
            "type": "congestion_curtailment",
            "duration_s": 1800,
            "target": {"fraction_of_baseline": -0.15},
            "response": {"full_activation_s": 120, "recovery_s": 300},
        },
        {},
    ),
    "demand response with notice": (
        {
            "type": "demand_response",
            "start": "2026-06-01T12:30:00+09:00",
            "duration_s": 3600,
            "target": {"delta_kw": -0.8},
            "response": {"full_activation_s": 60, "recovery_s": 1800, "restore_soc": 0.6},
        },
        {},
    ),
    "import limit below the draw": (
        {
            "type": "import_limit",
            "start": LATER,
            "target": {"import_limit_kw": 4.0},
            "response": {"recovery_s": 300, "restore_soc": 0.6},
        },
        {},
    ),
    "import limit above the draw": (
        {"type": "import_limit", "target": {"import_limit_kw": 6.0}},
        {},
    ),
    "a price below zero with notice": (
        {"type": "price_window", "start": LATER, "duration_s": 1800, "price_per_kwh": -30.0},
        ONE_DRAINED,
    ),
    "a price at which burning would pay": (
        {"type": "price_window", "duration_s": 3600, "price_per_kwh": -200.0},
        {},
    ),
    "a high price": ({"type": "price_window", "duration_s": 1800, "price_per_kwh": 80.0}, {}),
    "droop": ({**response_to("droop"), "start": LATER}, {}),
    "threshold": (response_to("threshold"), {}),
}


def problem_of(kind: str) -> Problem:
    event, pool = KINDS[kind]
    case = load_case(EXAMPLE).model_dump(mode="json")
    kept = {key: case["event"][key] for key in ("start", "duration_s")}
    case["event"] = {"id": "kind", **kept, **event}
    case["state"]["pools"]["llama70b"] |= pool
    new = Case.parse(case)
    return pose(new.event, new.site, new.state)


def ends_where_it_should(problem: Problem, plan: Plan) -> bool:
    """Return whether the battery has what it should have at the end."""
    battery, soc = problem.battery, plan.steps[-1].soc
    assert battery is not None
    assert soc is not None
    wanted = 0.0 if problem.restore_kwh is None else problem.restore_kwh
    return soc * battery.energy_kwh >= wanted - 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_solved_and_checked(kind: str) -> None:
    problem = problem_of(kind)
    plan = solve_problem(problem)
    assert plan.status == "optimal"
    assert plan.explanation
    assert ends_where_it_should(problem, plan)
    late = problem.event_start_s + 10.0
    assert all(step.shortfall_kw < 1e-6 for step in plan.steps if step.t_s > late)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_plan_without_a_solver_that_costs_no_less(kind: str) -> None:
    problem = problem_of(kind)
    plan = solve_problem(problem, method="merit_order")
    assert plan.status == "merit_order"
    assert plan.objective >= solve_problem(problem).objective - 0.05
    assert ends_where_it_should(problem, plan)


def test_no_draw_rebounds_above_its_limit() -> None:
    for kind in ("demand response with notice", "import limit below the draw", "droop"):
        problem = problem_of(kind)
        plan = solve_problem(problem)
        after = np.array([s.t_s >= problem.event_end_s - 1e-9 for s in plan.steps])
        limit = np.array(problem.import_limit_kw)
        assert limit[after] == pytest.approx(problem.baseline_kw[0] + 0.5)
        assert all(np.array([s.grid_kw for s in plan.steps]) <= limit + 1e-6)
        assert any(s.battery_kw < -1e-3 for s, late in zip(plan.steps, after, strict=True) if late)


def test_a_sleeper_is_woken_in_the_notice_of_an_absorb() -> None:
    problem = problem_of("over-frequency with notice and a sleeper")
    epochs = solve_problem(problem).pools["llama70b"]
    woken = [epoch.t_s for epoch in epochs if epoch.woken]
    assert woken
    assert max(woken) < problem.event_start_s
    assert max(epoch.active for epoch in epochs) == 4


def test_an_import_limit_keeps_the_battery_from_filling() -> None:
    # Drawing is paid: without the limit the battery takes what the contract allows.
    free = problem_of("a price below zero with notice")
    limit = tuple(min(kw, 6.0) for kw in free.import_limit_kw)
    held = free.model_copy(update={"import_limit_kw": limit})
    for problem, most_kw in ((free, 8.0), (held, 6.0)):
        plan = solve_problem(problem)
        assert max(step.grid_kw for step in plan.steps) == pytest.approx(most_kw, abs=1e-3)


def test_a_frequency_that_asks_too_much_is_missed_both_ways_for_a_reason() -> None:
    problem = problem_of("droop")
    target = tuple(6.0 * kw for kw in problem.target_kw)
    plan = solve_problem(problem.model_copy(update={"target_kw": target}))
    below, above = (one for one in plan.shortfall if one.energy_kwh > 1e-3)
    assert "feed in more than 0 kW" in below.reason
    assert "draw more than 8 kW" in above.reason
    told = " ".join(plan.explanation)
    assert "but for what is missing" in told
    assert told.count("are missing because") == len(plan.shortfall)
