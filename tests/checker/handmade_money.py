"""What a handmade plan costs, cause by cause."""

from __future__ import annotations

from collections.abc import Sequence

from handmade_latency import late_cost
from handmade_physics import (
    capacity_each,
    epoch_durations_s,
    loss_kw,
    power_each_kw,
    served,
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
        cost["energy"] += prices.energy_per_kwh * (s.grid_kw - s.baseline_kw) * h
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

    return {
        "wear": wear,
        "handoff": handoff,
        "stored_energy": value(battery.start_kwh) - value(stored[-1]),
        "reserve": problem.prices.reserve_per_kwh
        * max(0.0, min(battery.reserve_kwh, battery.start_kwh) - min(stored)),
    }


def pool_cost(pool: PoolProblem, story: Sequence[Decision]) -> dict[str, float]:
    cost = dict.fromkeys(
        ("rejected", "congestion", "capping", "readiness", "draining", "waking"), 0.0
    )
    cost["delay"] = delay_cost(pool, story)
    cost["late"] = late_cost(pool, story)
    offered = sum(c.load for c in pool.classes)
    touch = min(offered / pool.active_at_start, 1.0) if pool.active_at_start else 1.0
    slope = sum(
        t.amplitude_kw * t.exponent * touch ** (t.exponent - 1) for t in pool.load_curve.terms
    )
    before = pool.active_at_start
    for told, seconds in zip(story, epoch_durations_s(), strict=True):
        load, n = served(pool, told), told.active
        for c, away in zip(pool.classes, told.rejected, strict=True):
            cost["rejected"] += away * c.value_per_instance_s * seconds
        for step in pool.congestion if n else ():
            above = load - step.above_utilisation * n * capacity_each(pool, told)
            cost["congestion"] += step.price_per_instance_h / 3600.0 * max(0.0, above) * seconds
        tangent_kw = n * natural_kw(pool, touch) + slope * (load - n * touch)
        depth_kw = max(0.0, tangent_kw - n * power_each_kw(pool, told))
        cost["capping"] += pool.cap_depth_per_kwh * depth_kw * seconds / 3600.0
        missing = pool.active_at_start - n
        cost["readiness"] += pool.readiness_per_instance_h * max(missing, 0) * seconds / 3600.0
        cost["draining"] += pool.drain_per_instance * max(0, before - n)
        cost["waking"] += pool.wake_per_instance * told.woken
        before = n
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
