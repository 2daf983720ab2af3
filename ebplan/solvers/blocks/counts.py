"""Operating modes: how many instances are active, drained, asleep or on their way.

Identical instances are counted, never told apart: that removes the symmetry. What it cannot tell
(which of two instances is bound to stay awake) stands in docs/formulation.md, section 7.

| symbol | name         | meaning                                  | shape |
|--------|--------------|------------------------------------------|-------|
| A_k    | active       | instances that take requests             | (K,)  |
| D_k    | drained      | awake without load                       | (K,)  |
| S_k    | asleep       | asleep                                   | (K,)  |
| s_k    | to_sleep     | sleep commands given                     | (K,)  |
| w_k    | to_wake      | wake commands given                      | (K,)  |
| r_k    | newly_drained| active instances fewer than before       | (K,)  |
| i_k    | missing      | active instances fewer than at the start | (K,)  |

awake_balance    A_k + D_k = A_{k-1} + D_{k-1} - s_k + sum_{k': wakes at k} w_{k'} + arriving_k
asleep_balance   S_k = S_{k-1} - w_k + sum_{k': asleep at k} s_{k'} + arriving_k
drained_first    s_k <= D_{k-1}
min_awake        sum_{arrivals awake in (t_k - min_awake, t_k]} <= A_k + D_k
min_asleep       sum_{arrivals asleep in (t_k - min_asleep, t_k]} <= S_k
drained_count    r_k >= A_{k-1} - A_k
missing_count    i_k >= A_{-1} - A_k
drains_for_real  r_k <= A_{k-1} - A_k + N x_k,  r_k <= N (1 - x_k)   where drawing power is paid

A command given at epoch k' takes effect at the first epoch at or after ``t_k' + lead``: capacity
counts late, never early. Only an instance that was drained an epoch before is put to sleep: what it
has in flight would be cut off. Active to drained and back is free of lead: it is a router weight.
What is in transit at the start stands on the right-hand side.
A drained instance draws power a while longer: where energy costs nothing or is paid for, or draw
is asked for as well as less of it, only a binary x_k keeps the program from draining in name only.
The dwell rows are the aggregated minimum up-time rows of Rajan and Takriti (IBM RC23628, 2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.problem import PoolProblem
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term
from ebplan.timegrid import TimeGrid

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Counts:
    """Columns of one pool's counts, each of shape (K,)."""

    active: IndexArray
    drained: IndexArray
    asleep: IndexArray
    to_sleep: IndexArray
    to_wake: IndexArray
    newly_drained: IndexArray


def add_counts(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, *, drawing_pays: bool
) -> Counts:
    """Add one pool's counts and the costs of moving and of missing instances.

    Args:
        builder: where to add them.
        pool: the pool.
        grid: steps and epochs.
        drawing_pays: energy costs nothing or less, or more draw may be asked for.
    """
    epochs, most = grid.n_epochs, pool.instances
    sleepers = most if pool.may_sleep else 0
    dormant = pool.asleep_at_start + sum(a.count for a in pool.arrivals if a.to == "asleep")

    def whole(name: str, upper: int) -> IndexArray:
        return builder.variables(f"{pool.name}.{name}", epochs, upper=upper, integer=True)

    counts = Counts(
        active=whole("active", most),
        drained=whole("drained", most),
        asleep=whole("asleep", max(sleepers, dormant)),
        to_sleep=whole("to_sleep", sleepers),
        to_wake=whole("to_wake", max(sleepers, dormant)),
        newly_drained=builder.variables(f"{pool.name}.newly_drained", epochs, upper=most),
    )
    _move(builder, pool, grid, counts)
    _stay(builder, pool, grid, counts)
    _count_drained(builder, pool, grid, counts, drawing_pays=drawing_pays)
    _count_missing(builder, pool, grid, counts)
    builder.cost("waking", counts.to_wake, pool.wake_per_instance)
    return counts


def _move(builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts) -> None:
    """Add the balances: counts change by commands and arrivals alone."""
    epochs = grid.n_epochs
    fall_asleep, wake_up = arrivals(grid, pool.sleep_s), arrivals(grid, pool.wake_s)
    arriving_awake, arriving_asleep = arriving_at_start(pool, grid)
    now, before, first = np.eye(epochs), shift_matrix(epochs), _first(epochs)
    balance = arriving_awake + first * (pool.active_at_start + pool.drained_at_start)
    builder.rows(
        f"{pool.name}.awake_balance",
        epochs,
        [
            (now - before, counts.active),
            (now - before, counts.drained),
            (now, counts.to_sleep),
            (-wake_up, counts.to_wake),
        ],
        lower=balance,
        upper=balance,
    )
    balance = arriving_asleep + first * pool.asleep_at_start
    builder.rows(
        f"{pool.name}.asleep_balance",
        epochs,
        [(now - before, counts.asleep), (now, counts.to_wake), (-fall_asleep, counts.to_sleep)],
        lower=balance,
        upper=balance,
    )
    builder.rows(
        f"{pool.name}.drained_first",
        epochs,
        [(now, counts.to_sleep), (-before, counts.drained)],
        upper=first * pool.drained_at_start,
    )


