"""Corners of valid problems, each once a fault or close to one.

What is not right yet stands here as an expected failure, with its reason.
"""

from __future__ import annotations

import numpy as np
import oracle
import pytest
import small_problems as small

from ebplan.errors import InputError
from ebplan.models.curves import CapCurve
from ebplan.problem import ArrivalCount, Problem, ValueSegment
from ebplan.solvers import highs
from ebplan.solvers.complete import complete
from ebplan.solvers.decision import decide
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.transients import compute_kw

SHORTFALL = small.prices(shortfall_per_kwh=100.0)
LOADED = small.requests(load=1.0, value_per_instance_s=0.03)


def fault(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.xfail(strict=True, reason=reason)


def optimal(problem: Problem) -> tuple[Formulation, np.ndarray, float]:
    formulation = formulate(problem)
    solution = highs.solve(formulation.program, gap=1e-6)
    return formulation, solution.x, solution.objective


def test_no_load_is_served_without_an_active_instance() -> None:
    # An ideal machine: power in proportion to load, and an elastic cap.
    curve = small.load_curve(idle_kw=0.1, amplitude_kw=0.9, exponent=1.0)
    pool = small.pool(
        load_curve=curve,
        cap_curve=CapCurve(full_kw=1.0, elasticity=1.8, floor_kw=0.5),
        active_at_start=2,
        drained_at_start=0,
        min_utilisation=0.5,
        max_utilisation=0.95,
        classes=(LOADED,),
    )
    problem = small.problem(pools=(pool,), release_kw=0.3, prices=SHORTFALL)
    formulation, x, _ = optimal(problem)
    active, load = x[formulation.counts[0].active], x[formulation.lenses[0][0].load]
    assert (load <= 0.95 * active + 1e-6).all()


def test_no_instance_draws_more_than_at_saturation() -> None:
    pool = small.pool(
        active_at_start=2,
        drained_at_start=0,
        min_utilisation=1.0,
        max_utilisation=1.0,
        classes=(LOADED,),
    )
    problem = small.problem(pools=(pool,), prices=small.prices(energy_per_kwh=-10.0))
    formulation, x, _ = optimal(problem)
    active, power = x[formulation.counts[0].active], x[formulation.lenses[0][0].power]
    assert (power <= pool.full_kw * active + 1e-6).all()


def test_an_active_instance_serves_something() -> None:
    # The load lines are spaced geometrically from the lowest utilisation, which zero forbids.
    with pytest.raises(InputError, match="min_utilisation"):
        Problem.parse(_with(pools=[{**small.pool().model_dump(), "min_utilisation": 0.0}]))


def test_a_pool_whose_cap_cannot_move() -> None:
    pool = small.pool(
        min_utilisation=1.0, cap_curve=CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=1.0)
    )
    assert optimal(small.problem(pools=(pool,)))[2] == pytest.approx(0.0)


def test_value_segments_that_do_not_cover_the_battery_are_refused() -> None:
    with pytest.raises(InputError):
        Problem.parse(_with(battery=_terminal(ValueSegment(width_kwh=1.0, price_per_kwh=1.0))))


def test_value_segments_with_rising_prices_are_refused() -> None:
    cheap = ValueSegment(width_kwh=1.0, price_per_kwh=1.0)
    dear = ValueSegment(width_kwh=1.0, price_per_kwh=50.0)
    with pytest.raises(InputError):
        Problem.parse(_with(battery=_terminal(cheap, dear)))


def _with(**fields: object) -> dict[str, object]:
    return {**small.problem().model_dump(), **fields}


def _terminal(*segments: ValueSegment) -> dict[str, object]:
    plain = [segment.model_dump() for segment in segments]
    return {**small.battery().model_dump(), "terminal": plain}


def test_activating_an_instance_releases_nothing() -> None:
    # One instance at work, one drained. Before anything has settled, the draw cannot be lower than
    # with both where they were or both where they go.
    pool = small.pool(
        load_curve=small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
        active_at_start=1,
        drained_at_start=1,
        classes=(small.requests(load=0.4, value_per_instance_s=1.0),),
        route_response={"delay_s": 0.0, "time_constant_s": 600.0},
    )
    problem = small.problem(
        edges_s=(0.0, 1.0, 60.0), release_kw=(0.0, 0.3), pools=(pool,), prices=SHORTFALL
    )
    formulation, x, _ = optimal(problem)
    (decision,) = decide(problem, formulation, x)
    settled = decision.power_kw + 0.2 * (2.0 - decision.serving)
    lowest = compute_kw(problem, (decision,), np.linspace(0.0, 60.0, 601)).min()
    assert lowest >= min(pool.power_at_start_kw(), float(settled.min())) - 1e-6


