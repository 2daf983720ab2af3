"""Following a plan: the state it leads to at an instant, with the power still on its way.

A plan changes settled power at its epochs; the draw follows through two responses. At an instant
tau of the plan, of each change at an epoch ``t_k`` there is left

    fast   -(Z_k - Z_{k-1} + q_k) exp(-(tau - t_k - delay_f) / T_f)     Z: settled draw
    slow    q_k exp(-(tau - t_k - delay_s) / T_s)                       q: kW that drains slowly

and whatever was on its way when the plan began. A plan made at tau starts from the natural draw
of the counts it finds; how far the settled draw lies from it (caps in force, say) is one more part
of the fast response. Handed over as ``PoolState.settling``, the next plan continues where this one
is: with a perfect forecast and the same epochs it finds the same optimum.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np

from ebplan.models.kernel import FloatArray
from ebplan.plan import Plan, PoolEpoch
from ebplan.problem import PoolProblem, Problem
from ebplan.site import Response
from ebplan.state import InTransit, PoolState, Settling, State, TierState
from ebplan.timegrid import TimeGrid

NOTICEABLE_KW = 1e-7
"""Power on its way below a tenth of a milliwatt has arrived."""


def rest_of_grid(grid: TimeGrid, elapsed_s: float) -> TimeGrid:
    """Return what is left of a grid; the first epoch begins at once.

    Raises:
        ValueError: nothing is left.
    """
    if elapsed_s >= grid.horizon_s:
        raise ValueError(f"the grid ends after {grid.horizon_s:g} s, {elapsed_s:g} s have passed")
    later = [round(edge - elapsed_s, 6) for edge in grid.edges_s if edge > elapsed_s + 1e-6]
    edges = [0.0, *later]
    begins = {0.0, *(round(float(t) - elapsed_s, 6) for t in grid.epoch_starts_s)}
    return TimeGrid(
        edges_s=tuple(edges),
        epoch_steps=tuple(i for i, edge in enumerate(edges[:-1]) if edge in begins),
    )


def state_at(problem: Problem, plan: Plan, elapsed_s: float) -> State:
    """Return the state that carrying out a plan leads to, ``elapsed_s`` after it began.

    Loads are those of the problem: a plan forecasts what it was told.
    """
    return State(
        at=plan.start + timedelta(seconds=elapsed_s),
        soc=soc_at(problem, plan, elapsed_s),
        pools={
            pool.name: _pool_at(problem, pool, plan.pools[pool.name], elapsed_s)
            for pool in problem.pools
        },
    )


def soc_at(problem: Problem, plan: Plan, elapsed_s: float) -> float | None:
    """Return the state of charge a plan expects; None without a battery."""
    battery = problem.battery
    if battery is None:
        return None
    at_edges = [battery.start_kwh / battery.energy_kwh, *(s.soc or 0.0 for s in plan.steps)]
    return float(np.interp(elapsed_s, problem.grid.edges_s, at_edges))


def settling_of(
    problem: Problem, pool: PoolProblem, epochs: tuple[PoolEpoch, ...], elapsed_s: float
) -> tuple[Settling, ...]:
    """Return the power of a pool that is still on its way at an instant of the plan.

    It counts from the natural draw of the counts at that instant.
    """
    releases = problem.direction < 0
    fast = pool.cap_response if releases else pool.rise_response or pool.cap_response
    starts = np.array([epoch.t_s for epoch in epochs])
    begun = [epoch for epoch in epochs if epoch.t_s <= elapsed_s + 1e-6]
    settled_kw = np.array([pool.power_at_start_kw(), *(_settled_kw(pool, e) for e in begun)])
    drains_kw = np.array(_drains_kw(pool, begun)) if releases else np.zeros(len(begun))
    since_s = elapsed_s - starts[: len(begun)]
    ahead_kw = settled_kw[-1] - _natural_kw(pool, begun[-1])
    parts = [
        *_decayed(pool.settling, elapsed_s),
        *_left(fast, -(np.diff(settled_kw) + drains_kw), since_s),
        *_left(pool.route_response, drains_kw, since_s),
        # where a plan made now starts from, in place of where this one is going
        (ahead_kw, fast.delay_s, fast.time_constant_s),
    ]
    together: dict[tuple[float, float], float] = {}
    for kw, delay_s, constant_s in parts:
        together[delay_s, constant_s] = together.get((delay_s, constant_s), 0.0) + kw
    return tuple(
        Settling(kw=float(kw), delay_s=delay_s, time_constant_s=constant_s)
        for (delay_s, constant_s), kw in together.items()
        if abs(kw) > NOTICEABLE_KW
    )


def _left(
    response: Response, change_kw: FloatArray, since_s: FloatArray
) -> Iterator[tuple[float, float, float]]:
    """Yield what is left of changes as (kW, delay, time constant)."""
    for kw, since in zip(change_kw.tolist(), since_s.tolist(), strict=True):
        waits_s = round(max(response.delay_s - since, 0.0), 6)
        falls_s = max(since - response.delay_s, 0.0)
        constant_s = response.time_constant_s
        yield kw * float(np.exp(-falls_s / constant_s)), waits_s, constant_s


def _decayed(
    settling: tuple[Settling, ...], elapsed_s: float
) -> Iterator[tuple[float, float, float]]:
    for part in settling:
        falls_s = max(elapsed_s - part.delay_s, 0.0)
        left_kw = part.kw * float(np.exp(-falls_s / part.time_constant_s))
        yield left_kw, round(max(part.delay_s - elapsed_s, 0.0), 6), part.time_constant_s


def _settled_kw(pool: PoolProblem, epoch: PoolEpoch) -> float:
    """Return the draw a pool settles at in an epoch."""
    serving, power_kw = epoch.active, epoch.power_kw
    for way in (epoch.clock_lock, epoch.tier):
        serving += 0 if way is None else way.active
        power_kw += 0.0 if way is None else way.power_kw
    idle = pool.instances - serving - epoch.asleep
    return power_kw + pool.drained_kw * idle + pool.asleep_kw * epoch.asleep


def _drains_kw(pool: PoolProblem, epochs: list[PoolEpoch]) -> list[float]:
    """Return what falls slowly at each epoch: from saturation to idle, by the weights held."""
    own, found = pool.active_at_start, []
    lower = pool.tier.active_at_start if pool.tier else 0
    for epoch in epochs:
        serving = epoch.active + (epoch.clock_lock.active if epoch.clock_lock else 0)
        in_tier = epoch.tier.active if epoch.tier else 0
        tier_kw = pool.tier.load_curve.full_kw if pool.tier else pool.full_kw
        found.append(
            max(own - serving, 0) * (pool.full_kw - pool.drained_kw)
            + max(lower - in_tier, 0) * (tier_kw - pool.drained_kw)
        )
        own, lower = serving, in_tier
    return found


def _natural_kw(pool: PoolProblem, epoch: PoolEpoch) -> float:
    """Return the natural draw of the counts of an epoch under the load offered."""
    tier = pool.tier
    counts: dict[str, object] = {
        "active_at_start": epoch.active + (epoch.clock_lock.active if epoch.clock_lock else 0),
        "asleep_at_start": epoch.asleep,
    }
    if tier is not None and epoch.tier is not None:
        served = epoch.tier.utilisation * epoch.tier.active * tier.capacity_factor
        counts["tier"] = tier.model_copy(
            update={
                "active_at_start": epoch.tier.active,
                "drained_at_start": epoch.tier.drained,
                "load_at_start": served,
            }
        )
    return pool.model_copy(update=counts).power_at_start_kw()


def _pool_at(
    problem: Problem, pool: PoolProblem, epochs: tuple[PoolEpoch, ...], elapsed_s: float
) -> PoolState:
    now = [epoch for epoch in epochs if epoch.t_s <= elapsed_s + 1e-6][-1]
    moving = tuple(_in_transit(problem, pool, epochs, elapsed_s))
    serving = now.active + (now.clock_lock.active if now.clock_lock else 0)
    return PoolState(
        active=serving,
        drained=now.drained,
        asleep=now.asleep,
        in_transit=moving,
        load_req_per_s={c.name: c.load * c.requests_per_s_per_instance for c in pool.classes},
        backlog_requests=_backlog(problem, pool, epochs, elapsed_s),
        queued_requests=_queued(problem, pool, epochs, elapsed_s),
        tier=None if now.tier is None else _tier_at(now),
        warm_remaining_s=_warm_s(pool, epochs, elapsed_s),
        usually_active=pool.usual_active,
        settling=settling_of(problem, pool, epochs, elapsed_s),
    )


def _tier_at(now: PoolEpoch) -> TierState:
    assert now.tier is not None
    served = {name: c.lowered_req_per_s for name, c in now.classes.items() if c.lowered_req_per_s}
    return TierState(active=now.tier.active, drained=now.tier.drained, load_req_per_s=served)


def _in_transit(
    problem: Problem, pool: PoolProblem, epochs: tuple[PoolEpoch, ...], elapsed_s: float
) -> Iterator[InTransit]:
    """Yield who is between modes: until the first epoch at or after the lead of its command."""
    starts = problem.grid.epoch_starts_s

    def arrives_s(command_s: float, lead_s: float) -> float:
        later = starts[starts >= command_s + lead_s - 1e-9]
        return float(later[0]) if len(later) else command_s + lead_s

    for arrival in pool.arrivals:
        at_s = arrives_s(0.0, arrival.at_s)
        if at_s > elapsed_s + 1e-6:
            yield InTransit(to=arrival.to, count=arrival.count, remaining_s=at_s - elapsed_s)
    warm_s = pool.prewarm.wake_s if pool.prewarm else pool.wake_s
    for epoch in epochs:
        if epoch.t_s > elapsed_s + 1e-6:
            break
        tier = epoch.tier
        swap_s = pool.tier.swap_s if pool.tier else 0.0
        for to, count, lead_s in (
            ("asleep", epoch.put_to_sleep, pool.sleep_s),
            ("awake", epoch.woken - epoch.woken_warm, pool.wake_s),
            ("awake", epoch.woken_warm, warm_s),
            ("tier", tier.to_tier if tier else 0, swap_s),
            ("awake", tier.to_own if tier else 0, swap_s),
        ):
            at_s = arrives_s(epoch.t_s, lead_s)
            if count and at_s > elapsed_s + 1e-6:
                yield InTransit.model_validate(
                    {"to": to, "count": count, "remaining_s": at_s - elapsed_s}
                )


def _backlog(
    problem: Problem, pool: PoolProblem, epochs: tuple[PoolEpoch, ...], elapsed_s: float
) -> dict[str, float]:
    edges = np.append(problem.grid.epoch_starts_s, problem.grid.horizon_s)
    waiting = {}
    for requests in pool.classes:
        if requests.deferral is not None:
            start = requests.deferral.backlog_at_start * requests.requests_per_s_per_instance
            at_edges = [start, *(epoch.classes[requests.name].backlog_requests for epoch in epochs)]
            waiting[requests.name] = max(float(np.interp(elapsed_s, edges, at_edges)), 0.0)
    return waiting


def _queued(
    problem: Problem, pool: PoolProblem, epochs: tuple[PoolEpoch, ...], elapsed_s: float
) -> dict[str, float]:
    """Return what is left of the work that may be done ahead, in requests."""
    begins = problem.grid.epoch_starts_s
    lasted_s = np.clip(elapsed_s - begins, 0.0, problem.grid.epoch_durations_s)
    queued = {}
    for requests in pool.classes:
        if requests.pull_forward is not None:
            rates = [epoch.classes[requests.name].pulled_req_per_s for epoch in epochs]
            whole = requests.pull_forward.available * requests.requests_per_s_per_instance
            queued[requests.name] = max(whole - float(np.dot(rates, lasted_s)), 0.0)
    return queued


def _warm_s(pool: PoolProblem, epochs: tuple[PoolEpoch, ...], elapsed_s: float) -> float:
    """Return how long the pool stays warm; a pre-warm still at work counts for nothing yet."""
    warmth = pool.prewarm
    if warmth is None:
        return 0.0
    until_s = warmth.warm_until_s
    for epoch in epochs:
        if epoch.prewarm and epoch.t_s + warmth.lead_s <= elapsed_s + 1e-6:
            until_s = max(until_s, epoch.t_s + warmth.lead_s + warmth.expires_s)
    return max(until_s - elapsed_s, 0.0)
