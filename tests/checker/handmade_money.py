"""What a handmade plan costs, cause by cause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from handmade_latency import late_cost
from handmade_physics import (
    HandmadeWay,
    epoch_durations_s,
    loss_kw,
    warm,
    ways,
    work_waiting,
)
from handmade_problem import Decision, natural_kw

from ebplan.plan import Step
from ebplan.problem import BatteryProblem, PoolProblem, Problem


def make_cost(
    problem: Problem, stories: dict[str, Sequence[Decision]], steps: tuple[Step, ...]
) -> dict[str, float]:
    cost = dict.fromkeys(("energy", "shortfall", "firmness", "overrun"), 0.0)
    prices = problem.prices
    for s, limit_kw in zip(steps, problem.import_limit_kw, strict=True):
        h = s.duration_s / 3600.0
        left = (problem.event_end_s - s.t_s) / (problem.event_end_s - problem.event_start_s)
        weight = 1.0 + prices.early_shortfall_premium * min(max(left, 0.0), 1.0)
        price = prices.energy_per_kwh
        price = price if isinstance(price, float) else price[steps.index(s)]
        cost["energy"] += price * (s.grid_kw - s.baseline_kw) * h
        cost["shortfall"] += prices.shortfall_per_kwh * s.shortfall_kw * h
        cost["firmness"] += prices.firmness_per_kwh * weight * s.shortfall_kw * h
        cost["overrun"] += prices.overrun_per_kwh * max(0.0, s.grid_kw - limit_kw) * h
    for pool in problem.pools:
        for cause, money in pool_cost(pool, stories[pool.name]).items():
            cost[cause] = cost.get(cause, 0.0) + money
    if problem.battery:
        cost |= battery_cost(problem, problem.battery, steps)
    return cost


def battery_cost(
    problem: Problem, battery: BatteryProblem, steps: tuple[Step, ...]
) -> dict[str, float]:
    wear = handoff = 0.0
    for s in steps:
        h, d = s.duration_s / 3600.0, max(s.battery_kw, 0.0)
        wear += battery.wear_per_kwh * (d + loss_kw(battery, d)) / battery.cell_efficiency * h
        if problem.handoff_from_s is not None and s.t_s >= problem.handoff_from_s:
            excess_kw = max(0.0, abs(s.battery_kw) - problem.handoff_kw) if s.target_kw else 0.0
            handoff += problem.prices.handoff_excess_per_kwh * excess_kw * h
    stored = [s.soc * battery.energy_kwh for s in steps if s.soc is not None]

    def value(kwh: float) -> float:
        total = 0.0
        for segment in battery.terminal:
            inside = min(kwh, segment.width_kwh)
            total += inside * segment.price_per_kwh
            kwh -= inside
        return total

    stored_all = [battery.start_kwh, *stored]
    hours = [s.duration_s / 3600.0 for s in steps]
    return {
        "wear": wear + depth_cost(battery, stored_all),
        "calendar": calendar_cost(battery, stored_all, hours),
        "handoff": handoff,
        "stored_energy": value(battery.start_kwh) - value(stored[-1]),
        "reserve": problem.prices.reserve_per_kwh
        * max(0.0, min(battery.reserve_kwh, battery.start_kwh) - min(stored)),
        "recovery": problem.prices.soc_missing_per_kwh
        * max(0.0, (problem.restore_kwh or 0.0) - stored[-1]),
    }


def depth_cost(battery: BatteryProblem, stored: Sequence[float]) -> float:
    """Return what depth costs: how much of each segment is missing, shallow first."""
    begins = [segment.from_kwh for segment in battery.depth_segments]
    sizes = [b - a for a, b in pairwise([*begins, math.inf])] if begins else []
    missing, cost = [0.0] * len(sizes), 0.0
    for before, after in pairwise(stored):
        put_back = max(after - before, 0.0)
        for j, gone in enumerate(missing):
            filled = min(gone, put_back)
            missing[j], put_back = gone - filled, put_back - filled
        taken = max(before - after, 0.0)
        for j, segment in enumerate(battery.depth_segments):
            here = min(sizes[j] - missing[j], taken)
            missing[j], taken = missing[j] + here, taken - here
            cost += segment.price_per_kwh * here
    return cost


def calendar_cost(
    battery: BatteryProblem, stored: Sequence[float], hours: Sequence[float]
) -> float:
    """Return what the hours at a state of charge cost beyond resting at that of the start."""
    if not battery.calendar:
        return 0.0
    rate = [max(a.price_per_kwh_h * e + a.price_per_h for a in battery.calendar) for e in stored]
    return sum(
        h * ((a + b) / 2.0 - rate[0]) for h, (a, b) in zip(hours, pairwise(rate), strict=True)
    )


def pool_cost(pool: PoolProblem, story: Sequence[Decision]) -> dict[str, float]:
    cost = dict.fromkeys(
        ("rejected", "congestion", "capping", "readiness", "draining", "waking"), 0.0
    )
    cost["delay"] = delay_cost(pool, story)
    cost["late"] = late_cost(pool, story)
    own, lower = pool.active_at_start, pool.tier.active_at_start if pool.tier else 0
    start = own + lower
    for k, (told, seconds) in enumerate(zip(story, epoch_durations_s(), strict=True)):
        for c, away in zip(pool.classes, told.rejected, strict=True):
            cost["rejected"] += away * c.value_per_instance_s * seconds
        for way in ways(pool, told).values():
            for step in pool.congestion if way.active else ():
                above = way.load - step.above_utilisation * way.active * way.capacity_each
                price = step.price_per_instance_h / 3600.0 * way.factor
                cost["congestion"] += price * max(0.0, above) * seconds
        for name, way in ways(pool, told).items():
            cause = "clocking" if name == "clock_lock" else "capping"
            cost[cause] = cost.get(cause, 0.0) + pool.cap_depth_per_kwh * depth_kwh(way, seconds)
        own_now, lower_now = told.active + told.locked.active, told.tier.active
        missing = start - own_now - lower_now
        cost["readiness"] += pool.readiness_per_instance_h * max(missing, 0) * seconds / 3600.0
        drained = max(0, own - own_now) + max(0, lower - lower_now)
        is_warm = pool.prewarm is not None and warm(pool, story, k)
        each = pool.prewarm.drain_per_instance if is_warm else pool.drain_per_instance
        cost["draining"] += each * drained
        cost["waking"] += pool.wake_per_instance * told.woken
        own, lower = own_now, lower_now
    return cost | further_cost(pool, story)


def depth_kwh(way: HandmadeWay, seconds: float) -> float:
    """Return the energy that lies below the tangent of the load curve at the start's load."""
    terms = way.of.load_curve.terms
    slope = sum(t.amplitude_kw * t.exponent * way.touch ** (t.exponent - 1) for t in terms)
    tangent_kw = way.active * natural_kw(way.of, way.touch)
    tangent_kw += slope * (way.load - way.active * way.touch)
    return max(0.0, tangent_kw - way.active * way.each_kw) * seconds / 3600.0


