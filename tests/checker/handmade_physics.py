"""What the handmade fleet and battery do, by the slowest straightforward code.

Nothing here is shared with the checker, nor with what makes plans: the power at an instant is
summed epoch by epoch, and its mean over a step is taken by sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from handmade_problem import EDGES_S, EPOCHS_S, Decision, natural_kw

from ebplan.models.curves import CapCurve
from ebplan.problem import BatteryProblem, PoolProblem, TierProblem
from ebplan.site import Response

SAMPLES = 200


def epoch_durations_s() -> list[float]:
    ends = (*EPOCHS_S[1:], EDGES_S[-1])
    return [end - begin for begin, end in zip(EPOCHS_S, ends, strict=True)]


def served(pool: PoolProblem, told: Decision) -> float:
    load = sum(c.load for c in pool.classes) + sum(told.pulled)
    return load - sum(told.rejected) - sum(told.deferred)


@dataclass(frozen=True)
class HandmadeWay:
    """The instances that run in one way; loads are in instance-equivalents of its own."""

    of: PoolProblem | TierProblem
    """Whose load curve it has."""
    cap_curve: CapCurve
    factor: float
    active: int
    load: float
    touch: float
    """Utilisation at which a cap is priced."""
    capped_to_kw: float | None

    @property
    def each_kw(self) -> float:
        if self.active == 0:
            return 0.0
        return self.capped_to_kw or natural_kw(self.of, self.load / self.active)

    @property
    def capacity_each(self) -> float:
        ratio, elasticity = self.each_kw / self.cap_curve.full_kw, self.cap_curve.elasticity
        return min(math.pow(ratio, elasticity), 1.0 + elasticity * (ratio - 1.0), 1.0)


def ways(pool: PoolProblem, told: Decision) -> dict[str, HandmadeWay]:
    """Return the ways in which the pool runs: its own, under a clock, in the lower precision."""
    lowered = sum(told.lowered)
    left = served(pool, told) - told.locked.load - lowered
    touch = touch_at_start(pool)
    found = {
        "own": HandmadeWay(pool, pool.cap_curve, 1.0, told.active, left, touch, told.power_each_kw)
    }
    if pool.clock_lock:
        by, curve = told.locked, pool.clock_lock.cap_curve
        found["clock_lock"] = HandmadeWay(
            pool, curve, 1.0, by.active, by.load, touch, by.power_each_kw
        )
    if pool.tier:
        of, by = pool.tier, told.tier
        at = of.load_at_start / of.capacity_factor / of.active_at_start
        found["tier"] = HandmadeWay(
            *(of, of.cap_curve, of.capacity_factor, by.active),
            *(lowered / of.capacity_factor, at, by.power_each_kw),
        )
    return found


def power_each_kw(pool: PoolProblem, told: Decision) -> float:
    return ways(pool, told)["own"].each_kw


def capacity_each(pool: PoolProblem, told: Decision) -> float:
    return ways(pool, told)["own"].capacity_each


def touch_at_start(pool: PoolProblem) -> float:
    if pool.active_at_start == 0:
        return 1.0
    offered = sum(c.load for c in pool.classes) - (pool.tier.load_at_start if pool.tier else 0.0)
    return min(offered / pool.active_at_start, 1.0)


def prewarms_since_s(story: Sequence[Decision], k: int) -> list[float]:
    """Return how long before epoch k each pre-warm up to it was told."""
    return [EPOCHS_S[k] - EPOCHS_S[i] for i in range(k + 1) if story[i].prewarm]


def warm(pool: PoolProblem, story: Sequence[Decision], k: int) -> bool:
    of = pool.prewarm
    return of is not None and any(
        of.lead_s <= ago_s < of.lead_s + of.expires_s for ago_s in prewarms_since_s(story, k)
    )


def work_waiting(pool: PoolProblem, story: Sequence[Decision], i: int) -> list[float]:
    """Return how much work of a class waits: at the start, then at the end of each epoch."""
    deferral = pool.classes[i].deferral
    work = [deferral.backlog_at_start if deferral else 0.0]
    for told, seconds in zip(story, epoch_durations_s(), strict=True):
        work.append(work[-1] + told.deferred[i] * seconds)
    return work


def pool_power_kw(
    pool: PoolProblem, story: Sequence[Decision], t_s: float, *, absorbs: bool
) -> float:
    """Return a pool's power at an instant, from each epoch's change and its response.

    What a drained instance has not shed yet is counted, but not where it would help to absorb;
    there the power rises as slowly as it may.
    """

    def settled(serving: int, asleep: int, active_kw: float) -> float:
        idle = pool.instances - serving - asleep
        return active_kw + idle * pool.drained_kw + asleep * pool.asleep_kw

    def arrived(response: Response, since_s: float) -> float:
        x = since_s - response.delay_s
        return 1.0 - math.exp(-x / response.time_constant_s) if x > 0.0 else 0.0

    def pre_warming_kw(k: int) -> float:
        at_work = [
            s for s in prewarms_since_s(story, k) if pool.prewarm and s < pool.prewarm.lead_s
        ]
        return pool.prewarm.power_kw * len(at_work) if pool.prewarm else 0.0

    own, lower = pool.active_at_start, 0
    before_kw = own * natural_kw(pool, touch_at_start(pool)) if own else 0.0
    if pool.tier:
        lower, tier = pool.tier.active_at_start, pool.tier
        each = tier.load_at_start / tier.capacity_factor / lower
        before_kw += lower * natural_kw(tier, each)
    levels = [settled(own + lower, pool.asleep_at_start, before_kw)]
    owns, lowers = [own], [lower]
    for k, told in enumerate(story):
        owns.append(told.active + told.locked.active)
        lowers.append(told.tier.active)
        active_kw = sum(way.active * way.each_kw for way in ways(pool, told).values())
        level_kw = settled(owns[-1] + lowers[-1], told.asleep, active_kw)
        levels.append(level_kw + pre_warming_kw(k))
    quick = (absorbs and pool.rise_response) or pool.cap_response
    power_kw = levels[0]
    for k, epoch_s in enumerate(EPOCHS_S):
        fast, slow = arrived(quick, t_s - epoch_s), arrived(pool.route_response, t_s - epoch_s)
        held_back_kw = 0.0
        if not absorbs:
            fall_kw = natural_kw(pool, 1.0) - pool.drained_kw
            held_back_kw = max(owns[k] - owns[k + 1], 0) * fall_kw
        if pool.tier and not absorbs:
            fall_kw = natural_kw(pool.tier, 1.0) - pool.drained_kw
            held_back_kw += max(lowers[k] - lowers[k + 1], 0) * fall_kw
        power_kw += (levels[k + 1] - levels[k]) * fast + held_back_kw * (fast - slow)
    return power_kw


def samples(function: Callable[[float], float], begin: float, end: float) -> list[float]:
    width = (end - begin) / SAMPLES
    return [function(begin + (i + 0.5) * width) for i in range(SAMPLES)]


def loss_kw(battery: BatteryProblem, x: float) -> float:
    return battery.loss_linear * x + battery.loss_quadratic * x * x / battery.rated_kw
