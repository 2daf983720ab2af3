"""Latency under decisions: how long requests wait, how fast tokens come, which are late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.models.curves import CapCurve
from ebplan.models.latency import speed
from ebplan.models.latency_bounds import LatencyBounds
from ebplan.problem import ClassProblem, PoolProblem
from ebplan.solvers.decision import PoolDecision, Running
from ebplan.solvers.operations import CLOCK_LOCK, bounds_of, operated, operations
from ebplan.solvers.program import FloatArray

FULL = 1e-6
"""A utilisation this close to 1 is 1."""


@dataclass(frozen=True)
class Latency:
    """Latency of a class in one epoch; None where nothing runs or no model knows it."""

    ttft_p95_s: float | None
    itl_s: float | None


def late_by_waiting(way: Running, bounds: LatencyBounds) -> dict[str, FloatArray]:
    """Return the load of each class that waits too long, in the way's own units, (K,) each."""
    capacity = way.capacity()
    return {
        one.name: one.share * np.maximum(way.load - one.above_utilisation * capacity, 0.0)
        for one in bounds.priced_load
    }


def too_slow_kw(way: Running, bounds: LatencyBounds) -> dict[str, FloatArray]:
    """Return the power missing for tokens of each class to come in time, in kW, (K,) each."""
    slope, intercept = bounds.natural_line
    natural_kw = slope * way.load + intercept * way.active
    return {
        one.name: np.maximum(one.below_share * natural_kw - way.power_kw, 0.0)
        for one in bounds.priced_power
    }


def late_load(decision: PoolDecision) -> dict[str, FloatArray]:
    """Return the late load of each class with a priced limit, instance-equivalents, (K,) each."""
    late: dict[str, FloatArray] = {}
    for way in decision.ways:
        factor = way.operation.capacity_factor
        bounds = bounds_of(decision.pool, way.operation)
        for name, load in late_by_waiting(way, bounds).items():
            late[name] = late.get(name, 0.0) + factor * load
        slow_kw = too_slow_kw(way, bounds)
        for one in bounds.priced_power:
            late[one.name] = late.get(one.name, 0.0) + factor * one.late_per_kw * slow_kw[one.name]
    return late


def worst_latency(decision: PoolDecision, requests: ClassProblem, k: int) -> Latency:
    """Return the longest latency of a class over the ways that serve requests in epoch k."""
    found = [
        latency(
            operated(decision.pool, way.operation),
            requests,
            float(way.load[k]),
            float(way.power_kw[k]),
            float(way.active[k]),
        )
        for way in decision.ways
        if way.active[k] > 0.0
    ]

    def longest(times_s: list[float | None]) -> float | None:
        known = [t for t in times_s if t is not None]
        return max(known) if known and len(known) == len(times_s) else None

    return Latency(longest([f.ttft_p95_s for f in found]), longest([f.itl_s for f in found]))


def latency(
    pool: PoolProblem, requests: ClassProblem, load: float, power_kw: float, active: float
) -> Latency:
    """Return the latency of a class on ``active`` instances that share ``load``."""
    known, queue = requests.latency, pool.queue
    if known is None or queue is None or not active or load <= 0.0:
        return Latency(None, None)
    each_kw = power_kw / active
    natural_kw = float(pool.load_curve.power_kw(load / active))
    z = speed(each_kw / natural_kw, pool.cap_curve.elasticity)
    used = load / (active * float(pool.cap_curve.capacity(each_kw)))
    if z <= 0.0 or used >= 1.0 - FULL:
        # A queue at its capacity grows for as long as it lasts: there is no percentile.
        return Latency(None, known.itl_s / z if known.itl_s is not None and z > 0.0 else None)
    return Latency(
        ttft_p95_s=(known.prefill_s + queue.wait_p95_s(used)) / z,
        itl_s=None if known.itl_s is None else known.itl_s / z,
    )


def bounded(pool: PoolProblem) -> PoolProblem:
    """Return the pool with its limits on latency as its highest utilisation and its cap floors.

    For a rule that knows of no latency. Cautious: a floor is that of the highest load, and the
    strictest way to run an instance sets the highest utilisation of all; a way that is too slow for
    a hard limit is left out.
    """
    update: dict[str, object] = {}
    highest = [pool.max_utilisation]
    for way in operations(pool):
        bounds = bounds_of(pool, way)
        if bounds.max_utilisation == 0.0 and way.key is not None:
            update |= _closed(pool, way.key)
            continue
        if bounds.max_utilisation is not None:
            highest.append(bounds.max_utilisation)
        if bounds.power_share is None:
            continue
        curve = _raised(way.cap_curve, bounds, pool.max_utilisation)
        if way.key is None:
            update["cap_curve"] = curve
        elif way.key == CLOCK_LOCK and pool.clock_lock is not None:
            update["clock_lock"] = pool.clock_lock.model_copy(update={"cap_curve": curve})
        elif pool.tier is not None:
            update["tier"] = pool.tier.model_copy(update={"cap_curve": curve})
    if min(highest) < pool.max_utilisation:
        update["max_utilisation"] = min(highest)
    return pool.model_copy(update=update) if update else pool


def _closed(pool: PoolProblem, key: str) -> dict[str, object]:
    """Return what a pool is without one of its further ways."""
    if key == CLOCK_LOCK or pool.tier is None:
        return {"clock_lock": None}
    classes = tuple(c.model_copy(update={"lowered": None}) for c in pool.classes)
    return {"classes": classes, "tier": pool.tier.model_copy(update={"load_at_start": 0.0})}


def _raised(curve: CapCurve, bounds: LatencyBounds, utilisation: float) -> CapCurve:
    """Return a cap curve whose floor leaves the speed that is asked for at this utilisation."""
    slope, intercept = bounds.natural_line
    floor_kw = (bounds.power_share or 0.0) * (slope * utilisation + intercept)
    raised = min(max(curve.floor_kw, floor_kw), curve.full_kw)
    return curve.model_copy(update={"floor_kw": raised})
