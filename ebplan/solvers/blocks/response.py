"""Compute power in time: it follows loads and caps fast, and a drained instance slowly.

| symbol | name            | meaning                                | shape    |
|--------|-----------------|----------------------------------------|----------|
| c_t    | compute         | mean draw of all pools over step t, kW | (T,)     |
| ce_t   | compute_edge    | draw at step edge t, kW                | (T + 1,) |
| ci_i   | compute_instant | draw at a watched instant i, kW        | (I,)     |

compute_power          c_t  = sum_channels sum_k W_tk Z_k + L_tk R_k
                              + what earlier commands have left on its way (models/kernel.py)
compute_edge_power     ce_t = the same with the weights at the edge
compute_instant_power  ci_i = the same with the weights at the instant

Z is the settled draw and R what newly drained instances fall by, of all pools that answer alike
(``blocks/channels.py``).

W are the weights of the fast response: load and caps move the power within a second. Down and up
differ: a release counts with the way down, which is no slower than the way up (a rise is then never
counted late), an absorb with the way up. An instance that is drained (r_k of them) finishes what it
has in flight: it falls with the slow response instead, and L is what lies between the two. It is
taken to fall from saturation, so that the draw is never understated; in an absorb event L = 0, so
that it is never overstated. Weights: models/kernel.py.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from ebplan.solvers.blocks.channels import Channel, PoolColumns, add_channels, responses
from ebplan.solvers.program import (
    Entries,
    FloatArray,
    IndexArray,
    ProgramBuilder,
    Term,
    entries,
)
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
    pools: Sequence[PoolColumns],
    grid: TimeGrid,
    instants_s: FloatArray,
    direction: int,
) -> ComputePower:
    """Add the draw of all pools, as step means, at step edges and at watched instants (I,)."""
    most_kw = sum(2.0 * part.pool.highest_kw for part in pools)
    channels = add_channels(builder, pools, grid, direction)

    def add(name: str, size: int, times_s: FloatArray | None) -> IndexArray:
        total = builder.variables(name, size, upper=most_kw)
        terms: list[Term] = [(1.0, total)]
        constant = np.zeros(size)
        for channel in channels:
            fast, _ = weights_of(channel.fast, channel.slow, grid, times_s)
            terms += _driven_by(channel, fast, grid, times_s)
            constant += fast[:, 0] * channel.start_kw
            constant += fast[:, 1:].sum(axis=1) * channel.settled_always_kw
        for part in pools:
            constant += settling_kw(part.pool, grid, times_s)
        builder.rows(f"{name}_power", size, terms, lower=constant, upper=constant)
        return total

    return ComputePower(
        mean=add("compute", grid.n_steps, None),
        edge=add("compute_edge", grid.n_steps + 1, np.array(grid.edges_s)),
        instant=add("compute_instant", len(instants_s), instants_s),
    )


def _driven_by(
    channel: Channel, fast: FloatArray, grid: TimeGrid, times_s: FloatArray | None
) -> list[Term]:
    """Return the terms of what a channel adds to the power, on the side of the total."""
    carry, lag = _carried(channel.fast, channel.slow, grid, _key(times_s))
    terms: list[Term] = []
    for coefficient, columns in channel.settled:
        each = np.asarray(coefficient, dtype=float)
        # a pre-warm works for some epochs after its command: a matrix
        terms.append((-carry * float(each) if each.ndim == 0 else -fast[:, 1:] @ each, columns))
    terms += [(-lag * float(np.asarray(kw)), columns) for kw, columns in channel.falling]
    return terms


def response_weights(
    pool: PoolProblem, grid: TimeGrid, times_s: FloatArray | None, direction: int
) -> tuple[FloatArray, FloatArray]:
    """Return W (R, K + 1) and L (R, K): of the step means, or at ``times_s`` where given."""
    return weights_of(*responses(pool, direction), grid, times_s)


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
