"""Instances and requests of a pool: where they go, what waits, what is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin_cases import POOL, case, some_commands

from ebplan import Case, Planner
from ebplan.adapters.commands import (
    CapPower,
    Command,
    PaceBacklog,
    Route,
    Wake,
)
from ebplan.pose import pose
from ebplan.problem import PoolProblem
from ebplan.state import PoolState
from ebplan.twin import Bias, FluidPlant, Measurements, Plant
from ebplan.twin.disturbances import InstanceLost, InstanceReturned, LoadStep
from ebplan.twin.pool_flows import PoolFlows

AT: dict[str, object] = {"at_s": 0.0, "pool": POOL}


def told(command: type[Command], **fields: object) -> Command:
    return command.model_validate({**AT, **fields})  # type: ignore[no-any-return, union-attr]


def wakes(of: Case, probability: float) -> Case:
    pool = of.site.pools[POOL]
    sleep = pool.sleep.model_copy(update={"wake_failure_probability": probability})
    pools = {POOL: pool.model_copy(update={"sleep": sleep})}
    return of.model_copy(update={"site": of.site.model_copy(update={"pools": pools})})


def problem_of(of: Case) -> PoolProblem:
    return pose(of.event, of.site, of.state).pools[0]


def test_the_fluid_plant_is_a_plant() -> None:
    of = case("under_frequency")
    one: Plant = FluidPlant(of.site, of.state)
    one.step((), 2.5)
    assert one.now_s == 2.5
    assert one.state().pools == of.state.pools


def test_it_begins_as_the_planner_believes() -> None:
    of = case("demand_response")
    m = FluidPlant(of.site, of.state).step((), 1.0)
    assert m.pool_kw[POOL] == pytest.approx(problem_of(of).power_at_start_kw(), rel=1e-12)
    problem = pose(of.event, of.site, of.state)
    assert m.grid_kw == pytest.approx(problem.baseline_kw[0], rel=1e-12)


def test_a_drained_instance_falls_slowly_and_the_others_rise_fast() -> None:
    """The closed forms, written out: every change with its own dead time and time constant."""
    of = case("under_frequency")
    pool, p = of.site.pools[POOL], problem_of(of)
    one = FluidPlant(of.site, of.state)
    one.step((Route(at_s=0.0, pool=POOL, active=3, drained=1),), 4.0)
    last = one.step((), 0.001)
    rise = pool.rise_response or pool.cap_response
    before_kw = float(p.load_curve.power_kw(p.load / 4.0))
    after_kw = float(p.load_curve.power_kw(p.load / 3.0))
    done = [
        1.0 - np.exp(-(4.0005 - r.delay_s) / r.time_constant_s) for r in (rise, pool.route_response)
    ]
    expected_kw = 4.0 * before_kw + 3.0 * (after_kw - before_kw) * done[0]
    expected_kw -= (before_kw - p.drained_kw) * done[1]
    assert last.pool_kw[POOL] == pytest.approx(expected_kw, rel=1e-7)


def test_one_put_to_work_while_it_falls_goes_on_from_where_it_is() -> None:
    of = case("under_frequency")
    one, p = FluidPlant(of.site, of.state), problem_of(of)
    one.step((Route(at_s=0.0, pool=POOL, active=3, drained=1),), 2.0)
    back = [one.step((Route(at_s=0.0, pool=POOL, active=4, drained=0),), 0.1)]
    back += [one.step((), 0.1) for _ in range(200)]
    start_kw = p.power_at_start_kw()
    risen_kw = 3.0 * float(p.load_curve.power_kw(p.load / 3.0))
    fallen_kw = 3.0 * float(p.load_curve.power_kw(p.load / 4.0))
    assert max(m.pool_kw[POOL] for m in back) <= start_kw + risen_kw - fallen_kw
    assert back[-1].pool_kw[POOL] == pytest.approx(start_kw, rel=1e-9)
    assert back[40].pool_kw[POOL] == pytest.approx(start_kw, abs=0.002)


def test_a_lost_instance_draws_nothing_at_once_and_the_rest_takes_its_load() -> None:
    of, p = case("under_frequency"), problem_of(case("under_frequency"))
    happens = (
        InstanceLost(at_s=5.0, pool=POOL),
        InstanceReturned(at_s=500.0, pool=POOL),
    )
    one = FluidPlant(of.site, of.state, disturbances=happens)
    before_kw = one.step((), 5.0).pool_kw[POOL]
    just_after = one.step((), 0.05)
    assert just_after.pool_kw[POOL] == pytest.approx(0.75 * before_kw, rel=1e-9)
    assert just_after.lost == {POOL: 1}
    settled = one.step((), 400.0), one.step((), 1.0)
    three_kw = 3.0 * float(p.load_curve.power_kw(p.load / 3.0))
    assert settled[1].pool_kw[POOL] == pytest.approx(three_kw, rel=1e-9)
    one.step((), 200.0)
    assert one.step((), 1.0).pool_kw[POOL] == pytest.approx(before_kw, rel=1e-9)


def test_a_state_with_everything_under_way_is_the_planners() -> None:
    of = case("surplus_queue")
    plant = FluidPlant(of.site, of.state)
    m = plant.step(
        (
            told(PaceBacklog, request_class="batch", req_per_s=3.0),
            told(Wake, count=1),
        ),
        2.0,
    )
    pool = m.state().pools[POOL]
    assert pool.backlog_requests["batch"] == pytest.approx(6.0)
    assert [(t.to, t.count, t.remaining_s) for t in pool.in_transit] == [("awake", 1, 4.0)]
    assert pool.total == of.site.pools[POOL].instances
    assert m.state().grid is not None
    moved = m.state().model_copy(update={"at": of.state.at})
    assert Planner(of.site).plan(of.event, moved).check.ok


def test_wakes_fail_as_often_as_they_are_said_to() -> None:
    base = case("surplus_queue")
    ready = {**base.state.pools[POOL].model_dump(), "active": 3, "drained": 0, "asleep": 1}
    state = base.state.model_copy(update={"pools": {POOL: PoolState.model_validate(ready)}})
    of = wakes(base, 0.4)
    tries = []
    for seed in range(300):
        plant = FluidPlant(of.site, state, seed=seed)
        plant.step((told(Wake, count=1),), 1e-3)
        while plant.step((), 1.0).pools[POOL].transit:
            pass
        tries.append(round(plant.now_s / of.site.pools[POOL].sleep.wake_s))
    assert np.mean(tries) == pytest.approx(1.0 / 0.6, rel=0.1)


def conserved(m: Measurements, before: Measurements, comes: dict[str, float]) -> None:
    """What came has been served or turned away, or waits somewhere."""
    for name, rate in comes.items():
        change = {
            what: getattr(m.pools[POOL], what)[name] - getattr(before.pools[POOL], what)[name]
            for what in (
                *("served_requests", "rejected_requests"),
                *("waiting_requests", "backlog_requests", "queued_requests"),
            )
        }
        came = rate * (m.at_s - before.at_s)
        # what is queued for later has come before and is only served ahead
        assert sum(change.values()) == pytest.approx(came, rel=1e-9, abs=1e-6)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_no_request_is_lost(seed: int) -> None:
    of, rng = case("demand_response"), np.random.default_rng(seed)
    one = FluidPlant(of.site, of.state)
    before = one.step((), 0.1)
    for _ in range(8):
        m = one.step(some_commands(rng), float(rng.uniform(0.1, 90.0)))
        conserved(m, before, dict(of.state.pools[POOL].load_req_per_s))
        reading = m.pools[POOL]
        on_the_way = sum(t.instances for t in reading.transit)
        there = reading.active + reading.drained + reading.asleep
        there += reading.tier_active + reading.tier_drained
        assert there + on_the_way == of.site.pools[POOL].instances
        before = m


def test_an_overload_waits_and_is_made_up_for() -> None:
    of = case("under_frequency")
    peak = (
        LoadStep(at_s=10.0, pool=POOL, request_class="batch", req_per_s=70.0),
        LoadStep(at_s=40.0, pool=POOL, request_class="batch", req_per_s=7.0),
    )
    one = FluidPlant(of.site, of.state, disturbances=peak)
    assert sum(one.step((), 10.0).pools[POOL].waiting_requests.values()) == 0.0
    most = sum(one.step((), 30.0).pools[POOL].waiting_requests.values())
    capacity = 4.0 * problem_of(of).classes[0].requests_per_s_per_instance
    assert most == pytest.approx(30.0 * (98.0 - capacity), rel=1e-6)
    left_s = most / (capacity - 35.0)
    assert sum(one.step((), left_s - 0.1).pools[POOL].waiting_requests.values()) > 0.0
    assert sum(one.step((), 0.2).pools[POOL].waiting_requests.values()) == 0.0


def test_a_steeper_elasticity_makes_a_cap_cost_more() -> None:
    of = case("under_frequency")
    left = []
    for bias in (Bias(), Bias(cap_elasticity=1.2)):
        one = FluidPlant(of.site, of.state, bias=bias)
        tight = (told(CapPower, w_per_gpu=400.0), told(Route, active=2, drained=2))
        left.append(sum(one.step(tight, 100.0).pools[POOL].waiting_requests.values()))
    assert left[0] < left[1]


def test_slower_responses_settle_later_and_at_the_same() -> None:
    of = case("under_frequency")
    drawn = []
    for bias in (Bias(), Bias(response_time=2.0)):
        one = FluidPlant(of.site, of.state, bias=bias)
        one.step((told(Route, active=3, drained=1),), 10.0)
        drawn.append((one.step((), 1.0).pool_kw[POOL], one.step((), 900.0) and one.step((), 1.0)))
    assert drawn[1][0] > drawn[0][0] + 0.02
    assert drawn[1][1].pool_kw[POOL] == pytest.approx(drawn[0][1].pool_kw[POOL], rel=1e-9)


def test_what_runs_out_sooner_than_the_clock_can_tell_has_run_out() -> None:
    # a day in, a double cannot hold an instant 4e-12 s later: time would stand still
    flows = PoolFlows(PoolState(active=1, load_req_per_s={"chat": 0.0}), {"chat": 500.0})
    flows.classes["chat"].waiting = 2e-9
    flows.settle(1.0, 0.0)
    assert 80_000.0 + flows.empties_in_s == 80_000.0
    assert flows.advance(0.0)
    assert flows.classes["chat"].waiting == 0.0
