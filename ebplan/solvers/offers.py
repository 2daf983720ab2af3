"""What each mechanism offers alone: depth and money in closed form, and what keeps it from any.

From the state at the start with nothing else changed; the depth is settled, the money is that of
the whole event without the price of the energy itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ebplan.problem import BatteryProblem, ClassProblem, PoolProblem, Problem
from ebplan.solvers.blocks.counts import SECONDS_PER_HOUR
from ebplan.solvers.leave_out import servable
from ebplan.solvers.operations import CLOCK_LOCK, Operation, operations
from ebplan.solvers.serving import lowest_power_kw

NO_DEPTH_KW = 1e-3
"""A watt is no depth."""
NOBODY = "no instance is active"


@dataclass(frozen=True)
class Offer:
    """What a mechanism offers alone."""

    depth_kw: float
    """Settled change of the draw in the direction asked."""
    money: float = 0.0
    """What that depth costs over the event, energy apart."""
    limit: str = ""
    """What keeps the depth at nothing, in words."""


def event_h(problem: Problem) -> float:
    """Return how long the event lasts, in hours."""
    return (problem.event_end_s - problem.event_start_s) / SECONDS_PER_HOUR


def _battery(problem: Problem, _: PoolProblem) -> Offer:
    """As deep as the converter and, over the whole event, the energy allow."""
    battery, hours = problem.battery, event_h(problem)
    assert battery is not None
    eta, releases = battery.cell_efficiency, problem.direction < 0
    limit_kw = battery.discharge_limit_kw if releases else battery.charge_limit_kw
    loss = battery.loss_linear + battery.loss_quadratic * limit_kw / battery.rated_kw
    if releases:
        free_kwh, cells = battery.start_kwh - battery.min_kwh, (1.0 + loss) / eta
    else:
        free_kwh, cells = battery.max_kwh - battery.start_kwh, (1.0 - loss) * eta
    depth_kw = min(limit_kw, free_kwh / cells / hours)
    if depth_kw <= NO_DEPTH_KW:
        state = "empty" if releases else "full"
        return Offer(0.0, limit=f"{state}, {battery.start_kwh:.3g} kWh")
    moved_kwh = depth_kw * hours * cells
    worth, below_kwh = 0.0, 0.0
    span = sorted((battery.start_kwh, battery.start_kwh + problem.direction * moved_kwh))
    for segment in battery.terminal:
        ends = np.clip(np.array(span) - below_kwh, 0.0, segment.width_kwh)
        worth += segment.price_per_kwh * float(ends[1] - ends[0])
        below_kwh += segment.width_kwh
    wear = _wear(battery, moved_kwh) if releases else 0.0
    return Offer(depth_kw, wear - problem.direction * worth)


def _wear(battery: BatteryProblem, taken_kwh: float) -> float:
    """Return what taking so much out of the cells at once costs in cycle wear."""
    ends = [*(segment.from_kwh for segment in battery.depth_segments[1:]), np.inf]
    return battery.wear_per_kwh * taken_kwh + sum(
        segment.price_per_kwh * float(np.clip(taken_kwh, segment.from_kwh, end) - segment.from_kwh)
        for segment, end in zip(battery.depth_segments, ends, strict=False)
    )


def _consolidation(problem: Problem, pool: PoolProblem) -> Offer:
    """As few instances as can serve the load; to absorb, all that are awake."""
    start, awake = pool.active_at_start, pool.active_at_start + pool.drained_at_start
    low, high = servable(pool)
    counts = range(max(pool.fewest_active, 1), min(awake, pool.highest_active) + 1)
    can = [n for n in counts if low * n <= pool.load + 1e-9 and pool.load <= high * n + 1e-9]
    releases = problem.direction < 0
    best = (min if releases else max)([*can, start])
    depth_kw = problem.direction * (_drawn_kw(pool, best, pool.load) - pool.power_at_start_kw())
    if best == start or depth_kw <= NO_DEPTH_KW:
        if not releases and pool.drained_at_start == 0:
            return Offer(0.0, limit="no instance stands drained")
        if start == 0 and releases:
            return Offer(0.0, limit=NOBODY)
        needed = f"the load of {pool.load:.2f} instances"
        limit = f"{needed} needs all {start}" if releases else f"{needed} is too little for more"
        return Offer(0.0, limit=limit)
    hours, missing = event_h(problem), max(start - best, 0)
    money = missing * (pool.readiness_per_instance_h * hours + pool.drain_per_instance)
    slower = _congestion_per_h(pool, _capacity(pool, best, pool.load), pool.load)
    slower -= _congestion_per_h(pool, _capacity(pool, start, pool.load), pool.load)
    return Offer(depth_kw, money + slower * hours)


def _sleep(problem: Problem, pool: PoolProblem) -> Offer:
    """What a drained instance draws more than a sleeping one."""
    saved_kw, there = pool.drained_kw - pool.asleep_kw, pool.drained_at_start
    if problem.direction > 0:
        return Offer(0.0, limit="lowers the draw, and the event asks for more")
    if saved_kw <= NO_DEPTH_KW:
        return Offer(0.0, limit=f"draws no less than a drained instance, {pool.drained_kw:.2f} kW")
    if there == 0:
        return Offer(
            0.0,
            limit=f"{saved_kw:.2f} kW for each drained instance, and falling asleep takes "
            f"{pool.sleep_s:g} s after draining",
        )
    return Offer(there * saved_kw, there * pool.wake_per_instance)


def _power_cap(problem: Problem, pool: PoolProblem) -> Offer:
    """The lowest cap that still serves the load on the instances of the start."""
    return _below_natural(problem, pool, operations(pool)[0], "the lowest cap")


def _w_per_gpu(pool: PoolProblem, each_kw: float) -> float:
    return each_kw * pool.gpu_kw_per_kw * 1000.0 / pool.gpus_per_instance


def _admission(problem: Problem, pool: PoolProblem) -> Offer:
    """Every request turned away that may be, the instances as at the start."""
    if problem.direction > 0:
        return Offer(0.0, limit="lowers the draw, and the event asks for more")
    if not any(c.max_rejected > 0.0 for c in pool.classes):
        return Offer(0.0, limit="every request is protected")
    shares = [(c, c.max_rejected, c.value_per_instance_s * SECONDS_PER_HOUR) for c in pool.classes]
    return _less_load(problem, pool, shares, "turning requests away")


def _deferral(problem: Problem, pool: PoolProblem) -> Offer:
    """Every request put off that may wait, the instances as at the start; or the backlog served."""
    hours = event_h(problem)
    waits = [(c, c.deferral) for c in pool.classes if c.deferral is not None]
    if problem.direction < 0:
        # On average what is put off during the event waits for half of it.
        shares = [
            (c, c.load * min(1.0, d.deadline_s / SECONDS_PER_HOUR / hours), d.price_per_work_h)
            for c, d in waits
            if d.may_put_off
        ]
        priced = [(c, load, 0.5 * hours * price * SECONDS_PER_HOUR) for c, load, price in shares]
        return _less_load(problem, pool, priced, "putting requests off")
    backlog = sum(d.backlog_at_start for _, d in waits)
    active = pool.active_at_start
    room = min(pool.max_utilisation * active - pool.load, backlog / SECONDS_PER_HOUR / hours)
    if room <= 1e-6:
        why = "nothing waits" if backlog <= 0.0 else "the active instances have no room"
        return Offer(0.0, limit=why)
    depth_kw = _drawn_kw(pool, active, pool.load + room) - pool.power_at_start_kw()
    price = min((d.price_per_work_h for _, d in waits), default=0.0)
    return Offer(depth_kw, -price * room * SECONDS_PER_HOUR * hours * 0.5 * hours)


def _less_load(
    problem: Problem,
    pool: PoolProblem,
    shares: list[tuple[ClassProblem, float, float]],
    what: str,
) -> Offer:
    """Serve less on the same instances, cheapest first.

    Args:
        problem: the problem.
        pool: the pool.
        shares: class, load it can do without in instance-equivalents, and money for each of them
            and hour.
        what: the mechanism in words.
    """
    active = pool.active_at_start
    if not active:
        return Offer(0.0, limit=NOBODY)
    room = max(pool.load - pool.min_utilisation * active, 0.0)
    money_per_h, less = 0.0, 0.0
    for _, load, price in sorted(shares, key=lambda share: share[2]):
        part = min(load, room - less)
        less, money_per_h = less + part, money_per_h + part * price
    depth_kw = pool.power_at_start_kw() - _drawn_kw(pool, active, pool.load - less)
    if depth_kw <= NO_DEPTH_KW:
        return Offer(0.0, limit=f"{what} moves less than a watt on {active} active instances")
    left = pool.load - less
    quicker = _congestion_per_h(pool, _capacity(pool, active, pool.load), pool.load)
    quicker -= _congestion_per_h(pool, _capacity(pool, active, left), left)
    return Offer(depth_kw, (money_per_h - quicker) * event_h(problem))


def _drawn_kw(pool: PoolProblem, active: int, load: float) -> float:
    """Return the settled draw of a pool, uncapped, with as many asleep as at the start."""
    idle = pool.instances - active - pool.asleep_at_start
    drawn_kw = pool.drained_kw * idle + pool.asleep_kw * pool.asleep_at_start
    if active:
        drawn_kw += active * float(pool.load_curve.power_kw(min(load / active, 1.0)))
    return drawn_kw


def _capacity(pool: PoolProblem, active: int, load: float) -> float:
    """Return the capacity of uncapped instances that share a load."""
    if not active:
        return 0.0
    each_kw = float(pool.load_curve.power_kw(min(load / active, 1.0)))
    return active * float(pool.cap_curve.capacity(each_kw))


def _congestion_per_h(pool: PoolProblem, capacity: float, load: float) -> float:
    """Return what slower answers cost an hour at a capacity."""
    return sum(
        step.price_per_instance_h * max(load - step.above_utilisation * capacity, 0.0)
        for step in pool.congestion
    )


def _clock_lock(problem: Problem, pool: PoolProblem) -> Offer:
    """The lowest clock that still serves the load on the instances of the start."""
    lock = next((way for way in operations(pool) if way.key == CLOCK_LOCK), None)
    if lock is None:
        return Offer(0.0)
    return _below_natural(problem, pool, lock, "the lowest clock")


def _below_natural(problem: Problem, pool: PoolProblem, way: Operation, lowest: str) -> Offer:
    """Operate the instances of the start as far below their natural draw as the load allows."""
    active, u = pool.active_at_start, pool.utilisation_at_start
    if problem.direction > 0:
        return Offer(0.0, limit="no instance is held below its natural draw at the start")
    if not active:
        return Offer(0.0, limit=NOBODY)
    natural_kw = float(way.load_curve.power_kw(u))
    lowest_kw = float(lowest_power_kw(way, u))
    depth_kw = active * (natural_kw - lowest_kw)
    if depth_kw <= NO_DEPTH_KW:
        lowest_w, natural_w = (_w_per_gpu(pool, kw) for kw in (lowest_kw, natural_kw))
        what = lowest if lowest_kw <= way.cap_curve.floor_kw else "what its load needs"
        return Offer(
            0.0, limit=f"{what}, {lowest_w:.0f} W, is not below the natural draw, {natural_w:.0f} W"
        )
    capacity = active * float(way.cap_curve.capacity(lowest_kw))
    slower = _congestion_per_h(pool, capacity, pool.load)
    slower -= _congestion_per_h(pool, _capacity(pool, active, pool.load), pool.load)
    return Offer(depth_kw, event_h(problem) * (pool.cap_depth_per_kwh * depth_kw + slower))


def _precision(problem: Problem, pool: PoolProblem) -> Offer:
    """The instances that a lower precision frees beyond what consolidation frees."""
    tier = pool.tier
    if tier is None:
        return Offer(0.0)
    if problem.direction > 0:
        return Offer(0.0, limit="frees instances, and the event asks for more draw")
    high = servable(pool)[1]
    eligible = sum(c.lowered.eligible_share * c.load for c in pool.classes if c.lowered)
    without = math.ceil(pool.load / high - 1e-9)
    best, lowered = without, 0.0
    for lower in range(1, pool.instances + 1):
        served = min(eligible, lower * tier.capacity_factor * pool.max_utilisation)
        needed = lower + math.ceil(max(pool.load - served, 0.0) / high - 1e-9)
        if needed < best:
            best, lowered = needed, served
    if best == without:
        return Offer(
            0.0,
            limit=f"frees nobody: the load of {pool.load:.2f} instances needs {without} with it or "
            "without",
        )
    hours, freed = event_h(problem), without - best
    price = max(c.lowered.price_per_instance_s for c in pool.classes if c.lowered)
    money = price * lowered * SECONDS_PER_HOUR * hours
    money += freed * (pool.readiness_per_instance_h * hours + pool.drain_per_instance)
    return Offer(freed * (pool.full_kw - pool.drained_kw), money)


def _prewarm(problem: Problem, pool: PoolProblem) -> Offer:
    """A pre-warm moves no watt; it pays where many instances are drained or woken."""
    warmth = pool.prewarm
    if warmth is None:
        return Offer(0.0)
    if warmth.lead_s > problem.event_start_s + event_h(problem) * SECONDS_PER_HOUR:
        return Offer(0.0, limit=f"its lead of {warmth.lead_s:g} s is longer than the event")
    saved = pool.drain_per_instance - warmth.drain_per_instance
    return Offer(
        0.0,
        limit=f"a pre-warm costs {warmth.price:g} and its energy, and spares {saved:.3g} for each "
        "instance drained",
    )


def _pull_forward(problem: Problem, pool: PoolProblem) -> Offer:
    """What is queued for later served now, as far as the active instances have room."""
    if problem.direction < 0:
        return Offer(0.0, limit="raises the draw, and the event asks for less")
    queued = [c.pull_forward for c in pool.classes if c.pull_forward is not None]
    hours, active = event_h(problem), pool.active_at_start
    work = sum(q.available for q in queued) / SECONDS_PER_HOUR / hours
    room = min(pool.max_utilisation * active - pool.load, work)
    if room <= 1e-6:
        why = "nothing is queued" if work <= 0.0 else "the active instances have no room"
        return Offer(0.0, limit=why)
    depth_kw = _drawn_kw(pool, active, pool.load + room) - pool.power_at_start_kw()
    worth = max(q.value_per_work_h for q in queued)
    return Offer(depth_kw, -worth * room * hours)


OFFERS: dict[str, Callable[[Problem, PoolProblem], Offer]] = {
    "battery": _battery,
    "consolidation": _consolidation,
    "sleep": _sleep,
    "precision": _precision,
    "power_cap": _power_cap,
    "clock_lock": _clock_lock,
    "prewarm": _prewarm,
    "deferral": _deferral,
    "pull_forward": _pull_forward,
    "admission": _admission,
}
"""What each mechanism of a pool offers alone, by its name; a new mechanism is one entry."""
