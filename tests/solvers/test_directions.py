"""Which way the battery works: with the event inside it, against it outside, never both at once."""

from __future__ import annotations

import numpy as np
import pytest
from random_problems import ABSORBS_FROM, random_problem

from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.program import FloatArray

SEEDS = [
    seed
    for first in (0, ABSORBS_FROM)
    for seed in range(first, first + 60)
    if random_problem(seed).battery is not None
]


def assert_one_way(problem: Problem, formulation: Formulation, x: FloatArray) -> None:
    """Hold a point against the rule, which is told from the target alone."""
    columns = formulation.battery
    assert columns is not None
    asks_more = max(problem.target_kw) > 0.0
    kw = {"discharge": x[columns.discharge], "charge": x[columns.charge]}
    answer, other_way = ("charge", "discharge") if asks_more else ("discharge", "charge")
    starts = problem.grid.starts_s
    inside = (starts >= problem.event_start_s) & (starts < problem.event_end_s)
    assert np.minimum(kw["discharge"], kw["charge"]).max() <= 1e-9
    assert kw[other_way][inside].max(initial=0.0) <= 1e-9
    assert kw[answer][~inside].max(initial=0.0) <= 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_the_battery_works_one_way_at_a_time(seed: int) -> None:
    problem = random_problem(seed)
    formulation = formulate(problem)
    assert_one_way(problem, formulation, highs.solve(formulation.program).x)


@pytest.mark.parametrize("seed", SEEDS[::4])
def test_so_it_does_without_a_solver(seed: int) -> None:
    problem = random_problem(seed)
    formulation = formulate(problem)
    assert_one_way(problem, formulation, merit_order(problem, formulation))


def test_the_random_problems_show_both_directions_at_work() -> None:
    # What is never drawn is never tested: among the problems that absorb there are some in which a
    # drained instance goes back to work, and some in which the battery makes room or takes energy.
    seen = {"undrained": 0, "charges": 0, "discharges": 0, "short": 0}
    for seed in range(ABSORBS_FROM, ABSORBS_FROM + 60):
        problem = random_problem(seed)
        formulation = formulate(problem)
        x = highs.solve(formulation.program).x
        seen["short"] += bool(x[formulation.connection.shortfall].max() > 1e-6)
        for pool, counts in zip(problem.pools, formulation.counts, strict=True):
            seen["undrained"] += bool(x[counts.active].max() > pool.active_at_start + 0.5)
        if formulation.battery is not None:
            seen["charges"] += bool(x[formulation.battery.charge].max() > 1e-6)
            seen["discharges"] += bool(x[formulation.battery.discharge].max() > 1e-6)
    assert min(seen.values()) >= 5, seen
