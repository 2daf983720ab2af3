"""Operating modes: how many instances serve in which way, are drained, asleep or on their way.

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
| i_k    | missing      | serving instances fewer than usual       | (K,)  |

Only where the pool has them:

| C_k    | clock_lock.active    | active under a locked clock                  | (K,) |
| F_k    | TIER.active          | active in the lower precision                | (K,) |
| E_k    | TIER.drained         | hold its weights without load                | (K,) |
| a_k    | to_tier              | commands to load the lower precision         | (K,) |
| b_k    | to_own               | commands to load the pool's own again        | (K,) |
| n_k    | TIER.newly_drained   | fewer active in the lower precision          | (K,) |
| w'_k   | to_wake_warm         | wake commands given while warm (prewarm.py)  | (K,) |

awake_balance    A_k + C_k + D_k = A_{k-1} + C_{k-1} + D_{k-1} - s_k - a_k + arriving_k
                                   + sum_{wakes at k} (w, w') + sum_{own at k} b
asleep_balance   S_k = S_{k-1} - w_k - w'_k + sum_{k': asleep at k} s_{k'} + arriving_k
tier_balance     F_k + E_k = F_{k-1} + E_{k-1} - b_k + sum_{k': in tier at k} a_{k'} + arriving_k
drained_first    s_k + a_k <= D_{k-1},  b_k <= E_{k-1} (tier_drained_first)
min_awake        sum_{arrivals awake in (t_k - min_awake, t_k]} <= A_k + C_k + D_k
min_asleep       sum_{arrivals asleep in (t_k - min_asleep, t_k]} <= S_k
drained_count    r_k >= A_{k-1} + C_{k-1} - A_k - C_k,  n_k likewise of F
missing_count    i_k >= (A + C + F)_usual - (A + C + F)_k
drains_for_real  r_k <= (A + C)_{k-1} - (A + C)_k + N x_k,  r_k <= N (1 - x_k)
                                                                where drawing power is paid
active_range     fewest_active <= A_k + C_k + F_k <= most_active   (a bound where there is A alone)

A command given at epoch k' takes effect at the first epoch at or after ``t_k' + lead``: capacity
counts late, never early. Only an instance that was drained an epoch before is put to sleep, or
given other weights: what it has in flight would be cut off. Active to drained and back is free of
lead: it is a router weight; so is a clock that is locked or released.
What is in transit at the start stands on the right-hand side.
A drained instance draws power a while longer: where energy costs nothing or is paid for, or draw
is asked for as well as less of it, only a binary x_k keeps the program from draining in name only.
The dwell rows are the aggregated minimum up-time rows of Rajan and Takriti (IBM RC23628, 2005).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.problem import PoolProblem, TierProblem
from ebplan.solvers.epochs import (
    arrived_lately,
    arriving_later,
    change,
    first,
    one_before,
    window,
)
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term
from ebplan.timegrid import TimeGrid

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class TierCounts:
    """Columns of the instances in a lower precision, each of shape (K,)."""

    active: IndexArray
    drained: IndexArray
    to_tier: IndexArray
    to_own: IndexArray
    newly_drained: IndexArray


@dataclass(frozen=True)
class Counts:
    """Columns of one pool's counts, each of shape (K,)."""

    active: IndexArray
    drained: IndexArray
    asleep: IndexArray
    to_sleep: IndexArray
    to_wake: IndexArray
    newly_drained: IndexArray
    clock_locked: IndexArray | None = None
    tier: TierCounts | None = None
    to_wake_warm: IndexArray | None = None

    @property
    def with_own_weights(self) -> list[IndexArray]:
        """Active instances of the pool's own precision."""
        return [c for c in (self.active, self.clock_locked) if c is not None]

    @property
    def serving(self) -> list[IndexArray]:
        """Active instances, whichever way they run: in the order of ``operations``."""
        return [*self.with_own_weights, *([self.tier.active] if self.tier else [])]


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
    counts = _columns(builder, pool, grid.n_epochs)
    if _runs_otherwise(pool):
        builder.rows(
            f"{pool.name}.active_range",
            grid.n_epochs,
            [(1.0, columns) for columns in counts.serving],
            lower=pool.fewest_active,
            upper=pool.highest_active,
        )
    _move(builder, pool, grid, counts)
    if pool.tier:
        _swap(builder, pool, pool.tier, grid, counts)
    _stay(builder, pool, grid, counts)
    _count_drained(builder, pool, grid, counts, drawing_pays=drawing_pays)
    _count_missing(builder, pool, grid, counts)
    builder.cost("waking", counts.to_wake, pool.wake_per_instance)
    if counts.to_wake_warm is not None:
        builder.cost("waking", counts.to_wake_warm, pool.wake_per_instance)
    return counts