def test_nobody_is_drained_in_name_to_draw_paid_power() -> None:
    # Drawing is paid at 10 per kWh. The instance at work stays at work, so that it draws what the
    # baseline says, and an hour of it costs nothing more.
    pool = small.pool(
        active_at_start=1,
        drained_at_start=0,
        classes=(small.requests(load=0.5, max_rejected=0.0),),
        route_response={"delay_s": 0.0, "time_constant_s": 600.0},
    )
    prices = small.prices(energy_per_kwh=-10.0)
    formulation, x, cost = optimal(small.problem(pools=(pool,), prices=prices))
    assert x[formulation.counts[0].newly_drained] == pytest.approx(0.0, abs=1e-6)
    assert cost == pytest.approx(0.0, abs=1e-3)


@fault("dwell is kept by count: one who must stay awake lends its place to one at work")
def test_who_falls_asleep_was_drained_first() -> None:
    # One instance at work, another just arrived and bound to stay awake. By count the drained one
    # is put to sleep; by its dwell it may not, so it takes over the requests and the one at work
    # sleeps. That drain is neither charged nor does the power fall slowly.
    pool = small.pool(
        active_at_start=1,
        drained_at_start=0,
        arrivals=(ArrivalCount(to="awake", count=1, at_s=0.0),),
        drain_per_instance=5.0,
        cap_depth_per_kwh=1000.0,
        may_sleep=True,
        min_awake_s=7200.0,
        classes=(small.requests(load=0.5, max_rejected=0.0),),
    )
    problem = small.problem(
        edges_s=(0.0, 60.0, 3600.0),
        epoch_steps=(0, 1),
        release_kw=(0.0, 0.05),
        event_start_s=60.0,
        pools=(pool,),
        prices=SHORTFALL,
    )
    assert optimal(problem)[2] == pytest.approx(oracle.optimum(problem), abs=1e-3)


def test_a_hand_off_after_the_last_step_of_the_event_asks_nothing() -> None:
    problem = small.problem(
        release_kw=1.0, battery=small.battery(), handoff_from_s=1800.0, prices=SHORTFALL
    )
    assert optimal(problem)[2] == pytest.approx(0.0)


def test_such_a_hand_off_can_be_completed_too() -> None:
    problem = small.problem(
        release_kw=1.0, battery=small.battery(), handoff_from_s=1800.0, prices=SHORTFALL
    )
    formulation, x, _ = optimal(problem)
    complete(problem, formulation, decide(problem, formulation, x))


def test_a_problem_without_a_target_can_be_completed() -> None:
    problem = small.problem()
    formulation, x, _ = optimal(problem)
    complete(problem, formulation, decide(problem, formulation, x))


def test_merit_order_counts_who_arrives() -> None:
    pool = small.pool(
        active_at_start=1,
        drained_at_start=0,
        arrivals=(ArrivalCount(to="awake", count=1, at_s=0.0),),
    )
    problem = small.problem(pools=(pool,), release_kw=0.1)
    formulation = formulate(problem)
    program = formulation.program
    x = merit_order(problem, formulation)
    balance = program.row_range("pool.awake_balance")
    assert program.activity(x)[balance] == pytest.approx(program.row_upper[balance])


def test_merit_order_uses_drained_instances_for_protected_load() -> None:
    pool = small.pool(
        active_at_start=1,
        drained_at_start=1,
        classes=(small.requests(load=1.2, max_rejected=0.0),),
    )
    problem = small.problem(pools=(pool,), release_kw=0.1)
    formulation = formulate(problem)
    x = merit_order(problem, formulation)
    assert (x[formulation.counts[0].active] == 2.0).all()


def test_a_completed_plan_feeds_in_no_more_than_allowed() -> None:
    problem = small.problem(
        release_kw=1.5,
        other_kw=(1.0,),
        battery=small.battery(),
        export_limit_kw=0.0,
        prices=SHORTFALL,
    )
    formulation = formulate(problem)
    x = merit_order(problem, formulation)
    assert x[formulation.connection.grid].min() >= -1e-9
