"""What limits on latency mean for the operation of a pool: less utilisation, shallower caps.

Convex, and cautious: with ``x`` the utilisation of the capacity that the power allows and ``z`` the
speed left by a cap (``models/latency.py``),

- a limit on ITL asks ``z >= itl / limit``, a power floor at the share k(z) of the natural draw,
  written with the tangent of the load curve, which lies nowhere below it;
- a limit on TTFT asks ``x <= x*``, where (prefill + W95(x*)) / z = limit at the *lowest* speed z
  that caps may leave. Where that would rule out how the pool runs when the plan starts, caps are
  made shallower first: z >= (prefill + W95(x_0)) / limit.

The tangent lies above the load curve away from the start. Caps shallower than that gap are not
resolved: ``finest`` is the highest speed that can be held.

All classes share the queue and the caps: a pool with a protected class with limits is bound as a
whole. Limits with a price are thresholds with a price beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ebplan.document import FieldFault
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.latency import (
    ClassLatency,
    Queue,
    power_share,
    speed,
    speed_per_power_share,
)


class ServedClass(Protocol):
    """What is asked of a class; the fields of ``ClassProblem``."""

    @property
    def name(self) -> str:
        """Name of the class."""

    @property
    def load(self) -> float:
        """Offered load in instance-equivalents."""

    @property
    def latency(self) -> ClassLatency | None:
        """Its latency and limits."""


class OperatedPool(Protocol):
    """What is asked of a pool; the fields of ``PoolProblem``."""

    @property
    def instances(self) -> int:
        """Number of instances."""

    @property
    def usual_active(self) -> int:
        """Instances that take requests when nothing is asked."""

    @property
    def load(self) -> float:
        """Offered load of all classes in instance-equivalents."""

    @property
    def load_curve(self) -> LoadCurve:
        """Uncapped power of one instance against utilisation."""

    @property
    def cap_curve(self) -> CapCurve:
        """Capacity of one instance against its power."""

    @property
    def min_utilisation(self) -> float:
        """Lowest utilisation of an active instance."""

    @property
    def max_utilisation(self) -> float:
        """Highest utilisation of the capacity that the power allows."""

    @property
    def usual_utilisation(self) -> float:
        """Load per instance that is usually active."""

    @property
    def queue(self) -> Queue | None:
        """Waiting for a service slot."""

    @property
    def classes(self) -> Sequence[ServedClass]:
        """Request classes served."""


@dataclass(frozen=True)
class PricedLoad:
    """Load beyond a utilisation, late by its class's share."""

    name: str
    above_utilisation: float
    share: float
    """Late load of the class for each unit of load beyond the threshold."""
    price_per_s: float
    """Money per second for one instance-equivalent of late load."""


@dataclass(frozen=True)
class PricedPower:
    """Power below a share of the natural draw, where tokens of the class come late."""

    name: str
    below_share: float
    late_per_kw: float
    """Late load of the class for each kW below."""
    price_per_s: float
    """Money per second for one instance-equivalent of late load."""


@dataclass(frozen=True)
class LatencyBounds:
    """Bounds on a pool; None where there is none beyond those of the lens."""

    max_utilisation: float | None
    """Highest utilisation of the capacity that the power allows."""
    power_share: float | None
    """Lowest power, as a share of the natural draw."""
    because_of: Literal["itl", "ttft"]
    """Which limit set ``power_share``."""
    priced_load: tuple[PricedLoad, ...]
    priced_power: tuple[PricedPower, ...]
    natural_line: tuple[float, float]
    """Slope and intercept of the tangent that stands for the natural draw of an instance."""


def latency_bounds(pool: OperatedPool) -> LatencyBounds:
    """Return what the limits of a pool's classes ask of it; classes without load ask nothing.

    Raises:
        FieldFault: a limit that no plan could keep; the field is ``CLASS.latency.FIELD``.
    """
    served = [(c, c.latency) for c in pool.classes if c.latency is not None and c.load > 0.0]
    hard = [(c, latency) for c, latency in served if latency.is_hard]
    z, because_of, lowest = _speed_floor(pool, hard)
    elasticity, queue = pool.cap_curve.elasticity, pool.queue
    highest = pool.max_utilisation
    for _, latency in hard:
        if latency.ttft_p95_limit_s is not None and queue is not None:
            wait_s = latency.ttft_p95_limit_s * z - latency.prefill_s
            highest = min(highest, queue.utilisation_within(wait_s))
    priced_load, priced_power = [], []
    for c, latency in served:
        price = latency.late_per_instance_s
        if price is None:
            continue
        share = c.load / pool.load
        _priced_can_be_kept(c.name, latency)
        if latency.ttft_p95_limit_s is not None and queue is not None:
            threshold = queue.utilisation_within(latency.ttft_p95_limit_s - latency.prefill_s)
            priced_load.append(PricedLoad(c.name, threshold, share, price))
        if latency.itl_limit_s is not None and latency.itl_s is not None:
            below = power_share(latency.itl_s / latency.itl_limit_s, elasticity)
            late = _late_per_kw(pool, c.load, latency.itl_s / latency.itl_limit_s)
            priced_power.append(PricedPower(c.name, below, late, price))
    return LatencyBounds(
        max_utilisation=highest if highest < pool.max_utilisation else None,
        power_share=power_share(z, elasticity) if z > lowest else None,
        because_of=because_of,
        priced_load=tuple(priced_load),
        priced_power=tuple(priced_power),
        natural_line=pool.load_curve.tangent(pool.usual_utilisation),
    )


