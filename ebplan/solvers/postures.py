"""Postures: what a pool can do while an event lasts, ordered by impact, without a solver.

To release, the escalation rule tries, in this order: leave it as it is; move the load onto fewer
instances; route eligible requests to instances that hold a lower precision; cap those that are left
active, or lock their clock where that goes deeper; put requests off that may wait; turn unprotected
ones away, cheapest first. To absorb: put drained instances to work, work off what waits, serve
ahead what is queued. Weights are not loaded and instances not put to sleep by this rule: what takes
longer than it helps, or helps by no watt that is certain, is a decision for the optimiser.

Postures of one kind (all counts, or all shares of a class) are worked out together, as arrays of
shape (D,) in their order of impact; the first that is enough is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ebplan.problem import PoolProblem
from ebplan.solvers.demands import (
    Demand,
    Load,
    everything_served,
    just_enough,
    lowered_more,
    nothing_served,
    one_at,
    put_off,
    turned_away,
)
from ebplan.solvers.operations import CLOCK_LOCK, Operation, operations
from ebplan.solvers.program import FloatArray, IndexArray
from ebplan.solvers.serving import NEGLIGIBLE_LOAD, fewest, fits, lowest_power_kw


@dataclass(frozen=True)
class Posture:
    """What a pool does while the event lasts."""

    active: int
    """Instances of the pool's own precision that take requests."""
    power_kw: float
    """Their settled power."""
    demand: Demand
    draw_kw: float
    """Settled draw of the whole pool."""
    clock_locked: bool = False
    """Whether their clocks are locked instead of their power capped."""
    lower_active: int = 0
    """Instances of the lower precision that take requests."""
    lower_power_kw: float = 0.0
    """Their settled power."""


@dataclass(frozen=True)
class _Postures:
    """D postures of one kind, from the least impact to the most; arrays of shape (D,)."""

    active: FloatArray
    power_kw: FloatArray
    demand: Demand
    draw_kw: FloatArray
    clock_locked: bool
    lower_active: Load
    lower_power_kw: Load

    def at(self, i: int) -> Posture:
        """Return one of them."""
        return Posture(
            active=int(self.active[i]),
            power_kw=float(self.power_kw[i]),
            demand=self.demand.at(i),
            draw_kw=float(self.draw_kw[i]),
            clock_locked=self.clock_locked,
            lower_active=int(one_at(self.lower_active, i)),
            lower_power_kw=one_at(self.lower_power_kw, i),
        )


def escalate(pool: PoolProblem, rest: Posture, missing_kw: float, held_s: float) -> Posture:
    """Return the first posture, in order of impact, that releases what is missing.

    Args:
        pool: the pool.
        rest: the posture that changes as little as can be, ``as_it_is``.
        missing_kw: how much less it should draw than at the start.
        held_s: how long the posture is held.
    """
    enough_kw = pool.power_at_start_kw() - missing_kw
    deepest = rest
    if rest.draw_kw <= enough_kw + 1e-9:
        return rest
    for kinds in _postures(pool, rest, enough_kw, held_s):
        # of each demand the first kind, then the next
        draws_kw = np.column_stack([kind.draw_kw for kind in kinds]).ravel()
        if not draws_kw.size:
            continue
        enough = np.flatnonzero(draws_kw <= enough_kw + 1e-9)
        demand, kind = divmod(int(enough[0] if enough.size else draws_kw.argmin()), len(kinds))
        posture = kinds[kind].at(demand)
        if enough.size:
            return posture
        if posture.draw_kw < deepest.draw_kw:
            deepest = posture
    return deepest


