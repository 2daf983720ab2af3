"""KV-cache pre-warm: working memory of protected requests loaded ahead, where they will be served.

A pre-warm works before it helps: it takes a lead, draws power for speculative work, expires, and
may be wasted. While the pool is warm, draining an instance costs less (the requests that move find
their cache on the other side) and waking one takes less time.

| symbol | name          | meaning                                          | shape |
|--------|---------------|--------------------------------------------------|-------|
| b_k    | prewarm       | pre-warm commanded at epoch k                    | (K,)  |
| x_k    |               | warm: sum of b_k' with t_k' + lead <= t_k < t_k' + lead + expiry    |
| w'_k   | to_wake_warm  | wake commands given while warm (counts.py)       | (K,)  |
| v_k    | drained_warm  | instances drained while warm                     | (K,)  |

prewarm_once    sum of b_k' whose lead and warmth cover epoch k <= 1 (0 while still warm)
warm_wake       w'_k <= N x_k
warm_drain      v_k <= N x_k
warm_drained    v_k <= r_k + n_k
prewarm_used    b_k' <= sum of v_k + w'_k over the epochs k that it keeps warm
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.problem import PoolProblem, PrewarmProblem
from ebplan.solvers.blocks.counts import Counts
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term
from ebplan.timegrid import TimeGrid


@dataclass(frozen=True)
class Prewarm:
    """Columns of one pool's pre-warm, each of shape (K,)."""

    command: IndexArray
    drained_warm: IndexArray


def add_prewarm(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts
) -> Prewarm | None:
    """Add one pool's pre-warm, what it costs and what it saves; None where there is none."""
    warmth = pool.prewarm
    if warmth is None or counts.to_wake_warm is None:
        return None
    epochs, most = grid.n_epochs, pool.instances
    command = builder.variables(f"{pool.name}.prewarm", epochs, upper=1, integer=True)
    drained = builder.variables(f"{pool.name}.drained_warm", epochs, upper=most)
    warm, already = warm_epochs(warmth, grid), still_warm(warmth, grid)
    busy = warm + lead_epochs(warmth, grid)
    builder.rows(
        f"{pool.name}.prewarm_once", epochs, [(np.minimum(busy, 1.0), command)], upper=1.0 - already
    )
    for label, columns in (("warm_wake", counts.to_wake_warm), ("warm_drain", drained)):
        terms: list[Term] = [(1.0, columns), (-most * warm, command)]
        builder.rows(f"{pool.name}.{label}", epochs, terms, upper=most * already)
    moved = [counts.newly_drained, *([counts.tier.newly_drained] if counts.tier else [])]
    builder.rows(
        f"{pool.name}.warm_drained",
        epochs,
        [(1.0, drained), *((-1.0, columns) for columns in moved)],
        upper=0.0,
    )
    # Its draw alone must not pay, as it might in an absorb: that would be burning energy.
    builder.rows(
        f"{pool.name}.prewarm_used",
        epochs,
        [(1.0, command), (-warm.T, drained), (-warm.T, counts.to_wake_warm)],
        upper=0.0,
    )
    builder.cost("draining", drained, warmth.drain_per_instance - pool.drain_per_instance)
    builder.cost("prewarming", command, warmth.price)
    return Prewarm(command=command, drained_warm=drained)


def lead_epochs(warmth: PrewarmProblem, grid: TimeGrid) -> FloatArray:
    """Return 1 where a pre-warm commanded at epoch k' is still at work at epoch k, (K, K)."""
    since = _since(grid)
    return ((since >= 0.0) & (since < warmth.lead_s - 1e-9)).astype(float)


def warm_epochs(warmth: PrewarmProblem, grid: TimeGrid) -> FloatArray:
    """Return 1 where a pre-warm commanded at epoch k' keeps epoch k warm, shape (K, K)."""
    since = _since(grid) - warmth.lead_s
    return ((since >= -1e-9) & (since < warmth.expires_s - 1e-9)).astype(float)


def still_warm(warmth: PrewarmProblem, grid: TimeGrid) -> FloatArray:
    """Return 1 where the pool is still warm from before the plan, shape (K,)."""
    return (grid.epoch_starts_s < warmth.warm_until_s - 1e-9).astype(float)


def _since(grid: TimeGrid) -> FloatArray:
    """Return the time from epoch k' to epoch k, (K, K); negative before it."""
    return np.asarray(grid.epoch_starts_s[:, None] - grid.epoch_starts_s[None, :])
