"""The merit order of an event: what each mechanism offers alone, at what price, and what is used.

Closed form from the pools' own curves and prices, nothing is solved. *Alone* is from the state at
the start with nothing else changed; the depth is settled. The price is per kWh in the direction
asked, over the whole event, without the price of the energy itself. A mechanism that is available
and not used gets one reason, with its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ebplan.mechanisms import least_impact_first, mechanism_words
from ebplan.plan import Plan
from ebplan.problem import ClassProblem, PoolProblem, Problem
from ebplan.solvers.blocks.counts import SECONDS_PER_HOUR
from ebplan.solvers.leave_out import available, servable
from ebplan.solvers.merit_order import lowest_power_kw

NO_DEPTH_KW = 1e-3
"""A watt is no depth."""
USED_SHARE = 0.005
"""Less than this share of the target at its peak is not used."""
NOBODY = "no instance is active"
STRETCHED = ("firmness", "reserve", "handoff", "overrun")
"""Costs of requirements that are given up: the price in use is then theirs, not a mechanism's."""


@dataclass(frozen=True)
class Offer:
    """What a mechanism offers alone."""

    depth_kw: float
    """Settled change of the draw in the direction asked."""
    money: float = 0.0
    """What that depth costs over the event, energy apart."""
    limit: str = ""
    """What keeps the depth at nothing, in words."""


@dataclass(frozen=True)
class Rung:
    """A mechanism in the merit order."""

    mechanism: str
    depth_kw: float
    price_per_kwh: float | None
    """None without depth."""
    used_kw: float
    """The most that the plan uses in the event."""
    limit: str
    """What keeps the depth at nothing, in words."""
    used: bool


def merit_view(problem: Problem, plan: Plan) -> tuple[Rung, ...]:
    """Return the mechanisms of a problem, cheapest first, those without depth last."""
    target_kw = max(map(abs, problem.target_kw))
    rungs = []
    for name in least_impact_first(available(problem)):
        if name not in OFFERS:
            continue
        offers = [OFFERS[name](problem, pool) for pool in problem.pools]
        if name == "battery":
            offers = offers[:1]  # one for the site, however many pools
        depth_kw = sum(offer.depth_kw for offer in offers)
        kwh = depth_kw * _event_h(problem)
        used_kw = _most_used_kw(problem, plan, name)
        deep = depth_kw > NO_DEPTH_KW
        rungs.append(
            Rung(
                mechanism=name,
                depth_kw=depth_kw,
                price_per_kwh=sum(offer.money for offer in offers) / kwh if deep else None,
                used_kw=used_kw,
                limit=next((offer.limit for offer in offers if offer.limit), ""),
                used=used_kw > USED_SHARE * target_kw,
            )
        )
    return tuple(
        sorted(rungs, key=lambda r: np.inf if r.price_per_kwh is None else r.price_per_kwh)
    )


def merit_sentences(problem: Problem, plan: Plan) -> Iterator[str]:
    """Say what each mechanism offers, and why those that are not used are not."""
    rungs = merit_view(problem, plan)
    absorbs = problem.direction > 0
    deep = [rung for rung in rungs if rung.price_per_kwh is not None]
    if deep:
        listed = ", ".join(
            f"{_words(rung, absorbs)} {rung.depth_kw:.2f} kW at {rung.price_per_kwh:,.0f}"
            for rung in deep
        )
        yield f"Alone and settled, in {plan.currency} per kWh: {listed}."
    reasons: dict[str, list[str]] = {}
    for rung in rungs:
        if not rung.used:
            why = _why_not(rung, rungs, plan, absorbs=absorbs)
            reasons.setdefault(why, []).append(_words(rung, absorbs))
    if reasons:
        told = (f"{' and '.join(names)} ({why})" for why, names in reasons.items())
        yield f"Not used: {'; '.join(told)}."


def _words(rung: Rung, absorbs: bool) -> str:
    return mechanism_words(rung.mechanism, absorbs=absorbs)


def _why_not(rung: Rung, rungs: tuple[Rung, ...], plan: Plan, *, absorbs: bool) -> str:
    """Return the reason why a mechanism is not used, with its numbers."""
    if rung.price_per_kwh is None:
        return rung.limit or "moves nothing here"
    price = f"{rung.price_per_kwh:,.0f} {plan.currency} per kWh"
    if plan.shortfall or any(plan.cost.get(cause, 0.0) > 0.0 for cause in STRETCHED):
        return f"{price} alone; beside what is used, more than what it would spare"
    cheaper = [
        other
        for other in rungs
        if other.used
        and other.price_per_kwh is not None
        and other.price_per_kwh < rung.price_per_kwh
    ]
    for other in reversed(cheaper):  # the dearest that is used stands in for the price in use
        if other.used_kw < (1.0 - USED_SHARE) * other.depth_kw:
            name, left_kw = _words(other, absorbs), other.depth_kw - other.used_kw
            return f"{price}, and {name} at {other.price_per_kwh:,.0f} still has {left_kw:.2f} kW"
    if cheaper:
        return f"{price}, and what is cheaper is enough"
    return f"{price} alone; beside what is used, more than what it would spare"


