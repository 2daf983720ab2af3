"""Readings that cannot be are named and left out; the plan goes on."""

from __future__ import annotations

from datetime import timedelta
from math import inf, nan

import pytest

from ebplan.case import Case
from ebplan.errors import InputError
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.planner.readings import believed
from ebplan.state import InTransit, MeteredPower, Settling, State

POOL = "llama70b"


def pool(state: State, **changes: object) -> State:
    pools = {POOL: state.pools[POOL].model_copy(update=changes)}
    return state.model_copy(update={"pools": pools})


def metered(state: State, kw: float) -> State:
    grid = MeteredPower.model_construct(kw=kw, measurement_point="connection_point")
    return state.model_copy(update={"grid": grid})


def loaded(state: State, load: float) -> State:
    loads = {**state.pools[POOL].load_req_per_s, "interactive": load}
    return pool(state, load_req_per_s=loads)


NO_PART = Settling.model_construct(kw=nan, time_constant_s=1.0, delay_s=0.0)
OVERDUE = InTransit.model_construct(to="awake", count=1, remaining_s=-4.0)

READINGS = {
    "state of charge of nan": lambda s: s.model_copy(update={"soc": nan}),
    "state of charge of 1.7": lambda s: s.model_copy(update={"soc": 1.7}),
    "no state of charge was read": lambda s: s.model_copy(update={"soc": None}),
    "battery power of inf": lambda s: s.model_copy(update={"battery_kw": inf}),
    "meter reading of nan": lambda s: metered(s, nan),
    "meter reading of 1000": lambda s: metered(s, 1000.0),
    "a load of -3 req/s of interactive": lambda s: loaded(s, -3.0),
    "a load of inf req/s of interactive": lambda s: loaded(s, inf),
    "power on its way that is no number": lambda s: pool(s, settling=(NO_PART,)),
    "who should have arrived": lambda s: pool(s, active=3, in_transit=(OVERDUE,)),
    "7 instances were counted of 4": lambda s: pool(s, active=7),
    f"nothing was read of pool {POOL}": lambda s: s.model_copy(update={"pools": {}}),
}


@pytest.fixture
def plan(planner: Planner, case: Case) -> Plan:
    return planner.plan(case.event, case.state, deadline_s=5.0)


@pytest.mark.parametrize("doubt", READINGS)
def test_what_cannot_be_is_named_and_a_checked_plan_comes_back(
    planner: Planner, case: Case, plan: Plan, doubt: str
) -> None:
    later = case.state.model_copy(update={"at": case.state.at + timedelta(seconds=10)})
    followed = planner.replan(READINGS[doubt](later), deadline_s=0.2)
    assert followed.check.ok
    assert [d for d in planner.doubts if doubt in d], planner.doubts
    assert planner.replan(later, deadline_s=0.2).check.ok
    assert planner.doubts == ()


def test_a_sound_state_is_left_as_it_is(case: Case) -> None:
    state, changed, odd = believed(case.site, case.state, {})
    assert state is case.state
    assert changed == odd == ()


def test_a_load_that_cannot_be_and_that_nobody_planned_is_refused_in_one_line(case: Case) -> None:
    with pytest.raises(InputError, match=r"load_req_per_s\.interactive: got nan") as caught:
        believed(case.site, loaded(case.state, nan), {})
    assert "\n" not in str(caught.value)


def test_a_time_without_a_zone_is_refused(planner: Planner, case: Case) -> None:
    naive = case.state.model_copy(update={"at": case.state.at.replace(tzinfo=None)})
    with pytest.raises(InputError, match=r"state\.at"):
        planner.replan(naive)


def test_a_plan_in_hand_is_kept_where_no_other_can_be_made(
    planner: Planner, case: Case, plan: Plan
) -> None:
    later = case.state.model_copy(update={"at": case.state.at + timedelta(seconds=10)})
    assert planner.replan(pool(later, active=0, lost=4), deadline_s=0.2) is plan
    assert any("no other plan could be made" in why for why in planner.why)
    yesterday = case.state.model_copy(update={"at": case.state.at - timedelta(days=1)})
    assert planner.replan(yesterday, deadline_s=0.2) is plan
    assert "the clock went back" in planner.why[0]


def test_what_was_left_out_is_said_with_the_plan(planner: Planner, case: Case) -> None:
    told = planner.plan(case.event, metered(case.state, 1000.0), deadline_s=1.0)
    assert told.answer is not None
    messages = [w.message for w in told.answer.warnings if w.kind == "repaired"]
    assert messages == ["a meter reading of 1000 kW is not believed"]
