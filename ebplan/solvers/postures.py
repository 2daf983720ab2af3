"""Postures: what a pool can do while an event lasts, ordered by impact, without a solver.

To release, the escalation rule tries, in this order: leave it as it is; move the load onto fewer
instances; route eligible requests to instances that hold a lower precision; cap those that are left
active, or lock their clock where that goes deeper; put requests off that may wait; turn unprotected
ones away, cheapest first. To absorb: put drained instances to work, work off what waits, serve
ahead what is queued. Weights are not loaded and instances not put to sleep by this rule: what takes
longer than it helps, or helps by no watt that is certain, is a decision for the optimiser.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ebplan.problem import PoolProblem
from ebplan.solvers.operations import CLOCK_LOCK, Operation, operations

SHARES = np.linspace(0.05, 1.0, 20)
"""Shares of a class that are tried when requests are put off or turned away."""


@dataclass(frozen=True)
class Demand:
    """What becomes of the load offered to a pool, in instance-equivalents by class."""

    rejected: dict[str, float]
    deferred: dict[str, float]
    """Put off (> 0) or worked off (< 0); only classes that may wait."""
    pulled: dict[str, float] = field(default_factory=dict)
    """Served ahead."""
    lowered: dict[str, float] = field(default_factory=dict)
    """Served at the lower precision."""

    def served(self, pool: PoolProblem) -> float:
        """Return the load that is left to serve."""
        away = sum(self.rejected.values()) + sum(self.deferred.values())
        return pool.load - away + sum(self.pulled.values())

    def served_by_own(self, pool: PoolProblem) -> float:
        """Return what is left of it to the pool's own precision."""
        return self.served(pool) - sum(self.lowered.values())


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


def escalate(pool: PoolProblem, missing_kw: float, held_s: float) -> Posture:
    """Return the first posture, in order of impact, that releases what is missing.

    Args:
        pool: the pool.
        missing_kw: how much less it should draw than at the start.
        held_s: how long the posture is held.
    """
    enough_kw = pool.power_at_start_kw() - missing_kw
    deepest = None
    for posture in _postures(pool, enough_kw, held_s):
        if posture.draw_kw <= enough_kw + 1e-9:
            return posture
        if deepest is None or posture.draw_kw < deepest.draw_kw:
            deepest = posture
    return deepest or as_it_is(pool)


def take_up(pool: PoolProblem, missing_kw: float, held_s: float) -> Posture:
    """Return the posture with as few more instances at work as absorb what is missing."""
    posture = as_it_is(pool)
    awake = pool.active_at_start + pool.drained_at_start
    for active in range(posture.active + 1, min(awake, pool.highest_active) + 1):
        if posture.draw_kw - pool.power_at_start_kw() >= missing_kw:
            return posture
        if _can_serve(pool, posture.demand.served_by_own(pool), active):
            posture = _at(pool, active, posture.demand)
    room = _room(pool, posture.demand.served_by_own(pool), posture.active)
    worked_off, pulled = {}, {}
    for requests in pool.classes:
        if requests.deferral is not None:
            worked_off[requests.name] = -min(requests.deferral.backlog_at_start / held_s, room)
            room += worked_off[requests.name]
    for requests in pool.classes:
        if requests.pull_forward is not None:
            pulled[requests.name] = min(requests.pull_forward.available / held_s, room)
            room -= pulled[requests.name]
    demand = replace(posture.demand, deferred=worked_off, pulled=pulled)
    return _at(pool, posture.active, demand)


def _room(pool: PoolProblem, load: float, active: int) -> float:
    """Return how much more the active instances can serve uncapped.

    Below the highest utilisation that the curves were drawn for (a limit on latency asks for
    less), an instance draws less than full power, and its capacity is below 1.
    """
    most = pool.max_utilisation * active
    if _can_serve(pool, most, active) or not _can_serve(pool, load, active):
        return max(most - load, 0.0)
    fits = load
    for _ in range(30):
        middle = 0.5 * (fits + most)
        fits, most = (middle, most) if _can_serve(pool, middle, active) else (fits, middle)
    return fits - load


def as_it_is(pool: PoolProblem) -> Posture:
    """Change as little as can be: turn away only what no instance awake could serve."""
    for demand in (_everything(pool), *_turned_away(pool, _everything(pool))):
        counts = _counts(pool, demand.served_by_own(pool))
        if counts:
            return _at(pool, counts[0], demand)
    nothing = Demand(
        rejected={c.name: c.load for c in pool.classes},
        deferred={c.name: 0.0 for c in pool.classes if c.deferral is not None},
    )
    return _at(pool, 0, nothing)


