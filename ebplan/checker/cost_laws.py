"""Laws of money: every cause recomputed from the plan, and their sum.

A cause is the money itself and the size of its terms taken without sign, which rounding is
measured against. Money is in the problem's currency; h = duration / 3600.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ebplan.checker.evidence import (
    INSTANT_S,
    Evidence,
    Finding,
    FloatArray,
    PoolEvidence,
    capacity,
    load_at_start,
    load_curve_kw,
    worst,
)
from ebplan.checker.latency_laws import late_by, ways
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import (
    CAP_CHORDS,
    LOSS_GAP,
    MONEY,
    MONEY_SHARE,
    PLAN_SHARE,
    POWER_KW,
    UNDONE_KW,
)
from ebplan.problem import PoolProblem


@dataclass(frozen=True)
class Amount:
    """What a cause costs."""

    money: float
    size: float
    """Sum of the terms taken without sign."""
    may_be_more: float = 0.0
    """How much more a plan may charge itself, by its piecewise-linear curves."""
    may_be_less: float = 0.0
    """How much less."""


def _sum(terms: FloatArray, **allowed: float) -> Amount:
    return Amount(float(terms.sum()), float(np.abs(terms).sum()), **allowed)


def _slack(evidence: Evidence, money_per_h: FloatArray, price: float | FloatArray) -> Amount:
    """Return the cost of a slack; a plan may leave a milliwatt of it out."""
    undone = float(np.sum(price * UNDONE_KW * evidence.hours))
    return _sum(money_per_h * evidence.hours, may_be_less=undone)


def _over_pools(evidence: Evidence, of: Callable[[PoolEvidence, FloatArray], Amount]) -> Amount:
    """Add a cause up over the pools; ``of`` is given the epochs' hours."""
    amounts = [of(pool, evidence.epoch_s / 3600.0) for pool in evidence.pools]
    return Amount(
        money=sum(a.money for a in amounts),
        size=sum(a.size for a in amounts),
        may_be_more=sum(a.may_be_more for a in amounts),
        may_be_less=sum(a.may_be_less for a in amounts),
    )


# --- the site ---------------------------------------------------------------------------------


def energy(evidence: Evidence) -> Amount:
    """Energy drawn beyond the baseline."""
    change_kwh = (evidence.grid_kw - evidence.baseline_kw) * evidence.hours
    return _sum(evidence.problem.prices.energy_per_kwh * change_kwh)


def shortfall(evidence: Evidence) -> Amount:
    """Payment forgone and penalty."""
    price = evidence.problem.prices.shortfall_per_kwh
    return _slack(evidence, price * evidence.shortfall_kw, price)


def firmness(evidence: Evidence) -> Amount:
    """Surcharge that makes the target firm, higher by a premium that falls to 0 at the end."""
    problem, prices = evidence.problem, evidence.problem.prices
    left_s = problem.event_end_s - evidence.starts_s
    left = np.clip(left_s / (problem.event_end_s - problem.event_start_s), 0.0, 1.0)
    price = prices.firmness_per_kwh * (1.0 + prices.early_shortfall_premium * left)
    return _slack(evidence, price * evidence.shortfall_kw, price)


def overrun(evidence: Evidence) -> Amount:
    """Energy above the import or rebound limit."""
    limit_kw = np.array(evidence.problem.import_limit_kw)
    above_kw = np.maximum(evidence.grid_kw - limit_kw, 0.0)
    price = evidence.problem.prices.overrun_per_kwh
    return _slack(evidence, price * above_kw, price)


# --- the battery ------------------------------------------------------------------------------


def wear(evidence: Evidence) -> Amount:
    """Energy taken out of the cells: (d + loss(d)) / cell efficiency."""
    battery = evidence.problem.battery
    if battery is None:
        return Amount(0.0, 0.0)
    d = np.maximum(evidence.battery_kw, 0.0)
    loss = battery.loss_linear * d + battery.loss_quadratic * d**2 / battery.rated_kw
    price = battery.wear_per_kwh / battery.cell_efficiency
    busy_h = float(evidence.hours[d > POWER_KW].sum())
    tangents_kw = LOSS_GAP * battery.loss_quadratic * battery.rated_kw
    return _sum(price * (d + loss) * evidence.hours, may_be_less=price * tangents_kw * busy_h)


