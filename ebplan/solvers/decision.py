"""What the fleet does: the decisions that everything else follows from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.blocks.counts import Counts
from ebplan.solvers.blocks.lens import Lens
from ebplan.solvers.blocks.prewarm import Prewarm
from ebplan.solvers.blocks.service import Service
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.operations import Operation
from ebplan.solvers.program import FloatArray, IndexArray

NOTHING_KW = 1e-6
"""Powers below a milliwatt are rounding of the solver."""


@dataclass(frozen=True)
class Running:
    """The instances that run in one way, per epoch, each of shape (K,)."""

    operation: Operation
    active: FloatArray
    load: FloatArray
    """Load served, in instance-equivalents of the operation."""
    power_kw: FloatArray
    """Settled power of the active instances."""

    def capacity(self) -> FloatArray:
        """Return the load that the active instances can serve at their power, shape (K,)."""
        active = self.active
        each = np.divide(self.power_kw, active, out=np.zeros(len(active)), where=active > 0)
        return np.where(active > 0, active * self.operation.cap_curve.capacity(each), 0.0)


@dataclass(frozen=True)
class Swaps:
    """Instances of a lower precision without load, and swap commands, each of shape (K,)."""

    drained: FloatArray
    to_tier: FloatArray
    to_own: FloatArray


@dataclass(frozen=True)
class PoolDecision:
    """What one pool does, per epoch, each of shape (K,)."""

    pool: PoolProblem
    ways: tuple[Running, ...]
    """One for each way to run an instance, the pool's own first."""
    drained: FloatArray
    asleep: FloatArray
    to_sleep: FloatArray
    to_wake: FloatArray
    """All wake commands."""
    rejected: dict[str, FloatArray]
    """Rejected load by class in instance-equivalents."""
    deferred: dict[str, FloatArray] = field(default_factory=dict)
    """Load put off (> 0) or worked off (< 0) by class, in instance-equivalents."""
    pulled: dict[str, FloatArray] = field(default_factory=dict)
    """Load served ahead by class, in instance-equivalents."""
    lowered: dict[str, FloatArray] = field(default_factory=dict)
    """Load served at the lower precision by class, in instance-equivalents."""
    swaps: Swaps | None = None
    prewarm: FloatArray | None = None
    """Pre-warm commands."""
    woken_warm: FloatArray | None = None
    """Those of ``to_wake`` that are given while warm."""

    @property
    def own(self) -> Running:
        """The instances of the pool's own precision without a locked clock."""
        return self.ways[0]

    @cached_property
    def serving(self) -> FloatArray:
        """Instances that take requests, shape (K,)."""
        return np.asarray(np.sum([way.active for way in self.ways], axis=0))

    @cached_property
    def power_kw(self) -> FloatArray:
        """Settled power of the serving instances, shape (K,)."""
        return np.asarray(np.sum([way.power_kw for way in self.ways], axis=0))

    @property
    def load(self) -> FloatArray:
        """Load served in instance-equivalents of the pool, shape (K,)."""
        loads = [way.operation.capacity_factor * way.load for way in self.ways]
        return np.asarray(np.sum(loads, axis=0))

    def newly_drained(self) -> tuple[FloatArray, FloatArray]:
        """Return how many instances fewer are active than an epoch before, each of shape (K,).

        Of the pool's own weights, and of the lower precision's.
        """
        tier = self.pool.tier
        lower = self.ways[-1].active if tier else np.zeros(len(self.serving))
        in_tier = tier.active_at_start if tier else 0
        own = self.serving - lower
        return _fewer(own, self.pool.active_at_start), _fewer(lower, in_tier)


def _fewer(active: FloatArray, at_start: int) -> FloatArray:
    return np.asarray(np.maximum(np.append(at_start, active[:-1]) - active, 0.0))


def decide(problem: Problem, formulation: Formulation, x: FloatArray) -> tuple[PoolDecision, ...]:
    """Return what each pool does in a solution ``x``."""
    parts = zip(
        problem.pools,
        formulation.counts,
        formulation.lenses,
        formulation.services,
        formulation.prewarms,
        strict=True,
    )
    return tuple(_decide_pool(x, *part) for part in parts)


def _decide_pool(
    x: FloatArray,
    pool: PoolProblem,
    counts: Counts,
    lenses: tuple[Lens, ...],
    service: Service,
    warmth: Prewarm | None,
) -> PoolDecision:
    def whole(columns: IndexArray) -> FloatArray:
        return np.round(x[columns])

    ways = zip(counts.serving, lenses, strict=True)
    tier, warm = counts.tier, counts.to_wake_warm
    woken_warm = None if warm is None else whole(warm)
    return PoolDecision(
        pool=pool,
        ways=tuple(
            Running(
                operation=lens.operation,
                active=whole(active),
                load=clean(x[lens.load]),
                power_kw=clean(x[lens.power]),
            )
            for active, lens in ways
        ),
        drained=whole(counts.drained),
        asleep=whole(counts.asleep),
        to_sleep=whole(counts.to_sleep),
        to_wake=whole(counts.to_wake) + (0.0 if woken_warm is None else woken_warm),
        rejected={name: clean(x[columns]) for name, columns in service.rejected.items()},
        deferred={name: round_off(x[columns]) for name, columns in service.deferred.items()},
        pulled={name: clean(x[columns]) for name, columns in service.pulled.items()},
        lowered={name: clean(x[columns]) for name, columns in service.lowered.items()},
        swaps=None
        if tier is None
        else Swaps(
            drained=whole(tier.drained), to_tier=whole(tier.to_tier), to_own=whole(tier.to_own)
        ),
        prewarm=None if warmth is None else whole(warmth.command),
        woken_warm=woken_warm,
    )


def round_off(values: FloatArray) -> FloatArray:
    """Cut the solver's rounding next to zero, on either side of it."""
    return np.where(np.abs(values) < NOTHING_KW, 0.0, values)


def clean(values: FloatArray) -> FloatArray:
    """Cut the solver's rounding below zero and next to it."""
    return np.where(values < NOTHING_KW, 0.0, values)
