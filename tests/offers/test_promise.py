"""The largest promise: by hand, against the planner, and as laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan.case import load_case
from ebplan.offers.firm import Firm, Kept
from ebplan.offers.request import Calls
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers.formulation import formulate
from ebplan.solvers.promise import promise, with_target
from tests.offers.asked_offers import (
    EXAMPLES,
    NO_ERRORS,
    STATE,
    asked,
    battery_alone,
    event_problem,
    lossless,
    with_battery,
)

pytestmark = pytest.mark.slow

ONE_WAY = ("under_frequency", "curtailment_3h", "demand_response", "mixed_pools", "surplus_absorb")


def most(problem: Problem, calls: int = 1) -> tuple[Kept, float]:
    kept, bound_kw = Firm(problem, calls).most()
    assert kept is not None
    return kept, bound_kw


@pytest.mark.parametrize("name", ONE_WAY)
@pytest.mark.parametrize("kw", [0.7, 5.0])
def test_the_column_says_what_the_target_says(name: str, kw: float) -> None:
    """A point of the event's own program is one of the promise's, and the other way round."""
    case = load_case(EXAMPLES / f"{name}.json")
    problem = pose(case.event, case.site, case.state)
    own, stated = formulate(with_target(problem, kw)).program, promise(problem).program
    n, m = own.n_columns, own.n_rows
    assert [group.name for group in stated.columns[-2:]] == ["promised", "deficit"]
    x = np.random.default_rng(7).uniform(0.0, 3.0, n)
    activity = stated.activity(np.r_[x, kw, 0.0])[:m]
    own_activity = own.activity(x)
    same = np.ones(m, dtype=bool)
    if "margin_carried" in own.ranges:
        same[own.row_range("margin_carried")] = False
    for side in ("row_lower", "row_upper"):
        left = getattr(stated, side)[:m] - activity
        right = getattr(own, side) - own_activity
        assert np.allclose(left[same], right[same], atol=1e-6)


def test_a_battery_alone_promises_what_its_energy_lasts_for() -> None:
    """By hand: 1 kWh above the reserve, no loss in the converter, cells of 97.5 %."""
    question = asked(3600.0, site=lossless(), errors=NO_ERRORS)
    kept, bound_kw = most(battery_alone(question))
    # linear from 1 s to 5 s, the target of a step being the deepest within it
    steps = [s for s in kept.plan.steps if s.target_kw < 0.0]
    hours = sum(s.target_kw / steps[-1].target_kw * s.duration_s for s in steps) / 3600.0
    assert kept.kw == pytest.approx(0.975 * 1.0 / hours, rel=1e-4)
    assert bound_kw == pytest.approx(kept.kw, rel=1e-3)
    assert 3596.0 / 3600.0 < hours < 3598.0 / 3600.0


def test_a_battery_alone_promises_no_more_than_its_converter() -> None:
    site = with_battery(discharge_limit_kw=3.0)
    kept, _ = most(battery_alone(asked(60.0, site=site, errors=NO_ERRORS)))
    assert kept.kw == pytest.approx(3.0 - 1.0, abs=1e-4)  # the droop reserve stays free


def test_load_errors_take_their_quantile_off_the_converter() -> None:
    site = with_battery(discharge_limit_kw=3.0)
    problem = battery_alone(asked(60.0, site=site))
    assert problem.margins is not None
    kept, _ = most(problem)
    held_kw = problem.margins.z * problem.margins.load_kw
    assert kept.kw == pytest.approx(2.0 - held_kw, abs=1e-3)


@pytest.mark.parametrize(
    ("direction", "duration_s"), [("release", 900.0), ("release", 7200.0), ("absorb", 7200.0)]
)
def test_the_planner_keeps_as_much_and_no_more(direction: str, duration_s: float) -> None:
    """Bisected with whole plans, which know nothing of a promise's column."""
    question = asked(duration_s, direction, errors=NO_ERRORS)
    kept, bound_kw = most(question.problem(0.9))

    def whole(kw: float) -> bool:
        plan = solve_problem(event_problem(question, kw))
        return plan.shortfall_kwh < 1e-5 and plan.cost.get("reserve", 0.0) < 1e-3

    assert whole(kept.kw * 0.999)
    assert not whole(bound_kw * 1.01)


