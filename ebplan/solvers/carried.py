"""A plan carried on under another state: its counts and caps, with loads worked out anew.

No solver: who serves how and under which cap is taken from the plan at the same instants, what the
measured load makes of it follows from the curves. That is the plan in hand when a controller asks
again, and the test of a plan made in advance: if it passes the check there, it holds there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ebplan.plan import ClockLockEpoch, Plan, PoolEpoch, TierEpoch
from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.blocks.counts import arriving_at_start, arriving_in_tier
from ebplan.solvers.decision import PoolDecision, Running, Swaps
from ebplan.solvers.epochs import arrivals
from ebplan.solvers.operations import CLOCK_LOCK, Operation, operations
from ebplan.solvers.program import FloatArray
from ebplan.solvers.serving import lowest_power_kw

CLOSE = 1e-9


class CannotCarryOn(Exception):
    """The plan's counts do not serve this state."""


@dataclass(frozen=True)
class _Told:
    """What a plan tells a pool in each epoch of another grid."""

    epochs: tuple[PoolEpoch, ...]
    begins: np.ndarray
    """1 where an epoch of the plan begins, shape (K,): its commands are given there."""


def carried_decisions(problem: Problem, plan: Plan, elapsed_s: float) -> tuple[PoolDecision, ...]:
    """Return what a plan tells each pool from an instant on, under the state of a problem.

    Args:
        problem: the problem at that instant.
        plan: the plan that is carried on.
        elapsed_s: how long before the problem's start the plan began.

    Raises:
        CannotCarryOn: the counts are not there, or do not serve the load.
    """
    return tuple(
        _carried(problem, pool, _told(problem, plan.pools[pool.name], elapsed_s))
        for pool in problem.pools
    )


def carried_battery_kw(problem: Problem, plan: Plan, elapsed_s: float) -> FloatArray | None:
    """Return the plan's battery power on the problem's steps, (T,); None where it only answers.

    In an event that asks one way the battery answers what is left; outside it does as planned.
    """
    if problem.battery is None or problem.asks == "one_way":
        return None
    starts = np.array([step.t_s for step in plan.steps])
    at = np.searchsorted(starts, problem.grid.starts_s + elapsed_s + 1e-6, side="right") - 1
    at = np.maximum(at, 0)  # a clock that went back: before the plan its first step holds
    return np.array([step.battery_kw for step in plan.steps])[at]


def _told(problem: Problem, epochs: tuple[PoolEpoch, ...], elapsed_s: float) -> _Told:
    starts = np.array([epoch.t_s for epoch in epochs])
    now = problem.grid.epoch_starts_s + elapsed_s
    at = np.clip(np.searchsorted(starts, now + 1e-6, side="right") - 1, 0, len(epochs) - 1)
    begins = np.abs(starts[at] - now) <= 1e-6
    begins[1:] |= np.diff(at) > 0
    return _Told(tuple(epochs[i] for i in at), begins)


def _carried(problem: Problem, pool: PoolProblem, told: _Told) -> PoolDecision:
    grid, epochs = problem.grid, told.epochs

    def commanded(counts: list[int]) -> FloatArray:
        return np.where(told.begins, np.array(counts, dtype=float), 0.0)

    to_sleep = commanded([e.put_to_sleep for e in epochs])
    to_wake = commanded([e.woken for e in epochs])
    woken_warm = commanded([e.woken_warm for e in epochs]) if pool.prewarm else None
    cold = to_wake if woken_warm is None else to_wake - woken_warm
    awake_arrivals, asleep_arrivals = arriving_at_start(pool, grid)
    came = np.cumsum(awake_arrivals + arrivals(grid, pool.wake_s) @ cold)
    if woken_warm is not None and pool.prewarm is not None:
        came = came + np.cumsum(arrivals(grid, pool.prewarm.wake_s) @ woken_warm)
    slept = np.cumsum(asleep_arrivals + arrivals(grid, pool.sleep_s) @ to_sleep)
    awake = pool.active_at_start + pool.drained_at_start + came - np.cumsum(to_sleep)
    asleep = pool.asleep_at_start + slept - np.cumsum(to_wake)
    swaps = None
    if pool.tier is not None:
        swaps, awake = _swapped(problem, pool, told, commanded, awake)
    if min(awake.min(), asleep.min()) < -CLOSE:
        raise CannotCarryOn(f"pool {pool.name}: fewer instances than the plan moves")
    ways, demand = _ways(pool, told, awake, swaps)
    own = sum((way.active for way in ways if way.operation.key in (None, CLOCK_LOCK)), 0.0 * awake)
    if swaps is not None:
        swaps = replace(swaps, drained=swaps.drained - ways[-1].active)
    return PoolDecision(
        pool=pool,
        ways=ways,
        drained=awake - own,
        asleep=asleep,
        to_sleep=to_sleep,
        to_wake=to_wake,
        rejected=demand["rejected"],
        deferred=demand["deferred"],
        pulled=demand["pulled"],
        lowered=demand["lowered"],
        swaps=swaps,
        prewarm=commanded([int(e.prewarm) for e in epochs]) if pool.prewarm else None,
        woken_warm=woken_warm,
    )


def _swapped(
    problem: Problem,
    pool: PoolProblem,
    told: _Told,
    commanded: object,
    awake: FloatArray,
) -> tuple[Swaps, FloatArray]:
    """Return the swaps, ``drained`` holding all who have the tier's weights, and who is awake."""
    assert pool.tier is not None
    grid, tiers = problem.grid, [e.tier for e in told.epochs]
    to_tier = np.where(told.begins, [t.to_tier if t else 0 for t in tiers], 0.0)
    to_own = np.where(told.begins, [t.to_own if t else 0 for t in tiers], 0.0)
    moved = arrivals(grid, pool.tier.swap_s)
    holding = pool.in_tier_at_start + np.cumsum(arriving_in_tier(pool, grid) + moved @ to_tier)
    holding = holding - np.cumsum(to_own)
    awake = awake - np.cumsum(to_tier) + np.cumsum(moved @ to_own)
    return Swaps(drained=holding, to_tier=to_tier, to_own=to_own), awake


