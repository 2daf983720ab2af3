"""Margins: optima that paper gives, and laws that hold for any problem."""

from __future__ import annotations

import numpy as np
import pytest
import small_problems as small
from by_cause import approx, cost
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_decisions import random_decision
from random_margins import random_margins, with_margins
from random_problems import ABSORBS_FROM, random_problem
from test_complete import beyond_the_lines, broken_rows

from ebplan.planner import solve_problem
from ebplan.problem import Margins, Problem
from ebplan.solvers import highs
from ebplan.solvers.complete import complete
from ebplan.solvers.formulation import formulate
from ebplan.solvers.highs import Solution
from ebplan.solvers.leave_out import leave_out

pytestmark = pytest.mark.slow

HOUR = (0.0, 3600.0)


def margins(**changes: float) -> Margins:
    """Return a margin of half a kW at any time: 2 standard deviations of 0.25 kW."""
    numbers = {
        "confidence": 0.9,
        "z": 2.0,
        "load_kw": 0.25,
        "response_share": 0.0,
        "power_per_kwh": 60.0,
        "energy_per_kwh": 50.0,
    } | changes
    return Margins(**numbers)


@pytest.mark.parametrize(
    ("shortfall_price", "expected"), [(100.0, {"margin": 5.0}), (30.0, {"shortfall": 3.0})]
)
def test_energy_is_kept_for_the_margin_beyond_the_reserve(
    shortfall_price: float, expected: dict[str, float]
) -> None:
    # 1.6 kWh, 1 kWh asked for, 0.2 kWh reserve: 0.4 kWh are left of the 0.5 kWh that the margin
    # takes. The tenth missing costs 5, or as much less is given, where a shortfall is cheap.
    problem = small.problem(
        edges_s=HOUR,
        release_kw=1.0,
        battery=small.battery(start_kwh=1.6, reserve_kwh=0.2),
        prices=small.prices(shortfall_per_kwh=shortfall_price, reserve_per_kwh=90.0),
        margins=margins(),
    )
    assert cost(problem) == approx(**expected)


def test_losses_are_part_of_the_energy_behind_a_margin() -> None:
    # At 80 % a kWh more takes 1.25 kWh: 2 - 1.25 - 0.625 = 0.125 kWh would be left, 0.25 are kept.
    problem = small.problem(
        edges_s=HOUR,
        release_kw=1.0,
        battery=small.battery(cell_efficiency=0.8, reserve_kwh=0.25),
        prices=small.prices(shortfall_per_kwh=500.0, reserve_per_kwh=90.0),
        margins=margins(power_per_kwh=80.0),
    )
    assert cost(problem) == approx(margin=6.25)


@pytest.mark.parametrize(
    ("shortfall_price", "expected"), [(100.0, {"margin": 18.0}), (30.0, {"shortfall": 9.0})]
)
def test_the_converter_keeps_power_for_the_margin(
    shortfall_price: float, expected: dict[str, float]
) -> None:
    # 1.2 kW, of which 1 kW answers: 0.3 kW of the half are not held, or as much less is promised.
    problem = small.problem(
        edges_s=HOUR,
        release_kw=1.0,
        battery=small.battery(discharge_limit_kw=1.2),
        prices=small.prices(shortfall_per_kwh=shortfall_price),
        margins=margins(),
    )
    assert cost(problem) == approx(**expected)


def test_a_dip_into_the_reserve_is_no_energy_for_the_margin() -> None:
    # 1.6 kWh, 1 kWh given, 1 kWh reserve: a dip of 0.4 kWh at 80, and all of the margin missing.
    problem = small.problem(
        edges_s=HOUR,
        release_kw=1.0,
        battery=small.battery(start_kwh=1.6, reserve_kwh=1.0),
        prices=small.prices(shortfall_per_kwh=500.0, reserve_per_kwh=80.0),
        margins=margins(),
    )
    assert cost(problem) == approx(reserve=32.0, margin=25.0)


def test_room_is_kept_to_absorb() -> None:
    # 1.2 of 2 kWh, half a kWh taken up: 0.3 kWh of room are left for 0.5.
    problem = small.problem(
        edges_s=HOUR,
        absorb_kw=0.5,
        battery=small.battery(start_kwh=1.2, charge_limit_kw=2.0),
        prices=small.prices(shortfall_per_kwh=500.0),
        margins=margins(),
    )
    assert cost(problem) == approx(margin=10.0)


