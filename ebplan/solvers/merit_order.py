"""Least-impact mechanism first: the whitepaper's escalation rule, without a solver.

The rule of the whitepaper (finding 3): start with the operation of least impact and escalate as
far as the asked depth requires. Here: consolidate onto fewer instances while headroom lasts, cap
what remains active, put requests off that may wait, then turn unprotected ones away, cheapest
first. To absorb, drained instances go back to work and what waits is worked off. The battery
bridges. The decision is held from the start of the event to its end. The rule knows no lower
precision: instances that hold other weights stand drained, and the pool's own serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.blocks.counts import arriving_at_start, arriving_in_tier
from ebplan.solvers.complete import complete
from ebplan.solvers.decision import PoolDecision, Running, Swaps
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.operations import operations
from ebplan.solvers.program import FloatArray

SHARES = np.linspace(0.05, 1.0, 20)
"""Shares of a class that are tried when requests are put off or turned away."""


@dataclass(frozen=True)
class _Demand:
    """What becomes of the load offered to a pool, in instance-equivalents by class."""

    rejected: dict[str, float]
    deferred: dict[str, float]
    """Put off (> 0) or worked off (< 0); only classes that may wait."""

    def served(self, pool: PoolProblem) -> float:
        """Return the load that is left to serve."""
        return pool.load - sum(self.rejected.values()) - sum(self.deferred.values())


@dataclass(frozen=True)
class _Posture:
    """What a pool does while the event lasts."""

    active: int
    power_kw: float
    demand: _Demand
    draw_kw: float


def merit_order(problem: Problem, formulation: Formulation) -> FloatArray:
    """Return the point of the program that the escalation rule chooses, shape (n,)."""
    handed_over_kw = problem.handoff_kw if problem.handoff_from_s is not None else 0.0
    start_kw = max(problem.other_kw) + sum(p.power_at_start_kw() for p in problem.pools)
    aims_kw = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    aim_kw = float(aims_kw[np.argmax(np.abs(problem.target_kw))])
    missing_kw = -problem.direction * (start_kw - aim_kw) - handed_over_kw
    decisions = []
    # Where no epoch begins inside the event nothing is held, and any duration does.
    held_s = float(problem.grid.epoch_durations_s[_during(problem)].sum()) or 1.0
    answer = _escalate if problem.direction < 0 else _take_up
    for pool in problem.pools:
        posture = answer(pool, missing_kw, held_s)
        missing_kw -= problem.direction * (posture.draw_kw - pool.power_at_start_kw())
        decisions.append(_hold(problem, pool, posture))
    return complete(problem, formulation, tuple(decisions))


def _escalate(pool: PoolProblem, missing_kw: float, held_s: float) -> _Posture:
    """Return the first posture, in order of impact, that releases what is missing."""
    enough_kw = pool.power_at_start_kw() - missing_kw
    deepest = None
    for posture in _postures(pool, enough_kw, held_s):
        if posture.draw_kw <= enough_kw + 1e-9:
            return posture
        if deepest is None or posture.draw_kw < deepest.draw_kw:
            deepest = posture
    return deepest or _as_it_is(pool)


def _take_up(pool: PoolProblem, missing_kw: float, held_s: float) -> _Posture:
    """Return the posture with as few more instances at work as absorb what is missing."""
    posture = _as_it_is(pool)
    for active in range(posture.active + 1, pool.active_at_start + pool.drained_at_start + 1):
        if posture.draw_kw - pool.power_at_start_kw() >= missing_kw:
            return posture
        if _can_serve(pool, posture.demand.served(pool), active):
            posture = _at(pool, active, posture.demand, cap_to_kw=None)
    room = pool.max_utilisation * posture.active - posture.demand.served(pool)
    worked_off = {}
    for requests in pool.classes:
        if requests.deferral is not None:
            worked_off[requests.name] = -min(requests.deferral.backlog_at_start / held_s, room)
            room += worked_off[requests.name]
    demand = _Demand(rejected=posture.demand.rejected, deferred=worked_off)
    return _at(pool, posture.active, demand, cap_to_kw=None)


def _postures(pool: PoolProblem, enough_kw: float, held_s: float) -> Iterator[_Posture]:
    """Yield postures from the least impact to the most."""
    yield _as_it_is(pool)
    for active in _counts(pool, pool.load):
        yield _at(pool, active, _everything(pool), cap_to_kw=None)
    for demand in (_everything(pool), *_less_and_less(pool, held_s)):
        for active in _counts(pool, demand.served(pool))[-1:]:
            yield _at(pool, active, demand, cap_to_kw=enough_kw)


def _as_it_is(pool: PoolProblem) -> _Posture:
    """Change as little as can be: turn away only what no instance awake could serve."""
    for demand in (_everything(pool), *_turned_away(pool, {})):
        counts = _counts(pool, demand.served(pool))
        if counts:
            return _at(pool, counts[0], demand, cap_to_kw=None)
    nothing = _Demand(rejected={c.name: c.load for c in pool.classes}, deferred={})
    return _at(pool, 0, nothing, cap_to_kw=None)


def _everything(pool: PoolProblem) -> _Demand:
    return _Demand(rejected={c.name: 0.0 for c in pool.classes}, deferred={})


def _counts(pool: PoolProblem, load: float) -> list[int]:
    """Return the counts of active instances that can serve the load, least change first.

    Fewer than at the start, most of them first; more only where the load asks for it.
    """
    start, awake = pool.active_at_start, pool.active_at_start + pool.drained_at_start
    fewer = [n for n in range(start, -1, -1) if _can_serve(pool, load, n)]
    return fewer or [n for n in range(start + 1, awake + 1) if _can_serve(pool, load, n)][:1]


def _can_serve(pool: PoolProblem, load: float, active: int) -> bool:
    """Tell whether uncapped instances can serve the load within the planned utilisation."""
    if active == 0:
        return load <= 1e-9
    each = load / active
    if not pool.min_utilisation - 1e-12 <= each <= pool.max_utilisation + 1e-12:
        return False
    capacity = float(pool.cap_curve.capacity(float(pool.load_curve.power_kw(each))))
    return each <= pool.max_utilisation * capacity + 1e-12


def _less_and_less(pool: PoolProblem, held_s: float) -> Iterator[_Demand]:
    """Yield demands that leave less to serve: first by putting off, then by turning away."""
    deferred: dict[str, float] = {}
    waiting = [(c.deferral.price_per_work_h, c) for c in pool.classes if c.deferral is not None]
    if any(_as_it_is(pool).demand.rejected.values()):
        waiting = []  # overloaded anyway: what is put off would not be worked off in time
    for _, requests in sorted(waiting, key=lambda pair: pair[0]):
        assert requests.deferral is not None
        # Held for the whole event, no request waits longer than its deadline.
        most = requests.load * min(1.0, requests.deferral.deadline_s / held_s)
        for share in SHARES:
            deferred = {**deferred, requests.name: float(share) * most}
            yield _Demand(rejected=_everything(pool).rejected, deferred=deferred)
    yield from _turned_away(pool, deferred)


def _turned_away(pool: PoolProblem, deferred: dict[str, float]) -> Iterator[_Demand]:
    """Yield demands with more and more of the cheapest class turned away, then of the next."""
    rejected = _everything(pool).rejected
    for requests in sorted(pool.classes, key=lambda c: c.value_per_instance_s):
        name, put_off = requests.name, deferred.get(requests.name, 0.0)
        for share in SHARES if requests.max_rejected > 0.0 else ():
            rejected = {**rejected, name: float(share) * requests.max_rejected}
            if put_off:
                # The same share of what is still admitted waits, so that it keeps its deadline.
                deferred = {**deferred, name: put_off * (1.0 - rejected[name] / requests.load)}
            yield _Demand(rejected=rejected, deferred=deferred)


def _at(pool: PoolProblem, active: int, demand: _Demand, *, cap_to_kw: float | None) -> _Posture:
    """Return the posture with these instances; capped no deeper than the load allows."""
    load = demand.served(pool)
    idle_kw = pool.drained_kw * (pool.instances - active - pool.asleep_at_start)
    idle_kw += pool.asleep_kw * pool.asleep_at_start
    power_kw = 0.0
    if active:
        power_kw = active * float(pool.load_curve.power_kw(min(load / active, 1.0)))
        if cap_to_kw is not None:
            lowest_kw = active * _lowest_power_kw(pool, load / active)
            power_kw = min(power_kw, max(cap_to_kw - idle_kw, lowest_kw))
    return _Posture(active=active, power_kw=power_kw, demand=demand, draw_kw=power_kw + idle_kw)


def _lowest_power_kw(pool: PoolProblem, utilisation: float) -> float:
    """Return the lowest power of an instance whose capacity still carries the load."""
    curve = pool.cap_curve
    needed = utilisation / pool.max_utilisation
    # The cap curve rises with power; the smaller of its two branches decides.
    by_power_law = curve.full_kw * needed ** (1.0 / curve.elasticity)
    by_tangent = curve.full_kw * (1.0 + (needed - 1.0) / curve.elasticity)
    return max(curve.floor_kw, float(by_power_law), float(by_tangent))


def _during(problem: Problem) -> NDArray[np.bool_]:
    """Return the epochs in which a posture is held: those that begin inside the event, (K,)."""
    starts = problem.grid.epoch_starts_s
    return (starts >= problem.event_start_s - 1e-9) & (starts < problem.event_end_s - 1e-9)


def _hold(problem: Problem, pool: PoolProblem, posture: _Posture) -> PoolDecision:
    """Hold the posture from the start of the event to its end, and the start's otherwise."""
    starts = problem.grid.epoch_starts_s
    during = _during(problem)
    rest = _as_it_is(pool)
    told = posture.demand

    def held(in_event: float, otherwise: float) -> FloatArray:
        return np.where(during, in_event, otherwise)

    active = held(float(posture.active), float(rest.active))
    awake, asleep = (np.cumsum(arriving) for arriving in arriving_at_start(pool, problem.grid))
    awake += pool.active_at_start + pool.drained_at_start
    none = np.zeros(len(starts))
    own, *others = operations(pool)
    return PoolDecision(
        pool=pool,
        ways=(
            Running(
                operation=own,
                active=active,
                load=held(told.served(pool), rest.demand.served(pool)),
                power_kw=held(posture.power_kw, rest.power_kw),
            ),
            *(Running(operation=other, active=none, load=none, power_kw=none) for other in others),
        ),
        drained=awake - active,
        asleep=asleep + pool.asleep_at_start,
        to_sleep=none,
        to_wake=none,
        rejected={
            c.name: held(told.rejected[c.name], rest.demand.rejected[c.name]) for c in pool.classes
        },
        deferred={name: held(put_off, 0.0) for name, put_off in told.deferred.items()},
        swaps=None
        if pool.tier is None
        else Swaps(
            drained=pool.in_tier_at_start + np.cumsum(arriving_in_tier(pool, problem.grid)),
            to_tier=none,
            to_own=none,
        ),
    )
