"""Plans without a solver: any decision, completed in closed form, is a point of the program."""

from __future__ import annotations

import numpy as np
import pytest
from many_pools import many_pools
from random_decisions import random_decision
from random_problems import ABSORBS_FROM, EITHER_WAY_FROM, random_problem

from ebplan.models.latency_bounds import latency_bounds
from ebplan.problem import PoolProblem, Problem
from ebplan.solvers import highs
from ebplan.solvers.blocks.lens import cap_lines, load_lines
from ebplan.solvers.complete import complete
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.operations import Operation, bounds_of, operations
from ebplan.solvers.program import FloatArray

pytestmark = pytest.mark.slow


def broken_rows(formulation: Formulation, x: FloatArray) -> dict[str, float]:
    """Return what a point breaks, by label, and by how much."""
    program = formulation.program
    activity = program.activity(x)
    rows = np.maximum(program.row_lower - activity, activity - program.row_upper)
    columns = np.maximum(program.lower - x, x - program.upper)
    broken = {}
    for groups, amounts in ((program.rows, rows), (program.columns, columns)):
        for group in groups:
            worst = float(amounts[group.start : group.start + group.size].max(initial=0.0))
            if worst > 1e-6:
                broken[group.name] = worst
    return broken


def beyond_the_lines(problem: Problem, broken: dict[str, float]) -> dict[str, float]:
    """Drop what is broken only because the program's lines lie below the curves themselves.

    Without a solver the law of the curve is used; the program interpolates it from below. A pool's
    capacity is then apart by at most the lines' error times its instances, and so is the draw where
    work that waited or is not due takes the load to where no line touches the curve.
    """
    allowed: dict[str, float] = {}
    for pool in problem.pools:
        for way in operations(pool):
            error = error_of_the_lines(way)
            for row in ("congestion", "cap_frontier", "ttft_limit", "ttft_priced"):
                allowed[f"{way.name}.{row}."] = error
            limited = bounds_of(pool, way).max_utilisation is not None
            if limited or any(c.deferral or c.pull_forward or c.lowered for c in pool.classes):
                allowed[f"{way.name}.natural_draw."] = error_of_the_draw(way)
    return {
        label: amount
        for label, amount in broken.items()
        if amount > 1e-6 + sum(e for begin, e in allowed.items() if label.startswith(begin))
    }


def error_of_the_draw(way: Operation) -> float:
    """Return how far the natural draw by the curve may lie above that by the lines."""
    load = np.linspace(way.min_utilisation, way.max_utilisation, 201)
    lines = np.min([a * load + b for a, b in load_lines(way)], axis=0)
    return way.instances * float((way.load_curve.power_kw(load) - lines).max())


def error_of_the_lines(way: Operation) -> float:
    """Return how far the capacity by the curve may lie above that by the lines."""
    power = np.linspace(way.cap_curve.floor_kw, way.full_kw, 201)
    lines = np.min([a * power + b for a, b in cap_lines(way)], axis=0)
    return way.instances * float((way.cap_curve.capacity(power) - lines).max())


def assert_no_cheaper_than_the_optimum(
    problem: Problem, formulation: Formulation, x: FloatArray
) -> None:
    """Hold the cost of a point against the bound, but for what curves allow beyond their lines.

    That is congestion that the capacity curve does not see and, where more draw is asked or paid
    for, draw that lies above the lines and meets a little more of it.
    """
    solution = highs.solve(formulation.program)
    assert solution.bound is not None
    per_hour = sum(
        error_of_the_lines(way) * step.price_per_instance_h * way.capacity_factor
        for pool in problem.pools
        for way in operations(pool)
        for step in pool.congestion
    )
    per_hour += sum(
        error_of_the_lines(way) * one.price_per_s * 3600.0 * way.capacity_factor
        for pool in problem.pools
        for way in operations(pool)
        for one in bounds_of(pool, way).priced_load
    )
    prices = problem.prices
    if problem.direction > 0 or problem.tracks:
        firm = prices.firmness_per_kwh * (1.0 + prices.early_shortfall_premium)
        above_kw = sum(
            max(error_of_the_draw(way) for way in operations(pool)) for pool in problem.pools
        )
        per_hour += above_kw * (prices.shortfall_per_kwh + firm)
    if isinstance(prices.energy_per_kwh, tuple):
        above_kw = sum(error_of_the_draw(pool) for pool in problem.pools)
        per_hour += above_kw * max(0.0, -min(prices.energy_per_kwh))
    cost = float(formulation.program.cost @ x) + formulation.program.constant
    assert cost >= solution.bound - 1e-6 - per_hour * problem.grid.horizon_s / 3600.0


@pytest.mark.parametrize(
    "seed",
    [first + i for first in (0, ABSORBS_FROM, EITHER_WAY_FROM) for i in range(40)],
)
def test_a_completed_decision_is_a_point_of_the_program(seed: int) -> None:
    problem = random_problem(seed, instances=2, epochs=3)
    formulation = formulate(problem)
    rng = np.random.default_rng(seed)
    decisions = [random_decision(rng, problem, pool) for pool in problem.pools]
    if any(decision is None for decision in decisions):
        pytest.skip("the random counts cannot carry the protected load")
    x = complete(problem, formulation, tuple(d for d in decisions if d is not None))
    broken = broken_rows(formulation, x)
    by_lines = (".congestion.", ".ttft_priced.")
    assert {label for label in broken if not any(row in label for row in by_lines)} == set()
    assert beyond_the_lines(problem, broken) == {}
    assert_no_cheaper_than_the_optimum(problem, formulation, x)


@pytest.mark.parametrize("seed", [first + i for first in (0, ABSORBS_FROM) for i in range(12)])
def test_so_is_one_of_pools_that_share_a_channel(seed: int) -> None:
    problem = many_pools(3, seed)
    formulation = formulate(problem)
    rng = np.random.default_rng(seed)
    decisions = [random_decision(rng, problem, pool) for pool in problem.pools]
    if any(decision is None for decision in decisions):
        pytest.skip("the random counts cannot carry the protected load")
    x = complete(problem, formulation, tuple(d for d in decisions if d is not None))
    broken = broken_rows(formulation, x)
    assert any(group.name.startswith("channel.") for group in formulation.program.columns)
    assert {label for label in broken if label.startswith(("channel.", "compute"))} == set()


def runs_as_it_is(pool: PoolProblem) -> bool:
    """Return whether the pool's state at the start carries its load within every limit."""
    active, bounds = pool.active_at_start, latency_bounds(pool)
    if pool.arrivals or not active:
        return not pool.arrivals and pool.load == 0.0
    each = pool.load / active
    power = min(a * each + b for a, b in load_lines(pool))
    most_used = bounds.max_utilisation or pool.max_utilisation
    capacity = most_used * min(a * power + b for a, b in cap_lines(pool))
    slope, intercept = bounds.natural_line
    least_kw = (bounds.power_share or 0.0) * (slope * each + intercept)
    least_kw = max(least_kw, pool.cap_curve.floor_kw)
    return pool.min_utilisation <= each <= capacity and power >= least_kw


SEEDS = [
    seed
    for first in (0, ABSORBS_FROM, EITHER_WAY_FROM)
    for seed in range(first, first + 60)
    if all(runs_as_it_is(pool) for pool in random_problem(seed).pools)
]


@pytest.mark.parametrize("seed", SEEDS)
def test_merit_order_is_no_cheaper_than_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    formulation = formulate(problem)
    x = merit_order(problem, formulation)
    assert beyond_the_lines(problem, broken_rows(formulation, x)) == {}
    assert_no_cheaper_than_the_optimum(problem, formulation, x)