def take_up(pool: PoolProblem, rest: Posture, missing_kw: float, held_s: float) -> Posture:
    """Return the posture with as few more instances at work as absorb what is missing.

    Args:
        pool: the pool.
        rest: the posture that changes as little as can be, ``as_it_is``.
        missing_kw: how much more it should draw than at the start.
        held_s: how long the posture is held.
    """
    ways, demand = operations(pool), rest.demand
    load = demand.served_by_own(pool)
    last = min(pool.active_at_start + pool.drained_at_start, pool.highest_active)
    more = np.arange(max(rest.active + 1, pool.fewest_active), last + 1)
    more = more[fits(ways[0], load, more)]
    at_work = _at(pool, ways, more.astype(float), demand)
    draws_kw = np.append(rest.draw_kw, at_work.draw_kw) - pool.power_at_start_kw()
    # At the last count what waits is worked off as well.
    enough = np.flatnonzero((draws_kw >= missing_kw) & (np.append(rest.active, more) < last))
    if enough.size:
        return at_work.at(int(enough[0]) - 1) if enough[0] else rest
    active = int(more[-1]) if more.size else rest.active
    room = _room(pool, ways[0], float(load), active)
    worked_off: dict[str, Load] = {}
    pulled: dict[str, Load] = {}
    for requests in pool.classes:
        if requests.deferral is not None:
            from_backlog = min(requests.deferral.backlog_at_start / held_s, room)
            worked_off[requests.name] = -from_backlog
            room -= from_backlog
    for requests in pool.classes:
        if requests.pull_forward is not None:
            ahead = min(requests.pull_forward.available / held_s, room)
            pulled[requests.name] = ahead
            room -= ahead
    return _one(pool, ways, active, replace(demand, deferred=worked_off, pulled=pulled))


def _room(pool: PoolProblem, own: Operation, load: float, active: int) -> float:
    """Return how much more the active instances can serve uncapped.

    Below the highest utilisation that the curves were drawn for (a limit on latency asks for
    less), an instance draws less than full power, and its capacity is below 1.
    """

    def can_serve(load: float) -> bool:
        allowed = pool.fewest_active <= active <= pool.highest_active
        return allowed and bool(fits(own, load, np.array([active]))[0])

    most = pool.max_utilisation * active
    if can_serve(most) or not can_serve(load):
        return max(most - load, 0.0)
    served = load
    for _ in range(30):
        middle = 0.5 * (served + most)
        served, most = (middle, most) if can_serve(middle) else (served, middle)
    return served - load


def as_it_is(pool: PoolProblem) -> Posture:
    """Change as little as can be: turn away only what no instance awake could serve."""
    ways = operations(pool)
    everything = _everything(pool, ways[-1])
    for demands in (everything, *turned_away(pool, ways[-1], everything)):
        loads = np.atleast_1d(demands.served_by_own(pool))
        served = np.flatnonzero(fewest(ways[0], loads, _awake_counts(pool)) >= 0)
        if served.size:
            demand = demands.at(int(served[0]))
            counts = _counts(pool, ways[0], demand.served_by_own(pool))
            return _one(pool, ways, int(counts[0]), demand)
    demand = just_enough(pool, ways[-1], everything, int(max(_awake_counts(pool), default=0)))
    counts = _counts(pool, ways[0], demand.served_by_own(pool))
    if counts.size:
        return _one(pool, ways, int(counts[0]), demand)
    return _one(pool, ways, 0, nothing_served(pool))


def _postures(
    pool: PoolProblem, rest: Posture, enough_kw: float, held_s: float
) -> Iterator[tuple[_Postures, ...]]:
    """Yield postures from the least impact to the most, side by side the kinds of one demand."""
    ways = operations(pool)
    everything = _everything(pool, ways[-1])
    counts = _counts(pool, ways[0], everything.served_by_own(pool))
    yield (_at(pool, ways, counts.astype(float), everything),)
    lowered = lowered_more(pool, ways[-1], everything)
    yield (_on_fewest(pool, ways, lowered),)
    for demands in (lowered, *_less_and_less(pool, rest, ways[-1], lowered, held_s)):
        capped = _on_fewest(pool, ways, demands, cap_to_kw=enough_kw)
        if pool.clock_lock is None:
            yield (capped,)
        else:
            yield capped, _on_fewest(pool, ways, demands, cap_to_kw=enough_kw, clock=True)


def _less_and_less(
    pool: PoolProblem, rest: Posture, lower: Operation, demand: Demand, held_s: float
) -> Iterator[Demand]:
    """Yield demands that leave less to serve: first by putting off, then by turning away."""
    # Where it is overloaded anyway, what is put off would not be worked off in time.
    if not any(rest.demand.rejected.values()):
        for demands in put_off(pool, lower, demand, held_s):
            yield demands
            demand = demands.at(-1)
    yield from turned_away(pool, lower, demand)


