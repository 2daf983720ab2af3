"""Following a plan: kept while nothing speaks against it, made anew with the reason named."""

from __future__ import annotations

import asyncio
import gc
import threading
from datetime import timedelta

import pytest

from ebplan.case import Case
from ebplan.errors import InputError
from ebplan.event import Baseline
from ebplan.following import state_at
from ebplan.plan import Plan
from ebplan.planner import Planner, Restoration
from ebplan.planner.contingencies import Contingency
from ebplan.planner.deadline import Deadline
from ebplan.planner.ladder import Ladder
from ebplan.problem import Problem
from ebplan.state import MeteredPower, State

POOL = "llama70b"


def measured(planner: Planner, plan: Plan, elapsed_s: float) -> State:
    """Return what is measured when the plan is carried out exactly."""
    followed = planner._followed
    assert followed is not None
    state = state_at(followed.problem, plan, elapsed_s)
    pools = {
        name: told.model_copy(update={"settling": (), "usually_active": None})
        for name, told in state.pools.items()
    }
    return state.model_copy(update={"pools": pools})


def with_pool(state: State, **changes: object) -> State:
    pools = {**state.pools, POOL: state.pools[POOL].model_copy(update=changes)}
    return state.model_copy(update={"pools": pools})


@pytest.fixture
def plan(planner: Planner, case: Case) -> Plan:
    return planner.plan(case.event, case.state, deadline_s=5.0)


@pytest.mark.parametrize("elapsed_s", [0.0, 1.0, 16.0, 120.0, 299.0, 320.0])
def test_a_plan_that_is_carried_out_is_kept(planner: Planner, plan: Plan, elapsed_s: float) -> None:
    assert planner.replan(measured(planner, plan, elapsed_s)) is plan
    assert planner.why == ()


DEVIATIONS = {
    "state of charge": lambda s: s.model_copy(update={"soc": s.soc - 0.1}),
    "interactive: 33.60 req/s": lambda s: with_pool(
        s, load_req_per_s={**s.pools[POOL].load_req_per_s, "interactive": 33.6}
    ),
    "1 lost, 0 when it was planned": lambda s: with_pool(
        s, active=s.pools[POOL].active - 1, lost=1
    ),
    "active, planned": lambda s: with_pool(
        s, active=s.pools[POOL].active + 1, drained=s.pools[POOL].drained - 1
    ),
    "the converter has tripped": lambda s: s.model_copy(update={"converter_available": False}),
    "the clock went back": lambda s: s.model_copy(update={"at": s.at - timedelta(seconds=500)}),
}


@pytest.mark.parametrize("what", DEVIATIONS)
def test_a_deviation_is_named_and_planned_for(planner: Planner, plan: Plan, what: str) -> None:
    state = DEVIATIONS[what](measured(planner, plan, 60.0))
    other = planner.replan(state, deadline_s=1.0)
    assert other is not plan
    assert other.check.ok
    assert any(what in reason for reason in planner.why), planner.why
    assert planner.current is other


def test_without_the_converter_compute_carries_what_it_can(planner: Planner, plan: Plan) -> None:
    state = measured(planner, plan, 60.0).model_copy(update={"converter_available": False})
    other = planner.replan(state, deadline_s=2.0)
    assert other.converter is None
    assert all(step.soc is None for step in other.steps)


def test_power_on_its_way_is_remembered(planner: Planner, plan: Plan) -> None:
    """Five seconds after a drain the next plan knows what is still falling."""
    drained_s = next(e.t_s for e in plan.pools[POOL] if e.drained)
    state = with_pool(
        measured(planner, plan, drained_s + 5.0),
        load_req_per_s={"interactive": 26.0, "batch": 7.0},
    )
    planner.replan(state, deadline_s=1.0)
    followed = planner._followed
    assert followed is not None
    assert followed.problem.pools[0].usual_active == 4
    assert {part.time_constant_s for part in followed.problem.pools[0].settling} == {0.4, 8.0}


def test_between_events_the_battery_is_made_ready(planner: Planner, case: Case) -> None:
    first = planner.replan(case.state)
    assert first.event_id == "standing"
    assert all(step.battery_kw == pytest.approx(0.0, abs=1e-6) for step in first.steps)
    low = case.state.model_copy(update={"soc": 0.5})
    other = planner.replan(low, deadline_s=1.0)
    assert "state of charge" in planner.why[0]
    assert other.steps[-1].soc is not None
    assert 0.5 < other.steps[-1].soc <= 0.6 + 1e-6
    later = low.model_copy(update={"at": case.state.at + timedelta(seconds=901)})
    planner.replan(later.model_copy(update={"soc": other.steps[-1].soc}), deadline_s=1.0)
    assert planner.why == ("the plan between events has expired",)


