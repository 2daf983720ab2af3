"""The escalation rule once more, one posture after the other: what is tried, in order.

Straightforward on purpose: every share of every class, every count of instances, one at a time,
with no curve evaluated for more than one instance. A load is a dict by class; what is put off,
turned away or lowered is worked out from the shares alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.problem import PoolProblem
from ebplan.solvers.operations import CLOCK_LOCK, Operation, operations

SHARES = [i / 20.0 for i in range(1, 21)]
Loads = dict[str, float]


@dataclass
class Try:
    """One posture that is tried."""

    active: int
    draw_kw: float
    power_kw: float
    rejected: Loads
    deferred: Loads
    lowered: Loads
    pulled: Loads = field(default_factory=dict)
    locked: bool = False


@dataclass
class Choice:
    """What becomes of the load."""

    rejected: Loads
    deferred: Loads
    lowered: Loads

    def own_load(self, pool: PoolProblem) -> float:
        gone = (*self.rejected.values(), *self.deferred.values(), *self.lowered.values())
        return pool.load - sum(gone)


def natural_kw(curve: LoadCurve, u: float) -> float:
    busy = max(u, curve.one_request_utilisation)
    above = sum(t.amplitude_kw * math.pow(busy, t.exponent) for t in curve.terms)
    return curve.idle_kw + min(u / curve.one_request_utilisation, 1.0) * above


def capacity(curve: CapCurve, power_kw: float) -> float:
    share = power_kw / curve.full_kw
    straight = 1.0 + curve.elasticity * (share - 1.0)
    return min(math.pow(share, curve.elasticity), straight, 1.0)


def serves(way: Operation, load: float, n: int) -> bool:
    """Tell whether n uncapped instances can serve a load."""
    if n == 0:
        return load <= 1e-9
    u = load / n
    if not way.min_utilisation - 1e-12 <= u <= way.max_utilisation + 1e-12:
        return False
    most = way.max_utilisation * capacity(way.cap_curve, natural_kw(way.load_curve, u))
    return u <= most + 1e-12


def counts(pool: PoolProblem, load: float) -> list[int]:
    """Return the counts that can serve a load: as now, then fewer; more only where needed."""
    awake = pool.active_at_start + pool.drained_at_start
    possible = range(pool.fewest_active, min(awake, pool.highest_active) + 1)
    serving = [n for n in possible if serves(operations(pool)[0], load, n)]
    fewer = [n for n in reversed(serving) if n <= pool.active_at_start]
    return fewer or serving[:1]


def lower_way(pool: PoolProblem) -> Operation | None:
    return operations(pool)[-1] if pool.tier is not None else None


def lowered_power(pool: PoolProblem, choice: Choice) -> tuple[int, float]:
    """Return the instances of the lower precision at work and their power."""
    lower, load = lower_way(pool), sum(choice.lowered.values())
    if lower is None or load <= 1e-9:
        return 0, 0.0
    load /= lower.capacity_factor
    able = (n for n in range(1, pool.in_tier_at_start + 1) if serves(lower, load, n))
    n = next(able, pool.in_tier_at_start)
    return n, n * natural_kw(lower.load_curve, min(load / n, 1.0))


def lowest_kw(way: Operation, u: float) -> float:
    """Return the lowest power that leaves the capacity for a load, by bisection on the curve."""
    curve, needed = way.cap_curve, u / way.max_utilisation
    low, high = 0.0, 4.0 * curve.full_kw
    for _ in range(200):
        middle = 0.5 * (low + high)
        ratio = middle / curve.full_kw
        able = min(ratio**curve.elasticity, 1.0 + curve.elasticity * (ratio - 1.0)) >= needed
        low, high = (low, middle) if able else (middle, high)
    return max(high, curve.floor_kw)


def posture(
    pool: PoolProblem, n: int, choice: Choice, cap_to_kw: float | None = None, clock: bool = False
) -> Try:
    own = operations(pool)[0]
    lower_n, lower_kw = lowered_power(pool, choice)
    idle = pool.instances - n - lower_n - pool.asleep_at_start
    beside_kw = idle * pool.drained_kw + pool.asleep_at_start * pool.asleep_kw + lower_kw
    power_kw = 0.0
    if n:
        u = choice.own_load(pool) / n
        power_kw = n * natural_kw(own.load_curve, min(u, 1.0))
        if cap_to_kw is not None and (clock or pool.may_cap):
            locked = [w for w in operations(pool) if w.key == CLOCK_LOCK]
            floor_kw = n * lowest_kw(locked[0] if clock else own, u)
            power_kw = min(power_kw, max(cap_to_kw - beside_kw, floor_kw))
    return Try(
        active=n,
        draw_kw=power_kw + beside_kw,
        power_kw=power_kw,
        rejected=choice.rejected,
        deferred=choice.deferred,
        lowered=choice.lowered,
        locked=clock,
    )


def shared_out(pool: PoolProblem, load: float) -> Loads:
    may = {c.name: c.lowered.eligible_share * c.load for c in pool.classes if c.lowered}
    whole = sum(may.values())
    return {name: part * min(load / whole, 1.0) if whole else 0.0 for name, part in may.items()}


def everything(pool: PoolProblem) -> Choice:
    held, load, lower = pool.in_tier_at_start, 0.0, lower_way(pool)
    if lower is not None:
        most = held * lower.max_utilisation * lower.capacity_factor
        load = min(pool.load_in_tier_at_start, most)
        if not any(serves(lower, load / lower.capacity_factor, n) for n in range(1, held + 1)):
            load = 0.0
    return Choice(
        rejected={c.name: 0.0 for c in pool.classes},
        deferred={c.name: 0.0 for c in pool.classes if c.deferral},
        lowered=shared_out(pool, load),
    )


def still_lowered(pool: PoolProblem, choice: Choice) -> Choice:
    """Return the choice with no more lowered than is served of a class, and is worth a count."""
    lowered: Loads = {}
    for c in pool.classes:
        if c.lowered is not None and c.name in choice.lowered:
            served = c.load - choice.rejected[c.name] - choice.deferred.get(c.name, 0.0)
            most = c.lowered.eligible_share * max(served, 0.0)
            lowered[c.name] = min(choice.lowered[c.name], most)
    lower = operations(pool)[-1]
    if sum(lowered.values()) < lower.min_utilisation * lower.capacity_factor:
        lowered = dict.fromkeys(lowered, 0.0)
    return Choice(choice.rejected, choice.deferred, lowered)


def with_less(pool: PoolProblem, choice: Choice) -> Iterator[Choice]:
    """Yield choices with more and more turned away, cheapest class first."""
    for c in sorted(pool.classes, key=lambda c: c.value_per_instance_s):
        waiting = choice.deferred.get(c.name, 0.0)
        for share in SHARES if c.max_rejected > 0.0 else ():
            away = share * c.max_rejected
            deferred = dict(choice.deferred)
            if waiting:
                deferred[c.name] = waiting * (1.0 - away / c.load)
            choice = Choice({**choice.rejected, c.name: away}, deferred, choice.lowered)
            choice = still_lowered(pool, choice)
            yield choice


def at_rest(pool: PoolProblem) -> Try:
    """Return the first choice that the instances awake can serve, with the least change."""
    for choice in (everything(pool), *with_less(pool, everything(pool))):
        for n in counts(pool, choice.own_load(pool))[:1]:
            return posture(pool, n, choice)
    away = {c.name: c.load for c in pool.classes}
    waiting = {c.name: 0.0 for c in pool.classes if c.deferral}
    return posture(pool, 0, Choice(away, waiting, {}))


def tries(pool: PoolProblem, enough_kw: float, held_s: float) -> Iterator[Try]:
    """Yield every posture that the rule tries to release, in order."""
    yield at_rest(pool)
    whole = everything(pool)
    for n in counts(pool, whole.own_load(pool)):
        yield posture(pool, n, whole)
    lower, start = lower_way(pool), whole
    if lower is not None:
        most = pool.in_tier_at_start * lower.max_utilisation * lower.capacity_factor
        eligible = sum(c.lowered.eligible_share * c.load for c in pool.classes if c.lowered)
        more = shared_out(pool, min(most, eligible))
        if sum(more.values()) >= lower.min_utilisation * lower.capacity_factor:
            start = Choice(whole.rejected, whole.deferred, more)
    for n in counts(pool, start.own_load(pool))[-1:]:
        yield posture(pool, n, start)
    for choice in (start, *shed(pool, start, held_s)):
        for n in counts(pool, choice.own_load(pool))[-1:]:
            yield posture(pool, n, choice, enough_kw)
            if pool.clock_lock is not None:
                yield posture(pool, n, choice, enough_kw, clock=True)


def shed(pool: PoolProblem, choice: Choice, held_s: float) -> Iterator[Choice]:
    """Yield choices with more and more put off, cheapest class first, then turned away."""
    may_wait = [c for c in pool.classes if c.deferral is not None and c.deferral.may_put_off]
    if any(at_rest(pool).rejected.values()):
        may_wait = []
    for c in sorted(may_wait, key=lambda c: c.deferral.price_per_work_h if c.deferral else 0.0):
        deadline_s = c.deferral.deadline_s if c.deferral else math.inf
        for share in SHARES:
            waiting = share * c.load * min(1.0, deadline_s / held_s)
            deferred = {**choice.deferred, c.name: waiting}
            choice = still_lowered(pool, Choice(choice.rejected, deferred, choice.lowered))
            yield choice
    yield from with_less(pool, choice)


def released(pool: PoolProblem, missing_kw: float, held_s: float) -> list[Try]:
    """Return the postures up to the first that releases enough: all where none does."""
    enough_kw = pool.power_at_start_kw() - missing_kw
    tried = []
    for one in tries(pool, enough_kw, held_s):
        tried.append(one)
        if one.draw_kw <= enough_kw + 1e-9:
            break
    return tried


def at_work(pool: PoolProblem, missing_kw: float) -> tuple[Try, bool]:
    """Return the posture with as few more instances as absorb what is missing.

    And whether all of them are at work: then what waits is worked off as well.
    """
    now = at_rest(pool)
    choice = Choice(now.rejected, now.deferred, now.lowered)
    awake = pool.active_at_start + pool.drained_at_start
    for n in range(now.active + 1, min(awake, pool.highest_active) + 1):
        if now.draw_kw - pool.power_at_start_kw() >= missing_kw:
            return now, False
        able = serves(operations(pool)[0], choice.own_load(pool), n)
        if n >= pool.fewest_active and able:
            now = posture(pool, n, choice)
    return now, True