def _ways(
    pool: PoolProblem, told: _Told, awake: FloatArray, swaps: Swaps | None
) -> tuple[tuple[Running, ...], dict[str, dict[str, FloatArray]]]:
    """Return how the instances run under the loads of the pool, and what becomes of requests."""
    demand, lowered = _demand(pool, told)
    served = sum(c.load for c in pool.classes) - sum(demand["rejected"].values(), 0.0 * awake)
    served = served - sum(demand["deferred"].values(), 0.0 * awake)
    served = served + sum(demand["pulled"].values(), 0.0 * awake)
    by_own = served - lowered
    ways, room = [], awake
    locked = np.array([e.clock_lock.active if e.clock_lock else 0 for e in told.epochs])
    usual = np.array([e.active for e in told.epochs])
    total = np.maximum(np.array([_load(e) + _load(e.clock_lock) for e in told.epochs]), CLOSE)
    for operation in operations(pool):
        if operation.key is None:
            active = np.minimum(usual, np.maximum(awake - locked, 0.0))
            share = np.array([_load(e) for e in told.epochs]) / total
            load = np.where(locked > 0, by_own * share, by_own)
            planned = [(e.power_kw, e.active, e.cap_w_per_gpu) for e in told.epochs]
        elif operation.key == CLOCK_LOCK:
            active = np.minimum(locked, room)
            share = np.array([_load(e.clock_lock) for e in told.epochs]) / total
            load = by_own * share
            planned = [
                (c.power_kw, c.active, c.clock_mhz) if c else (0.0, 0, None)
                for c in (e.clock_lock for e in told.epochs)
            ]
        else:
            assert swaps is not None
            active = np.array([e.tier.active if e.tier else 0 for e in told.epochs], dtype=float)
            active = np.minimum(active, swaps.drained)
            load = lowered / operation.capacity_factor
            planned = [
                (t.power_kw, t.active, t.cap_w_per_gpu) if t else (0.0, 0, None)
                for t in (e.tier for e in told.epochs)
            ]
        ways.append(_running(pool, operation, active.astype(float), load, planned))
    return tuple(ways), demand


def _load(epoch: PoolEpoch | ClockLockEpoch | TierEpoch | None) -> float:
    return 0.0 if epoch is None else epoch.utilisation * epoch.active


def _demand(pool: PoolProblem, told: _Told) -> tuple[dict[str, dict[str, FloatArray]], FloatArray]:
    """Return what becomes of requests: the plan's shares of what is offered."""
    demand: dict[str, dict[str, FloatArray]] = {
        "rejected": {},
        "deferred": {},
        "pulled": {},
        "lowered": {},
    }
    lowered = np.zeros(len(told.epochs))
    for requests in pool.classes:
        epochs = [e.classes[requests.name] for e in told.epochs]
        rate = requests.requests_per_s_per_instance
        offered = np.array([max(e.offered_req_per_s, CLOSE) for e in epochs])
        grown = requests.load * rate / offered

        def column(field: str, epochs: list = epochs, rate: float = rate) -> FloatArray:  # type: ignore[type-arg]
            return np.array([getattr(e, field) for e in epochs]) / rate

        rejected = column("rejected_req_per_s") * grown
        demand["rejected"][requests.name] = np.minimum(rejected, requests.max_rejected)
        if requests.deferral is not None:
            put_off = column("deferred_req_per_s")
            demand["deferred"][requests.name] = np.where(put_off > 0.0, put_off * grown, put_off)
        if requests.pull_forward is not None:
            demand["pulled"][requests.name] = column("pulled_req_per_s")
        if requests.lowered is not None:
            routed = column("lowered_req_per_s") * grown
            demand["lowered"][requests.name] = routed
            lowered = lowered + routed
    return demand, lowered


def _running(
    pool: PoolProblem,
    operation: Operation,
    active: FloatArray,
    load: FloatArray,
    planned: list[tuple[float, int, float | None]],
) -> Running:
    """Return one way's power: natural, or at the plan's cap as far as the load allows."""
    power_kw = np.zeros(len(active))
    for k, (count, each_load) in enumerate(zip(active, load, strict=True)):
        if count <= 0.0:
            if each_load > 1e-7:
                raise CannotCarryOn(f"{operation.name}: load and nobody to serve it")
            continue
        each = each_load / count
        if not _within(operation, each):
            raise CannotCarryOn(f"{operation.name}: a utilisation of {each:.3f}")
        natural_kw = float(operation.load_curve.power_kw(each))
        planned_kw, planned_count, limit = planned[k]
        capped_kw = natural_kw
        if limit is not None and planned_count:
            capped_kw = min(planned_kw / planned_count, operation.draws_at_most * natural_kw)
            capped_kw = max(capped_kw, float(lowest_power_kw(operation, each)))
        elif planned_count:
            # chords lie a little below the curve, and so did the plan
            capped_kw = min(natural_kw, operation.draws_at_most * natural_kw)
        power_kw[k] = count * min(capped_kw, natural_kw)
    return Running(operation=operation, active=active, load=load, power_kw=power_kw)


def _within(operation: Operation, each: float) -> bool:
    low, high = operation.min_utilisation, operation.max_utilisation
    return low * (1.0 - 1e-6) <= each <= high * (1.0 + 1e-6)