def test_an_armed_plan_is_looked_up_and_then_confirmed(by_work: Planner, case: Case) -> None:
    planner = by_work
    planner.replan(case.state)
    wanted = [Contingency(case.event), Contingency(case.event, battery=False)]
    assert planner.arm(wanted).result(60.0) == 2
    later = case.state.model_copy(update={"at": case.state.at + timedelta(seconds=60)})
    event = case.event.model_copy(update={"id": "now", "start": later.at})
    plan = planner.activate(event, later)
    assert plan.status == "armed"
    assert plan.event_id == "now"
    assert plan.start == later.at
    armed = next(a for a in planner.armed if a.contingency.battery)
    assert plan.steps == armed.plan.steps
    planner.finish()
    assert planner.current is not None
    assert planner.current.status == "optimal"
    tripped = later.model_copy(update={"converter_available": False})
    without = planner.activate(event, tripped)
    assert without.status == "armed"
    assert without.converter is None


ELSEWHERE = {
    "soc": lambda s: s.model_copy(update={"soc": 0.11}),
    "load": lambda s: with_pool(s, load_req_per_s={"interactive": 31.0, "batch": 7.0}),
    "instances": lambda s: with_pool(s, active=3, drained=1),
    "age": lambda s: s.model_copy(update={"at": s.at + timedelta(hours=2)}),
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_outside_its_envelope_an_armed_plan_is_not_used(
    planner: Planner, case: Case, what: str
) -> None:
    planner.arm([case.event], case.state).result(60.0)
    assert planner.armed_for(case.event, case.state) is not None
    there = ELSEWHERE[what](case.state)
    assert planner.armed_for(case.event, there) is None
    event = case.event.model_copy(update={"start": there.at})
    plan = planner.activate(event, there, deadline_s=0.5)
    assert plan.status != "armed"
    assert plan.check.ok


def test_what_is_likely_is_armed_for_any_site(planner: Planner, case: Case) -> None:
    assert planner.arm(state=case.state).result(120.0) >= 10
    assert {a.contingency.event.type for a in planner.armed} >= {
        "under_frequency",
        "over_frequency",
        "congestion_curtailment",
    }
    assert any(a.contingency.lost for a in planner.armed)
    assert any(not a.contingency.battery for a in planner.armed)


def test_many_threads_may_ask_one_planner(planner: Planner, case: Case) -> None:
    plans: list[Plan] = []

    def ask() -> None:
        plans.extend(planner.plan(case.event, case.state, deadline_s=0.1) for _ in range(3))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(plans) == 24
    assert all(plan.check.ok for plan in plans)


def test_a_cancelled_call_returns_what_is_in_hand(planner: Planner, case: Case) -> None:
    cancel = threading.Event()
    cancel.set()
    plan = planner.plan(case.event, case.state, deadline_s=60.0, cancel=cancel)
    assert plan.check.ok
    assert plan.answer is not None
    assert plan.answer.rung == "merit_order"


def test_an_event_loop_is_not_blocked(planner: Planner, case: Case) -> None:
    async def ask() -> tuple[Plan, int]:
        ticks = 0
        task = asyncio.create_task(planner.aplan(case.event, case.state, deadline_s=0.3))
        while not task.done():
            await asyncio.sleep(0.005)
            ticks += 1
        return task.result(), ticks

    plan, ticks = asyncio.run(ask())
    assert plan.check.ok
    assert ticks > 1


ASKED = {
    "aplan": lambda p, case: p.aplan(case.event, case.state, deadline_s=60.0),
    "areplan": lambda p, case: p.areplan(case.state, deadline_s=60.0),
    "aactivate": lambda p, case: p.aactivate(case.event, case.state, deadline_s=60.0),
}


@pytest.mark.parametrize("call", ASKED)
def test_a_cancelled_task_ends_its_search(
    planner: Planner, case: Case, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    answer = Ladder.answer
    begun, ended_early = threading.Event(), threading.Event()

    def waits(self: Ladder, problem: Problem, deadline: Deadline, *rest: object) -> Plan:
        begun.set()
        assert deadline.cancelled is not None
        if deadline.cancelled.wait(30.0):
            ended_early.set()
        return answer(self, problem, deadline)

    async def ask() -> None:
        task = asyncio.create_task(ASKED[call](planner, case))
        await asyncio.to_thread(begun.wait, 10.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended_early.wait, 10.0)

    monkeypatch.setattr(Ladder, "answer", waits)
    asyncio.run(ask())


def held_up(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Let the next answer wait until it is let go; return what tells that it waits, and lets go."""
    answer = Ladder.answer
    waits, go = threading.Event(), threading.Event()

    def slow(self: Ladder, problem: Problem, deadline: Deadline, *rest: object) -> Plan:
        if not waits.is_set():
            waits.set()
            assert go.wait(30.0)
        return answer(self, problem, deadline, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Ladder, "answer", slow)
    return waits, go


def test_an_event_is_not_lost_to_a_replan_that_began_before_it(
    planner: Planner, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, go = held_up(monkeypatch)
    told: list[Plan] = []
    thread = threading.Thread(target=lambda: told.append(planner.replan(case.state)))
    thread.start()
    assert waits.wait(10.0)
    plan = planner.activate(case.event, case.state, deadline_s=1.0)
    go.set()
    thread.join()
    assert planner.current is plan
    assert told == [plan]  # what is to be followed from now on
    assert planner.replan(case.state) is plan


def test_the_event_that_was_asked_for_last_is_followed(
    planner: Planner, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, go = held_up(monkeypatch)
    first = case.event.model_copy(update={"id": "first"})
    told: list[Plan] = []
    thread = threading.Thread(
        target=lambda: told.append(planner.plan(first, case.state, deadline_s=1.0))
    )
    thread.start()
    assert waits.wait(10.0)
    second = planner.plan(case.event, case.state, deadline_s=1.0)
    go.set()
    thread.join()
    assert [plan.event_id for plan in told] == ["first"]  # who asked gets what was asked for
    assert planner.current is second


@pytest.mark.parametrize("apart_s", [-200.0, 600.0])
def test_an_armed_plan_is_for_an_event_that_begins_now(
    planner: Planner, case: Case, apart_s: float
) -> None:
    planner.arm([case.event], case.state).result(60.0)
    fixed = Baseline(rule="fixed", kw=5.0)
    start = case.state.at + timedelta(seconds=apart_s)
    event = case.event.model_copy(update={"start": start, "baseline": fixed})
    planner.arm([event.model_copy(update={"start": case.state.at})], case.state).result(60.0)
    now = event.model_copy(update={"start": case.state.at + timedelta(seconds=0.5)})
    assert planner.armed_for(now, case.state) is not None
    assert planner.armed_for(event, case.state) is None
    plan = planner.activate(event, case.state, deadline_s=0.5)
    assert plan.status != "armed"
    assert plan.check.ok


def test_another_load_at_the_meter_is_outside_the_envelope(planner: Planner, case: Case) -> None:
    planner.arm([case.event], case.state).result(60.0)
    low, high = planner.armed[0].envelope.draw_kw

    def read(kw: float) -> State:
        grid = MeteredPower(kw=kw, measurement_point="connection_point")
        return case.state.model_copy(update={"grid": grid})

    assert planner.armed_for(case.event, read(0.5 * (low + high))) is not None
    assert planner.armed_for(case.event, read(high + 0.1)) is None
    assert planner.armed_for(case.event, read(low - 0.1)) is None


def test_what_is_armed_stays_while_it_is_armed_anew(
    planner: Planner, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planner.arm([case.event], case.state).result(60.0) == 1
    waits, go = held_up(monkeypatch)
    again = planner.arm([case.event], case.state)
    assert waits.wait(10.0)
    assert planner.armed_for(case.event, case.state) is not None
    go.set()
    assert again.result(60.0) == 1
    other = case.event.model_copy(update={"duration_s": 200.0})
    assert planner.arm([other], case.state).result(60.0) == 1
    assert planner.armed_for(case.event, case.state) is None


def test_the_limit_of_a_recovery_holds_as_long_as_it_lasts(planner: Planner, case: Case) -> None:
    shape = case.event.response.model_copy(update={"recovery_s": 3600.0, "rebound_limit_kw": 0.0})
    event = case.event.model_copy(update={"response": shape})
    plan = planner.plan(event, case.state, deadline_s=3.0)
    limits_kw = []
    for at_s, less_soc in ((400.0, 0.1), (1320.0, 0.0), (2300.0, 0.1), (4200.0, 0.0)):
        followed = planner._followed
        assert followed is not None
        elapsed_s = at_s - (followed.plan.start - plan.start).total_seconds()
        state = measured(planner, followed.plan, min(elapsed_s, followed.expects.horizon_s - 1.0))
        at = plan.start + timedelta(seconds=at_s)
        planner.replan(state.model_copy(update={"at": at, "soc": state.soc - less_soc}))
        assert planner.why
        limits_kw.append(planner._followed.problem.import_limit_kw[0])
    assert limits_kw[:3] == [limits_kw[0]] * 3
    # then what the battery may draw to be made ready
    allowed_kw = Restoration().limit_kw(limits_kw[0], 0.0)
    assert limits_kw[3] == pytest.approx(limits_kw[0] + allowed_kw, rel=0.02)


def later(state: State, seconds: float, **changes: object) -> State:
    return state.model_copy(update={"at": state.at + timedelta(seconds=seconds), **changes})


def metered(kw: float) -> MeteredPower:
    return MeteredPower(kw=kw, measurement_point="connection_point")


@pytest.mark.parametrize("ask", ["plan", "activate"])
def test_an_event_that_began_before_the_state_has_the_baseline_that_was_read(
    planner: Planner, case: Case, ask: str
) -> None:
    planner.replan(later(case.state, 0.0, grid=metered(5.05)))
    event = case.event.model_copy(update={"start": case.state.at + timedelta(seconds=0.95)})
    state = later(case.state, 1.0, grid=metered(5.2))
    plan = getattr(planner, ask)(event, state, deadline_s=1.0)
    assert plan.check.ok
    assert plan.steps[0].baseline_kw == pytest.approx(5.05)
    assert plan.answer is not None
    assert any("began 0.05 s ago" in w.message for w in plan.answer.warnings)


def test_without_a_meter_the_plan_that_was_followed_says_what_was_drawn(
    planner: Planner, case: Case
) -> None:
    standing = planner.replan(case.state)
    event = case.event.model_copy(update={"start": case.state.at + timedelta(seconds=0.95)})
    plan = planner.activate(event, later(case.state, 1.0), deadline_s=1.0)
    assert plan.steps[0].baseline_kw == pytest.approx(standing.steps[0].baseline_kw, rel=1e-3)


def test_a_converter_that_is_back_is_used_again(planner: Planner, case: Case) -> None:
    tripped = case.state.model_copy(update={"converter_available": False})
    without = planner.plan(case.event, tripped, deadline_s=1.0)
    assert without.converter is None
    state = measured(planner, without, 30.0)
    back = state.model_copy(update={"converter_available": True, "soc": case.state.soc})
    plan = planner.replan(back, deadline_s=1.0)
    assert planner.why == ("the converter is back",)
    assert plan.converter is not None


def test_a_plan_that_no_solver_has_looked_at_is_made_anew_in_the_next_cycle(
    planner: Planner, case: Case
) -> None:
    rule = planner.plan(case.event, case.state, deadline_s=0.0)
    assert rule.status == "merit_order"
    assert planner.replan(measured(planner, rule, 0.5), deadline_s=1.0) is rule
    better = planner.replan(measured(planner, rule, 1.0), deadline_s=2.0)
    assert planner.why == ("no solver has looked at the plan yet",)
    assert better.gap is not None
    assert planner.replan(measured(planner, better, 1.0)) is better


def test_what_is_asked_is_followed_unless_it_is_only_asked(planner: Planner, case: Case) -> None:
    plan = planner.plan(case.event, case.state)
    assert planner.current is plan
    other = case.event.model_copy(update={"id": "what-if", "duration_s": 100.0})
    assert planner.plan(other, case.state, deadline_s=0.5, follow=False).event_id == "what-if"
    assert planner.plan(other, case.state, follow=False).event_id == "what-if"
    cancel = threading.Event()
    cancel.set()
    planner.plan(other, case.state, deadline_s=0.5, cancel=cancel)
    assert planner.current is plan
    assert planner.replan(measured(planner, plan, 1.0)) is plan


def test_a_new_event_begins_with_what_the_one_before_has_under_way(
    planner: Planner, case: Case
) -> None:
    first = planner.plan(case.event, case.state, deadline_s=5.0)
    state = measured(planner, first, 60.0)
    drawn_kw = next(s for s in reversed(first.steps) if s.t_s <= 60.0)
    event = case.event.model_copy(update={"id": "second", "start": state.at})
    second = planner.plan(event, state, deadline_s=5.0)
    compute_kw = drawn_kw.grid_kw + drawn_kw.battery_kw
    assert second.steps[0].baseline_kw == pytest.approx(compute_kw, rel=2e-3)


WRONG = {
    "without": {"without": ["battery"], "deadline_s": 0.1},
    "time_limit_s": {"time_limit_s": 1.0, "deadline_s": 0.1},
    "deadline_s": {"deadline_s": float("nan")},
}


@pytest.mark.parametrize("field", WRONG)
def test_arguments_that_do_not_go_together_are_refused(
    planner: Planner, case: Case, field: str
) -> None:
    with pytest.raises(InputError, match=field):
        planner.plan(case.event, case.state, **WRONG[field])


def test_an_unknown_clock_is_refused(case: Case) -> None:
    with pytest.raises(InputError, match="seconds or work"):
        Planner(case.site, clock="sun")  # type: ignore[arg-type]


def test_arming_ends_when_it_is_asked_anew(planner: Planner, case: Case) -> None:
    first = planner.arm(state=case.state)
    second = planner.arm([case.event], case.state)
    assert second.result(60.0) == 1
    assert first.done()
    assert len(planner.armed) == 1


def test_a_closed_planner_says_so(case: Case) -> None:
    planner = Planner(case.site).start()
    planner.close()
    planner.close()
    with pytest.raises(RuntimeError, match="closed"):
        planner.plan(case.event, case.state, deadline_s=1.0)
    with pytest.raises(RuntimeError, match="closed"):
        planner.replan(case.state)


def test_nothing_can_be_armed_from_nowhere(planner: Planner, case: Case) -> None:
    with pytest.raises(ValueError, match="arm needs a state"):
        planner.arm([case.event])
    with pytest.raises(ValueError, match="activate needs a state"):
        planner.activate(case.event)


def test_the_collector_waits_until_a_plan_is_returned(
    planner: Planner, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Ladder.answer
    collects: list[bool] = []

    def looks(self: Ladder, *rest: object) -> Plan:
        collects.append(gc.isenabled())
        return answer(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Ladder, "answer", looks)
    assert gc.isenabled()
    planner.plan(case.event, case.state, deadline_s=0.1)
    planner.replan(later(case.state, 1.0, soc=0.3), deadline_s=0.1)
    assert collects == [False, False]
    assert gc.isenabled()
    with pytest.raises(InputError):
        planner.plan(case.event, case.state, deadline_s=float("nan"))
    assert gc.isenabled()


def test_between_events_an_instance_that_comes_back_is_usual_again(
    planner: Planner, case: Case
) -> None:
    planner.replan(with_pool(case.state, active=3, lost=1), deadline_s=0.3)
    planner.replan(later(case.state, 60.0), deadline_s=0.3)
    followed = planner._followed
    assert followed is not None
    assert followed.standing
    assert followed.problem.pools[0].usual_active == 4


def test_a_cancelled_replan_is_not_followed(planner: Planner, case: Case) -> None:
    plan = planner.plan(case.event, case.state, deadline_s=5.0)
    cancel = threading.Event()
    cancel.set()
    tripped = later(case.state, 5.0, converter_available=False)
    assert planner.replan(tripped, deadline_s=1.0, cancel=cancel) is not plan
    assert planner.current is plan


def test_what_was_not_believed_is_said_with_an_activated_plan(planner: Planner, case: Case) -> None:
    unread = case.state.model_copy(update={"grid": metered(1000.0)})
    plan = planner.activate(case.event, unread, deadline_s=1.0)
    assert plan.answer is not None
    assert [w.message for w in plan.answer.warnings if w.kind == "repaired"] == [
        "a meter reading of 1000 kW is not believed"
    ]


def test_an_old_reading_says_nothing_of_what_was_drawn(planner: Planner, case: Case) -> None:
    planner.replan(later(case.state, 0.0, grid=metered(5.9)))
    at = case.state.at
    assert planner._drawn_before(at - timedelta(seconds=1)) is None
    assert planner._drawn_before(at + timedelta(seconds=10)) == pytest.approx(5.9)
    assert planner._drawn_before(at + timedelta(seconds=600)) is None


def test_a_plan_without_a_deadline_cannot_be_cancelled(planner: Planner, case: Case) -> None:
    with pytest.raises(InputError, match="cancel"):
        planner.plan(case.event, case.state, cancel=threading.Event())