def further_cost(pool: PoolProblem, story: Sequence[Decision]) -> dict[str, float]:
    """Return what only some pools pay."""
    cost = {}
    if pool.tier:
        swaps = sum(told.to_tier + told.to_own for told in story)
        cost["swapping"] = pool.tier.swap_price_per_instance * swaps
    if pool.prewarm:
        cost["prewarming"] = pool.prewarm.price * sum(told.prewarm for told in story)
    for i, c in enumerate(pool.classes):
        for told, seconds in zip(story, epoch_durations_s(), strict=True):
            if c.lowered:
                paid = c.lowered.price_per_instance_s * told.lowered[i] * seconds
                cost["lowered"] = cost.get("lowered", 0.0) + paid
            if c.pull_forward:
                worth = c.pull_forward.value_per_work_h / 3600.0 * told.pulled[i] * seconds
                cost["pull_forward"] = cost.get("pull_forward", 0.0) - worth
    return cost


def delay_cost(pool: PoolProblem, story: Sequence[Decision]) -> float:
    """Return what waiting costs, against leaving what waits at the start where it is."""
    cost = 0.0
    for i, c in enumerate(pool.classes):
        if c.deferral is None:
            continue
        work = work_waiting(pool, story, i)
        more = [waiting - work[0] for waiting in work]
        waited = more[-1] * c.deferral.deadline_s
        for before, after, seconds in zip(more, more[1:], epoch_durations_s(), strict=False):
            waited += 0.5 * (before + after) * seconds
        cost += c.deferral.price_per_work_h / 3600.0 * waited
    return cost