def stored_energy(evidence: Evidence) -> Amount:
    """Value of the energy at the start less the value at the end; segments fill from empty up."""
    battery, stored = evidence.problem.battery, evidence.stored_kwh
    if battery is None or stored is None:
        return Amount(0.0, 0.0)
    value = np.zeros(2)
    below_kwh = 0.0
    for segment in battery.terminal:
        filled = np.clip(stored[[0, -1]] - below_kwh, 0.0, segment.width_kwh)
        value += segment.price_per_kwh * filled
        below_kwh += segment.width_kwh
    return Amount(float(value[0] - value[1]), float(value.sum()))


def reserve(evidence: Evidence) -> Amount:
    """Deepest dip below the reserve."""
    battery, stored = evidence.problem.battery, evidence.stored_kwh
    if battery is None or stored is None:
        return Amount(0.0, 0.0)
    # the energy at the start is no decision of the plan
    kept_kwh = min(battery.reserve_kwh, battery.start_kwh)
    dip_kwh = max(0.0, kept_kwh - float(stored[1:].min()))
    price = evidence.problem.prices.reserve_per_kwh
    return Amount(price * dip_kwh, price * battery.reserve_kwh)


def handoff(evidence: Evidence) -> Amount:
    """Battery energy beyond its share after the hand-off."""
    problem = evidence.problem
    if problem.handoff_from_s is None:
        return Amount(0.0, 0.0)
    late = evidence.asked & (evidence.starts_s >= problem.handoff_from_s - INSTANT_S)
    beyond_kw = np.where(
        late, np.maximum(np.abs(evidence.battery_kw) - problem.handoff_kw, 0.0), 0.0
    )
    price = problem.prices.handoff_excess_per_kwh
    return _slack(evidence, price * beyond_kw, price)


# --- the fleet --------------------------------------------------------------------------------


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
        return _sum(np.concatenate(terms))

    return _over_pools(evidence, of)


def rejected(evidence: Evidence) -> Amount:
    """Value of the load turned away."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        value_per_h = np.array([[c.value_per_instance_s] for c in pool.problem.classes]) * 3600.0
        return _sum(value_per_h * pool.rejected_req_per_s / pool.rates * hours)

    return _over_pools(evidence, of)


def congestion(evidence: Evidence) -> Amount:
    """Load above a share of the capacity that the power allows."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        total_capacity = pool.active * capacity(pool.problem, pool.each_kw)
        unsure = pool.active * _chord_gap(pool.problem)
        terms, unsure_money = np.zeros_like(hours), 0.0
        for step in pool.problem.congestion:
            price = step.price_per_instance_h * hours
            above = pool.load - step.above_utilisation * total_capacity
            terms += price * np.maximum(above, 0.0)
            reach = step.above_utilisation * unsure
            unsure_money += float((price * np.clip(above + reach, 0.0, reach)).sum())
        return _sum(terms, may_be_more=unsure_money)

    return _over_pools(evidence, of)


def _chord_gap(problem: PoolProblem) -> float:
    """Bound how far chords lie below s(p): width^2 / 8 times |s''|, largest at the floor."""
    curve = problem.cap_curve
    if curve.elasticity >= 1.0:
        return 0.0
    lowest = curve.floor_kw / curve.full_kw
    bend = curve.elasticity * (1.0 - curve.elasticity) * lowest ** (curve.elasticity - 2.0)
    return float(((1.0 - lowest) / CAP_CHORDS) ** 2 / 8.0 * bend)


