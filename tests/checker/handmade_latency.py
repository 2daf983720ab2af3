"""How long requests of the handmade fleet wait, and which are late, one epoch at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from handmade_physics import (
    HandmadeWay,
    capacity_each,
    epoch_durations_s,
    power_each_kw,
    served,
    ways,
)
from handmade_problem import Decision, natural_kw

from ebplan.problem import PoolProblem


def speed(way: HandmadeWay) -> float:
    share = way.each_kw / natural_kw(way.of, way.load / way.active)
    g = way.cap_curve.elasticity
    return min(share**g, 1.0 + g * (share - 1.0), 1.0)


def wait_s(pool: PoolProblem, used: float) -> float:
    """Return the wait that one request in twenty exceeds."""
    assert pool.queue is not None
    c, exponent = pool.queue.slots, math.sqrt(2.0 * (pool.queue.slots + 1.0)) - 1.0
    waits = used**exponent
    mean_of_those_s = pool.queue.service_s / (c * (1.0 - used))
    return mean_of_those_s * math.log(waits / 0.05) if waits > 0.05 else 0.0


def way_times_s(pool: PoolProblem, way: HandmadeWay, i: int) -> dict[str, float | None]:
    """Return TTFT and ITL of a class in one way to run."""
    known = pool.classes[i].latency
    if known is None or not way.active:
        return {"ttft_p95_s": None, "itl_s": None}
    used, z = way.load / way.active / way.capacity_each, speed(way)
    itl_s = None if known.itl_s is None else known.itl_s / z
    ttft_s = (known.prefill_s + wait_s(pool, used)) / z if used < 1.0 else None
    return {"ttft_p95_s": ttft_s, "itl_s": itl_s}


def times_s(pool: PoolProblem, told: Decision, i: int) -> dict[str, float | None]:
    """Return the longest over the ways in use; None where one of them has none."""
    found = [way_times_s(pool, way, i) for way in ways(pool, told).values() if way.active]
    longest: dict[str, float | None] = {}
    for what in ("ttft_p95_s", "itl_s"):
        times = [one[what] for one in found]
        longest[what] = None if None in times or not times else max(t for t in times if t)
    return longest


def late_load(pool: PoolProblem, told: Decision, i: int) -> float:
    """Return the late load of a class, by waiting and by slow tokens, in instance-equivalents."""
    of, known = pool.classes[i], pool.classes[i].latency
    if known is None or known.late_per_instance_s is None or not told.active:
        return 0.0
    offered, late = sum(c.load for c in pool.classes), 0.0
    if known.ttft_p95_limit_s is not None:
        x = fullest_within(pool, known.ttft_p95_limit_s - known.prefill_s)
        most = x * told.active * capacity_each(pool, told)
        late += of.load / offered * max(served(pool, told) - most, 0.0)
    if known.itl_limit_s is not None and known.itl_s is not None:
        z, g = known.itl_s / known.itl_limit_s, pool.cap_curve.elasticity
        assert g < 1.0  # there the power law is the lower one
        share = z ** (1.0 / g)
        at = min(offered / pool.active_at_start, 1.0)
        slope = (natural_kw(pool, at + 1e-6) - natural_kw(pool, at - 1e-6)) / 2e-6
        tangent_kw = natural_kw(pool, at) * told.active
        tangent_kw += slope * (served(pool, told) - at * told.active)
        missing_kw = max(share * tangent_kw - told.active * power_each_kw(pool, told), 0.0)
        # of one answer, per kW below the threshold and instance: dz / dk / (z p), k the power share
        per_kw = g * share ** (g - 1.0) / z / natural_kw(pool, at)
        late += of.load / pool.active_at_start * per_kw * missing_kw
    return late


def fullest_within(pool: PoolProblem, limit_s: float) -> float:
    """Return the utilisation at which the wait uses up a limit."""
    low, high = 0.05, 1.0 - 1e-12
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if wait_s(pool, middle) <= limit_s else (low, middle)
    return low


def late_cost(pool: PoolProblem, story: Sequence[Decision]) -> float:
    cost = 0.0
    for told, seconds in zip(story, epoch_durations_s(), strict=True):
        for i, c in enumerate(pool.classes):
            price = (c.latency and c.latency.late_per_instance_s) or 0.0
            cost += price * late_load(pool, told, i) * seconds
    return cost