@pytest.mark.parametrize("response_share", [0.0, 0.25])
def test_what_compute_moves_needs_a_margin_and_what_it_gives_beyond_is_one(
    response_share: float,
) -> None:
    # Two instances at 0.45 draw 2 (0.2 + 0.8 x 0.45^0.1) kW, and capped to the floor 0.8 kW, for
    # nothing. What is moved beyond the 0.5 kW asked for is held, without a battery.
    moved_kw = 2.0 * (0.2 + 0.8 * 0.45**0.1) - 0.8
    lacking_kw = 2.0 * (0.4 + response_share * moved_kw) - (moved_kw - 0.5)
    pool = small.pool(
        active_at_start=2,
        drained_at_start=0,
        classes=(small.requests(load=0.9, max_rejected=0.0),),
    )
    problem = small.problem(
        edges_s=(0.0, 60.0, 3660.0),
        event_start_s=60.0,
        release_kw=(0.0, 0.5),
        pools=(pool,),
        prices=small.prices(shortfall_per_kwh=300.0),
        margins=margins(load_kw=0.4, response_share=response_share),
    )
    assert cost(problem) == approx(margin=60.0 * lacking_kw)


# --- laws -------------------------------------------------------------------------------------

reproducible = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2 * ABSORBS_FROM - 1)


def solved(problem: Problem) -> Solution:
    return highs.solve(formulate(problem).program, gap=1e-6)


def assert_not_dearer(cheaper: Problem, dearer: Problem) -> None:
    low, high = solved(cheaper), solved(dearer)
    assert low.bound is not None
    assert low.bound <= high.objective + 1e-6 * (1.0 + abs(high.objective))


@reproducible
@given(seeds, st.floats(0.0, 1.0))
def test_more_confidence_never_costs_less(seed: int, share: float) -> None:
    asked = random_margins(seed)
    less = asked.model_copy(update={"z": share * asked.z})
    problem = random_problem(seed)
    assert_not_dearer(with_margins(problem, less), with_margins(problem, asked))


@reproducible
@given(seeds)
def test_a_margin_never_costs_less_than_none(seed: int) -> None:
    problem = random_problem(seed)
    assert_not_dearer(problem, with_margins(problem, random_margins(seed)))


@reproducible
@given(seeds)
def test_nothing_uncertain_is_no_margin(seed: int) -> None:
    problem = random_problem(seed)
    sure = random_margins(seed).model_copy(update={"load_kw": 0.0, "response_share": 0.0})
    assert_not_dearer(with_margins(problem, sure), problem)
    assert_not_dearer(problem, with_margins(problem, sure))


@reproducible
@given(seeds)
def test_without_the_battery_margins_cost_no_less(seed: int) -> None:
    problem = with_margins(random_problem(seed), random_margins(seed))
    battery = problem.battery
    assume(battery is not None and not battery.calendar)
    assert_not_dearer(problem, leave_out(problem, ["battery"]))


@pytest.mark.parametrize("seed", [first + i for first in (0, ABSORBS_FROM) for i in range(25)])
def test_a_completed_decision_is_a_point_of_the_program(seed: int) -> None:
    problem = random_problem(seed, instances=2, epochs=3)
    problem = with_margins(problem, random_margins(seed))
    formulation = formulate(problem)
    rng = np.random.default_rng(seed)
    decisions = [random_decision(rng, problem, pool) for pool in problem.pools]
    if any(decision is None for decision in decisions):
        pytest.skip("the random counts cannot carry the protected load")
    x = complete(problem, formulation, tuple(d for d in decisions if d is not None))
    broken = beyond_the_lines(problem, broken_rows(formulation, x))
    assert {label for label in broken if not label.startswith("pool")} == set()


@pytest.mark.parametrize("seed", [first + i for first in (0, ABSORBS_FROM) for i in range(8)])
@pytest.mark.parametrize("method", ["highs", "merit_order"])
def test_a_plan_with_margins_passes_the_checker(seed: int, method: str) -> None:
    asked = random_margins(seed).model_copy(update={"load_kw": 0.2, "response_share": 0.1})
    problem = with_margins(random_problem(seed), asked)
    plan = solve_problem(problem, method=method)  # type: ignore[arg-type]
    assert plan.check.ok
    assert plan.margin is not None
    assert plan.margin.power_kw >= asked.z * 0.2 - 1e-9
    assert (plan.cost.get("margin", 0.0) > 1e-6) == (
        plan.margin.missing_kw > 1e-6 or plan.margin.missing_kwh > 1e-6
    )