def _columns(builder: ProgramBuilder, pool: PoolProblem, epochs: int) -> Counts:
    """Add the columns of a pool's counts, each of shape (K,)."""
    most = pool.instances
    sleepers = most if pool.may_sleep else 0
    dormant = pool.asleep_at_start + sum(a.count for a in pool.arrivals if a.to == "asleep")

    def whole(name: str, upper: int, lower: int = 0) -> IndexArray:
        return builder.variables(
            f"{pool.name}.{name}", epochs, lower=lower, upper=upper, integer=True
        )

    def fewer(name: str) -> IndexArray:
        return builder.variables(f"{pool.name}.{name}newly_drained", epochs, upper=most)

    tier, wakeable = pool.tier, max(sleepers, dormant)
    others = _runs_otherwise(pool)
    return Counts(
        active=whole("active", pool.highest_active, 0 if others else pool.fewest_active),
        drained=whole("drained", most),
        asleep=whole("asleep", wakeable),
        to_sleep=whole("to_sleep", sleepers),
        to_wake=whole("to_wake", wakeable),
        newly_drained=fewer(""),
        clock_locked=whole("clock_lock.active", most) if pool.clock_lock else None,
        tier=TierCounts(
            active=whole(f"{tier.name}.active", most),
            drained=whole(f"{tier.name}.drained", most),
            to_tier=whole("to_tier", most),
            to_own=whole("to_own", most),
            newly_drained=fewer(f"{tier.name}."),
        )
        if tier
        else None,
        to_wake_warm=whole("to_wake_warm", wakeable) if pool.prewarm else None,
    )


def _runs_otherwise(pool: PoolProblem) -> bool:
    """Tell whether instances may run in another way than the pool's own."""
    return pool.tier is not None or pool.clock_lock is not None


def _move(builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts) -> None:
    """Add the balances: counts change by commands and arrivals alone."""
    epochs = grid.n_epochs
    arriving_awake, arriving_asleep = arriving_at_start(pool, grid)
    before, since_before, at_first = one_before(epochs), change(epochs), first(epochs)
    wakes = _wakes(pool, counts)
    moved: list[Term] = [(since_before, c) for c in (*counts.with_own_weights, counts.drained)]
    leave: list[Term] = [(1.0, counts.to_sleep)]
    if counts.tier is not None and pool.tier is not None:
        leave.append((1.0, counts.tier.to_tier))
        moved.append((-arriving_later(grid, pool.tier.swap_s), counts.tier.to_own))
    balance = arriving_awake + at_first * (pool.active_at_start + pool.drained_at_start)
    builder.rows(
        f"{pool.name}.awake_balance",
        epochs,
        [*moved, *leave, *((-arriving_later(grid, lead_s), c) for lead_s, c in wakes)],
        lower=balance,
        upper=balance,
    )
    balance = arriving_asleep + at_first * pool.asleep_at_start
    terms: list[Term] = [
        (since_before, counts.asleep),
        (-arriving_later(grid, pool.sleep_s), counts.to_sleep),
    ]
    builder.rows(
        f"{pool.name}.asleep_balance",
        epochs,
        [*terms, *((1.0, command) for _, command in wakes)],
        lower=balance,
        upper=balance,
    )
    builder.rows(
        f"{pool.name}.drained_first",
        epochs,
        [*leave, (-before, counts.drained)],
        upper=at_first * pool.drained_at_start,
    )


def _wakes(pool: PoolProblem, counts: Counts) -> list[tuple[float, IndexArray]]:
    """Return wake commands with the time each takes, in s."""
    wakes = [(pool.wake_s, counts.to_wake)]
    if pool.prewarm is not None and counts.to_wake_warm is not None:
        wakes.append((pool.prewarm.wake_s, counts.to_wake_warm))
    return wakes


def _swap(
    builder: ProgramBuilder, pool: PoolProblem, tier: TierProblem, grid: TimeGrid, counts: Counts
) -> None:
    """Add the balance of the lower precision and the price of changing weights."""
    assert counts.tier is not None
    epochs = grid.n_epochs
    at_first = first(epochs)
    balance = at_first * pool.in_tier_at_start + arriving_in_tier(pool, grid)
    builder.rows(
        f"{pool.name}.tier_balance",
        epochs,
        [
            (change(epochs), counts.tier.active),
            (change(epochs), counts.tier.drained),
            (1.0, counts.tier.to_own),
            (-arriving_later(grid, tier.swap_s), counts.tier.to_tier),
        ],
        lower=balance,
        upper=balance,
    )
    builder.rows(
        f"{pool.name}.tier_drained_first",
        epochs,
        [(1.0, counts.tier.to_own), (-one_before(epochs), counts.tier.drained)],
        upper=at_first * tier.drained_at_start,
    )
    for command in (counts.tier.to_tier, counts.tier.to_own):
        builder.cost("swapping", command, tier.swap_price_per_instance)


