"""Laws of latency: what waits and what crawls, recomputed from requests, counts and power.

The queue and the slowing are written out once more from the numbers of the problem. For an
instance with ``c`` slots, service time ``tau``, utilisation ``x`` of the capacity that its power
allows, and power at the share ``k`` of its natural draw,

    e = sqrt(2 (c + 1)) - 1
    wait (95 %) = max(0, e ln x + ln 20) tau / (c (1 - x))
    z = min(k^g, 1 + g (k - 1), 1)
    TTFT = (prefill + wait) / z,        ITL = itl / z.

A pool may run instances in several ways at once (as they are, under a locked clock, at a lower
precision); requests may meet any of them, so the longest latency is theirs.

Late, for a class whose limits have a price, is its share of the load beyond the utilisation at
which the wait uses the limit up, and the load per kW of power below the share of the natural draw
(its tangent at the start) that the limit on tokens asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.checker.curves import HasCapCurve, capacity, load_curve_kw, usual_load
from ebplan.checker.evidence import (
    BoolArray,
    Evidence,
    Finding,
    FloatArray,
    PoolEvidence,
    worst,
)
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import (
    COUNT_SHARE,
    LATENCY_SHARE,
    OPERATING_POINT,
    POWER_KW,
    RATE_SHARE,
)
from ebplan.checker.ways import Way
from ebplan.problem import ClassProblem, PoolProblem

FULL = 1e-6
"""This close to 1 a utilisation is 1, and the queue has no percentile."""


def _used(way: Way) -> FloatArray:
    """Return load as a share of the capacity that the power allows; 0 where nothing runs."""
    full = way.active * capacity(way.serves_as, way.each_kw)
    return np.divide(way.load, full, out=np.zeros_like(way.load), where=way.running)


def _power_share(way: Way) -> FloatArray:
    """Return power as a share of the natural draw; 1 where nothing runs."""
    return np.where(way.running, way.each_kw / way.natural_kw, 1.0)


# --- how long requests wait and tokens take ---------------------------------------------------


def _wait_p95_s(of: PoolProblem, used: FloatArray) -> FloatArray:
    """Return the wait that one request in twenty exceeds; infinite at full capacity."""
    queue = of.queue
    assert queue is not None  # asked only of classes with a latency
    exponent = math.sqrt(2.0 * queue.slots + 2.0) - 1.0
    x = np.clip(used, 1e-300, 1.0 - FULL / 2.0)
    longer = np.maximum(exponent * np.log(x) + math.log(20.0), 0.0)
    wait_s = longer * queue.service_s / queue.slots / (1.0 - x)
    return np.where(used >= 1.0 - FULL, np.inf, wait_s)


def _speed(of: HasCapCurve, share: FloatArray) -> FloatArray:
    """Return the share of the speed that a share of the natural draw leaves."""
    g, k = of.cap_curve.elasticity, np.clip(share, 0.0, 1.0)
    return np.maximum(np.minimum(k**g, 1.0 + g * (k - 1.0)), 0.0)


def _longest(
    pool: PoolProblem, requests: ClassProblem, running: Sequence[Way], slack: float
) -> tuple[FloatArray, FloatArray]:
    """Return TTFT (95 %) and ITL, the longest over the ways in use, each of shape (K,).

    ``slack`` > 0 moves every operating point the slow way, < 0 the fast one. Nothing runs: 0.
    """
    latency = requests.latency
    assert latency is not None
    ttft_s, itl_s = np.zeros_like(running[0].active), np.zeros_like(running[0].active)
    for way in running:
        z = _speed(way.serves_as, _power_share(way) * (1.0 - slack))
        used, slow = _used(way) + slack, np.where(z > 0.0, 1.0 / np.maximum(z, 1e-12), np.inf)
        in_use = way.running
        first_s = (latency.prefill_s + _wait_p95_s(pool, used)) * slow
        ttft_s = np.maximum(ttft_s, np.where(in_use, first_s, 0.0))
        if latency.itl_s is not None:
            itl_s = np.maximum(itl_s, np.where(in_use, latency.itl_s * slow, 0.0))
    return ttft_s, itl_s


# --- which requests are late ------------------------------------------------------------------


@dataclass(frozen=True)
class Late:
    """Late load by one limit in one way, instance-equivalents of the pool, each of shape (K,)."""

    load: FloatArray
    size: FloatArray
    """What it is the difference of: rounding is measured against it."""
    unsure: FloatArray
    """How far the rounding of load and power may move it."""
    by_chords: FloatArray
    """How much more a plan may charge itself: it prices with chords below the cap curve."""


def late_by(
    pool: PoolProblem, requests: ClassProblem, way: Way, chord_gap: float
) -> Iterator[Late]:
    """Yield the late load of a class in one way, by limit; nothing where no limit has a price.

    ``chord_gap`` bounds how far the chords of a plan lie below the cap curve.
    """
    latency = requests.latency
    if latency is None or latency.late_per_instance_s is None or requests.load <= 0.0:
        return
    if latency.ttft_p95_limit_s is not None:
        share = requests.load / sum(c.load for c in pool.classes)
        most = _utilisation_for(pool, latency.ttft_p95_limit_s - latency.prefill_s)
        yield _by_waiting(way, share, most, chord_gap)
    if latency.itl_limit_s is not None and latency.itl_s is not None:
        yield _by_crawling(pool, way, requests.load, latency.itl_s / latency.itl_limit_s)


def _by_waiting(way: Way, share: float, most: float, chord_gap: float) -> Late:
    """Return the class's share of the load beyond the utilisation ``most``."""
    share *= way.capacity_factor
    beyond = way.load - most * way.active * capacity(way.serves_as, way.each_kw)
    reach = most * chord_gap * way.active
    return Late(
        load=share * np.maximum(beyond, 0.0),
        size=share * np.maximum(beyond, 0.0),
        unsure=share * COUNT_SHARE * way.active,
        by_chords=share * np.clip(beyond + reach, 0.0, reach),
    )


