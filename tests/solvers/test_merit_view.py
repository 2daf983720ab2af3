"""The merit order of an event: depths and prices by hand, and a reason for what is not used."""

from __future__ import annotations

import pytest
import small_problems as small

from benchmarks.subjects import example
from ebplan.models.curves import CapCurve
from ebplan.plan import Plan
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers.leave_out import SWITCHES, available
from ebplan.solvers.merit_view import OFFERS, Rung, merit_sentences, merit_view


def posed(name: str) -> Problem:
    case = example(name)
    return pose(case.event, case.site, case.state)


@pytest.fixture(scope="module")
def solved() -> tuple[Problem, Plan]:
    problem = posed("under_frequency")
    return problem, solve_problem(problem)


def rungs(problem: Problem, plan: Plan) -> dict[str, Rung]:
    return {rung.mechanism: rung for rung in merit_view(problem, plan)}


def test_every_mechanism_that_can_be_left_out_has_an_offer() -> None:
    assert set(OFFERS) == set(SWITCHES)


def test_the_depths_are_those_of_the_curves(solved: tuple[Problem, Plan]) -> None:
    problem, plan = solved
    (pool,) = problem.pools
    found = rungs(problem, plan)
    assert set(found) == set(available(problem))
    each = pool.load / 3
    left_kw = 3 * float(pool.load_curve.power_kw(each)) + pool.drained_kw
    depth_kw = found["consolidation"].depth_kw
    assert depth_kw == pytest.approx(pool.power_at_start_kw() - left_kw)
    assert found["battery"].depth_kw == pytest.approx(7.0)
    assert found["consolidation"].used_kw == pytest.approx(depth_kw, rel=0.01)


def test_cheapest_first_and_those_without_depth_last(solved: tuple[Problem, Plan]) -> None:
    prices = [rung.price_per_kwh for rung in merit_view(*solved)]
    known = [price for price in prices if price is not None]
    assert prices[: len(known)] == sorted(known)


def test_each_that_is_not_used_has_a_reason_with_numbers(solved: tuple[Problem, Plan]) -> None:
    _, not_used = merit_sentences(*solved)
    assert not_used.startswith("Not used: admission (9,0")
    assert "power cap at 106 still has 0.3" in not_used
    assert "sleep (draws no less than a drained instance, 0.26 kW)" in not_used


def test_a_cap_above_the_natural_draw_is_told_so() -> None:
    curve = small.load_curve()
    natural_kw = float(curve.power_kw(0.5))
    pool = small.pool(
        active_at_start=1,
        drained_at_start=0,
        classes=(small.requests(load=0.5, max_rejected=0.0),),
        cap_curve=CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=natural_kw),
        min_utilisation=0.5,
    )
    problem = small.problem(pools=(pool,), release_kw=0.1)
    said = [*merit_sentences(problem, solve_problem(problem))]
    watts = f"{natural_kw * 0.9 * 500:.0f} W"
    expected = f"power cap (the lowest cap, {watts}, is not below the natural draw, {watts})"
    assert expected in said[-1]


def test_an_empty_battery_is_told_so() -> None:
    problem = small.problem(release_kw=0.1, battery=small.battery(start_kwh=0.0))
    said = [*merit_sentences(problem, solve_problem(problem))]
    assert "battery (empty, 0 kWh)" in said[-1]


def test_an_absorb_says_what_cannot_help_it() -> None:
    problem = posed("surplus_absorb")
    plan = solve_problem(problem)
    first, not_used = merit_sentences(problem, plan)
    assert "instances put to work 0.71 kW" in first
    assert "sleep and admission (lowers the draw, and the event asks for more)" in not_used
