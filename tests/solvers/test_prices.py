"""The price of the next kW against what the next watt really costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_problems as small
from random_problems import ABSORBS_FROM, random_problem

from ebplan.problem import Problem, ValueSegment
from ebplan.solvers import highs
from ebplan.solvers.explain import next_kw_price
from ebplan.solvers.formulation import formulate
from ebplan.solvers.program import FloatArray

STEP_KW = 1e-3


def asked_more(problem: Problem, more_kw: float) -> Problem:
    """Return the problem with a deeper target over the whole event, and its share for hand-off."""
    target = np.array(problem.target_kw)
    share = problem.handoff_kw / np.abs(target).max()
    return problem.model_copy(
        update={
            "target_kw": tuple((target + np.sign(target) * more_kw).tolist()),
            "handoff_kw": problem.handoff_kw + share * more_kw,
        }
    )


def cost_with_counts(problem: Problem, x: FloatArray) -> float:
    """Return the optimum with the integers of ``x``."""
    program = formulate(problem).program
    lower, upper = program.lower.copy(), program.upper.copy()
    lower[program.integer] = upper[program.integer] = np.round(x[program.integer])
    fixed = replace(program, lower=lower, upper=upper, integer=np.zeros_like(program.integer))
    return highs.solve(fixed).objective


def price_and_slopes(problem: Problem) -> tuple[float, float, float]:
    """Return the price, and the slopes of the cost below and above the target."""
    formulation = formulate(problem)
    x = highs.solve(formulation.program, gap=1e-6).x
    less, now, more = (cost_with_counts(asked_more(problem, d), x) for d in (-STEP_KW, 0, STEP_KW))
    price = next_kw_price(problem, formulation, x)
    return price, (now - less) / STEP_KW, (more - now) / STEP_KW


@pytest.mark.parametrize("first", [*range(0, 60, 20), *range(ABSORBS_FROM, ABSORBS_FROM + 60, 20)])
def test_price_of_the_next_kw_is_the_slope_of_the_cost(first: int) -> None:
    wrong = {}
    for seed in range(first, first + 20):
        price, below, above = price_and_slopes(random_problem(seed))
        tolerance = 1e-3 * (1.0 + abs(above))
        # At a kink every price between the slopes is a dual; elsewhere the slopes are equal.
        if not below - tolerance <= price <= above + tolerance:
            wrong[seed] = (below, price, above)
    assert not wrong


def test_the_price_of_an_hour_from_the_battery() -> None:
    # 1 kW for an hour takes (1 + 0.05) / 0.9 kWh from the cells, at 10 of wear and 20 of value.
    cells = small.battery(
        loss_linear=0.05,
        cell_efficiency=0.9,
        wear_per_kwh=10.0,
        terminal=(ValueSegment(width_kwh=2.0, price_per_kwh=20.0),),
    )
    prices = small.prices(shortfall_per_kwh=100.0)
    price, below, above = price_and_slopes(
        small.problem(release_kw=1.0, battery=cells, prices=prices)
    )
    assert price == pytest.approx(35.0)
    assert (below, above) == pytest.approx((35.0, 35.0), rel=1e-4)


def test_the_price_of_an_hour_into_the_battery() -> None:
    # 1 kW for an hour, bought for 30, puts (1 - 0.05) x 0.9 = 0.855 kWh into the cells, worth 20
    # each: 30 - 17.1.
    cells = small.battery(
        start_kwh=0.5,
        charge_limit_kw=2.0,
        loss_linear=0.05,
        cell_efficiency=0.9,
        terminal=(ValueSegment(width_kwh=2.0, price_per_kwh=20.0),),
    )
    prices = small.prices(shortfall_per_kwh=100.0, energy_per_kwh=30.0)
    price, below, above = price_and_slopes(
        small.problem(absorb_kw=1.0, battery=cells, prices=prices)
    )
    assert price == pytest.approx(12.9)
    assert (below, above) == pytest.approx((12.9, 12.9), rel=1e-4)


def test_the_price_counts_what_the_hand_off_still_leaves_to_the_battery() -> None:
    # Two half hours at 1 kW. From the second on, a tenth of the target is left to the battery and
    # more costs 50 per kWh: of the next kW, 0.9 kW x 0.5 h is charged.
    problem = small.problem(
        edges_s=(0.0, 1800.0, 3600.0),
        release_kw=1.0,
        battery=small.battery(),
        handoff_from_s=1800.0,
        handoff_kw=0.1,
        prices=small.prices(shortfall_per_kwh=100.0, handoff_excess_per_kwh=50.0),
    )
    price, _, above = price_and_slopes(problem)
    assert price == pytest.approx(22.5)
    assert above == pytest.approx(22.5, rel=1e-4)
