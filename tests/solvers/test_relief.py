"""What more of a limit would save: the first-order price against solving again."""

from __future__ import annotations

import pytest
import small_problems as small
from random_problems import ABSORBS_FROM, random_problem

from benchmarks.subjects import example
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem, ValueSegment
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.given_up import amount_of
from ebplan.solvers.highs import fixed_optimum
from ebplan.solvers.program import FloatArray
from ebplan.solvers.relief import LATER_HANDOFF, LIMITS, Limit, reliefs

EPS = 1e-4


def optimum(problem: Problem, x: FloatArray, weighed: str | None = None) -> float:
    formulation = formulate(problem)
    cost = None if weighed is None else amount_of(weighed, problem, formulation)
    return fixed_optimum(formulation.program, x, cost).objective


def slopes(
    problem: Problem, x: FloatArray, limit: Limit, weighed: str | None = None
) -> tuple[float, float]:
    """Return what a unit less and a unit more of a limit change, by solving again."""
    less, more = limit.move(problem, -EPS), limit.move(problem, EPS)
    assert less is not None
    assert more is not None
    at = optimum(problem, x, weighed)
    below = (optimum(less, x, weighed) - at) / EPS * limit.unit
    above = (at - optimum(more, x, weighed)) / EPS * limit.unit
    return below, above


def posed(name: str) -> Problem:
    case = example(name)
    return pose(case.event, case.site, case.state)


@pytest.mark.parametrize("name", ["under_frequency", "curtailment_3h", "surplus_absorb"])
def test_the_price_of_each_limit_is_its_finite_difference(name: str) -> None:
    problem = posed(name)
    formulation = formulate(problem)
    x = highs.solve(formulation.program).x
    found = reliefs(problem, formulation, x)
    assert {relief.limit for relief in found} == {*LIMITS, LATER_HANDOFF}
    for relief in found:
        if relief.limit == LATER_HANDOFF:
            continue
        low, high = sorted(slopes(problem, x, relief.limit))
        room = 2e-3 * max(abs(low), abs(high)) + 1e-4
        assert low - room <= relief.saves <= high + room, relief.limit.words


def test_a_later_hand_off_saves_what_the_battery_then_carries() -> None:
    # Two quarters of an hour at 1 kW are beyond the share of 0.1 kW, 0.9 kW at 50 per kWh; a
    # hand-off 900 s later leaves one of them.
    problem = small.problem(
        edges_s=(0.0, 1800.0, 2700.0, 3600.0),
        release_kw=1.0,
        battery=small.battery(),
        handoff_from_s=1800.0,
        handoff_kw=0.1,
        prices=small.prices(shortfall_per_kwh=100.0, handoff_excess_per_kwh=50.0),
    )
    formulation = formulate(problem)
    x = highs.solve(formulation.program).x
    found = {relief.limit: relief.saves for relief in reliefs(problem, formulation, x)}
    assert found[LATER_HANDOFF] == pytest.approx(0.9 * 0.25 * 50.0 / 90.0)


def test_missing_energy_is_counted_in_kwh() -> None:
    problem = posed("infeasible_target")
    formulation = formulate(problem)
    x = highs.solve(formulation.program).x
    amount = amount_of("shortfall", problem, formulation)
    found = {r.limit.words: r for r in reliefs(problem, formulation, x, amount=amount)}
    energy = found["more energy in the battery"]
    # a kWh in the cells gives what the cells and the converter let through
    assert 0.9 < energy.saves < 1.0
    low, high = sorted(slopes(problem, x, energy.limit, "shortfall"))
    assert low - 2e-3 <= energy.saves <= high + 2e-3


@pytest.mark.parametrize("seed", [*range(15), *range(ABSORBS_FROM, ABSORBS_FROM + 15)])
def test_random_problems_agree_with_solving_again(seed: int) -> None:
    problem = random_problem(seed)
    formulation = formulate(problem)
    x = highs.solve(formulation.program).x
    for relief in reliefs(problem, formulation, x):
        if relief.limit.words in ("a lower cap floor", LATER_HANDOFF.words):
            continue  # a lower floor may move the corners of the cap curve: another program
        low, high = sorted(slopes(problem, x, relief.limit))
        room = 0.02 * max(abs(low), abs(high)) + 1e-3
        assert low - room <= relief.saves <= high + room, relief.limit.words


def test_a_kwh_more_in_an_empty_battery_saves_what_a_shortfall_costs() -> None:
    # 1 kW for an hour from 0.5 kWh without losses: half is missing, at 100 a kWh.
    cells = small.battery(start_kwh=0.5, terminal=(ValueSegment(width_kwh=2.0, price_per_kwh=0.0),))
    prices = small.prices(shortfall_per_kwh=100.0)
    problem = small.problem(release_kw=1.0, battery=cells, prices=prices)
    formulation = formulate(problem)
    x = highs.solve(formulation.program).x
    first, *others = reliefs(problem, formulation, x)
    assert first.limit.words == "more energy in the battery"
    assert first.saves == pytest.approx(100.0)
    assert all(abs(other.saves) < 1e-6 for other in others)


def test_the_plan_names_the_limit_that_would_save_most() -> None:
    plan = solve_problem(posed("infeasible_target"))
    (sentence,) = [s for s in plan.explanation if "most would be saved" in s]
    assert "more energy in the battery (0.96 kWh of what is missing per kWh)" in sentence
