"""Laws of cost: more means never costs more, more to do never costs less, money is a unit.

They hold in both directions, and half of the random problems absorb.

Costs are compared through proofs: what should be cheaper by its lower bound, what should be dearer
by the plan found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import problems, problems_with_limits

from ebplan.models.latency import ClassLatency
from ebplan.problem import PoolProblem, Problem, ValueSegment
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.highs import Solution

pytestmark = pytest.mark.slow

reproducible = settings(max_examples=40, deadline=None, derandomize=True)


def solved(problem: Problem) -> Solution:
    return highs.solve(formulate(problem).program, gap=1e-6)


def assert_not_dearer(cheaper: Problem, dearer: Problem) -> None:
    low, high = solved(cheaper), solved(dearer)
    assert low.bound is not None
    assert low.bound <= high.objective + 1e-6 * (1.0 + abs(high.objective))


def with_battery(problem: Problem, **changes: Any) -> Problem:
    if problem.battery is None:
        return problem
    return problem.model_copy(update={"battery": problem.battery.model_copy(update=changes)})


def with_pools(problem: Problem, **factors: float) -> Problem:
    """Return the problem with fields of every pool multiplied."""

    def scaled(pool: PoolProblem) -> PoolProblem:
        update = {name: factor * getattr(pool, name) for name, factor in factors.items()}
        return pool.model_copy(update=update)

    return problem.model_copy(update={"pools": tuple(scaled(pool) for pool in problem.pools)})


@reproducible
@given(problems)
def test_more_energy_capacity_never_costs_more(problem: Problem) -> None:
    if problem.battery is None:
        return
    more = 0.5 * problem.battery.energy_kwh
    *lower, last = problem.battery.terminal
    wider = ValueSegment(width_kwh=last.width_kwh + more, price_per_kwh=last.price_per_kwh)
    larger = with_battery(
        problem,
        energy_kwh=problem.battery.energy_kwh + more,
        max_kwh=problem.battery.max_kwh + more,
        terminal=(*lower, wider),
    )
    assert_not_dearer(larger, problem)


@reproducible
@given(problems)
def test_more_converter_power_never_costs_more(problem: Problem) -> None:
    if problem.battery is None:
        return
    rated = problem.battery.rated_kw
    stronger = with_battery(problem, discharge_limit_kw=rated, charge_limit_kw=rated)
    assert_not_dearer(stronger, problem)


@reproducible
@given(problems)
def test_a_wider_import_limit_never_costs_more(problem: Problem) -> None:
    wider = tuple((1.1 * np.array(problem.import_limit_kw)).tolist())
    assert_not_dearer(problem.model_copy(update={"import_limit_kw": wider}), problem)


@pytest.mark.parametrize("price", ["cap_depth_per_kwh", "drain_per_instance", "wake_per_instance"])
@reproducible
@given(problems)
def test_a_cheaper_mechanism_never_costs_more(price: str, problem: Problem) -> None:
    assert_not_dearer(with_pools(problem, **{price: 0.5}), problem)


@reproducible
@given(problems)
def test_less_wear_never_costs_more(problem: Problem) -> None:
    assert_not_dearer(
        with_battery(problem, wear_per_kwh=1.0), with_battery(problem, wear_per_kwh=9.0)
    )


@reproducible
@given(problems)
def test_a_larger_target_never_costs_less(problem: Problem) -> None:
    deeper = tuple((1.2 * np.array(problem.target_kw)).tolist())
    assert_not_dearer(problem, problem.model_copy(update={"target_kw": deeper}))


@pytest.mark.parametrize("way", ["clock_lock", "tier", "prewarm", "pull_forward"])
@reproducible
@given(problems)
def test_a_further_way_to_run_never_costs_more(way: str, problem: Problem) -> None:
    if any(pool.in_tier_at_start or _to_tier(pool) for pool in problem.pools):
        return  # these hold the other weights already
    fewer = tuple(_without(way, pool) for pool in problem.pools)
    assert_not_dearer(problem, problem.model_copy(update={"pools": fewer}))


def _to_tier(pool: PoolProblem) -> bool:
    return any(arrival.to == "tier" for arrival in pool.arrivals)


def _without(way: str, pool: PoolProblem) -> PoolProblem:
    """Return the pool without one of its ways to run."""
    if way in ("tier", "pull_forward"):
        field = "lowered" if way == "tier" else way
        classes = tuple(c.model_copy(update={field: None}) for c in pool.classes)
        pool = pool.model_copy(update={"classes": classes})
    return pool if way == "pull_forward" else pool.model_copy(update={way: None})


def with_limits(
    problem: Problem, change: Callable[[PoolProblem, ClassLatency], ClassLatency]
) -> Problem:
    """Return the problem with other limits on the latency of its classes."""
    pools = []
    for pool in problem.pools:
        classes = tuple(
            c if c.latency is None else c.model_copy(update={"latency": change(pool, c.latency)})
            for c in pool.classes
        )
        pools.append(pool.model_copy(update={"classes": classes}))
    return problem.model_copy(update={"pools": tuple(pools)})


@reproducible
@given(problems_with_limits, st.floats(1.0, 2.0))
def test_a_tighter_limit_on_the_first_token_is_never_cheaper(
    problem: Problem, looser: float
) -> None:
    def loosened(_: PoolProblem, known: ClassLatency) -> ClassLatency:
        if known.ttft_p95_limit_s is None:
            return known
        return known.model_copy(update={"ttft_p95_limit_s": looser * known.ttft_p95_limit_s})

    assert_not_dearer(with_limits(problem, loosened), problem)


@reproducible
@given(problems_with_limits, st.floats(1.0, 2.0))
def test_a_tighter_limit_on_tokens_is_never_cheaper(problem: Problem, looser: float) -> None:
    # Shallower caps leave the first token more time to wait. Where that has a hard limit as well, a
    # tighter limit on tokens may therefore let instances run fuller: only pools without it.
    def loosened(pool: PoolProblem, known: ClassLatency) -> ClassLatency:
        hard = [c.latency for c in pool.classes if c.latency is not None and c.latency.is_hard]
        if known.itl_limit_s is None or any(h.ttft_p95_limit_s is not None for h in hard):
            return known
        return known.model_copy(update={"itl_limit_s": looser * known.itl_limit_s})

    assert_not_dearer(with_limits(problem, loosened), problem)


@reproducible
@given(problems_with_limits)
def test_limits_that_are_lifted_never_cost_more(problem: Problem) -> None:
    def lifted(_: PoolProblem, known: ClassLatency) -> ClassLatency:
        return ClassLatency(prefill_s=known.prefill_s, itl_s=known.itl_s)

    assert_not_dearer(with_limits(problem, lifted), problem)


@reproducible
@given(problems_with_limits)
def test_cheaper_late_requests_never_cost_more(problem: Problem) -> None:
    def halved(_: PoolProblem, known: ClassLatency) -> ClassLatency:
        if known.late_per_instance_s is None:
            return known
        return known.model_copy(update={"late_per_instance_s": 0.5 * known.late_per_instance_s})

    assert_not_dearer(with_limits(problem, halved), problem)


@reproducible
@given(problems)
def test_twice_the_money_is_twice_the_cost(problem: Problem) -> None:
    program = formulate(problem).program
    once = highs.solve(program, gap=1e-6)
    moved = sum(abs(money) for money in program.cost_by_cause(once.x).values())
    twice = solved(_twice_the_money(problem))
    assert twice.objective == pytest.approx(2.0 * once.objective, abs=1e-5 * (1.0 + moved))


def _twice_the_money(problem: Problem) -> Problem:
    """Double every field that is money, by its unit in the name."""
    return Problem.model_validate(_doubled(problem.model_dump()))


def _doubled(part: Any, name: str = "") -> Any:
    if isinstance(part, dict):
        return {key: _doubled(value, key) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [_doubled(item, name) for item in part]
    return 2.0 * part if name in MONEY and part is not None else part


MONEY = {
    "energy_per_kwh",
    "shortfall_per_kwh",
    "firmness_per_kwh",
    "reserve_per_kwh",
    "handoff_excess_per_kwh",
    "overrun_per_kwh",
    "wear_per_kwh",
    "price_per_kwh",
    "value_per_instance_s",
    "late_per_instance_s",
    "price_per_instance_h",
    "price_per_work_h",
    "price_per_kwh_h",
    "price_per_h",
    "cap_depth_per_kwh",
    "readiness_per_instance_h",
    "drain_per_instance",
    "wake_per_instance",
    "value_per_work_h",
    "price_per_instance_s",
    "swap_price_per_instance",
    "price",
}