def _stay(builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts) -> None:
    """Add the dwell rows: who arrived within the minimum time is still there."""
    epochs = grid.n_epochs
    arriving_awake, arriving_asleep = arriving_at_start(pool, grid)
    awake_s, asleep_s = pool.min_awake_s, pool.min_asleep_s
    came: list[Term] = [(arrived_lately(grid, s, awake_s), c) for s, c in _wakes(pool, counts)]
    builder.rows(
        f"{pool.name}.min_awake",
        epochs,
        [*came, *((-1.0, c) for c in (*counts.with_own_weights, counts.drained))],
        upper=-window(grid, awake_s) @ arriving_awake,
    )
    fell_asleep = arrived_lately(grid, pool.sleep_s, asleep_s)
    builder.rows(
        f"{pool.name}.min_asleep",
        epochs,
        [(fell_asleep, counts.to_sleep), (-1.0, counts.asleep)],
        upper=-window(grid, asleep_s) @ arriving_asleep,
    )


def _count_drained(
    builder: ProgramBuilder,
    pool: PoolProblem,
    grid: TimeGrid,
    counts: Counts,
    *,
    drawing_pays: bool,
) -> None:
    """Count and price the instances that are drained at each epoch, by the weights they hold."""
    groups = [("", counts.newly_drained, counts.with_own_weights, pool.active_at_start)]
    if counts.tier is not None and pool.tier is not None:
        tier = counts.tier
        start = pool.tier.active_at_start
        groups.append((f"{pool.tier.name}.", tier.newly_drained, [tier.active], start))
    epochs, most = grid.n_epochs, pool.instances
    at_first = first(epochs)
    for prefix, drained, active, start in groups:
        name = f"{pool.name}.{prefix}"
        fewer = at_first * start
        moved: list[Term] = [(1.0, drained), *((change(epochs), c) for c in active)]
        builder.rows(f"{name}drained_count", epochs, moved, lower=fewer)
        if drawing_pays:
            still = builder.variables(f"{name}not_drained", epochs, upper=1, integer=True)
            terms: list[Term] = [*moved, (-most, still)]
            builder.rows(f"{name}drains_for_real.0", epochs, terms, upper=fewer)
            terms = [(1.0, drained), (most, still)]
            builder.rows(f"{name}drains_for_real.1", epochs, terms, upper=most)
        builder.cost("draining", drained, pool.drain_per_instance)


def _count_missing(
    builder: ProgramBuilder, pool: PoolProblem, grid: TimeGrid, counts: Counts
) -> None:
    """Count and price the instances that do not serve though as many usually do."""
    epochs, usual = grid.n_epochs, pool.usual_serving
    missing = builder.variables(f"{pool.name}.missing", epochs, upper=usual)
    terms: list[Term] = [(1.0, missing), *((1.0, c) for c in counts.serving)]
    builder.rows(f"{pool.name}.missing_count", epochs, terms, lower=usual)
    price_per_s = pool.readiness_per_instance_h / SECONDS_PER_HOUR
    builder.cost("readiness", missing, price_per_s * grid.epoch_durations_s)


def arriving_at_start(pool: PoolProblem, grid: TimeGrid) -> tuple[FloatArray, FloatArray]:
    """Return what is in transit at the start by arrival epoch, awake and asleep, each (K,)."""
    return _arriving(pool, grid, "awake"), _arriving(pool, grid, "asleep")


def arriving_in_tier(pool: PoolProblem, grid: TimeGrid) -> FloatArray:
    """Return what is on its way to the lower precision at the start by arrival epoch, (K,)."""
    return _arriving(pool, grid, "tier")


def _arriving(pool: PoolProblem, grid: TimeGrid, to: str) -> FloatArray:
    arriving = np.zeros(grid.n_epochs)
    if not pool.arrivals:
        return arriving
    starts = grid.epoch_starts_s
    for arrival in pool.arrivals:
        epoch = int(np.searchsorted(starts, arrival.at_s - 1e-9))
        if arrival.to == to and epoch < len(starts):
            arriving[epoch] += arrival.count
    return arriving
