"""Every way to move two instances through two or three epochs, each solved as a plain LP."""

from __future__ import annotations

import numpy as np
import pytest
from count_walks import walks
from random_problems import ABSORBS_FROM, random_problem

from ebplan.errors import NoPlanError
from ebplan.problem import PoolProblem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.live import LiveProgram
from ebplan.solvers.program import Program

pytestmark = pytest.mark.slow


def cheapest_with(
    live: LiveProgram, program: Program, fixed: dict[str, list[int]], pool: PoolProblem
) -> float:
    """Return the optimum with a pool's counts fixed; infinity where nothing is feasible."""
    lower, upper = program.lower.copy(), program.upper.copy()
    known = {group.name for group in program.columns}
    tier = pool.tier.name if pool.tier else "tier"
    for name, values in (fixed | newly_drained(pool, fixed)).items():
        column = f"{pool.name}.{name}".replace(".tier.", f".{tier}.")
        if column in known:
            columns = program.column_range(column)
            lower[columns] = upper[columns] = values
    try:
        return live.optimum(lower=lower, upper=upper).objective
    except NoPlanError:
        return np.inf


def newly_drained(pool: PoolProblem, counts: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return how many take requests no longer, by the weights they hold."""
    own = np.array(counts["active"]) + np.array(counts["clock_lock.active"])
    lower, in_tier = np.array(counts["tier.active"]), 0
    if pool.tier is not None:
        in_tier = pool.tier.active_at_start
    groups = {"": (own, pool.active_at_start), "tier.": (lower, in_tier)}
    return {
        f"{name}newly_drained": np.maximum(np.r_[start, now[:-1]] - now, 0).tolist()
        for name, (now, start) in groups.items()
    }


@pytest.mark.parametrize(("epochs", "sleep"), [(3, False), (2, True), (3, True)])
@pytest.mark.parametrize("seed", [*range(8), *range(ABSORBS_FROM, ABSORBS_FROM + 8)])
def test_no_trajectory_of_counts_is_cheaper(seed: int, epochs: int, sleep: bool) -> None:
    problem = random_problem(
        seed, pools=1, instances=2, epochs=epochs, steps_per_epoch=2, sleep=sleep
    )
    (pool,) = problem.pools
    program = formulate(problem).program
    solution = highs.solve(program, gap=1e-6)
    live = LiveProgram(program)
    costs = [
        cheapest_with(live, program, walk, pool)
        for walk in walks(pool, problem.grid.epoch_starts_s)
    ]
    moved = sum(abs(money) for money in program.cost_by_cause(solution.x).values())
    assert min(costs) == pytest.approx(solution.objective, abs=1e-5 * moved + 1e-6)
