"""Money of the fleet, cause by cause; h = duration / 3600. See ``cost_laws``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ebplan.checker.curves import capacity, load_curve_kw
from ebplan.checker.evidence import Evidence, FloatArray, PoolEvidence
from ebplan.checker.latency_laws import Late, late_by
from ebplan.checker.money import Amount, added, over_pools, total
from ebplan.checker.tolerances import CAP_CHORDS
from ebplan.checker.warmth import is_warm
from ebplan.checker.ways import Way
from ebplan.problem import ClassProblem

# --- requests ---------------------------------------------------------------------------------


def delay(evidence: Evidence) -> Amount:
    """Work waiting, by the hour; what is left at the end as if it waited to its deadline.

    Counted against leaving what waits at the start where it is: working it off is a credit.
    """
    seconds = evidence.epoch_s

    def of(pool: PoolEvidence, _: FloatArray) -> Amount:
        terms = [np.zeros(1)]
        for c, requests in enumerate(pool.problem.classes):
            if requests.deferral is None:
                continue
            put_off = pool.deferred_req_per_s[c] / requests.requests_per_s_per_instance
            start = requests.deferral.backlog_at_start
            work = start + np.concatenate([[0.0], np.cumsum(put_off * seconds)])
            waited = ((work[:-1] + work[1:]) / 2.0 - start) * seconds
            left = (work[-1] - start) * requests.deferral.deadline_s
            price_per_s = requests.deferral.price_per_work_h / 3600.0
            terms.append(price_per_s * np.append(waited, left))
        return total(np.concatenate(terms))

    return over_pools(evidence, of)


def rejected(evidence: Evidence) -> Amount:
    """Value of the load turned away."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        value_per_h = np.array([[c.value_per_instance_s] for c in pool.problem.classes]) * 3600.0
        return total(value_per_h * pool.rejected_req_per_s / pool.rates * hours)

    return over_pools(evidence, of)


def lowered(evidence: Evidence) -> Amount:
    """Load served at the lower precision."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        per_s = [0.0 if c.lowered is None else c.lowered.price_per_instance_s for c in _of(pool)]
        price_per_h = np.array(per_s)[:, None] * 3600.0
        return total(price_per_h * pool.lowered_req_per_s / pool.rates * hours)

    return over_pools(evidence, of)


def pull_forward(evidence: Evidence) -> Amount:
    """Work done ahead: a credit."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        ahead = [c.pull_forward for c in _of(pool)]
        value_per_h = np.array([[0.0 if a is None else a.value_per_work_h] for a in ahead])
        return total(-value_per_h * pool.pulled_req_per_s / pool.rates * hours)

    return over_pools(evidence, of)


def _of(pool: PoolEvidence) -> tuple[ClassProblem, ...]:
    return pool.problem.classes


# --- instances that run -----------------------------------------------------------------------


def congestion(evidence: Evidence) -> Amount:
    """Load above a share of the capacity that the power allows, whichever way it is served."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        return added(*(_congestion_of(pool, way, hours) for way in pool.ways))

    return over_pools(evidence, of)


def _congestion_of(pool: PoolEvidence, way: Way, hours: FloatArray) -> Amount:
    """Return the congestion of one way: its load is in instance-equivalents of its own."""
    total_capacity = way.active * capacity(way.serves_as, way.each_kw)
    unsure = way.active * _chord_gap(way)
    terms, unsure_money = np.zeros_like(hours), 0.0
    for step in pool.problem.congestion:
        price = step.price_per_instance_h * way.capacity_factor * hours
        above = way.load - step.above_utilisation * total_capacity
        terms += price * np.maximum(above, 0.0)
        reach = step.above_utilisation * unsure
        unsure_money += float((price * np.clip(above + reach, 0.0, reach)).sum())
    return total(terms, may_be_more=unsure_money)


def late(evidence: Evidence) -> Amount:
    """Load beyond the limits on latency that have a price, whichever way it is served."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        amounts = []
        for requests in _of(pool):
            price_per_s = None if requests.latency is None else requests.latency.late_per_instance_s
            price = (price_per_s or 0.0) * 3600.0 * hours
            for way in pool.ways:
                found = late_by(pool.problem, requests, way, _chord_gap(way))
                amounts += [_late_of(one, price) for one in found]
        return added(*amounts)

    return over_pools(evidence, of)