def _by_crawling(pool: PoolProblem, way: Way, load: float, needed: float) -> Late:
    """Return the load whose tokens are late where caps leave less than the speed ``needed``.

    At the speed z < needed the share 1 - z / needed of an answer comes late: taken from the slope
    at the threshold, per kW below it, at the load per active instance of the start.
    """
    g, curve = way.serves_as.cap_curve.elasticity, way.draws_as.load_curve
    threshold = max(needed ** (1.0 / g), 1.0 - (1.0 - needed) / g)
    slope = g * (threshold ** (g - 1.0) if g < 1.0 else 1.0)
    at = max(usual_load(pool), curve.one_request_utilisation)
    per_load = sum(t.amplitude_kw * t.exponent * at ** (t.exponent - 1.0) for t in curve.terms)
    there_kw = float(load_curve_kw(way.draws_as, np.array([at]))[0])
    start_kw = float(load_curve_kw(way.draws_as, np.array([usual_load(pool)]))[0])
    usual = pool.active_at_start if pool.usually_active is None else pool.usually_active
    per_kw = load / (usual or pool.instances) * slope / (needed * start_kw)
    per_kw *= way.capacity_factor
    asked_kw = threshold * ((there_kw - per_load * at) * way.active + per_load * way.load)
    missing_kw = np.maximum(asked_kw - way.power_kw, 0.0)
    return Late(
        load=per_kw * missing_kw,
        size=per_kw * way.power_kw,
        unsure=per_kw * (way.active * POWER_KW + COUNT_SHARE * asked_kw),
        by_chords=np.zeros_like(missing_kw),
    )


def _utilisation_for(of: PoolProblem, wait_s: float) -> float:
    """Return the utilisation at which one request in twenty waits longer than ``wait_s``."""
    queue = of.queue
    assert queue is not None
    # the idle share falls geometrically: the wait grows like its inverse
    exponent = math.sqrt(2.0 * queue.slots + 2.0) - 1.0
    busiest, idlest = 1e-18, 1.0 - math.pow(20.0, -1.0 / exponent)
    for _ in range(200):
        idle = math.sqrt(busiest * idlest)
        longer = exponent * math.log1p(-idle) + math.log(20.0)
        if longer * queue.service_s / queue.slots / idle <= wait_s:
            idlest = idle
        else:
            busiest = idle
    return 1.0 - idlest