def _postures(pool: PoolProblem, enough_kw: float, held_s: float) -> Iterator[Posture]:
    """Yield postures from the least impact to the most."""
    yield as_it_is(pool)
    everything = _everything(pool)
    for active in _counts(pool, everything.served_by_own(pool)):
        yield _at(pool, active, everything)
    lowered = [_lowered_more(pool, everything)]
    for demand in lowered:
        for active in _counts(pool, demand.served_by_own(pool))[-1:]:
            yield _at(pool, active, demand)
    for demand in (*lowered, *_less_and_less(pool, lowered[-1], held_s)):
        for active in _counts(pool, demand.served_by_own(pool))[-1:]:
            yield _at(pool, active, demand, cap_to_kw=enough_kw)
            if pool.clock_lock is not None:
                yield _at(pool, active, demand, cap_to_kw=enough_kw, clock=True)


def _everything(pool: PoolProblem) -> Demand:
    """Serve everything, with the lower precision serving what it serves at the start.

    As far as that is planned for: nothing where its instances would be loaded too little.
    """
    return Demand(
        rejected={c.name: 0.0 for c in pool.classes},
        deferred={c.name: 0.0 for c in pool.classes if c.deferral is not None},
        lowered=_share_out(pool, _lowered_at_start(pool)),
    )


def _lowered_at_start(pool: PoolProblem) -> float:
    lower = operations(pool)[-1]
    factor = lower.capacity_factor
    load = min(pool.load_in_tier_at_start, pool.in_tier_at_start * lower.max_utilisation * factor)
    fitting = any(_fits(lower, load / factor, n) for n in range(1, pool.in_tier_at_start + 1))
    return load if fitting else 0.0


def _lowered_more(pool: PoolProblem, demand: Demand) -> Demand:
    """Route as much to the lower precision as is eligible and its instances can serve."""
    if pool.tier is None:
        return demand
    lower = operations(pool)[-1]
    most = pool.in_tier_at_start * lower.max_utilisation * lower.capacity_factor
    served = _share_out(pool, min(most, sum(_eligible(pool).values())))
    enough = lower.min_utilisation * lower.capacity_factor
    return replace(demand, lowered=served) if sum(served.values()) >= enough else demand


def _eligible(pool: PoolProblem) -> dict[str, float]:
    """Return the load of each class that a lower precision may serve."""
    return {
        c.name: c.lowered.eligible_share * c.load for c in pool.classes if c.lowered is not None
    }


def _share_out(pool: PoolProblem, load: float) -> dict[str, float]:
    """Share the load of the lower precision out over the classes in proportion to what may."""
    eligible = _eligible(pool)
    whole = sum(eligible.values())
    share = min(load / whole, 1.0) if whole > 0.0 else 0.0
    return {name: share * part for name, part in eligible.items()}


def _counts(pool: PoolProblem, load: float) -> list[int]:
    """Return the counts of active instances that can serve the load, least change first.

    Fewer than at the start, most of them first; more only where the load asks for it.
    """
    start, awake = pool.active_at_start, pool.active_at_start + pool.drained_at_start
    fewer = [n for n in range(start, -1, -1) if _can_serve(pool, load, n)]
    return fewer or [n for n in range(start + 1, awake + 1) if _can_serve(pool, load, n)][:1]


def _can_serve(pool: PoolProblem, load: float, active: int) -> bool:
    """Tell whether uncapped instances can serve the load within the planned utilisation."""
    if not pool.fewest_active <= active <= pool.highest_active:
        return False
    return _fits(operations(pool)[0], load, active)


def _fits(operation: Operation, load: float, active: int) -> bool:
    if active == 0:
        return load <= 1e-9
    each = load / active
    if not operation.min_utilisation - 1e-12 <= each <= operation.max_utilisation + 1e-12:
        return False
    capacity = float(operation.cap_curve.capacity(float(operation.load_curve.power_kw(each))))
    return each <= operation.max_utilisation * capacity + 1e-12


