"""The loop closed on the fluid plant: targets met with errors, no offset, the cost of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest

from benchmarks.closed_loop import run_day, totals, true_problem, with_foresight
from benchmarks.day import make_day
from benchmarks.subjects import example
from ebplan.closed_loop import ClosedLoop, Cycle
from ebplan.event import Event
from ebplan.planner import Planner, solve_problem
from ebplan.planner.estimate import Disturbance
from ebplan.pose import pose
from ebplan.realised import RecordedPlant, realised
from ebplan.twin import Bias, FluidPlant
from ebplan.twin.disturbances import ConverterReturn, ConverterTrip, InstanceLost
from ebplan.twin.disturbances import Disturbance as Disturbance_
from ebplan.twin.run import carry_out

pytestmark = pytest.mark.slow

RESTORED_WITH_KW = 0.51
HANDED_OVER_KW = 0.1
"""A tenth of what the example asks for."""


def test_hours_with_errors_and_faults_are_lived_through() -> None:
    case, hours = example("under_frequency"), 5.0
    day = make_day(case, hours=hours, seed=4)
    assert len(day.events) >= 3
    with Planner(case.site) as planner:
        planner.start(wait_s=30.0)
        run = run_day(day, "receding horizon", planner, hours=hours)
    assert run.cycles["idle"] + run.cycles["event"] == hours * 3600
    assert run.unchecked == 0
    assert run.judged > 1000
    assert run.missed == []
    assert min(run.socs) >= 0.1
    assert max(run.socs) <= 0.95
    # made ready again between events
    assert run.socs[-1] == pytest.approx(case.state.soc, abs=0.03)
    with_foresight(run)
    real, best = totals(run)
    assert real >= best - 0.02 * abs(best) - 0.5


def loop(bias: float) -> Iterator[Cycle]:
    case = example("under_frequency")
    start = case.state.at + timedelta(seconds=30)
    event = case.event.model_copy(update={"start": start})
    plant = FluidPlant(case.site, case.state, bias=Bias(load_power=bias))
    with Planner(case.site) as planner:
        planner.start(wait_s=30.0)
        yield from ClosedLoop(planner, plant, [event]).run(330.0)


def upset_loop(*upsets: Disturbance_) -> list[Cycle]:
    """Run an event of 300 s from second 60 on with what happens meanwhile, until second 420."""
    case = example("under_frequency")
    start = case.state.at + timedelta(seconds=60)
    event = case.event.model_copy(update={"start": start})
    plant = FluidPlant(case.site, case.state, disturbances=upsets)
    with Planner(case.site) as planner:
        planner.start(wait_s=30.0)
        return list(ClosedLoop(planner, plant, [event]).run(420.0))


def test_a_converter_that_comes_back_is_used_and_is_made_ready_after_the_event() -> None:
    cycles = upset_loop(ConverterTrip(at_s=65.0), ConverterReturn(at_s=200.0))
    why = [reason for cycle in cycles for reason in cycle.why]
    assert "the converter has tripped" in why
    assert "the converter is back" in why
    assert all(cycle.plan.check.ok for cycle in cycles)
    before = cycles[50].measured[-1]
    assert before.grid_kw is not None
    for cycle in cycles[365:]:
        now = cycle.measured[-1]
        # it takes back what it gave, within the limit of a restoration; compute is as before
        assert -RESTORED_WITH_KW <= now.battery_kw <= 0.05
        assert now.grid_kw is not None
        assert now.grid_kw <= before.grid_kw + RESTORED_WITH_KW
        assert sum(now.pool_kw.values()) == pytest.approx(sum(before.pool_kw.values()), rel=0.03)


def test_the_loop_goes_on_when_every_instance_is_lost() -> None:
    case = example("under_frequency")
    lost = InstanceLost(at_s=100.0, pool="llama70b", count=case.site.pools["llama70b"].instances)
    cycles = upset_loop(lost)
    assert cycles[-1].at_s == 419.0
    assert all(cycle.plan.check.ok for cycle in cycles)
    assert any("no other plan could be made" in r for cycle in cycles for r in cycle.why)


def battery_kw(bias: float) -> float:
    """Return what the battery still gives in the last minute of an event."""
    return float(np.mean([cycle.measured[-1].battery_kw for cycle in loop(bias)][-60:]))


@pytest.mark.parametrize("bias", [0.92, 0.95, 1.05, 1.12])
def test_a_steady_model_error_leaves_no_offset(bias: float) -> None:
    """Whichever way the pools' draw is off, the battery is free again by the hand-off's share."""
    assert battery_kw(bias) <= HANDED_OVER_KW + 0.015


def test_without_the_estimate_it_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disturbance, "update", lambda self, kw, **_: self.kw)
    assert battery_kw(1.12) > HANDED_OVER_KW + 0.025


def test_with_a_perfect_forecast_the_loop_carries_out_one_plan() -> None:
    cycles = list(loop(1.0))
    made = [cycle.why for cycle in cycles if cycle.why]
    assert len(made) == 2  # between events, and for the event
    assert made[1] == ("event under-frequency-5min began",)


@pytest.mark.parametrize("name", ["under_frequency", "curtailment_3h", "surplus_absorb"])
def test_without_errors_an_event_costs_what_its_plan_says(name: str) -> None:
    case = example(name)
    problem = pose(case.event, case.site, case.state)
    plan = solve_problem(problem)
    plant = RecordedPlant(FluidPlant(case.site, case.state))
    plant.begin()
    carry_out(plan, plant, 1.0, measure_at_s=problem.grid.edges_s)
    real = realised(problem, plant.slices, plant.before, 0.0)
    # A draw is sent anew when it moves by a watt: where a battery rests on its share of a hand-off
    # that watt is all excess. Else a plan is the cautious side: it counts drains from saturation.
    watt_kwh = 1e-3 * case.event.duration_s / 3600.0
    assert real.cost["handoff"] <= watt_kwh * problem.prices.handoff_excess_per_kwh
    money = real.money - real.cost["handoff"] + plan.cost.get("handoff", 0.0)
    assert money == pytest.approx(plan.money, rel=0.01, abs=0.05)
    assert real.shortfall_kwh <= plan.shortfall_kwh + 2e-4


def test_the_truth_draws_what_was_agreed_and_answers_as_slowly_as_it_does() -> None:
    case = example("under_frequency")
    problem = pose(case.event, case.site, case.state)
    bias = Bias(load_power=1.05, response_time=1.1, cap_elasticity=0.95)
    truth = true_problem(problem, bias, 5.0)
    drawn = truth.other_kw[0] + sum(pool.power_at_start_kw() for pool in truth.pools)
    assert drawn == pytest.approx(5.0)
    assert truth.pools[0].route_response.time_constant_s == pytest.approx(8.8)


def test_a_day_is_the_same_for_the_same_seed() -> None:
    case = example("under_frequency")
    one, other = (make_day(case, hours=24.0, seed=3) for _ in range(2))
    assert one.events == other.events
    assert one.disturbances == other.disturbances
    assert all(isinstance(event, Event) for event in one.events)
    assert {event.type for event in one.events} == {
        "under_frequency",
        "over_frequency",
        "congestion_curtailment",
        "renewable_surplus",
    }