def _stay(builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts) -> None:
    """Add the dwell rows: who arrived within the minimum time is still there."""
    epochs, now = grid.n_epochs, np.eye(grid.n_epochs)
    fall_asleep, wake_up = arrivals(grid, pool.sleep_s), arrivals(grid, pool.wake_s)
    arriving_awake, arriving_asleep = arriving_at_start(pool, grid)
    recent = window(grid, pool.min_awake_s)
    builder.rows(
        f"{pool.name}.min_awake",
        epochs,
        [(recent @ wake_up, counts.to_wake), (-now, counts.active), (-now, counts.drained)],
        upper=-recent @ arriving_awake,
    )
    recent = window(grid, pool.min_asleep_s)
    builder.rows(
        f"{pool.name}.min_asleep",
        epochs,
        [(recent @ fall_asleep, counts.to_sleep), (-now, counts.asleep)],
        upper=-recent @ arriving_asleep,
    )


def _count_drained(
    builder: ProgramBuilder,
    pool: PoolProblem,
    grid: TimeGrid,
    counts: Counts,
    *,
    drawing_pays: bool,
) -> None:
    """Count and price the instances that are drained at each epoch."""
    epochs, most = grid.n_epochs, pool.instances
    now, before, first = np.eye(epochs), shift_matrix(epochs), _first(epochs)
    fewer = first * pool.active_at_start
    moved: list[Term] = [(now, counts.newly_drained), (now - before, counts.active)]
    builder.rows(f"{pool.name}.drained_count", epochs, moved, lower=fewer)
    if drawing_pays:
        still = builder.variables(f"{pool.name}.not_drained", epochs, upper=1, integer=True)
        terms: list[Term] = [*moved, (-most * now, still)]
        builder.rows(f"{pool.name}.drains_for_real.0", epochs, terms, upper=fewer)
        terms = [(now, counts.newly_drained), (most * now, still)]
        builder.rows(f"{pool.name}.drains_for_real.1", epochs, terms, upper=most)
    builder.cost("draining", counts.newly_drained, pool.drain_per_instance)


def _count_missing(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts
) -> None:
    """Count and price the instances that are not active though they were at the start."""
    epochs, start = grid.n_epochs, pool.active_at_start
    missing = builder.variables(f"{pool.name}.missing", epochs, upper=start)
    terms: list[Term] = [(1.0, missing), (1.0, counts.active)]
    builder.rows(f"{pool.name}.missing_count", epochs, terms, lower=start)
    price_per_s = pool.readiness_per_instance_h / SECONDS_PER_HOUR
    builder.cost("readiness", missing, price_per_s * grid.epoch_durations_s)


def _first(epochs: int) -> FloatArray:
    """Return the vector that is 1 at the first epoch and 0 after it."""
    return np.asarray(np.eye(epochs)[0])


def arrivals(grid: TimeGrid, lead_s: float) -> FloatArray:
    """Return the matrix that maps commands to arrivals, shape (K, K).

    Row k, column k' is 1 where a command given at epoch k' takes effect at epoch k; a command
    that takes effect after the horizon has an empty column.
    """
    starts = grid.epoch_starts_s
    effect = np.searchsorted(starts, starts + lead_s - 1e-9)
    matrix = np.zeros((len(starts), len(starts)))
    inside = effect < len(starts)
    matrix[effect[inside], np.flatnonzero(inside)] = 1.0
    return matrix


def arriving_at_start(pool: PoolProblem, grid: TimeGrid) -> tuple[FloatArray, FloatArray]:
    """Return what is in transit at the start by arrival epoch, awake and asleep, each (K,)."""
    starts = grid.epoch_starts_s
    awake, asleep = np.zeros(len(starts)), np.zeros(len(starts))
    for arrival in pool.arrivals:
        epoch = int(np.searchsorted(starts, arrival.at_s - 1e-9))
        if epoch < len(starts):
            (awake if arrival.to == "awake" else asleep)[epoch] += arrival.count
    return awake, asleep


def window(grid: TimeGrid, length_s: float) -> FloatArray:
    """Return the matrix that sums over the last ``length_s`` seconds, shape (K, K)."""
    starts = grid.epoch_starts_s
    ago = starts[:, None] - starts[None, :]
    return ((ago >= 0.0) & (ago < length_s)).astype(float)


def shift_matrix(size: int) -> FloatArray:
    """Return the matrix that takes a vector one epoch back (zero before the first)."""
    return np.eye(size, k=-1)