def _less_and_less(pool: PoolProblem, demand: Demand, held_s: float) -> Iterator[Demand]:
    """Yield demands that leave less to serve: first by putting off, then by turning away."""
    waiting = [
        (c.deferral.price_per_work_h, c)
        for c in pool.classes
        if c.deferral is not None and c.deferral.may_put_off
    ]
    if any(as_it_is(pool).demand.rejected.values()):
        waiting = []  # overloaded anyway: what is put off would not be worked off in time
    for _, requests in sorted(waiting, key=lambda pair: pair[0]):
        assert requests.deferral is not None
        # Held for the whole event, no request waits longer than its deadline.
        most = requests.load * min(1.0, requests.deferral.deadline_s / held_s)
        for share in SHARES:
            deferred = {**demand.deferred, requests.name: float(share) * most}
            demand = _eligible_still(pool, replace(demand, deferred=deferred))
            yield demand
    yield from _turned_away(pool, demand)


def _turned_away(pool: PoolProblem, demand: Demand) -> Iterator[Demand]:
    """Yield demands with more and more of the cheapest class turned away, then of the next."""
    for requests in sorted(pool.classes, key=lambda c: c.value_per_instance_s):
        name, put_off = requests.name, demand.deferred.get(requests.name, 0.0)
        for share in SHARES if requests.max_rejected > 0.0 else ():
            turned_away = float(share) * requests.max_rejected
            deferred = demand.deferred
            if put_off:
                # The same share of what is still admitted waits, so that it keeps its deadline.
                deferred = {**deferred, name: put_off * (1.0 - turned_away / requests.load)}
            rejected = {**demand.rejected, name: turned_away}
            demand = _eligible_still(pool, replace(demand, rejected=rejected, deferred=deferred))
            yield demand


def _eligible_still(pool: PoolProblem, demand: Demand) -> Demand:
    """Take back from the lower precision what is no longer served of its classes."""
    lowered = {}
    for requests in pool.classes:
        if requests.name not in demand.lowered or requests.lowered is None:
            continue
        served = requests.load - demand.rejected[requests.name]
        served -= demand.deferred.get(requests.name, 0.0)
        eligible = requests.lowered.eligible_share * max(served, 0.0)
        lowered[requests.name] = min(demand.lowered[requests.name], eligible)
    lower = operations(pool)[-1]
    if sum(lowered.values()) < lower.min_utilisation * lower.capacity_factor:
        lowered = dict.fromkeys(lowered, 0.0)
    return replace(demand, lowered=lowered)


def _at(
    pool: PoolProblem,
    active: int,
    demand: Demand,
    *,
    cap_to_kw: float | None = None,
    clock: bool = False,
) -> Posture:
    """Return the posture with these instances; capped no deeper than the load allows."""
    own, *others = operations(pool)
    lower_active, lower_kw = _lower(pool, demand)
    idle_kw = pool.drained_kw * (pool.instances - active - lower_active - pool.asleep_at_start)
    idle_kw += pool.asleep_kw * pool.asleep_at_start + lower_kw
    power_kw, load = 0.0, demand.served_by_own(pool)
    if active:
        power_kw = active * float(own.load_curve.power_kw(min(load / active, 1.0)))
        if cap_to_kw is not None and (pool.may_cap or clock):
            way = next((w for w in others if w.key == CLOCK_LOCK), own) if clock else own
            lowest_kw = active * lowest_power_kw(way, load / active)
            power_kw = min(power_kw, max(cap_to_kw - idle_kw, lowest_kw))
    return Posture(
        active=active,
        power_kw=power_kw,
        demand=demand,
        draw_kw=power_kw + idle_kw,
        clock_locked=clock,
        lower_active=lower_active,
        lower_power_kw=lower_kw,
    )


def _lower(pool: PoolProblem, demand: Demand) -> tuple[int, float]:
    """Return how few instances of the lower precision serve its load, and their power."""
    load = sum(demand.lowered.values())
    if pool.tier is None or load <= 1e-9:
        return 0, 0.0
    lower = operations(pool)[-1]
    each = load / lower.capacity_factor
    fitting = [n for n in range(1, pool.in_tier_at_start + 1) if _fits(lower, each, n)]
    active = fitting[0] if fitting else pool.in_tier_at_start
    return active, active * float(lower.load_curve.power_kw(min(each / active, 1.0)))


def lowest_power_kw(operation: PoolProblem | Operation, utilisation: float) -> float:
    """Return the lowest power of an instance whose capacity still carries the load."""
    curve = operation.cap_curve
    needed = utilisation / operation.max_utilisation
    # The cap curve rises with power; the smaller of its two branches decides.
    by_power_law = curve.full_kw * needed ** (1.0 / curve.elasticity)
    by_tangent = curve.full_kw * (1.0 + (needed - 1.0) / curve.elasticity)
    return max(curve.floor_kw, float(by_power_law), float(by_tangent))
