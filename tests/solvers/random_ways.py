"""Further ways to run the pools of random problems, drawn apart from everything else.

About two of three pools have some: a locked clock, a lower precision with swaps (and now and then
with instances in it or on their way to it at the start), a pre-warm, work that is not due yet, a
slower rise of power. What cannot be served by the instances that hold the pool's own weights may
still be turned away, so that a problem keeps its feasible point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from random_curves import can_serve, random_cap_curve

from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.problem import (
    ArrivalCount,
    ClassProblem,
    ClockLockProblem,
    LoweredProblem,
    PoolProblem,
    PrewarmProblem,
    PullForwardProblem,
    TierProblem,
)
from ebplan.site import Response

Draw = np.random.Generator


def with_ways(rng: Draw, pool: PoolProblem, horizon_s: float) -> PoolProblem:
    """Return the pool with some further ways to run, or as it is."""
    if rng.random() < 0.35:
        return pool
    clock, lower, warm, ahead, rise = rng.random(5) < np.array([0.5, 0.7, 0.6, 0.4, 0.4])
    if clock:
        pool = _with(pool, clock_lock=_clock_lock(rng, pool))
    if lower:
        pool = _with_tier(rng, pool)
    if warm:
        pool = _with_prewarm(rng, pool, horizon_s)
    if ahead:
        pool = _with(pool, classes=tuple(_with_work(rng, c, horizon_s) for c in pool.classes))
    if rise:
        pool = _with(pool, rise_response=_rise(rng, pool))
    return pool


def _with(pool: PoolProblem, **changes: Any) -> PoolProblem:
    """Return the pool with changed fields, checked as a document would be."""
    return PoolProblem.model_validate(pool.model_copy(update=changes).model_dump())


def _clock_lock(rng: Draw, pool: PoolProblem) -> ClockLockProblem:
    """Return locked clocks that often reach further down and cost less than a cap."""
    own = pool.cap_curve
    floor = float(rng.choice([0.6, 0.8, 1.0])) * own.floor_kw / own.full_kw
    elasticity = float(rng.choice([0.5, 0.8, 1.2])) * own.elasticity
    return ClockLockProblem(
        cap_curve=CapCurve(
            full_kw=own.full_kw,
            elasticity=min(elasticity, 0.95 / (1.0 - floor)),
            floor_kw=floor * own.full_kw,
        ),
        power_exponent=2.0,
        max_clock_mhz=1980.0,
    )


def _with_tier(rng: Draw, pool: PoolProblem) -> PoolProblem:
    """Return the pool with a lower precision, to which some of its instances may have moved."""
    curve = _steeper(rng, pool.load_curve)
    moves = rng.random(3) < 0.35
    active = int(rng.integers(0, pool.active_at_start + 1)) if moves[0] else 0
    drained = int(rng.integers(0, pool.drained_at_start + 1)) if moves[1] else 0
    factor = float(rng.choice([1.0, 1.5, rng.uniform(1.1, 1.9)]))
    each = float(rng.uniform(pool.min_utilisation, pool.max_utilisation))
    tier = TierProblem(
        name="fp8",
        capacity_factor=factor,
        load_curve=curve,
        cap_curve=random_cap_curve(rng, curve, pool.min_utilisation, pool.max_utilisation),
        swap_s=float(rng.choice([0.0, 1.0, 60.0])),
        swap_price_per_instance=float(rng.choice([0.0, 0.003, 0.05])),
        active_at_start=active,
        drained_at_start=drained,
        load_at_start=min(active * factor * each, pool.load),
    )
    arrivals = tuple(
        ArrivalCount(to="tier" if moves[2] else a.to, count=a.count, at_s=a.at_s)
        for a in pool.arrivals
    )
    moved = _with(
        pool,
        tier=tier,
        active_at_start=pool.active_at_start - active,
        drained_at_start=pool.drained_at_start - drained,
        arrivals=arrivals,
        classes=tuple(_with_lowered(rng, c) for c in pool.classes),
    )
    return _with(moved, classes=_openly(moved))


def _steeper(rng: Draw, curve: LoadCurve) -> LoadCurve:
    """Return a load curve between the same idle power and one at saturation that is no lower."""
    more = float(rng.choice([1.0, rng.uniform(1.0, 1.3)]))
    terms = tuple(
        term.model_copy(update={"amplitude_kw": more * term.amplitude_kw}) for term in curve.terms
    )
    return curve.model_copy(update={"terms": terms})


def _with_lowered(rng: Draw, requests: ClassProblem) -> ClassProblem:
    lowered = LoweredProblem(
        eligible_share=float(rng.choice([0.4, 1.0, 1.0])),
        price_per_instance_s=float(rng.choice([0.0, 0.0, 0.001])),
    )
    return requests.model_copy(update={"lowered": lowered if rng.random() < 0.8 else None})


def _openly(pool: PoolProblem) -> tuple[ClassProblem, ...]:
    """Return the classes such that what those with own weights cannot serve may be turned away."""
    protected = sum(c.load - c.max_rejected for c in pool.classes)
    awake = pool.active_at_start + pool.drained_at_start
    if protected == 0.0 or any(can_serve(pool, protected / n) for n in range(1, awake + 1)):
        return pool.classes
    return tuple(c.model_copy(update={"max_rejected": c.load}) for c in pool.classes)


def _with_prewarm(rng: Draw, pool: PoolProblem, horizon_s: float) -> PoolProblem:
    """Return the pool with a pre-warm; half the time who was drained sleeps, for it to wake."""
    sleepers = pool.drained_at_start if rng.random() < 0.6 else 0
    changed = _with(
        pool,
        prewarm=_prewarm(rng, pool, horizon_s),
        drained_at_start=pool.drained_at_start - sleepers,
        asleep_at_start=pool.asleep_at_start + sleepers,
    )
    return _with(changed, classes=_openly(changed))


def _prewarm(rng: Draw, pool: PoolProblem, horizon_s: float) -> PrewarmProblem:
    return PrewarmProblem(
        lead_s=float(rng.choice([0.0, 0.0, 5.0, 60.0])),
        expires_s=float(rng.choice([60.0, 400.0, 2000.0])),
        power_kw=float(rng.choice([0.0, 0.02, 0.2])),
        price=float(rng.choice([0.0, 0.002, 0.02])),
        drain_per_instance=float(rng.choice([0.0, 0.4])) * pool.drain_per_instance,
        wake_s=float(rng.choice([0.0, 0.1, 1.0])) * pool.wake_s,
        warm_until_s=float(rng.choice([0.0, 0.0, rng.uniform(0.0, horizon_s)])),
    )


def _with_work(rng: Draw, requests: ClassProblem, horizon_s: float) -> ClassProblem:
    ahead = PullForwardProblem(
        available=float(rng.choice([0.05, 0.3, 1.0])) * horizon_s,
        value_per_work_h=float(rng.choice([0.0, 3.0, 15.0])),
    )
    return requests.model_copy(update={"pull_forward": ahead if rng.random() < 0.6 else None})


def _rise(rng: Draw, pool: PoolProblem) -> Response:
    fall = pool.cap_response
    return Response(
        delay_s=fall.delay_s + float(rng.choice([0.0, 1.0, 10.0])),
        time_constant_s=fall.time_constant_s + float(rng.choice([0.0, 3.0, 30.0])),
    )