def finest_speed(pool: OperatedPool) -> float:
    """Return the highest speed that can be asked for: what an uncapped instance is sure to have.

    The tangent lies above the load curve by a share that is largest at the ends of the range.
    """
    slope, intercept = pool.load_curve.tangent(pool.usual_utilisation)
    ends = (pool.min_utilisation, 1.0)
    shares = [float(pool.load_curve.power_kw(u)) / (slope * u + intercept) for u in ends]
    return speed(min(*shares, 1.0) - 1e-9, pool.cap_curve.elasticity)


def capacity_used_at_start(pool: OperatedPool) -> float:
    """Return the utilisation of the capacity that the power allows when the plan starts."""
    if not pool.usual_active:
        return 1.0
    at = pool.usual_utilisation
    return min(at / float(pool.cap_curve.capacity(float(pool.load_curve.power_kw(at)))), 1.0)


def _speed_floor(
    pool: OperatedPool, hard: Sequence[tuple[ServedClass, ClassLatency]]
) -> tuple[float, Literal["itl", "ttft"], float]:
    """Return the speed that caps must leave, what asks for it, and what the cap floor leaves."""
    if not hard:
        return 0.0, "itl", 0.0  # nothing asks for any
    curve = pool.cap_curve
    natural_kw = float(pool.load_curve.power_kw(pool.max_utilisation))
    lowest = speed(curve.floor_kw / natural_kw, curve.elasticity)
    finest = finest_speed(pool)
    z = lowest
    for c, latency in hard:
        if latency.itl_limit_s is not None and latency.itl_s is not None:
            least_s = _slowed(latency.itl_s, finest)
            _refuse_unreachable(c.name, "itl_limit_s", latency.itl_limit_s, least_s)
            z = max(z, latency.itl_s / latency.itl_limit_s)
    by_itl, queue = z, pool.queue
    for c, latency in hard:
        if latency.ttft_p95_limit_s is not None and queue is not None:
            limit_s = latency.ttft_p95_limit_s
            _refuse_unreachable(
                c.name, "ttft_p95_limit_s", limit_s, _slowed(latency.prefill_s, finest)
            )
            now_s = latency.prefill_s + queue.wait_p95_s(capacity_used_at_start(pool))
            z = max(z, min(now_s / limit_s, finest))
    return z, "ttft" if z > by_itl else "itl", lowest


def _slowed(time_s: float, speed: float) -> float:
    """Return how long something takes at a share of the speed."""
    return time_s / speed if speed > 0.0 else math.inf


def _refuse_unreachable(name: str, field: str, limit_s: float, least_s: float) -> None:
    if limit_s < least_s:
        raise FieldFault(
            field=f"{name}.latency.{field}",
            value=limit_s,
            allowed=f">= {least_s:.4g} s, what an uncapped instance is sure to keep",
            remedy="raise the limit, or correct the latency of the workload",
        )


def _priced_can_be_kept(name: str, latency: ClassLatency) -> None:
    """Refuse limits with a price that every request would break."""
    if latency.ttft_p95_limit_s is not None:
        _refuse_unreachable(name, "ttft_p95_limit_s", latency.ttft_p95_limit_s, latency.prefill_s)
    if latency.itl_limit_s is not None and latency.itl_s is not None:
        _refuse_unreachable(name, "itl_limit_s", latency.itl_limit_s, latency.itl_s)


def _late_per_kw(pool: OperatedPool, load: float, needed: float) -> float:
    """Return the load whose tokens come late for each kW below the floor.

    At the speed z < z_min the share 1 - z / z_min of an answer's tokens is late; taken from the
    slope at the floor, and at the load per active instance of the start.
    """
    elasticity = pool.cap_curve.elasticity
    natural_kw = float(pool.load_curve.power_kw(pool.usual_utilisation))
    slope = speed_per_power_share(power_share(needed, elasticity), elasticity)
    return load / (pool.usual_active or pool.instances) * slope / (needed * natural_kw)
