"""Compute power in time: it follows loads and caps fast, and a drained instance slowly.

| symbol | name            | meaning                                | shape    |
|--------|-----------------|----------------------------------------|----------|
| c_t    | compute         | mean draw of all pools over step t, kW | (T,)     |
| ce_t   | compute_edge    | draw at step edge t, kW                | (T + 1,) |
| ci_i   | compute_instant | draw at a watched instant i, kW        | (I,)     |

compute_power          c_t  = sum_channels sum_k W_tk Z_k + L_tk R_k
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

import numpy as np

from ebplan.models.kernel import lag_at, mean_lag, mean_weights, weights_at
from ebplan.problem import PoolProblem
from ebplan.site import Response
from ebplan.solvers.blocks.channels import PoolColumns, add_channels, responses, weighted
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term
from ebplan.timegrid import TimeGrid


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
            fast, lag = _weights(channel.fast, channel.slow, grid, times_s)
            carry = fast[:, 1:]
            terms += weighted(-carry, channel.settled)
            terms += weighted(-lag, channel.falling)
            constant += fast[:, 0] * channel.start_kw
            constant += carry.sum(axis=1) * channel.settled_always_kw
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
    return _weights(*responses(pool, direction), grid, times_s)


def _weights(
    fast: Response, slow: Response, grid: TimeGrid, times_s: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    if times_s is None:
        return mean_weights(fast, grid), mean_lag(fast, slow, grid)
    return weights_at(fast, grid, times_s), lag_at(fast, slow, grid, times_s)


def settled_draw_kw(
    pool: PoolProblem, serving: FloatArray, asleep: FloatArray, power_kw: FloatArray
) -> FloatArray:
    """Return the settled draw Z of given counts and power of the serving instances, same shape."""
    idle_kw = pool.drained_kw * (pool.instances - serving - asleep)
    return np.asarray(power_kw + idle_kw + pool.asleep_kw * asleep)
