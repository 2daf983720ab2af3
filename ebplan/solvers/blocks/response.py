"""Compute power in time: settled inputs through the two response channels.

| symbol | name         | meaning                                | shape    |
|--------|--------------|----------------------------------------|----------|
| c_t    | compute      | mean draw of all pools over step t, kW | (T,)     |
| ce_t   | compute_edge | draw at step edge t, kW                | (T + 1,) |
| ci_i   | compute_instant | draw at a watched instant i, kW     | (I,)     |

slow input   X_k = p_D (N - A_k - S_k) + p_S S_k + f(1) A_k    counts: routing and draining
fast input   Y_k = P_k - f(1) A_k                              load and caps

compute_power        c_t  = sum_pools sum_k W^slow_tk X_k + W^fast_tk Y_k
compute_edge_power   ce_t = the same with the weights at the edge
compute_instant_power  ci_i = the same with the weights at the instant

Instances in transit draw p_D. Weights: models/kernel.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ebplan.models.kernel import edge_weights, instant_weights, mean_weights
from ebplan.problem import PoolProblem
from ebplan.site import Response
from ebplan.solvers.blocks.counts import Counts
from ebplan.solvers.blocks.lens import Lens
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term
from ebplan.timegrid import TimeGrid

Weights = Callable[[Response, TimeGrid], FloatArray]


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
    lenses: list[Lens],
    instants_s: FloatArray,
) -> ComputePower:
    """Add the draw of all pools, as step means, at step edges and at watched instants (I,)."""
    most_kw = sum(pool.instances * pool.full_kw for pool in pools)

    def add(name: str, label: str, size: int, weights: Weights) -> IndexArray:
        total = builder.variables(name, size, upper=most_kw)
        terms: list[Term] = [(1.0, total)]
        constant = np.zeros(size)
        for pool, count, lens in zip(pools, counts, lenses, strict=True):
            slow, fast = weights(pool.route_response, grid), weights(pool.cap_response, grid)
            start_slow, start_fast = start_inputs(pool)
            drained, asleep, full = pool.drained_kw, pool.asleep_kw, pool.full_kw
            terms += [
                (-slow[:, 1:] * (full - drained) + fast[:, 1:] * full, count.active),
                (-slow[:, 1:] * (asleep - drained), count.asleep),
                (-fast[:, 1:], lens.power),
            ]
            constant += slow[:, 0] * start_slow + fast[:, 0] * start_fast
            constant += slow[:, 1:].sum(axis=1) * drained * pool.instances
        builder.rows(label, size, terms, lower=constant, upper=constant)
        return total

    return ComputePower(
        mean=add("compute", "compute_power", grid.n_steps, mean_weights),
        edge=add("compute_edge", "compute_edge_power", grid.n_steps + 1, edge_weights),
        instant=add(
            "compute_instant",
            "compute_instant_power",
            len(instants_s),
            partial(instant_weights, times_s=instants_s),
        ),
    )


def start_inputs(pool: PoolProblem) -> tuple[float, float]:
    """Return the settled slow and fast inputs of the state at the start, in kW."""
    active, asleep = np.array([pool.active_at_start]), np.array([pool.asleep_at_start])
    slow = float(slow_input(pool, active, asleep)[0])
    return slow, pool.power_at_start_kw() - slow


def slow_input(pool: PoolProblem, active: FloatArray, asleep: FloatArray) -> FloatArray:
    """Return the settled slow input X of given counts in kW, same shape."""
    idle_kw = pool.drained_kw * (pool.instances - active - asleep)
    return np.asarray(idle_kw + pool.asleep_kw * asleep + pool.full_kw * active)