# --- the law ----------------------------------------------------------------------------------


def latency(evidence: Evidence, _: Replay) -> list[Finding]:
    """Hard limits are kept, and stated latencies and late requests are what the plan makes them."""
    found = []
    for pool in evidence.pools:
        for c, requests in enumerate(pool.problem.classes):
            served = pool.served_req_per_s[c] > 0.0
            found += _times(evidence, pool, requests, served)
            found += _late(evidence, pool, requests)
    return found


def _times(
    evidence: Evidence,
    pool: PoolEvidence,
    requests: ClassProblem,
    served: BoolArray,
) -> list[Finding]:
    """Hold the stated times of a class to the queue, and the true ones to its hard limits."""
    at_s, name = evidence.epoch_starts_s, f"{pool.problem.name}.{requests.name}"
    told = [epoch.classes[requests.name] for epoch in evidence.plan.pools[pool.problem.name]]
    first_s = np.array([epoch.ttft_p95_s for epoch in told], dtype=float)
    next_s = np.array([epoch.itl_s for epoch in told], dtype=float)
    known = requests.latency
    if known is None:
        unknown = ~(np.isnan(first_s) & np.isnan(next_s))
        return worst(unknown, 0.0, at_s, f"{name}: a latency that no model knows")
    runs = served & (pool.active > 0)
    fast, slow = (
        _longest(pool.problem, requests, pool.ways, s * OPERATING_POINT) for s in (-1.0, 1.0)
    )
    hard = known.late_per_instance_s is None and requests.load > 0.0
    found = []
    for what, stated, least, most, limit_s, there in (
        ("ttft_p95_s", first_s, fast[0], slow[0], known.ttft_p95_limit_s, runs),
        ("itl_s", next_s, fast[1], slow[1], known.itl_limit_s, runs & (known.itl_s is not None)),
    ):
        message = f"{name}: {what} is not what load and power make it"
        allowed = LATENCY_SHARE * np.nan_to_num(stated)
        found += worst(_misstated(stated, least, most, there), allowed, at_s, message)
        if hard and limit_s is not None:
            above = np.where(runs, least - limit_s, 0.0)
            message = f"{name}: {what} above its limit of {limit_s:g} s"
            found += worst(above, LATENCY_SHARE * limit_s, at_s, message)
    return found


def _misstated(
    stated: FloatArray, least: FloatArray, most: FloatArray, there: BoolArray
) -> FloatArray:
    """Return by how much stated times leave their range; left out (nan) is to mean no end of it."""
    given = ~np.isnan(stated)
    beyond = np.full_like(stated, np.inf)
    beyond[given] = np.maximum(stated - most, least - stated)[given]
    beyond[~given & np.isinf(most)] = 0.0
    return np.where(there, beyond, np.where(given, np.inf, 0.0))


def _late(evidence: Evidence, pool: PoolEvidence, requests: ClassProblem) -> list[Finding]:
    """Hold late requests to the limits with a price, and their total to the epochs."""
    name, rate = f"{pool.problem.name}.{requests.name}", requests.requests_per_s_per_instance
    epochs, seconds = evidence.plan.pools[pool.problem.name], evidence.epoch_s
    stated = np.array([epoch.classes[requests.name].late_req_per_s for epoch in epochs])
    late, allowed = np.zeros_like(stated), RATE_SHARE * rate + np.zeros_like(stated)
    for way in pool.ways:
        for one in late_by(pool.problem, requests, way, chord_gap=0.0):
            late, allowed = late + rate * one.load, allowed + rate * one.unsure
    message = f"{name}: late_req_per_s is not the load beyond its limits"
    found = worst(np.abs(stated - late), allowed, evidence.epoch_starts_s, message)
    total = float(stated @ seconds)
    said = evidence.plan.service[pool.problem.name][requests.name].late_requests
    message = f"{name}: late requests {said:g}, not {total:g}"
    return found + worst(abs(said - total), RATE_SHARE * max(total, 1.0), None, message)
