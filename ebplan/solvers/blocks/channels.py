"""Pools that answer alike share a channel: what couples them is then two rows for each epoch.

| symbol | name         | meaning                                                  | shape |
|--------|--------------|----------------------------------------------------------|-------|
| Z_k    | settled_draw | draw of the pools when settled, kW                       | (K,)  |
| R_k    | falling      | kW that instances drained at epoch k fall by, from f(1)  | (K,)  |

settled_draw     Z_k = sum_pools sum_i P_ik + p_D (N - sum_i A_ik - S_k) + p_S S_k + p_W (pre-warm)
                       over the ways i to run an instance; instances in transit draw p_D
falling          R_k = sum_pools (f(1) - p_D) r_k   (and of the tier, with its own f(1))

Pools answer alike where their fast and their slow response are the same. Power in time is linear
in Z and R with the same weights for all of them (``blocks/response.py``): without the channel each
pool would stand in all 2 T + 1 rows of the power in time, with it in 2 K. A pool that answers like
no other has no columns of its own here: its terms go into those rows directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.problem import PoolProblem
from ebplan.site import Response
from ebplan.solvers.blocks.counts import Counts
from ebplan.solvers.blocks.lens import Lens
from ebplan.solvers.blocks.prewarm import Prewarm, lead_epochs
from ebplan.solvers.program import ProgramBuilder, Term
from ebplan.timegrid import TimeGrid


@dataclass(frozen=True)
class PoolColumns:
    """A pool and the columns that say what it does."""

    pool: PoolProblem
    counts: Counts
    lenses: tuple[Lens, ...]
    prewarm: Prewarm | None


@dataclass(frozen=True)
class Channel:
    """What pools that answer alike feed into the power in time."""

    fast: Response
    slow: Response
    settled: tuple[Term, ...]
    """Terms of the settled draw, in kW at each epoch, but for what they draw in any case."""
    settled_always_kw: float
    """What they draw in any case: every instance drained."""
    falling: tuple[Term, ...]
    """Terms of what falls with the slow response."""
    start_kw: float
    """Settled draw when the plan starts."""


def responses(pool: PoolProblem, direction: int) -> tuple[Response, Response]:
    """Return the fast and the slow response that count in an event of this direction."""
    if direction < 0:
        return pool.cap_response, pool.route_response
    # Power that a drained instance has not shed yet counts against a release, never for an absorb.
    fast = pool.rise_response or pool.cap_response
    return fast, fast


def alike(pools: Sequence[PoolProblem], direction: int) -> list[list[int]]:
    """Return the indices of the pools that answer alike, in the order in which they first stand."""
    groups: dict[tuple[Response, Response], list[int]] = {}
    for i, pool in enumerate(pools):
        groups.setdefault(responses(pool, direction), []).append(i)
    return list(groups.values())


def add_channels(
    builder: ProgramBuilder, pools: Sequence[PoolColumns], grid: TimeGrid, direction: int
) -> list[Channel]:
    """Add a channel for all pools that answer alike; return what feeds into the power in time."""
    channels: list[Channel] = []
    for members in alike([p.pool for p in pools], direction):
        group = [pools[i] for i in members]
        fast, slow = responses(group[0].pool, direction)
        settled = [term for part in group for term in settled_terms(part, grid)]
        falling = [] if fast == slow else [term for part in group for term in falling_terms(part)]
        always_kw = sum(part.pool.drained_kw * part.pool.instances for part in group)
        if len(group) > 1:
            name = f"channel.{len(channels)}"
            most_kw = sum(most_settled_kw(part.pool) for part in group)
            settled = _shared(builder, f"{name}.settled_draw", grid, settled, always_kw, most_kw)
            most_kw = sum(most_falling_kw(part.pool) for part in group)
            falling = _shared(builder, f"{name}.falling", grid, falling, 0.0, most_kw)
            always_kw = 0.0
        channels.append(
            Channel(
                fast=fast,
                slow=slow,
                settled=tuple(settled),
                settled_always_kw=always_kw,
                falling=tuple(falling),
                start_kw=sum(part.pool.power_at_start_kw() for part in group),
            )
        )
    return channels


def settled_terms(part: PoolColumns, grid: TimeGrid) -> list[Term]:
    """Return the terms of one pool's settled draw Z, but for every instance being drained."""
    pool, counts, warmth = part.pool, part.counts, part.prewarm
    terms: list[Term] = [(1.0, lens.power) for lens in part.lenses]
    terms += [(-pool.drained_kw, active) for active in counts.serving]
    terms.append((pool.asleep_kw - pool.drained_kw, counts.asleep))
    if warmth is not None and pool.prewarm is not None:
        working_kw = pool.prewarm.power_kw * lead_epochs(pool.prewarm, grid)
        terms.append((working_kw, warmth.command))
    return terms


def falling_terms(part: PoolColumns) -> list[Term]:
    """Return the terms of what one pool's newly drained instances fall by, R."""
    pool, counts = part.pool, part.counts
    terms: list[Term] = [(pool.full_kw - pool.drained_kw, counts.newly_drained)]
    if counts.tier is not None and pool.tier is not None:
        terms.append((pool.tier.load_curve.full_kw - pool.drained_kw, counts.tier.newly_drained))
    return terms


def _shared(
    builder: ProgramBuilder,
    name: str,
    grid: TimeGrid,
    terms: Sequence[Term],
    always_kw: float,
    most_kw: float,
) -> list[Term]:
    """Add one quantity of a channel as columns of its own; return the one term that is left."""
    if not terms:
        return []
    columns = builder.variables(name, grid.n_epochs, upper=most_kw)
    own: list[Term] = [(1.0, columns), *((-np.asarray(c, dtype=float), at) for c, at in terms)]
    builder.rows(name, grid.n_epochs, own, lower=always_kw, upper=always_kw)
    return [(1.0, columns)]


def most_settled_kw(pool: PoolProblem) -> float:
    """Return a bound on the settled draw of a pool."""
    return pool.highest_kw + pool.instances * max(pool.drained_kw, pool.asleep_kw)


def most_falling_kw(pool: PoolProblem) -> float:
    """Return a bound on what falls at one epoch: every count of newly drained ones at its own."""
    full_kw = [pool.full_kw, *([pool.tier.load_curve.full_kw] if pool.tier else [])]
    return pool.instances * sum(max(kw - pool.drained_kw, 0.0) for kw in full_kw)
