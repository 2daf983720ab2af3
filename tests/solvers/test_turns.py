"""A plan does not give only to take it again, where burning energy would pay."""

from __future__ import annotations

import pytest
import small_problems as small
from random_problems import random_problem

from ebplan.planner import solve_problem
from ebplan.problem import BatteryProblem, Problem

TWO_HALVES = (0.0, 1800.0, 3600.0)


def cells(**changes: object) -> BatteryProblem:
    """Return 2 kWh behind 2 kW either way, 96 % each way, without wear."""
    return small.battery(**{"charge_limit_kw": 2.0, "cell_efficiency": 0.96, **changes})


def paid_to_draw(**changes: object) -> Problem:
    """Return an event of one half hour, energy at -10, a target dear enough to be met."""
    prices = small.prices(energy_per_kwh=-10.0, shortfall_per_kwh=900.0, overrun_per_kwh=900.0)
    return small.problem(edges_s=TWO_HALVES, prices=prices, **changes)


def test_a_release_gives_what_is_asked_and_takes_it_back() -> None:
    # Full: 0.5 kWh are asked for. Giving 1 kWh and taking 1.085 back would burn 0.085 kWh at 10.
    problem = paid_to_draw(release_kw=(1.0, 0.0), event_end_s=1800.0, battery=cells())
    plan = solve_problem(problem)
    assert [step.battery_kw for step in plan.steps] == pytest.approx([1.0, -1.0 / 0.9216])
    assert plan.check.ok


def test_an_absorb_makes_the_room_that_is_asked_for() -> None:
    # Full: 0.5 kWh are to be taken in the second half hour; 0.5 x 0.9216 are given before it, not
    # the 0.9216 that would let it take 1 kWh.
    problem = paid_to_draw(absorb_kw=(0.0, 1.0), event_start_s=1800.0, battery=cells())
    plan = solve_problem(problem)
    assert [step.battery_kw for step in plan.steps] == pytest.approx([0.9216, -1.0])
    assert plan.check.ok


def test_an_absorb_with_room_enough_gives_nothing() -> None:
    # 1.5 kWh of room: what is asked fits, and more is taken, paid as it is.
    problem = paid_to_draw(absorb_kw=(0.0, 1.0), event_start_s=1800.0, battery=cells(start_kwh=1.2))
    plan = solve_problem(problem)
    taken_kw = 0.8 / 0.96 / 0.5
    assert [step.battery_kw for step in plan.steps] == pytest.approx([0.0, -taken_kw])


@pytest.mark.parametrize("seed", [4066, 8019, 8227])
def test_problems_that_once_turned_round_have_an_optimised_plan(seed: int) -> None:
    plan = solve_problem(random_problem(seed))
    assert plan.check.ok
    assert plan.status in ("optimal", "gap")


def test_what_the_import_limit_needs_is_still_given() -> None:
    # 0.5 kW above the limit before the event: that is given whether or not burning pays.
    problem = paid_to_draw(
        absorb_kw=(0.0, 0.5),
        event_start_s=1800.0,
        battery=cells(start_kwh=1.0),
        import_limit_kw=(9.7, 1000.0),
    )
    first = solve_problem(problem).steps[0]
    assert first.battery_kw == pytest.approx(0.5)
