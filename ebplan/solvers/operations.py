"""The ways to run a loaded instance of a pool: as it is or capped, clock-locked, in a lower tier.

Each has a lens of its own (``blocks/lens.py``), spanned by the same two curves. The first is the
pool's own; a locked clock has the same weights and load curve, and a capacity curve of its own; a
lower precision has other weights, and one saturated instance of it serves ``capacity_factor``
instance-equivalents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ebplan.document import FieldFault
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.latency_bounds import LatencyBounds, latency_bounds
from ebplan.problem import PoolProblem

CLOCK_LOCK = "clock_lock"
"""Key of the instances under a locked clock."""
LOCKED_BELOW = 0.98
"""Share of its natural draw that an instance under a locked clock draws at most. A clock that takes
less is none: without this an instance would be called locked only for the clock's milder curve."""


@dataclass(frozen=True)
class Operation:
    """One way to run an instance; loads are in instance-equivalents of its own."""

    key: str | None
    """None for the pool's own, ``clock_lock``, or the name of the tier."""
    name: str
    """What its columns and rows begin with."""
    instances: int
    load: float
    """Load that could be offered to it."""
    load_curve: LoadCurve
    cap_curve: CapCurve
    min_utilisation: float
    max_utilisation: float
    usual_utilisation: float
    utilisation_range: tuple[float, float]
    """Load per active instance that can be reached, lowest and highest."""
    most_active: int
    may_cap: bool = True
    """Whether it may be operated below its natural draw."""
    draws_at_most: float = 1.0
    """Share of its natural draw that it draws at most."""
    capacity_factor: float = 1.0
    """Instance-equivalents of the pool in one of its own."""

    @property
    def full_kw(self) -> float:
        """Uncapped power of one instance at saturation."""
        return self.load_curve.full_kw


def operations(pool: PoolProblem) -> tuple[Operation, ...]:
    """Return the ways to run an instance of the pool, its own first."""
    own = Operation(
        key=None,
        name=pool.name,
        instances=pool.instances,
        load=pool.load,
        load_curve=pool.load_curve,
        cap_curve=pool.cap_curve,
        min_utilisation=pool.min_utilisation,
        max_utilisation=pool.max_utilisation,
        usual_utilisation=pool.usual_utilisation,
        utilisation_range=_own_range(pool),
        most_active=pool.highest_active,
        may_cap=pool.may_cap,
    )
    return (own, *(op for op in (_clock_locked(pool), _tier(pool)) if op is not None))


def _clock_locked(pool: PoolProblem) -> Operation | None:
    if pool.clock_lock is None:
        return None
    return Operation(
        key=CLOCK_LOCK,
        name=f"{pool.name}.{CLOCK_LOCK}",
        instances=pool.instances,
        load=pool.load,
        load_curve=pool.load_curve,
        cap_curve=pool.clock_lock.cap_curve,
        min_utilisation=pool.min_utilisation,
        max_utilisation=pool.max_utilisation,
        usual_utilisation=pool.usual_utilisation,
        utilisation_range=_widest_range(pool),
        most_active=pool.highest_active,
        draws_at_most=LOCKED_BELOW,
    )


def _tier(pool: PoolProblem) -> Operation | None:
    tier = pool.tier
    if tier is None:
        return None
    return Operation(
        key=tier.name,
        name=f"{pool.name}.{tier.name}",
        instances=pool.instances,
        load=pool.load / tier.capacity_factor,
        load_curve=tier.load_curve,
        cap_curve=tier.cap_curve,
        min_utilisation=pool.min_utilisation,
        max_utilisation=pool.max_utilisation,
        usual_utilisation=tier.utilisation_at_start or pool.usual_utilisation,
        utilisation_range=_widest_range(pool),
        most_active=pool.highest_active,
        may_cap=pool.may_cap,
        capacity_factor=tier.capacity_factor,
    )


def _widest_range(pool: PoolProblem) -> tuple[float, float]:
    # a margin keeps rounding inside
    return pool.min_utilisation * (1.0 - 1e-4), pool.max_utilisation * (1.0 + 1e-4)


def _own_range(pool: PoolProblem) -> tuple[float, float]:
    """Return the load per active instance that can be reached; tighter where nothing moves it."""
    low, high = _widest_range(pool)
    moves = any(c.deferral is not None or c.pull_forward is not None for c in pool.classes)
    if moves or pool.tier is not None or pool.clock_lock is not None:
        return low, high
    kept = sum(c.load - c.max_rejected for c in pool.classes)
    low = max(low, kept / max(pool.highest_active, 1) * (1.0 - 1e-4))
    high = min(high, pool.load / max(pool.fewest_active, 1) * (1.0 + 1e-4))
    return low, max(high, low * (1.0 + 2e-4))


def operated(pool: PoolProblem, operation: Operation) -> PoolProblem:
    """Return the pool as it would be if all its instances ran this way: its curves for the pool's.

    What a limit on latency asks of an instance follows from it.
    """
    if operation.key is None:
        return pool
    curves = {"load_curve": operation.load_curve, "cap_curve": operation.cap_curve}
    return pool.model_copy(update=curves)


@lru_cache(maxsize=256)
def bounds_of(pool: PoolProblem, operation: Operation) -> LatencyBounds:
    """Return what the limits on latency of a pool's classes ask of one way to run its instances.

    A further way that is too slow for a hard limit, even uncapped, may take no load at all.
    """
    one_way = operated(pool, operation)
    try:
        return latency_bounds(one_way)
    except FieldFault:
        if operation.key is None:
            raise
        return LatencyBounds(
            max_utilisation=0.0,
            power_share=None,
            because_of="itl",
            priced_load=(),
            priced_power=(),
            natural_line=one_way.load_curve.tangent(one_way.usual_utilisation),
        )
