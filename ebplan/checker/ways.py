"""One way of running a pool's instances, as arrays: what the laws of the lens are asked of.

A pool has its own way (as it is, or capped), may have instances under a locked clock (the same
weights, another capacity curve) and instances in a lower precision (other weights). K epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebplan.checker.curves import (
    HasCapCurve,
    HasLoadCurve,
    load_curve_kw,
    tier_load_at_start,
    usual_load,
)
from ebplan.plan import ClockLockEpoch, PoolEpoch, TierEpoch
from ebplan.problem import ClockLockProblem, PoolProblem, TierProblem

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Way:
    """Instances that run in one way; columns of the plan, each of shape (K,)."""

    name: str
    """The pool's, with what sets the way apart behind it."""
    draws_as: HasLoadCurve
    """Whose load curve it has."""
    serves_as: HasCapCurve
    """Whose cap curve it has."""
    min_utilisation: float
    max_utilisation: float
    start_utilisation: float
    """Utilisation at which a cap is priced."""
    capacity_factor: float
    """Instance-equivalents of the pool in one of its own."""
    active: FloatArray
    load: FloatArray
    """Load served, in instance-equivalents of its own."""
    utilisation: FloatArray
    capacity_used: FloatArray
    power_kw: FloatArray
    set_points: tuple[float | None, ...]
    """Watts per GPU, or MHz where a clock sets it; None where nothing is set."""

    @property
    def locked(self) -> ClockLockProblem | None:
        """The clock lock that sets its power; None where a power limit does."""
        return self.serves_as if isinstance(self.serves_as, ClockLockProblem) else None

    @cached_property
    def running(self) -> BoolArray:
        """Epochs with active instances."""
        return self.active > 0

    @cached_property
    def each_kw(self) -> FloatArray:
        """Power of one active instance; full power where there is none."""
        full = np.full_like(self.power_kw, self.serves_as.cap_curve.full_kw)
        return np.divide(self.power_kw, self.active, out=full, where=self.running)

    @cached_property
    def each_load(self) -> FloatArray:
        """Load of one active instance; 0 where there is none."""
        return np.divide(self.load, self.active, out=np.zeros_like(self.load), where=self.running)

    @cached_property
    def natural_kw(self) -> FloatArray:
        """Uncapped power of one active instance at its load."""
        return load_curve_kw(self.draws_as, self.each_load)


def read_ways(
    pool: PoolProblem, epochs: Sequence[PoolEpoch], served: FloatArray, lowered: FloatArray
) -> tuple[Way, ...]:
    """Read the ways of a pool out of its epochs: its own first, the lower precision last.

    Args:
        pool: the pool.
        epochs: what a plan tells it; they have the ways of the pool.
        served: load that all ways serve together, in instance-equivalents, (K,).
        lowered: the part of it that the lower precision serves, (K,).

    The load under a locked clock is what the plan says it is; the pool's own way has the rest.
    """
    clocks = [e.clock_lock for e in epochs if e.clock_lock is not None]
    tiers = [e.tier for e in epochs if e.tier is not None]
    own, further = served, []
    if pool.clock_lock is not None:
        load = np.array([e.active * e.utilisation for e in clocks])
        own = own - load
        further.append(_under_clock(pool, pool.clock_lock, clocks, load))
    if pool.tier is not None:
        own = own - lowered
        further.append(_in_tier(pool, pool.tier, tiers, lowered / pool.tier.capacity_factor))
    return (
        Way(
            name=pool.name,
            draws_as=pool,
            serves_as=pool,
            start_utilisation=usual_load(pool),
            capacity_factor=1.0,
            load=own,
            set_points=tuple(epoch.cap_w_per_gpu for epoch in epochs),
            **_stated(pool, epochs),
        ),
        *further,
    )


def _under_clock(
    pool: PoolProblem, locked: ClockLockProblem, epochs: Sequence[ClockLockEpoch], load: FloatArray
) -> Way:
    return Way(
        name=f"{pool.name}.clock_lock",
        draws_as=pool,
        serves_as=locked,
        start_utilisation=usual_load(pool),
        capacity_factor=1.0,
        load=load,
        set_points=tuple(epoch.clock_mhz for epoch in epochs),
        **_stated(pool, epochs),
    )


def _in_tier(
    pool: PoolProblem, tier: TierProblem, epochs: Sequence[TierEpoch], load: FloatArray
) -> Way:
    return Way(
        name=f"{pool.name}.{tier.name}",
        draws_as=tier,
        serves_as=tier,
        # without an instance in it at the start a cap is priced where the pool's own stood
        start_utilisation=tier_load_at_start(pool) or usual_load(pool),
        capacity_factor=tier.capacity_factor,
        load=load,
        set_points=tuple(epoch.cap_w_per_gpu for epoch in epochs),
        **_stated(pool, epochs),
    )


def _stated(
    pool: PoolProblem, epochs: Sequence[PoolEpoch | ClockLockEpoch | TierEpoch]
) -> dict[str, Any]:
    """Return what every way has alike: the pool's limits, and the columns that a plan states."""
    columns = ("active", "utilisation", "capacity_used", "power_kw")
    return {
        "min_utilisation": pool.min_utilisation,
        "max_utilisation": pool.max_utilisation,
        **{c: np.array([getattr(epoch, c) for epoch in epochs], dtype=float) for c in columns},
    }