@pytest.mark.parametrize("direction", ["release", "absorb"])
@pytest.mark.parametrize("duration_s", [10.0, 1800.0, 10_800.0])
def test_the_plan_behind_a_promise_is_checked_and_misses_nothing(
    direction: str, duration_s: float
) -> None:
    kept, bound_kw = most(asked(duration_s, direction).problem(0.95))
    plan = kept.plan
    assert plan.check.ok
    assert max(abs(step.target_kw) for step in plan.steps) == pytest.approx(kept.kw)
    assert plan.shortfall_kwh < 1e-5
    assert plan.cost.get("reserve", 0.0) < 1e-3
    # the energy of the margin is not asked for: how surely it is kept is worked out from the plan
    assert plan.margin is not None
    assert plan.margin.missing_kw < 1e-3
    assert kept.kw <= bound_kw + 1e-6


def test_the_battery_answers_no_more_than_is_promised() -> None:
    kept, _ = most(asked(1800.0).problem(0.9))
    for step in kept.plan.steps:
        if step.battery_kw > 1e-6:
            assert step.grid_kw >= step.baseline_kw + step.target_kw - 1e-6


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    duration_s=st.sampled_from([30.0, 600.0, 3600.0]),
    energy=st.floats(0.5, 2.0),
    power=st.floats(0.5, 1.5),
)
def test_more_battery_promises_no_less(duration_s: float, energy: float, power: float) -> None:
    small, _ = most(asked(duration_s).problem(0.9))
    site = with_battery(
        energy_kwh=10.0 * max(energy, 1.0),
        discharge_limit_kw=8.0 * max(power, 1.0),
        converter_rated_kw=8.0 * max(power, 1.0),
        droop_reserve_kw=1.0,
    )
    large, _ = most(asked(duration_s, site=site).problem(0.9))
    # a larger rating loses less at the same power, and no step of the search is finer than this
    assert large.kw >= small.kw * (1.0 - 2e-3)


@pytest.mark.parametrize("direction", ["release", "absorb"])
def test_longer_and_surer_promises_are_no_larger(direction: str) -> None:
    found = {
        (duration_s, confidence): most(asked(duration_s, direction).problem(confidence))[0].kw
        for duration_s in (60.0, 1800.0, 7200.0)
        for confidence in (0.5, 0.9, 0.99)
    }
    for (duration_s, confidence), kw in found.items():
        for (longer_s, surer), less_kw in found.items():
            if longer_s >= duration_s and surer >= confidence:
                assert less_kw <= kw * (1.0 + 2e-3)


def test_more_calls_than_the_rests_restore_are_paid_from_the_energy() -> None:
    """A battery alone that may take back a little between calls: by hand, and no more than that."""
    site = lossless()
    once, _ = most(battery_alone(asked(1800.0, site=site, errors=NO_ERRORS)))
    calls = Calls(per_day=4, rest_s=600.0)
    question = asked(1800.0, site=site, errors=NO_ERRORS, calls=calls)
    four, _ = most(battery_alone(question), calls=4)
    # the rebound limit lets 0.5 kW be taken back for 600 s at 97.5 %
    back_kwh = 0.5 * 600.0 / 3600.0 * 0.975
    hours = 0.975 * 1.0 / once.kw
    by_hand_kw = 0.975 * (1.0 + 3.0 * back_kwh) / 4.0 / hours
    assert four.kw == pytest.approx(by_hand_kw, rel=5e-3)
    assert four.kw < once.kw


def test_calls_far_apart_promise_as_much_as_one() -> None:
    once, _ = most(asked(300.0).problem(0.9))
    calls = Calls(per_day=3, rest_s=4.0 * 3600.0)
    apart, _ = most(asked(300.0, calls=calls).problem(0.9), calls=3)
    assert apart.kw == pytest.approx(once.kw, rel=2e-3)


def test_nothing_is_promised_from_an_empty_battery_at_once() -> None:
    state = STATE.model_copy(update={"soc": 0.5})
    kept, bound_kw = Firm(battery_alone(asked(600.0, state=state))).most()
    assert kept is None
    assert bound_kw < 1e-3