def _late_of(one: Late, price: FloatArray) -> Amount:
    return Amount(
        money=float((price * one.load).sum()),
        size=float((price * one.size).sum()),
        may_be_more=float((price * one.by_chords).sum()),
    )


def _chord_gap(way: Way) -> float:
    """Bound how far chords lie below s(p): width^2 / 8 times |s''|, largest at the floor."""
    curve = way.serves_as.cap_curve
    if curve.elasticity >= 1.0:
        return 0.0
    lowest = curve.floor_kw / curve.full_kw
    bend = curve.elasticity * (1.0 - curve.elasticity) * lowest ** (curve.elasticity - 2.0)
    return float(((1.0 - lowest) / CAP_CHORDS) ** 2 / 8.0 * bend)


def capping(evidence: Evidence) -> Amount:
    """Power that power limits take below the load curve, in any precision."""
    return _depth(evidence, by_clock=False)


def clocking(evidence: Evidence) -> Amount:
    """Power that locked clocks take below the load curve."""
    return _depth(evidence, by_clock=True)


def _depth(evidence: Evidence, *, by_clock: bool) -> Amount:
    """Price the power below the tangent of the load curve at the utilisation of the start."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        price = pool.problem.cap_depth_per_kwh * hours
        ways = [way for way in pool.ways if (way.locked is not None) == by_clock]
        # two large powers are subtracted: rounding is measured against them
        return added(
            *(
                Amount(float((price * _depth_kw(way)).sum()), float((price * way.power_kw).sum()))
                for way in ways
            )
        )

    return over_pools(evidence, of)


def _depth_kw(way: Way) -> FloatArray:
    curve = way.draws_as.load_curve
    at = max(way.start_utilisation, curve.one_request_utilisation)
    slope = sum(float(t.amplitude_kw * t.exponent * at ** (t.exponent - 1.0)) for t in curve.terms)
    touch_kw = float(load_curve_kw(way.draws_as, np.array([at]))[0])
    line_kw = way.active * (touch_kw - slope * at) + slope * way.load
    return np.maximum(line_kw - way.power_kw, 0.0)


# --- instances that move ----------------------------------------------------------------------


def readiness(evidence: Evidence) -> Amount:
    """Hours for which an instance is not active, in any way, though it usually is."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        problem = pool.problem
        usual = problem.usually_active
        usual = problem.active_at_start if usual is None else usual
        usual += 0 if problem.tier is None else problem.tier.active_at_start
        missing = np.maximum(usual - pool.active, 0.0)
        return total(problem.readiness_per_instance_h * missing * hours)

    return over_pools(evidence, of)


def draining(evidence: Evidence) -> Amount:
    """Instances taken out of routing, in either precision; while the pool is warm for less."""

    def of(pool: PoolEvidence, _: FloatArray) -> Amount:
        problem = pool.problem
        price = np.full(len(pool.drained), problem.drain_per_instance)
        if problem.prewarm is not None:
            warm = is_warm(pool, evidence.epoch_starts_s)
            price[warm] = problem.prewarm.drain_per_instance
        return total(price * (pool.own_newly_drained + pool.tier_newly_drained))

    return over_pools(evidence, of)


def waking(evidence: Evidence) -> Amount:
    """Instances woken, warm or cold."""
    return over_pools(evidence, lambda pool, _: total(pool.problem.wake_per_instance * pool.woken))


def swapping(evidence: Evidence) -> Amount:
    """Instances given other weights, either way."""

    def of(pool: PoolEvidence, _: FloatArray) -> Amount:
        tier = pool.problem.tier
        price = 0.0 if tier is None else tier.swap_price_per_instance
        return total(price * (pool.to_tier + pool.to_own))

    return over_pools(evidence, of)


def prewarming(evidence: Evidence) -> Amount:
    """Pre-warms commanded."""

    def of(pool: PoolEvidence, _: FloatArray) -> Amount:
        warmth = pool.problem.prewarm
        return total((0.0 if warmth is None else warmth.price) * pool.prewarm)

    return over_pools(evidence, of)


FLEET_CAUSES: tuple[Callable[[Evidence], Amount], ...] = (
    *(delay, rejected, lowered, pull_forward),
    *(congestion, late, capping, clocking),
    *(readiness, draining, waking, swapping, prewarming),
)
"""How each cause of the fleet is recomputed; it is named like the cause."""
