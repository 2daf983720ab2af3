"""Every way to move two instances through two or three epochs, each solved as a plain LP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from random_problems import random_problem
from scipy.optimize import linprog
from scipy.sparse import csr_array

from ebplan.problem import PoolProblem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.program import FloatArray, Program

COUNTS = ("active", "drained", "asleep", "to_sleep", "to_wake")


@dataclass
class Walk:
    """Counts of a pool so far, epoch by epoch, and who arrives when."""

    counts: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in COUNTS})
    arrivals: list[tuple[float, int, str]] = field(default_factory=list)
    """(epoch start at which it arrives, how many, where)."""


def walks(pool: PoolProblem, epoch_s: FloatArray) -> Iterator[dict[str, list[int]]]:
    """Yield every trajectory of counts that lead times, dwell and start allow."""
    arrivals = [(_on_epoch(epoch_s, a.at_s), a.count, a.to) for a in pool.arrivals]
    start = Walk(arrivals=arrivals)
    awake = pool.active_at_start + pool.drained_at_start
    yield from _extend(pool, epoch_s, start, awake, pool.asleep_at_start)


def _extend(
    pool: PoolProblem, epoch_s: FloatArray, walk: Walk, awake: int, asleep: int
) -> Iterator[dict[str, list[int]]]:
    k = len(walk.counts["active"])
    if k == len(epoch_s):
        yield walk.counts
        return
    most = pool.instances + 1
    for sleep in range(most if pool.may_sleep else 1):
        for wake in range(most):
            arrivals = [
                *walk.arrivals,
                (_on_epoch(epoch_s, epoch_s[k] + pool.sleep_s), sleep, "asleep"),
                (_on_epoch(epoch_s, epoch_s[k] + pool.wake_s), wake, "awake"),
            ]
            now_awake = awake - sleep + _arrived(arrivals, "awake", epoch_s[k], 1e-6)
            now_asleep = asleep - wake + _arrived(arrivals, "asleep", epoch_s[k], 1e-6)
            # Whoever arrived within the dwell must still be there.
            bound_awake = _arrived(arrivals, "awake", epoch_s[k], pool.min_awake_s)
            bound_asleep = _arrived(arrivals, "asleep", epoch_s[k], pool.min_asleep_s)
            if now_awake < bound_awake or now_asleep < bound_asleep:
                continue
            for active in range(now_awake + 1):
                now = (active, now_awake - active, now_asleep, sleep, wake)
                counts = {
                    name: [*walk.counts[name], n] for name, n in zip(COUNTS, now, strict=True)
                }
                yield from _extend(pool, epoch_s, Walk(counts, arrivals), now_awake, now_asleep)


def _on_epoch(epoch_s: FloatArray, at_s: float) -> float:
    """Return the first epoch start at or after a time; never, where there is none."""
    later = epoch_s[epoch_s >= at_s - 1e-9]
    return float(later[0]) if len(later) else np.inf


def _arrived(arrivals: list[tuple[float, int, str]], to: str, now_s: float, within_s: float) -> int:
    """Return how many arrived in (now - within, now]."""
    return sum(n for at, n, where in arrivals if where == to and 0.0 <= now_s - at < within_s)


def cheapest_with(program: Program, fixed: dict[str, list[int]], pool: str) -> float:
    """Return the optimum with a pool's counts fixed; infinity where nothing is feasible."""
    lower, upper = program.lower.copy(), program.upper.copy()
    for name, values in fixed.items():
        columns = program.column_range(f"{pool}.{name}")
        lower[columns] = upper[columns] = values
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
        bounds=np.column_stack([lower, upper]),
        method="highs",
    )
    return float(answer.fun) + program.constant if answer.status == 0 else np.inf


@pytest.mark.parametrize("epochs, sleep", [(3, False), (2, True)])
@pytest.mark.parametrize("seed", range(8))
def test_no_trajectory_of_counts_is_cheaper(seed: int, epochs: int, sleep: bool) -> None:
    problem = random_problem(
        seed, pools=1, instances=2, epochs=epochs, steps_per_epoch=2, sleep=sleep
    )
    (pool,) = problem.pools
    program = formulate(problem).program
    solution = highs.solve(program, gap=1e-6)
    costs = [
        cheapest_with(program, walk, pool.name)
        for walk in walks(pool, problem.grid.epoch_starts_s)
    ]
    moved = sum(abs(money) for money in program.cost_by_cause(solution.x).values())
    assert min(costs) == pytest.approx(solution.objective, abs=1e-5 * moved + 1e-6)
