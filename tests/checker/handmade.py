"""A small problem and its plan, made by hand and by the slowest straightforward code.

Four instances at 55 % load, a release of 0.6 kW from second 5 to second 185. Before it the battery
takes a little charge. One instance is drained at once while the battery bridges, put to sleep at
35 s and woken after the event; from 60 s the other three are capped, from 110 s some batch
requests are turned away. The first tenth of a second is short: the converter needs it.

Nothing here is shared with the checker, nor with what makes plans: powers are summed instance by
instance and averaged over a step by sampling it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from ebplan.models.curves import CapCurve, LoadCurve, LoadTerm
from ebplan.plan import (
    CheckResult,
    ClassEpoch,
    ClassService,
    Converter,
    HandOffResult,
    Plan,
    PoolEpoch,
    Shortfall,
    Step,
)
from ebplan.problem import (
    ArrivalCount,
    BatteryProblem,
    ClassProblem,
    PoolProblem,
    Prices,
    Problem,
    ValueSegment,
)
from ebplan.site import CongestionStep, Response
from ebplan.timegrid import TimeGrid

EDGES_S = (
    *(0.0, 2.0, 5.0, 5.1, 5.2, 5.5, 6.0, 7.0, 9.0, 12.0, 16.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0),
    *(60.0, 61.0, 65.0, 80.0, 110.0, 111.0, 145.0, 185.0, 186.0, 190.0, 200.0, 220.0, 245.0),
)
EPOCHS_S = (0.0, 5.0, 35.0, 60.0, 110.0, 185.0, 200.0)
SAMPLES = 400
IDLE_KW, DRAINED_KW, ASLEEP_KW, FULL_KW = 0.30, 0.28, 0.15, 1.00


@dataclass(frozen=True)
class Decision:
    """What a pool is told at one epoch."""

    active: int
    drained: int
    asleep: int
    in_transit: int = 0
    put_to_sleep: int = 0
    woken: int = 0
    power_each_kw: float | None = None
    """Power of one active instance; None: uncapped."""
    rejected: tuple[float, ...] = (0.0, 0.0)
    """Load turned away by class, in instance-equivalents."""


STORY = (
    Decision(4, 0, 0),
    Decision(3, 1, 0),
    Decision(3, 0, 0, in_transit=1, put_to_sleep=1),
    Decision(3, 0, 1, power_each_kw=0.85),
    Decision(3, 0, 1, power_each_kw=0.80, rejected=(0.0, 0.25)),
    Decision(3, 0, 0, in_transit=1, woken=1),
    Decision(4, 0, 0),
)


def make_pool(name: str = "chat", **changes: object) -> PoolProblem:
    pool = PoolProblem(
        name=name,
        instances=4,
        load_curve=LoadCurve(
            idle_kw=IDLE_KW,
            terms=(
                LoadTerm(amplitude_kw=0.5, exponent=0.1),
                LoadTerm(amplitude_kw=FULL_KW - IDLE_KW - 0.5, exponent=0.5),
            ),
            one_request_utilisation=0.04,
            valid_from_utilisation=0.3,
        ),
        cap_curve=CapCurve(full_kw=FULL_KW, elasticity=0.8, floor_kw=0.7),
        drained_kw=DRAINED_KW,
        asleep_kw=ASLEEP_KW,
        may_sleep=True,
        min_utilisation=0.3,
        max_utilisation=0.95,
        route_response=Response(delay_s=0.0, time_constant_s=6.0),
        cap_response=Response(delay_s=0.2, time_constant_s=0.4),
        sleep_s=10.0,
        wake_s=6.0,
        min_asleep_s=60.0,
        min_awake_s=30.0,
        active_at_start=4,
        drained_at_start=0,
        asleep_at_start=0,
        classes=(
            ClassProblem(
                name="interactive",
                load=1.4,
                requests_per_s_per_instance=12.0,
                value_per_instance_s=30.0,
                max_rejected=0.0,
            ),
            ClassProblem(
                name="batch",
                load=0.8,
                requests_per_s_per_instance=8.0,
                value_per_instance_s=2.0,
                max_rejected=0.4,
            ),
        ),
        congestion=(
            CongestionStep(above_utilisation=0.5, price_per_instance_h=40.0),
            CongestionStep(above_utilisation=0.8, price_per_instance_h=90.0),
        ),
        cap_depth_per_kwh=25.0,
        readiness_per_instance_h=12.0,
        drain_per_instance=0.4,
        wake_per_instance=0.7,
        gpus_per_instance=2,
        gpu_kw_per_kw=0.9,
    )
    return pool.model_copy(update=changes)


def make_battery(**changes: object) -> BatteryProblem:
    battery = BatteryProblem(
        energy_kwh=0.5,
        start_kwh=0.25,
        min_kwh=0.05,
        max_kwh=0.45,
        reserve_kwh=0.249,
        discharge_limit_kw=1.5,
        charge_limit_kw=1.0,
        droop_reserve_kw=0.1,
        rated_kw=2.0,
        loss_linear=0.02,
        loss_quadratic=0.02,
        cell_efficiency=0.97,
        delay_s=0.1,
        wear_per_kwh=20.0,
        terminal=(
            ValueSegment(width_kwh=0.2495, price_per_kwh=60.0),
            ValueSegment(width_kwh=0.2505, price_per_kwh=15.0),
        ),
    )
    return battery.model_copy(update=changes)


def make_problem(**changes: object) -> Problem:
    starts_s = EDGES_S[:-1]
    draw_kw = 0.5 + 4 * natural_kw(make_pool(), 0.55)
    problem = Problem(
        event_id="handmade",
        start=datetime(2026, 6, 1, 12, tzinfo=UTC),
        currency="JPY",
        grid=TimeGrid(edges_s=EDGES_S, epoch_steps=tuple(EDGES_S.index(t) for t in EPOCHS_S)),
        event_start_s=5.0,
        event_end_s=185.0,
        target_kw=tuple(-0.6 if 5.0 <= t < 185.0 else 0.0 for t in starts_s),
        baseline_kw=tuple(draw_kw for _ in starts_s),
        other_kw=tuple(0.5 for _ in starts_s),
        import_limit_kw=tuple(draw_kw + 0.01 for _ in starts_s),
        export_limit_kw=0.0,
        handoff_from_s=12.0,
        handoff_kw=0.06,
        pools=(make_pool(),),
        battery=make_battery(),
        prices=Prices(
            energy_per_kwh=18.0,
            shortfall_per_kwh=60.0,
            firmness_per_kwh=3000.0,
            early_shortfall_premium=0.1,
            reserve_per_kwh=2500.0,
            handoff_excess_per_kwh=400.0,
            overrun_per_kwh=3060.0,
        ),
    )
    return problem.model_copy(update=changes)


# --- physics ----------------------------------------------------------------------------------


def natural_kw(pool: PoolProblem, u: float) -> float:
    """Return the uncapped power of one instance; u above one request in flight."""
    assert u >= pool.load_curve.one_request_utilisation
    return pool.load_curve.idle_kw + sum(
        t.amplitude_kw * u**t.exponent for t in pool.load_curve.terms
    )


def served(pool: PoolProblem, told: Decision) -> float:
    return sum(c.load for c in pool.classes) - sum(told.rejected)


def power_each_kw(pool: PoolProblem, told: Decision) -> float:
    if told.active == 0:
        return 0.0
    return told.power_each_kw or natural_kw(pool, served(pool, told) / told.active)


def capacity_each(pool: PoolProblem, told: Decision) -> float:
    ratio = power_each_kw(pool, told) / pool.cap_curve.full_kw
    return min(ratio**pool.cap_curve.elasticity, 1.0 + pool.cap_curve.elasticity * (ratio - 1.0))


def pool_power_kw(pool: PoolProblem, story: Sequence[Decision], t_s: float) -> float:
    """Return a pool's power at an instant, from each epoch's change and its response."""
    full_kw = natural_kw(pool, 1.0)

    def slow(active: int, asleep: int) -> float:
        idle = pool.instances - active - asleep
        return idle * pool.drained_kw + asleep * pool.asleep_kw + active * full_kw

    active = pool.active_at_start
    offered = sum(c.load for c in pool.classes)
    before_kw = active * natural_kw(pool, min(offered / active, 1.0)) if active else 0.0
    inputs = [(slow(active, pool.asleep_at_start), before_kw - active * full_kw)]
    inputs += [
        (slow(d.active, d.asleep), d.active * (power_each_kw(pool, d) - full_kw)) for d in story
    ]
    power_kw = sum(inputs[0])
    for k, epoch_s in enumerate(EPOCHS_S):
        for channel, response in enumerate((pool.route_response, pool.cap_response)):
            since_s = t_s - epoch_s - response.delay_s
            if since_s > 0.0:
                arrived = 1.0 - math.exp(-since_s / response.time_constant_s)
                power_kw += (inputs[k + 1][channel] - inputs[k][channel]) * arrived
    return power_kw


def samples(function: Callable[[float], float], begin: float, end: float) -> list[float]:
    width = (end - begin) / SAMPLES
    return [function(begin + (i + 0.5) * width) for i in range(SAMPLES)]


def loss_kw(battery: BatteryProblem, x: float) -> float:
    return battery.loss_linear * x + battery.loss_quadratic * x * x / battery.rated_kw


# --- the plan ---------------------------------------------------------------------------------


def make_plan(
    problem: Problem,
    stories: dict[str, Sequence[Decision]] | None = None,
    *,
    charge_kw: float = 0.2,
    short_by_mean: bool = False,
) -> Plan:
    """Return the plan of the stories, by pool, with everything that follows from them.

    A step's shortfall is that of its worst instant, or else that of its mean.
    """
    stories = stories or {"chat": STORY}
    steps = make_steps(problem, stories, charge_kw, short_by_mean=short_by_mean)
    cost = make_cost(problem, stories, steps)
    objective = sum(cost.values())
    battery = problem.battery
    return Plan(
        event_id=problem.event_id,
        start=problem.start,
        currency=problem.currency,
        status="optimal",
        objective=objective,
        bound=objective * (1.0 - 5e-4),
        gap=5e-4,
        cost=cost,
        shortfall=make_shortfalls(steps),
        check=CheckResult(ok=False),
        handoff=HandOffResult(complete_s=complete_s(steps), asked_s=problem.handoff_from_s),
        steps=steps,
        pools={
            pool.name: tuple(
                make_epoch(pool, t, told)
                for t, told in zip(EPOCHS_S, stories[pool.name], strict=True)
            )
            for pool in problem.pools
        },
        converter=battery
        and Converter(
            droop_reserve_kw=battery.droop_reserve_kw,
            reserve_kwh=battery.reserve_kwh,
            delay_s=battery.delay_s,
        ),
        service={pool.name: make_service(pool, stories[pool.name]) for pool in problem.pools},
        explanation=(),
        problem_hash=problem.digest(),
    )


def make_steps(
    problem: Problem,
    stories: dict[str, Sequence[Decision]],
    charge_kw: float,
    *,
    short_by_mean: bool,
) -> tuple[Step, ...]:
    battery = problem.battery
    stored_kwh = battery.start_kwh if battery else 0.0

    def draw_kw(t_s: float) -> float:
        """Return the draw of the site without its battery; other load is constant here."""
        pools = (pool_power_kw(pool, stories[pool.name], t_s) for pool in problem.pools)
        return problem.other_kw[0] + sum(pools)

    steps = []
    for t, (begin_s, end_s) in enumerate(pairwise(EDGES_S)):
        samples_kw = samples(draw_kw, begin_s, end_s)
        site_kw = sum(samples_kw) / len(samples_kw)
        asked = problem.target_kw[t] < 0.0
        ceiling_kw = problem.baseline_kw[t] + problem.target_kw[t]
        available_kw = battery_kw = 0.0
        if battery and begin_s < problem.event_start_s and not asked:
            battery_kw = -charge_kw
        if battery and asked and end_s > 5.0 + battery.delay_s:
            available_kw = battery.discharge_limit_kw
            battery_kw = min(max(site_kw - ceiling_kw, 0.0), available_kw)
        if battery:
            out_kw = battery_kw + loss_kw(battery, abs(battery_kw))
            eta = battery.cell_efficiency
            out_kw *= 1.0 / eta if out_kw > 0.0 else eta
            stored_kwh -= out_kw * (end_s - begin_s) / 3600.0
        grid_kw = site_kw - battery_kw
        worst_kw = max(draw_kw(begin_s), draw_kw(end_s), *samples_kw) - available_kw
        missed_kw = (grid_kw if short_by_mean else max(worst_kw, grid_kw)) - ceiling_kw
        steps.append(
            Step(
                t_s=begin_s,
                duration_s=end_s - begin_s,
                target_kw=problem.target_kw[t],
                baseline_kw=problem.baseline_kw[t],
                grid_kw=grid_kw,
                compute_kw=site_kw - problem.other_kw[0],
                battery_kw=battery_kw,
                soc=stored_kwh / battery.energy_kwh if battery else None,
                mechanisms={
                    "battery": -battery_kw,
                    "compute": site_kw - problem.baseline_kw[t],
                },
                shortfall_kw=missed_kw if asked and missed_kw > 1e-9 else 0.0,
            )
        )
    return tuple(steps)


def make_epoch(pool: PoolProblem, t_s: float, told: Decision) -> PoolEpoch:
    each_kw = power_each_kw(pool, told)
    load = served(pool, told)
    cap_w = None
    if told.power_each_kw is not None:
        cap_w = each_kw * pool.gpu_kw_per_kw * 1000.0 / pool.gpus_per_instance
    return PoolEpoch(
        t_s=t_s,
        active=told.active,
        drained=told.drained,
        asleep=told.asleep,
        in_transit=told.in_transit,
        put_to_sleep=told.put_to_sleep,
        woken=told.woken,
        utilisation=load / told.active if told.active else 0.0,
        capacity_used=load / told.active / capacity_each(pool, told) if told.active else 0.0,
        power_kw=told.active * each_kw,
        cap_w_per_gpu=cap_w,
        classes={
            c.name: ClassEpoch(
                offered_req_per_s=c.load * c.requests_per_s_per_instance,
                served_req_per_s=(c.load - away) * c.requests_per_s_per_instance,
                rejected_req_per_s=away * c.requests_per_s_per_instance,
            )
            for c, away in zip(pool.classes, told.rejected, strict=True)
        },
    )


def epoch_durations_s() -> list[float]:
    ends = (*EPOCHS_S[1:], EDGES_S[-1])
    return [end - begin for begin, end in zip(EPOCHS_S, ends, strict=True)]


def make_service(pool: PoolProblem, story: Sequence[Decision]) -> dict[str, ClassService]:
    service = {}
    for i, c in enumerate(pool.classes):
        rate = c.requests_per_s_per_instance
        rejected = sum(
            d.rejected[i] * rate * s for d, s in zip(story, epoch_durations_s(), strict=True)
        )
        offered = c.load * rate * EDGES_S[-1]
        service[c.name] = ClassService(
            offered=offered, served=offered - rejected, rejected=rejected
        )
    return service


def make_shortfalls(steps: tuple[Step, ...]) -> tuple[Shortfall, ...]:
    """Return one interval for each step that is short."""
    return tuple(
        Shortfall(
            from_s=s.t_s,
            to_s=s.t_s + s.duration_s,
            max_kw=s.shortfall_kw,
            energy_kwh=s.shortfall_kw * s.duration_s / 3600.0,
            reason="by hand",
        )
        for s in steps
        if s.shortfall_kw > 1e-6
    )


def complete_s(steps: tuple[Step, ...]) -> float | None:
    """Walk back from the end of the event while compute meets the target by itself."""
    earliest = None
    for s in reversed([s for s in steps if s.target_kw < 0.0]):
        if abs(s.battery_kw) > 0.1 * abs(s.target_kw) or s.shortfall_kw > 1e-6:
            break
        earliest = s.t_s
    return earliest


# --- money ------------------------------------------------------------------------------------


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
            excess_kw = max(0.0, d - problem.handoff_kw) if s.target_kw < 0.0 else 0.0
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
        "reserve": problem.prices.reserve_per_kwh * max(0.0, battery.reserve_kwh - min(stored)),
    }


def pool_cost(pool: PoolProblem, story: Sequence[Decision]) -> dict[str, float]:
    cost = dict.fromkeys(
        ("rejected", "congestion", "capping", "readiness", "draining", "waking"), 0.0
    )
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
        cost["readiness"] += pool.readiness_per_instance_h * missing * seconds / 3600.0
        cost["draining"] += pool.drain_per_instance * max(0, before - n)
        cost["waking"] += pool.wake_per_instance * told.woken
        before = n
    return cost


def with_arrivals(pool: PoolProblem, *arrivals: ArrivalCount) -> PoolProblem:
    return pool.model_copy(update={"arrivals": arrivals})
