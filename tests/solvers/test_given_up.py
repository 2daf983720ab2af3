"""What is given up, in which order, and whether it had to be."""

from __future__ import annotations

import pytest
import small_problems as small

from benchmarks.subjects import example
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.given_up import GivenUp, given_up, given_up_sentences
from ebplan.solvers.leave_out import leave_out


def of(problem: Problem) -> tuple[GivenUp, ...]:
    formulation = formulate(problem)
    return given_up(problem, formulation, highs.solve(formulation.program).x)


def posed(name: str) -> Problem:
    case = example(name)
    return pose(case.event, case.site, case.state)


def test_nothing_given_up_is_nothing_to_say() -> None:
    assert of(posed("under_frequency")) == ()


def test_a_target_beyond_the_battery_is_forced_and_the_limit_named() -> None:
    # 3 kW for an hour from a converter of 2 kW and 2 kWh: a kWh is missing whatever is done.
    problem = small.problem(
        release_kw=3.0, battery=small.battery(), prices=small.prices(shortfall_per_kwh=100.0)
    )
    (one,) = of(problem)
    assert one.family.name == "A shortfall"
    assert one.amount == pytest.approx(1.0, abs=1e-5)
    assert one.least == pytest.approx(1.0, abs=1e-5)
    assert one.forced
    assert set(one.forced_by) & {"the converter's power", "the energy in the battery"}
    (sentence,) = given_up_sentences((one,))
    assert sentence.startswith("A shortfall of 1 kWh is forced: ")


def test_a_shortfall_that_is_cheaper_than_the_battery_is_chosen() -> None:
    problem = small.problem(
        release_kw=1.0,
        battery=small.battery(wear_per_kwh=200.0),
        prices=small.prices(shortfall_per_kwh=100.0),
    )
    (one,) = of(problem)
    assert (one.amount, one.least) == pytest.approx((1.0, 0.0), abs=1e-5)
    (sentence,) = given_up_sentences((one,))
    assert sentence == (
        "A shortfall of 1 kWh is chosen: 0 kWh could be had, at a higher cost in all."
    )


def test_the_reserve_is_given_up_before_the_target() -> None:
    # Of 2 kWh one is to be kept, and 1.5 kWh are asked for: the dip is 0.5 kWh, not the shortfall.
    problem = small.problem(
        release_kw=1.5,
        battery=small.battery(reserve_kwh=1.0),
        prices=small.prices(shortfall_per_kwh=100.0, reserve_per_kwh=50.0),
    )
    (one,) = of(problem)
    assert one.family.name == "A dip into the battery's reserve"
    assert (one.amount, one.least) == pytest.approx((0.5, 0.5), abs=1e-5)


def test_a_family_is_at_its_least_beside_the_more_important_ones() -> None:
    # The reserve is dearer than the target here: the plan keeps it, which only a shortfall allows.
    problem = small.problem(
        release_kw=1.5,
        battery=small.battery(reserve_kwh=1.0),
        prices=small.prices(shortfall_per_kwh=50.0, reserve_per_kwh=100.0),
    )
    (one,) = of(problem)
    assert one.family.name == "A shortfall"
    assert (one.amount, one.least) == pytest.approx((0.5, 0.0), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "without"),
    [("infeasible_target", ()), ("curtailment_3h", ("consolidation",)), ("surplus_absorb", ())],
)
def test_no_plan_has_less_than_the_least(name: str, without: tuple[str, ...]) -> None:
    found = of(leave_out(posed(name), without))
    assert bool(found) == (name != "surplus_absorb")
    for one in found:
        assert one.least <= one.least_with_these + 1e-5
        assert one.least_with_these <= one.amount + 1e-5
