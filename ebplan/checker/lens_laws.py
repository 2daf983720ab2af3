"""Laws of the lens: load, power and set-points of the instances that run, asked of each way alike.

Each way has curves of its own; its loads are in instance-equivalents of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ebplan.checker.curves import capacity
from ebplan.checker.evidence import Evidence, Finding, FloatArray, worst
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import (
    CAP_W,
    CLOCK_MHZ,
    COUNT_SHARE,
    NATURAL_DRAW_SHARE,
    POWER_KW,
)
from ebplan.checker.ways import Way


def _each_way(evidence: Evidence, law: Callable[[Way, FloatArray], list[Finding]]) -> list[Finding]:
    """Ask a law of each way of each pool, at the epochs' starts."""
    return [
        finding
        for pool in evidence.pools
        for way in pool.ways
        for finding in law(way, evidence.epoch_starts_s)
    ]


def cap_floor(evidence: Evidence, _: Replay) -> list[Finding]:
    """No active instance is capped below the floor, and none at all draws nothing."""

    def law(way: Way, at_s: FloatArray) -> list[Finding]:
        name, floor_kw = way.name, way.serves_as.cap_curve.floor_kw
        below = np.where(way.running, floor_kw - way.each_kw, np.abs(way.power_kw))
        allowed = POWER_KW + COUNT_SHARE * floor_kw
        message = f"{name}: power per active instance below the floor of {floor_kw:g} kW"
        return worst(below, allowed, at_s, message)

    return _each_way(evidence, law)


def natural_draw(evidence: Evidence, _: Replay) -> list[Finding]:
    """No active instance draws more than its load makes it draw."""

    def law(way: Way, at_s: FloatArray) -> list[Finding]:
        above = np.where(way.running, way.each_kw - way.natural_kw, 0.0)
        allowed = POWER_KW + COUNT_SHARE * way.natural_kw
        message = f"{way.name}: power per active instance above its natural draw"
        return worst(above, allowed, at_s, message)

    return _each_way(evidence, law)


def cap_frontier(evidence: Evidence, _: Replay) -> list[Finding]:
    """No active instance serves more than its power allows; without active ones nothing is."""

    def law(way: Way, at_s: FloatArray) -> list[Finding]:
        most = capacity(way.serves_as, way.each_kw)
        above = np.where(way.running, way.each_load - most, np.abs(way.load))
        message = f"{way.name}: load above what the power allows"
        return worst(above, COUNT_SHARE, at_s, message)

    return _each_way(evidence, law)


def min_utilisation(evidence: Evidence, _: Replay) -> list[Finding]:
    """No active instance is loaded less than the models cover."""

    def law(way: Way, at_s: FloatArray) -> list[Finding]:
        least = way.min_utilisation
        below = np.where(way.running, least - way.each_load, 0.0)
        message = f"{way.name}: utilisation below the lowest allowed, {least:g}"
        return worst(below, COUNT_SHARE, at_s, message)

    return _each_way(evidence, law)


def max_utilisation(evidence: Evidence, _: Replay) -> list[Finding]:
    """Headroom is kept below the capacity that the power allows."""

    def law(way: Way, at_s: FloatArray) -> list[Finding]:
        share = way.max_utilisation
        above = way.each_load - share * capacity(way.serves_as, way.each_kw)
        return worst(
            np.where(way.running, above, 0.0),
            COUNT_SHARE,
            at_s,
            f"{way.name}: load above {share:g} of the capacity that the power allows",
        )

    return _each_way(evidence, law)


def utilisation(evidence: Evidence, _: Replay) -> list[Finding]:
    """Stated utilisation and use of capacity follow from requests, counts and power."""

    def law(way: Way, at_s: FloatArray) -> list[Finding]:
        used = np.where(way.running, way.each_load / capacity(way.serves_as, way.each_kw), 0.0)
        name = way.name
        found = worst(
            np.abs(way.utilisation - way.each_load),
            COUNT_SHARE,
            at_s,
            f"{name}: utilisation times active instances is not the load served",
        )
        message = f"{name}: capacity_used is not load over capacity"
        return found + worst(np.abs(way.capacity_used - used), COUNT_SHARE, at_s, message)

    return _each_way(evidence, law)


def cap_set_point(evidence: Evidence, _: Replay) -> list[Finding]:
    """The limit set in the GPUs gives the planned power, and is left out only where none is needed.

    A limit in watts per GPU is the power of one active instance, carried inside by the losses;
    where caps take only a share of what they are meant to, so much deeper.
    """
    found = []
    for pool in evidence.pools:
        watts_per_kw = pool.problem.gpu_kw_per_kw * 1000.0 / pool.problem.gpus_per_instance
        for way in pool.ways:
            if way.locked is None:
                below_kw = np.maximum(way.natural_kw - way.each_kw, 0.0)
                deeper_kw = below_kw * (1.0 / pool.problem.cap_delivery - 1.0)
                watts = (way.each_kw - deeper_kw) * watts_per_kw
                found += _set_point(way, watts, CAP_W, evidence.epoch_starts_s, "cap_w_per_gpu")
    return found


def clock_set_point(evidence: Evidence, _: Replay) -> list[Finding]:
    """The locked clock gives the planned power, and is left out only where none is needed.

    Power grows with the clock to the exponent of the pool; a clock is no higher than the highest.
    """
    found = []
    for pool in evidence.pools:
        for way in pool.ways:
            if way.locked is not None:
                share = np.minimum(way.each_kw / way.locked.cap_curve.full_kw, 1.0)
                mhz = way.locked.max_clock_mhz * share ** (1.0 / way.locked.power_exponent)
                found += _set_point(way, mhz, CLOCK_MHZ, evidence.epoch_starts_s, "clock_mhz")
    return found


def _set_point(
    way: Way, meant: FloatArray, allowed: float, at_s: FloatArray, what: str
) -> list[Finding]:
    """Hold what is set to what gives the planned power; nothing is set where nothing runs."""
    given = np.array([point is not None for point in way.set_points])
    stated = np.array([0.0 if point is None else point for point in way.set_points])
    off = np.abs(stated - np.where(way.running, meant, np.inf))
    message = f"{way.name}: {what} does not give the planned power"
    found = worst(np.where(given, off, 0.0), allowed, at_s, message)
    short = np.where(way.running & ~given, way.natural_kw - way.each_kw, 0.0)
    message = f"{way.name}: no {what} where the planned power is below the natural draw"
    return found + worst(short, POWER_KW + NATURAL_DRAW_SHARE * way.natural_kw, at_s, message)
