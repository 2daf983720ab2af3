"""Every way to move two instances through two or three epochs, each solved as a plain LP."""

from __future__ import annotations

import numpy as np
import pytest
from count_walks import walks
from random_problems import ABSORBS_FROM, random_problem
from scipy.optimize import linprog
from scipy.sparse import csr_array

from ebplan.problem import PoolProblem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.program import Program


def cheapest_with(program: Program, fixed: dict[str, list[int]], pool: PoolProblem) -> float:
    """Return the optimum with a pool's counts fixed; infinity where nothing is feasible."""
    lower, upper = program.lower.copy(), program.upper.copy()
    for name, values in fixed.items():
        columns = program.column_range(f"{pool.name}.{name}")
        lower[columns] = upper[columns] = values
    before = np.r_[pool.active_at_start, fixed["active"][:-1]]
    drained = program.column_range(f"{pool.name}.newly_drained")
    lower[drained] = upper[drained] = np.maximum(before - fixed["active"], 0.0)
    matrix = csr_array(
        (program.entry_value, program.entry_column, program.row_start),
        shape=(program.n_rows, program.n_columns),
    )
    equal = program.row_lower == program.row_upper
    below, above = np.isfinite(program.row_upper) & ~equal, np.isfinite(program.row_lower) & ~equal
    dense = matrix.toarray()
    answer = linprog(
        program.cost,
        A_ub=np.vstack([dense[below], -dense[above]]),
        b_ub=np.r_[program.row_upper[below], -program.row_lower[above]],
        A_eq=dense[equal],
        b_eq=program.row_upper[equal],
        bounds=list(zip(lower, upper, strict=True)),
        method="highs",
    )
    return np.inf if answer.fun is None else float(answer.fun) + program.constant


@pytest.mark.parametrize(("epochs", "sleep"), [(3, False), (2, True), (3, True)])
@pytest.mark.parametrize("seed", [*range(8), *range(ABSORBS_FROM, ABSORBS_FROM + 8)])
def test_no_trajectory_of_counts_is_cheaper(seed: int, epochs: int, sleep: bool) -> None:
    problem = random_problem(
        seed, pools=1, instances=2, epochs=epochs, steps_per_epoch=2, sleep=sleep
    )
    (pool,) = problem.pools
    program = formulate(problem).program
    solution = highs.solve(program, gap=1e-6)
    costs = [
        cheapest_with(program, walk, pool) for walk in walks(pool, problem.grid.epoch_starts_s)
    ]
    moved = sum(abs(money) for money in program.cost_by_cause(solution.x).values())
    assert min(costs) == pytest.approx(solution.objective, abs=1e-5 * moved + 1e-6)