def _most_used_kw(problem: Problem, plan: Plan, name: str) -> float:
    """Return the most that a plan uses of a mechanism while the event lasts, in kW."""
    if name == "sleep":
        return max(
            (
                epoch.put_to_sleep * (pool.drained_kw - pool.asleep_kw)
                for pool in problem.pools
                for epoch in plan.pools[pool.name]
            ),
            default=0.0,
        )
    return max(
        (
            problem.direction * step.mechanisms.get(name, 0.0)
            for step in plan.steps
            if step.target_kw
        ),
        default=0.0,
    )


def _event_h(problem: Problem) -> float:
    return (problem.event_end_s - problem.event_start_s) / SECONDS_PER_HOUR


# --- what each offers -------------------------------------------------------------------------


def _battery(problem: Problem, _: PoolProblem) -> Offer:
    """As deep as the converter and, over the whole event, the energy allow."""
    battery, hours = problem.battery, _event_h(problem)
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
    wear = battery.wear_per_kwh * moved_kwh if releases else 0.0
    return Offer(depth_kw, wear - problem.direction * worth)


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
    hours, missing = _event_h(problem), max(start - best, 0)
    money = missing * (pool.readiness_per_instance_h * hours + pool.drain_per_instance)
    slower = _congestion_per_h(pool, best, pool.load) - _congestion_per_h(pool, start, pool.load)
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
    active, u = pool.active_at_start, pool.utilisation_at_start
    if problem.direction > 0:
        return Offer(0.0, limit="no instance is capped at the start")
    if not active:
        return Offer(0.0, limit=NOBODY)
    natural_kw = float(pool.load_curve.power_kw(u))
    lowest_kw = lowest_power_kw(pool, u)
    depth_kw = active * (natural_kw - lowest_kw)
    if depth_kw <= NO_DEPTH_KW:
        lowest_w, natural_w = (_w_per_gpu(pool, kw) for kw in (lowest_kw, natural_kw))
        what = "the lowest cap" if lowest_kw <= pool.cap_curve.floor_kw else "the cap for its load"
        return Offer(
            0.0, limit=f"{what}, {lowest_w:.0f} W, is not below the natural draw, {natural_w:.0f} W"
        )
    slower = _congestion_per_h(pool, active, pool.load, power_kw=active * lowest_kw)
    slower -= _congestion_per_h(pool, active, pool.load)
    return Offer(depth_kw, _event_h(problem) * (pool.cap_depth_per_kwh * depth_kw + slower))


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
    hours = _event_h(problem)
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
    quicker = _congestion_per_h(pool, active, pool.load)
    quicker -= _congestion_per_h(pool, active, pool.load - less)
    return Offer(depth_kw, (money_per_h - quicker) * _event_h(problem))


def _drawn_kw(pool: PoolProblem, active: int, load: float) -> float:
    """Return the settled draw of a pool, uncapped, with as many asleep as at the start."""
    idle = pool.instances - active - pool.asleep_at_start
    drawn_kw = pool.drained_kw * idle + pool.asleep_kw * pool.asleep_at_start
    if active:
        drawn_kw += active * float(pool.load_curve.power_kw(min(load / active, 1.0)))
    return drawn_kw


def _congestion_per_h(
    pool: PoolProblem, active: int, load: float, *, power_kw: float | None = None
) -> float:
    """Return what slower answers cost an hour, uncapped where no power is given."""
    if not active:
        return 0.0
    natural_kw = float(pool.load_curve.power_kw(min(load / active, 1.0)))
    each_kw = natural_kw if power_kw is None else power_kw / active
    capacity = active * float(pool.cap_curve.capacity(each_kw))
    return sum(
        step.price_per_instance_h * max(load - step.above_utilisation * capacity, 0.0)
        for step in pool.congestion
    )


OFFERS: dict[str, Callable[[Problem, PoolProblem], Offer]] = {
    "battery": _battery,
    "consolidation": _consolidation,
    "sleep": _sleep,
    "power_cap": _power_cap,
    "deferral": _deferral,
    "admission": _admission,
}
"""What each mechanism of a pool offers alone, by its name; a new mechanism is one entry."""