def capping(evidence: Evidence) -> Amount:
    """Power taken below the tangent of the load curve at the utilisation of the start."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        problem, curve = pool.problem, pool.problem.load_curve
        at = max(load_at_start(problem), curve.one_request_utilisation)
        slope = sum(t.amplitude_kw * t.exponent * at ** (t.exponent - 1.0) for t in curve.terms)
        touch_kw = float(load_curve_kw(problem, np.array([at]))[0])
        line_kw = pool.active * (touch_kw - slope * at) + slope * pool.load
        depth_kw = np.maximum(line_kw - pool.power_kw, 0.0)
        # two large powers are subtracted: rounding is measured against them
        price = problem.cap_depth_per_kwh
        size = float((price * pool.power_kw * hours).sum())
        return Amount(float((price * depth_kw * hours).sum()), size)

    return _over_pools(evidence, of)


def readiness(evidence: Evidence) -> Amount:
    """Hours for which an instance is not active though it was at the start."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        problem = pool.problem
        missing = problem.active_at_start - pool.active
        return _sum(problem.readiness_per_instance_h * np.maximum(missing, 0.0) * hours)

    return _over_pools(evidence, of)


def draining(evidence: Evidence) -> Amount:
    """Instances taken out of routing."""

    def of(pool: PoolEvidence, _: FloatArray) -> Amount:
        before = np.concatenate([[pool.problem.active_at_start], pool.active[:-1]])
        return _sum(pool.problem.drain_per_instance * np.maximum(before - pool.active, 0.0))

    return _over_pools(evidence, of)


def waking(evidence: Evidence) -> Amount:
    """Instances woken."""
    return _over_pools(evidence, lambda pool, _: _sum(pool.problem.wake_per_instance * pool.woken))


def late(evidence: Evidence) -> Amount:
    """Load beyond the limits on latency that have a price."""

    def of(pool: PoolEvidence, hours: FloatArray) -> Amount:
        running = ways(pool, evidence.plan.pools[pool.problem.name])
        gap = max(_chord_gap(way.of) for way in running)
        money = size = more = 0.0
        for requests in pool.problem.classes:
            price_per_s = requests.latency and requests.latency.late_per_instance_s
            price = (price_per_s or 0.0) * 3600.0 * hours
            for one in late_by(pool, requests, running, gap):
                money += float((price * one.load).sum())
                size += float((price * one.size).sum())
                more += float((price * one.by_chords).sum())
        return Amount(money, size, may_be_more=more)

    return _over_pools(evidence, of)


CAUSES: dict[str, Callable[[Evidence], Amount]] = {
    cause.__name__: cause
    for cause in (
        energy,
        wear,
        stored_energy,
        delay,
        rejected,
        congestion,
        capping,
        readiness,
        draining,
        waking,
        late,
        shortfall,
        firmness,
        reserve,
        handoff,
        overrun,
    )
}
"""How each cause of cost is recomputed, by its name in a plan."""


def cost(evidence: Evidence, _: Replay) -> list[Finding]:
    """Every cause costs what the plan's own numbers make it cost; a cause left out is nothing."""
    stated_by_cause = evidence.plan.cost
    gross = sum(map(abs, stated_by_cause.values()))
    found = [
        Finding(None, 1.0, 0.0, f"unknown cause of cost {cause!r}")
        for cause in stated_by_cause
        if cause not in CAUSES
    ]
    for cause, recompute in CAUSES.items():
        amount = recompute(evidence)
        allowed = MONEY + MONEY_SHARE * amount.size + PLAN_SHARE * gross
        off = stated_by_cause.get(cause, 0.0) - amount.money
        allowed += amount.may_be_more if off > 0.0 else amount.may_be_less
        message = f"cost.{cause} is {amount.money:g}"
        found += worst(abs(off), allowed, None, message)
    return found


def objective(evidence: Evidence, _: Replay) -> list[Finding]:
    """The causes sum to the objective."""
    causes = list(evidence.plan.cost.values())
    allowed = MONEY + MONEY_SHARE * sum(map(abs, causes))
    message = f"objective is not the sum of its causes, {sum(causes):g}"
    return worst(abs(evidence.plan.objective - sum(causes)), allowed, None, message)