def _everything(pool: PoolProblem, lower: Operation) -> Demand:
    """Serve everything, with the lower precision serving what it serves at the start.

    As far as that is planned for: nothing where its instances would be loaded too little.
    """
    factor, most = lower.capacity_factor, pool.in_tier_at_start
    load = min(pool.load_in_tier_at_start, most * lower.max_utilisation * factor)
    fitting = fits(lower, load / factor, np.arange(1, most + 1))
    return everything_served(pool, load if fitting.any() else 0.0)


def _awake_counts(pool: PoolProblem) -> IndexArray:
    """Return how many of the instances awake may take requests, fewest first."""
    awake = pool.active_at_start + pool.drained_at_start
    return np.arange(pool.fewest_active, min(awake, pool.highest_active) + 1)


def _counts(pool: PoolProblem, own: Operation, load: Load) -> IndexArray:
    """Return the counts of active instances that can serve the load, least change first.

    Fewer than at the start, most of them first; more only where the load asks for it.
    """
    counts = _awake_counts(pool)
    fitting = counts[fits(own, load, counts)]
    fewer = fitting[fitting <= pool.active_at_start][::-1]
    return fewer if fewer.size else fitting[:1]


def _on_fewest(
    pool: PoolProblem,
    ways: tuple[Operation, ...],
    demands: Demand,
    *,
    cap_to_kw: float | None = None,
    clock: bool = False,
) -> _Postures:
    """Return the postures of demands on as few instances as can serve them; inf where none can."""
    loads = np.atleast_1d(demands.served_by_own(pool))
    active = fewest(ways[0], loads, _awake_counts(pool))
    at_work = np.maximum(active, 0.0)
    postures = _at(pool, ways, at_work, demands, cap_to_kw=cap_to_kw, clock=clock)
    return replace(postures, draw_kw=np.where(active < 0.0, np.inf, postures.draw_kw))


def _one(pool: PoolProblem, ways: tuple[Operation, ...], active: int, demand: Demand) -> Posture:
    """Return the posture with these instances, uncapped."""
    return _at(pool, ways, np.array([float(active)]), demand).at(0)


def _at(
    pool: PoolProblem,
    ways: tuple[Operation, ...],
    active: FloatArray,
    demand: Demand,
    *,
    cap_to_kw: float | None = None,
    clock: bool = False,
) -> _Postures:
    """Return the postures with these instances (D,); capped no deeper than the load allows."""
    own, *others = ways
    lower_active, lower_kw = _lower(pool, ways[-1], demand)
    idle_kw = pool.drained_kw * (pool.instances - active - lower_active - pool.asleep_at_start)
    idle_kw = idle_kw + (pool.asleep_kw * pool.asleep_at_start + lower_kw)
    each = np.maximum(demand.served_by_own(pool), 0.0) / np.maximum(active, 1.0)
    power_kw = active * own.load_curve.power_kw(np.minimum(each, 1.0))
    if cap_to_kw is not None and (pool.may_cap or clock):
        way = next((w for w in others if w.key == CLOCK_LOCK), own) if clock else own
        lowest_kw = active * lowest_power_kw(way, each)
        power_kw = np.minimum(power_kw, np.maximum(cap_to_kw - idle_kw, lowest_kw))
    return _Postures(
        active=active,
        power_kw=power_kw,
        demand=demand,
        draw_kw=power_kw + idle_kw,
        clock_locked=clock,
        lower_active=lower_active,
        lower_power_kw=lower_kw,
    )


def _lower(pool: PoolProblem, lower: Operation, demand: Demand) -> tuple[Load, Load]:
    """Return how few instances of the lower precision serve its load, and their power."""
    if pool.tier is None:
        return 0.0, 0.0
    load = np.atleast_1d(np.asarray(sum(demand.lowered.values()), dtype=float))
    each = load / lower.capacity_factor
    held = pool.in_tier_at_start
    active = fewest(lower, each, np.arange(1, held + 1))
    active = np.where(load <= NEGLIGIBLE_LOAD, 0.0, np.where(active < 0.0, held, active))
    each_kw = lower.load_curve.power_kw(np.minimum(each / np.maximum(active, 1.0), 1.0))
    return (active, active * each_kw) if len(load) > 1 else (active[0], (active * each_kw)[0])
