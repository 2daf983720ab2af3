"""The plan that follows from what the handmade fleet is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from handmade_latency import late_load, times_s
from handmade_money import make_cost
from handmade_physics import (
    HandmadeWay,
    epoch_durations_s,
    loss_kw,
    pool_power_kw,
    samples,
    ways,
    work_waiting,
)
from handmade_problem import EDGES_S, EPOCHS_S, STORY, Decision

from ebplan.plan import (
    CheckResult,
    ClassEpoch,
    ClassService,
    ClockLockEpoch,
    Converter,
    HandOffResult,
    Plan,
    PoolEpoch,
    Shortfall,
    Step,
    TierEpoch,
)
from ebplan.problem import PoolProblem, Problem


def make_plan(
    problem: Problem,
    stories: dict[str, Sequence[Decision]] | None = None,
    *,
    before_kw: float = 0.2,
    short_by_mean: bool = False,
    battery_kws: Mapping[float, float] | None = None,
) -> Plan:
    """Return the plan of the stories, by pool, with everything that follows from them.

    Before the event the battery works the other way with ``before_kw``: it takes before a release
    and gives before an absorb. A step's shortfall is that of its worst instant, or else that of
    its mean. ``battery_kws`` says what the battery does in steps in which nothing is asked.
    """
    stories = stories or {"chat": STORY}
    steps = make_steps(problem, stories, before_kw, battery_kws, short_by_mean=short_by_mean)
    cost = make_cost(problem, stories, steps)
    objective = sum(cost.values())
    battery = problem.battery
    return Plan(
        event_id=problem.event_id,
        start=problem.start,
        currency=problem.currency,
        status="optimal",
        objective=objective,
        **proven(cost, gap=5e-4),
        cost=cost,
        shortfall=make_shortfalls(steps),
        check=CheckResult(ok=False),
        handoff=HandOffResult(complete_s=complete_s(steps), asked_s=problem.handoff_from_s),
        steps=steps,
        pools={
            pool.name: tuple(make_epoch(pool, stories[pool.name], k) for k in range(len(EPOCHS_S)))
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


def proven(cost: dict[str, float], *, gap: float) -> dict[str, float]:
    """Return bound and gap: a share of the money, without the surcharges that nobody pays."""
    surcharges = ("firmness", "reserve", "margin", "recovery")
    money = sum(paid for cause, paid in cost.items() if cause not in surcharges)
    return {"bound": sum(cost.values()) - gap * abs(money), "gap": gap}


def make_steps(
    problem: Problem,
    stories: dict[str, Sequence[Decision]],
    before_kw: float,
    battery_kws: Mapping[float, float] | None,
    *,
    short_by_mean: bool,
) -> tuple[Step, ...]:
    battery = problem.battery
    stored_kwh = battery.start_kwh if battery else 0.0
    both = problem.asks == "both_ways"
    absorbs = max(problem.target_kw) > 0.0 and not both
    band_kw = problem.tolerance_kw

    def draw_kw(t_s: float) -> float:
        """Return the draw of the site without its battery; other load is constant here."""
        pools = (
            pool_power_kw(pool, stories[pool.name], t_s, absorbs=absorbs) for pool in problem.pools
        )
        return problem.other_kw[0] + sum(pools)

    def missed_kw(draw_kw: float, aim_kw: float) -> float:
        if both:
            return abs(draw_kw - aim_kw) - band_kw
        return aim_kw - draw_kw if absorbs else draw_kw - aim_kw

    steps = []
    for t, (begin_s, end_s) in enumerate(pairwise(EDGES_S)):
        samples_kw = samples(draw_kw, begin_s, end_s)
        site_kw = sum(samples_kw) / len(samples_kw)
        asked = problem.target_kw[t] != 0.0
        if both:
            asked = problem.event_start_s <= begin_s < problem.event_end_s
        aim_kw = problem.baseline_kw[t] + problem.target_kw[t]
        available_kw = answer_kw = 0.0
        if battery and begin_s < problem.event_start_s and not asked:
            answer_kw = -before_kw
        if battery and asked and end_s > 5.0 + battery.delay_s:
            available_kw = battery.charge_limit_kw if absorbs else battery.discharge_limit_kw
            answer_kw = min(max(missed_kw(site_kw, aim_kw), 0.0), available_kw)
        battery_kw = -answer_kw if absorbs else answer_kw
        if both and asked and site_kw < aim_kw:
            battery_kw = -answer_kw
        if battery_kws is not None and not asked:
            battery_kw = battery_kws.get(begin_s, 0.0)
        if battery:
            out_kw = battery_kw + loss_kw(battery, abs(battery_kw))
            eta = battery.cell_efficiency
            out_kw *= 1.0 / eta if out_kw > 0.0 else eta
            stored_kwh -= out_kw * (end_s - begin_s) / 3600.0
        grid_kw = site_kw - battery_kw
        instants_kw = (draw_kw(begin_s), draw_kw(end_s), *samples_kw)
        worst_kw = max(missed_kw(kw, aim_kw) for kw in instants_kw) - available_kw
        by_mean_kw = missed_kw(grid_kw, aim_kw)
        short_kw = by_mean_kw if short_by_mean else max(worst_kw, by_mean_kw)
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
                shortfall_kw=short_kw if asked and short_kw > 1e-9 else 0.0,
            )
        )
    return tuple(steps)


def make_epoch(pool: PoolProblem, story: Sequence[Decision], k: int) -> PoolEpoch:
    told = story[k]
    run = ways(pool, told)
    return PoolEpoch(
        t_s=EPOCHS_S[k],
        drained=told.drained,
        asleep=told.asleep,
        in_transit=told.in_transit,
        put_to_sleep=told.put_to_sleep,
        woken=told.woken,
        **make_way(run["own"]),
        cap_w_per_gpu=cap_w_per_gpu(pool, run["own"]),
        clock_lock=make_clock_lock(pool, run),
        tier=pool.tier
        and TierEpoch(
            drained=told.tier_drained,
            to_tier=told.to_tier,
            to_own=told.to_own,
            **make_way(run["tier"]),
            cap_w_per_gpu=cap_w_per_gpu(pool, run["tier"]),
        ),
        prewarm=told.prewarm,
        woken_warm=told.woken_warm,
        classes={c.name: make_class(pool, story, k, i) for i, c in enumerate(pool.classes)},
    )


def make_way(way: HandmadeWay) -> dict[str, Any]:
    each = way.load / way.active if way.active else 0.0
    return {
        "active": way.active,
        "utilisation": each,
        "capacity_used": each / way.capacity_each if way.active else 0.0,
        "power_kw": way.active * way.each_kw,
    }


def cap_w_per_gpu(pool: PoolProblem, way: HandmadeWay) -> float | None:
    if way.capped_to_kw is None:
        return None
    return way.capped_to_kw * pool.gpu_kw_per_kw * 1000.0 / pool.gpus_per_instance


def make_clock_lock(pool: PoolProblem, run: dict[str, HandmadeWay]) -> ClockLockEpoch | None:
    lock = pool.clock_lock
    if lock is None:
        return None
    mhz, way = None, run["clock_lock"]
    if way.capped_to_kw is not None:
        ratio = way.capped_to_kw / lock.cap_curve.full_kw
        mhz = lock.max_clock_mhz * min(ratio ** (1.0 / lock.power_exponent), 1.0)
    return ClockLockEpoch(**make_way(way), clock_mhz=mhz)


def make_class(pool: PoolProblem, story: Sequence[Decision], k: int, i: int) -> ClassEpoch:
    of, away, put_off = pool.classes[i], story[k].rejected[i], story[k].deferred[i]
    rate, ahead = of.requests_per_s_per_instance, story[k].pulled[i]
    return ClassEpoch(
        offered_req_per_s=of.load * rate,
        served_req_per_s=(of.load - away - put_off + ahead) * rate,
        rejected_req_per_s=away * rate,
        deferred_req_per_s=put_off * rate,
        backlog_requests=max(work_waiting(pool, story, i)[k + 1], 0.0) * rate,
        pulled_req_per_s=ahead * rate,
        lowered_req_per_s=story[k].lowered[i] * rate,
        **times_s(pool, story[k], i),
        late_req_per_s=late_load(pool, story[k], i) * rate,
    )


def make_service(pool: PoolProblem, story: Sequence[Decision]) -> dict[str, ClassService]:
    service = {}
    for i, c in enumerate(pool.classes):
        rate = c.requests_per_s_per_instance
        seconds = epoch_durations_s()
        rejected, pulled, lowered = (
            sum(getattr(d, what)[i] * rate * s for d, s in zip(story, seconds, strict=True))
            for what in ("rejected", "pulled", "lowered")
        )
        offered = c.load * rate * EDGES_S[-1]
        work = work_waiting(pool, story, i)
        service[c.name] = ClassService(
            offered=offered,
            served=offered - rejected - (work[-1] - work[0]) * rate + pulled,
            rejected=rejected,
            pulled=pulled,
            lowered=lowered,
            backlog_at_start=work[0] * rate,
            backlog_at_end=max(work[-1], 0.0) * rate,
            late_requests=sum(
                late_load(pool, d, i) * rate * s
                for d, s in zip(story, epoch_durations_s(), strict=True)
            ),
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
    for s in reversed([s for s in steps if s.target_kw]):
        if abs(s.battery_kw) > 0.1 * abs(s.target_kw) or s.shortfall_kw > 1e-6:
            break
        earliest = s.t_s
    return earliest
