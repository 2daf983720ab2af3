"""Between events the battery gets its charge back below a limit, and says when it has it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan import Case, InputError, Planner, load_case
from ebplan.checker import check_plan
from ebplan.closed_loop import ClosedLoop
from ebplan.planner import Restoration
from ebplan.planner.one_shot import solve_problem
from ebplan.planner.restoration import Restoring, restoring
from ebplan.planner.standing import standing_event
from ebplan.pose import pose
from ebplan.site import Battery
from ebplan.twin import FluidPlant

CASE = load_case("examples/under_frequency.json")
DRAW_KW = 5.0


def test_the_power_is_what_the_last_event_allowed_and_a_tenth_of_the_draw_at_least() -> None:
    asked = Restoration()
    assert asked.limit_kw(DRAW_KW, 0.0) == pytest.approx(0.5)
    assert asked.limit_kw(DRAW_KW, 0.8) == pytest.approx(0.8)
    assert Restoration(power_kw=0.2).limit_kw(DRAW_KW, 0.8) == 0.2
    with pytest.raises(InputError, match="power_kw"):
        Restoration.parse({"power_kw": 0.0})


def test_when_it_is_done_by_hand() -> None:
    """1 kWh is missing; 0.5 kW fill 0.475 kW, of which 0.972 x 0.975 are kept: 2 h 13 min."""
    state = CASE.state.model_copy(update={"soc": 0.5})
    told = restoring(
        CASE.site, state, ready_soc=0.6, power_kw=0.5, draw_kw=DRAW_KW, due_at=state.at
    )
    assert told is not None
    assert told.done_at is not None
    hours = 10.0 * 0.1 / (0.475 * 0.972 * 0.975)
    assert (told.done_at - state.at) / timedelta(hours=1) == pytest.approx(hours, rel=1e-6)
    assert told.is_late
    assert str(told) == "restoring 50 % -> 60 % with 0.5 kW at most, done 14:13, late: due 12:00"
    none = restoring(CASE.site, state, ready_soc=0.6, power_kw=0.5, draw_kw=8.0, due_at=None)
    assert none is not None
    assert "no room for it now" in str(none)
    assert not none.is_late
    for soc in (0.596, 0.61):  # near enough
        state = CASE.state.model_copy(update={"soc": soc})
        assert not restoring(
            CASE.site, state, ready_soc=0.6, power_kw=0.5, draw_kw=DRAW_KW, due_at=None
        )


def test_what_is_told_is_the_pace_of_the_plan() -> None:
    """Plans that last an hour are asked for no more and no less than what is told of that hour."""
    site = CASE.site
    battery = site.battery
    assert battery is not None
    for soc, ready, draw_kw, power_kw, limit_kw in (
        (0.3, 0.9, 5.0, 1.0, None),
        (0.3, 0.9, 5.0, 1.0, 5.4),  # a recovery leaves 0.4 kW
        (0.9, 0.2, 0.6, 1.0, None),  # nothing is fed in: 0.54 kW
        (0.9, 0.2, 5.0, 0.3, None),
    ):
        state = CASE.state.model_copy(update={"soc": soc})
        told = restoring(
            site,
            state,
            ready_soc=ready,
            power_kw=power_kw,
            draw_kw=draw_kw,
            due_at=None,
            limit_kw=limit_kw,
        )
        assert told is not None
        assert told.done_at is not None
        hours = (told.done_at - state.at) / timedelta(hours=1)
        event = standing_event(
            site,
            state,
            draw_kw=draw_kw,
            ready_soc=ready,
            power_kw=power_kw,
            lasts_s=3600.0,
            limit_kw=limit_kw,
        )
        drawn_kw, asked = event.target.import_limit_kw, event.response.restore_soc
        assert drawn_kw is not None
        assert asked is not None
        if soc < ready:
            assert asked - soc == pytest.approx((ready - soc) / hours, rel=1e-6)
        else:
            less_kwh = (soc - ready) * battery.energy_kwh * battery.cell_efficiency
            assert draw_kw - drawn_kw == pytest.approx(less_kwh / hours, rel=1e-6)
            assert draw_kw - drawn_kw == pytest.approx(min(power_kw, 0.9 * draw_kw))


@pytest.mark.parametrize(
    ("kw", "says"),
    [(0.25, "0.25"), (12.5, "12.5"), (999.4, "999"), (999.6, "1,000"), (1250.0, "1,250")],
)
def test_a_power_is_told_with_the_digits_that_count(kw: float, says: str) -> None:
    told = Restoring(0.5, 0.6, power_kw=kw, done_at=None, due_at=None)
    assert f"with {says} kW at most" in str(told)


@settings(deadline=None)
@given(
    soc=st.floats(0.1, 0.95),
    ready=st.floats(0.1, 0.95),
    draw_kw=st.floats(0.5, 7.9),
    power_kw=st.floats(0.01, 9.0),
    lasts_s=st.floats(1.0, 3600.0),
)
def test_no_more_is_drawn_than_the_power_above_the_draw(
    soc: float, ready: float, draw_kw: float, power_kw: float, lasts_s: float
) -> None:
    state = CASE.state.model_copy(update={"soc": soc})
    event = standing_event(
        CASE.site, state, draw_kw=draw_kw, ready_soc=ready, power_kw=power_kw, lasts_s=lasts_s
    )
    battery = CASE.site.battery
    assert battery is not None
    limit_kw, asked = event.target.import_limit_kw, event.response.restore_soc
    assert limit_kw is not None
    assert asked is not None
    assert limit_kw <= CASE.site.connection_point.import_limit_kw + 1e-9
    if soc < ready:
        assert limit_kw <= draw_kw + power_kw + 1e-9
        # never more than is missing, nor than the power fills in time
        assert soc - 1e-9 <= asked <= ready + 1e-9
        assert asked <= soc + power_kw * lasts_s / 3600.0 / battery.energy_kwh + 1e-9
    else:
        assert limit_kw >= draw_kw - power_kw - 1e-9


@settings(max_examples=8, deadline=None)
@given(
    soc=st.floats(0.12, 0.9),
    lacks=st.floats(0.0, 0.5),
    power_kw=st.floats(0.05, 2.5),
)
def test_every_step_of_a_plan_keeps_to_the_power_and_brings_the_charge(
    soc: float, lacks: float, power_kw: float
) -> None:
    """No step adds more to the draw than it may, and what one plan can restore is restored."""
    state, ready_soc = CASE.state.model_copy(update={"soc": soc}), min(soc + lacks, 0.94)
    probe = standing_event(
        CASE.site, state, draw_kw=0.0, ready_soc=soc, power_kw=power_kw, lasts_s=900.0
    )
    draw_kw = pose(probe, CASE.site, state).baseline_kw[0]
    event = standing_event(
        CASE.site, state, draw_kw=draw_kw, ready_soc=ready_soc, power_kw=power_kw, lasts_s=900.0
    )
    asked = event.response.restore_soc
    assert asked is not None
    problem = pose(event, CASE.site, state)
    plan = solve_problem(problem, method="merit_order")
    assert plan.check.ok
    assert max(-step.battery_kw for step in plan.steps) <= power_kw + 1e-6
    assert max(step.grid_kw for step in plan.steps) <= draw_kw + power_kw + 1e-6
    assert plan.steps[-1].soc == pytest.approx(asked, abs=2e-3)


def test_the_checker_holds_plans_between_calls_and_a_call_finds_the_charge_there_is() -> None:
    with Planner(
        CASE.site, restoration=Restoration(soc=0.8, power_kw=0.5), clock="work"
    ) as planner:
        low = CASE.state.model_copy(update={"soc": 0.62})
        plan = planner.replan(low, deadline_s=1.0)
        followed = planner._followed
        assert followed is not None
        assert followed.problem.restore_limit_kw == 0.5
        assert max(-step.battery_kw for step in plan.steps) > 0.4
        tighter = followed.problem.model_copy(update={"restore_limit_kw": 0.3})
        claimed = plan.model_copy(update={"problem_hash": tighter.digest()})
        assert {v.law for v in check_plan(tighter, claimed).violations} == {"restoring"}
        # while it charges a call comes
        at = low.at + timedelta(seconds=300)
        called = CASE.event.model_copy(update={"start": at})
        answer = planner.plan(called, low.model_copy(update={"at": at, "soc": 0.624}))
        assert answer.check.ok
        assert answer.steps[0].soc == pytest.approx(0.624, abs=1e-3)
        assert answer.steps[0].baseline_kw == pytest.approx(plan.steps[0].baseline_kw, rel=1e-3)


def small(case: Case, energy_kwh: float) -> Case:
    """Return the case with a battery that a short call empties by much."""
    battery: Battery = case.site.battery.model_copy(update={"energy_kwh": energy_kwh})  # type: ignore[union-attr]
    return case.model_copy(update={"site": case.site.model_copy(update={"battery": battery})})


def test_after_a_call_the_draw_stays_below_its_limit_until_the_battery_is_ready() -> None:
    case = small(CASE, 2.0)
    start = case.state.at + timedelta(seconds=10)
    event = case.event.model_copy(update={"start": start, "duration_s": 60.0, "handoff": None})
    with Planner(case.site, clock="work") as planner:
        plant = FluidPlant(case.site, case.state)
        cycles = list(ClosedLoop(planner, plant, [event], cycle_s=2.0).run(1800.0))
        assert planner.restoring is None
    drawn = [(c.at_s, c.measured[-1].grid_kw, c.measured[-1].soc) for c in cycles]
    before_kw = drawn[2][1]
    after = [(kw, soc) for at_s, kw, soc in drawn if at_s >= 72.0]
    assert before_kw is not None
    assert after[0][1] < 0.5992
    assert max(kw for kw, _ in after if kw is not None) <= before_kw + 0.5 + 0.01
    assert after[-1][1] == pytest.approx(0.6, abs=0.002)
    assert after[-1][0] == pytest.approx(before_kw, abs=0.02)


def test_what_is_left_is_told_between_events_only() -> None:
    with Planner(CASE.site, restoration=Restoration(soc=0.6, within_s=60.0)) as planner:
        low = CASE.state.model_copy(update={"soc": 0.5})
        planner.replan(low, deadline_s=1.0)
        told = planner.restoring
        assert told is not None
        assert told.ready_soc == 0.6
        assert told.due_at is None  # no call came before
        called = CASE.event.model_copy(update={"start": low.at + timedelta(seconds=1)})
        planner.plan(called, low.model_copy(update={"at": called.start}), deadline_s=1.0)
        assert planner.restoring is None
