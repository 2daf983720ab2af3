"""Compute power in time: it follows loads and caps fast, and a drained instance slowly.

| symbol | name            | meaning                                | shape    |
|--------|-----------------|----------------------------------------|----------|
| c_t    | compute         | mean draw of all pools over step t, kW | (T,)     |
| ce_t   | compute_edge    | draw at step edge t, kW                | (T + 1,) |
| ci_i   | compute_instant | draw at a watched instant i, kW        | (I,)     |

settled draw   Z_k = sum_i P_ik + p_D (N - sum_i A_ik - S_k) + p_S S_k + p_W (pre-warm at work)
               over the ways i to run an instance; instances in transit draw p_D

compute_power          c_t  = sum_pools sum_k W_tk Z_k + L_tk (f(1) - p_D) r_k   (and of the tier)
                              + what earlier commands have left on its way (models/kernel.py)
compute_edge_power     ce_t = the same with the weights at the edge
compute_instant_power  ci_i = the same with the weights at the instant

W are the weights of the fast response: load and caps move the power within a second. Down and up
differ: a release counts with the way down, which is no slower than the way up (a rise is then never
counted late), an absorb with the way up. An instance that is drained (r_k of them) finishes what it
has in flight: it falls with the slow response instead, and L is what lies between the two. It is
taken to fall from saturation, so that the draw is never understated; in an absorb event L = 0, so
that it is never overstated. Weights: models/kernel.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ebplan.models.kernel import (
    lag_at,
    mean_lag,
    mean_settling,
    mean_weights,
    settling_at,
    weights_at,
)
from ebplan.problem import PoolProblem
from ebplan.site import Response
from ebplan.solvers.blocks.counts import Counts
from ebplan.solvers.blocks.lens import Lens
from ebplan.solvers.blocks.prewarm import Prewarm, lead_epochs
from ebplan.solvers.program import Entries, FloatArray, IndexArray, ProgramBuilder, Term, entries
from ebplan.timegrid import TimeGrid

CACHED = 64
"""Weights that are kept, each of a pair of responses, a grid and times: some 30 kB."""
MOST_TIMES_KEPT = 200
"""Instants of one cached set of weights; step edges are fewer."""


@dataclass(frozen=True)
class ComputePower:
    """Columns of the compute power."""

    mean: IndexArray
    """Shape (T,)."""
    edge: IndexArray
    """Shape (T + 1,)."""
    instant: IndexArray
    """Shape (I,)."""


def add_compute_power(
    builder: ProgramBuilder,
    pools: tuple[PoolProblem, ...],
    grid: TimeGrid,
    counts: list[Counts],
    lenses: list[tuple[Lens, ...]],
    prewarms: list[Prewarm | None],
    instants_s: FloatArray,
    direction: int,
) -> ComputePower:
    """Add the draw of all pools, as step means, at step edges and at watched instants (I,)."""
    most_kw = sum(2.0 * pool.highest_kw for pool in pools)

    def add(name: str, size: int, times_s: FloatArray | None) -> IndexArray:
        total = builder.variables(name, size, upper=most_kw)
        terms: list[Term] = [(1.0, total)]
        constant = np.zeros(size)
        for pool, count, ways, warmth in zip(pools, counts, lenses, prewarms, strict=True):
            fast, _ = response_weights(pool, grid, times_s, direction)
            carry, lag = _carried(*responses(pool, direction), grid, _key(times_s))
            terms += [(-carry, lens.power) for lens in ways]
            terms += [(carry * pool.drained_kw, active) for active in count.serving]
            terms += [
                (carry * (pool.drained_kw - pool.asleep_kw), count.asleep),
                (-lag * (pool.full_kw - pool.drained_kw), count.newly_drained),
            ]
            if count.tier is not None and pool.tier is not None:
                fall_kw = pool.tier.load_curve.full_kw - pool.drained_kw
                terms.append((-lag * fall_kw, count.tier.newly_drained))
            if warmth is not None and pool.prewarm is not None:
                working_kw = pool.prewarm.power_kw * lead_epochs(pool.prewarm, grid)
                terms.append((-fast[:, 1:] @ working_kw, warmth.command))
            constant += fast[:, 0] * pool.power_at_start_kw() + settling_kw(pool, grid, times_s)
            constant += fast[:, 1:].sum(axis=1) * pool.drained_kw * pool.instances
        builder.rows(f"{name}_power", size, terms, lower=constant, upper=constant)
        return total

    return ComputePower(
        mean=add("compute", grid.n_steps, None),
        edge=add("compute_edge", grid.n_steps + 1, np.array(grid.edges_s)),
        instant=add("compute_instant", len(instants_s), instants_s),
    )


def response_weights(
    pool: PoolProblem, grid: TimeGrid, times_s: FloatArray | None, direction: int
) -> tuple[FloatArray, FloatArray]:
    """Return W (R, K + 1) and L (R, K): of the step means, or at ``times_s`` where given."""
    return weights_of(*responses(pool, direction), grid, times_s)


def responses(pool: PoolProblem, direction: int) -> tuple[Response, Response]:
    """Return how the pool's power follows loads and caps, and drained instances."""
    fast = pool.cap_response if direction < 0 else pool.rise_response or pool.cap_response
    # Power that a drained instance has not shed yet counts against a release, never for an absorb.
    return fast, pool.route_response if direction < 0 else fast


def weights_of(
    fast: Response, slow: Response, grid: TimeGrid, times_s: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return W (R, K + 1) and L (R, K) of a pair of responses.

    Those of the step means and of a few times are kept: they may not be written to.
    """
    if times_s is not None and len(times_s) > MOST_TIMES_KEPT:
        return weights_at(fast, grid, times_s), lag_at(fast, slow, grid, times_s)
    return _weights(fast, slow, grid, _key(times_s))


def _key(times_s: FloatArray | None) -> bytes | None:
    """Return times as what a cache can tell apart."""
    return None if times_s is None else np.asarray(times_s, dtype=np.float64).tobytes()


@lru_cache(maxsize=CACHED)
def _weights(
    fast: Response, slow: Response, grid: TimeGrid, times: bytes | None
) -> tuple[FloatArray, FloatArray]:
    if times is None:
        weights, lag = mean_weights(fast, grid), mean_lag(fast, slow, grid)
    else:
        times_s = np.frombuffer(times)
        weights, lag = weights_at(fast, grid, times_s), lag_at(fast, slow, grid, times_s)
    for shared in (weights, lag):
        shared.setflags(write=False)
    return weights, lag


@lru_cache(maxsize=CACHED)
def _carried(
    fast: Response, slow: Response, grid: TimeGrid, times: bytes | None
) -> tuple[Entries, Entries]:
    """Return the entries of W without its column of the start, and of L."""
    weights, lag = _weights(fast, slow, grid, times)
    return entries(weights[:, 1:]), entries(lag)


def settling_kw(pool: PoolProblem, grid: TimeGrid, times_s: FloatArray | None) -> FloatArray:
    """Return what is on its way at the start, (R,): of the step means, or at ``times_s``."""
    if times_s is None:
        return mean_settling(pool.settling, grid)
    return settling_at(pool.settling, times_s)


def settled_draw_kw(
    pool: PoolProblem, serving: FloatArray, asleep: FloatArray, power_kw: FloatArray
) -> FloatArray:
    """Return the settled draw Z of given counts and power of the serving instances, same shape."""
    idle_kw = pool.drained_kw * (pool.instances - serving - asleep)
    return np.asarray(power_kw + idle_kw + pool.asleep_kw * asleep)
