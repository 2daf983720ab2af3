"""Least-impact mechanism first: the whitepaper's escalation rule, without a solver.

The rule of the whitepaper (finding 3): start with the operation of least impact and escalate as
far as the asked depth requires. Here: consolidate onto fewer instances while headroom lasts, cap
what remains active, then turn unprotected requests away, cheapest first. The battery bridges.
The decision is held from the start of the event to its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.blocks.counts import arriving_at_start
from ebplan.solvers.complete import complete
from ebplan.solvers.decision import PoolDecision
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.program import FloatArray

ADMISSION_STEPS = 20
"""Shares of a class that are tried when requests are turned away."""


@dataclass(frozen=True)
class _Posture:
    """What a pool does while the event lasts."""

    active: int
    power_kw: float
    rejected: dict[str, float]
    draw_kw: float


def merit_order(problem: Problem, formulation: Formulation) -> FloatArray:
    """Return the point of the program that the escalation rule chooses, shape (n,)."""
    handed_over_kw = problem.handoff_kw if problem.handoff_from_s is not None else 0.0
    start_kw = max(problem.other_kw) + sum(p.power_at_start_kw() for p in problem.pools)
    ceiling_kw = min(np.array(problem.baseline_kw) + np.array(problem.target_kw))
    missing_kw = start_kw - ceiling_kw - handed_over_kw
    decisions = []
    for pool in problem.pools:
        posture = _escalate(pool, missing_kw)
        missing_kw -= pool.power_at_start_kw() - posture.draw_kw
        decisions.append(_hold(problem, pool, posture))
    return complete(problem, formulation, tuple(decisions))


def _escalate(pool: PoolProblem, missing_kw: float) -> _Posture:
    """Return the first posture, in order of impact, that releases what is missing."""
    enough_kw = pool.power_at_start_kw() - missing_kw
    deepest = None
    for posture in _postures(pool, enough_kw):
        if posture.draw_kw <= enough_kw + 1e-9:
            return posture
        if deepest is None or posture.draw_kw < deepest.draw_kw:
            deepest = posture
    return deepest or _as_it_is(pool)


def _postures(pool: PoolProblem, enough_kw: float) -> Iterator[_Posture]:
    """Yield postures from the least impact to the most."""
    nothing = {c.name: 0.0 for c in pool.classes}
    yield _as_it_is(pool)
    for active in _counts(pool, pool.load):
        yield _at(pool, active, nothing, cap_to_kw=None)
    for rejected in (nothing, *_rejections(pool)):
        load = pool.load - sum(rejected.values())
        for active in _counts(pool, load)[-1:]:
            yield _at(pool, active, rejected, cap_to_kw=enough_kw)


def _as_it_is(pool: PoolProblem) -> _Posture:
    """Change as little as can be: turn away only what no instance awake could serve."""
    nothing = {c.name: 0.0 for c in pool.classes}
    for rejected in (nothing, *_rejections(pool)):
        counts = _counts(pool, pool.load - sum(rejected.values()))
        if counts:
            return _at(pool, counts[0], rejected, cap_to_kw=None)
    return _at(pool, 0, {c.name: c.load for c in pool.classes}, cap_to_kw=None)


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
    return pool.min_utilisation - 1e-12 <= each <= pool.max_utilisation + 1e-12


def _rejections(pool: PoolProblem) -> Iterator[dict[str, float]]:
    """Yield what is turned away: more and more of the cheapest class, then of the next."""
    rejected = {c.name: 0.0 for c in pool.classes}
    for requests in sorted(pool.classes, key=lambda c: c.value_per_instance_s):
        for share in np.linspace(0.0, 1.0, ADMISSION_STEPS + 1)[1:]:
            rejected = {**rejected, requests.name: float(share) * requests.max_rejected}
            yield rejected


def _at(
    pool: PoolProblem, active: int, rejected: dict[str, float], *, cap_to_kw: float | None
) -> _Posture:
    """Return the posture with these instances; capped no deeper than the load allows."""
    load = pool.load - sum(rejected.values())
    idle_kw = pool.drained_kw * (pool.instances - active - pool.asleep_at_start)
    idle_kw += pool.asleep_kw * pool.asleep_at_start
    power_kw = 0.0
    if active:
        power_kw = active * float(pool.load_curve.power_kw(min(load / active, 1.0)))
        if cap_to_kw is not None:
            lowest_kw = active * _lowest_power_kw(pool, load / active)
            power_kw = min(power_kw, max(cap_to_kw - idle_kw, lowest_kw))
    return _Posture(active=active, power_kw=power_kw, rejected=rejected, draw_kw=power_kw + idle_kw)


def _lowest_power_kw(pool: PoolProblem, utilisation: float) -> float:
    """Return the lowest power of an instance whose capacity still carries the load."""
    curve = pool.cap_curve
    needed = utilisation / pool.max_utilisation
    # The cap curve rises with power; the smaller of its two branches decides.
    by_power_law = curve.full_kw * needed ** (1.0 / curve.elasticity)
    by_tangent = curve.full_kw * (1.0 + (needed - 1.0) / curve.elasticity)
    return max(curve.floor_kw, float(by_power_law), float(by_tangent))


def _hold(problem: Problem, pool: PoolProblem, posture: _Posture) -> PoolDecision:
    """Hold the posture from the start of the event to its end, and the start's otherwise."""
    starts = problem.grid.epoch_starts_s
    during = (starts >= problem.event_start_s - 1e-9) & (starts < problem.event_end_s - 1e-9)
    rest = _as_it_is(pool)
    load = pool.load - sum(rest.rejected.values())

    def held(in_event: float, otherwise: float) -> FloatArray:
        return np.where(during, in_event, otherwise)

    active = held(float(posture.active), float(rest.active))
    awake, asleep = (np.cumsum(arriving) for arriving in arriving_at_start(pool, problem.grid))
    awake += pool.active_at_start + pool.drained_at_start
    none = np.zeros(len(starts))
    return PoolDecision(
        pool=pool,
        active=active,
        drained=awake - active,
        asleep=asleep + pool.asleep_at_start,
        to_sleep=none,
        to_wake=none,
        load=held(pool.load - sum(posture.rejected.values()), load),
        power_kw=held(posture.power_kw, rest.power_kw),
        rejected={
            c.name: held(posture.rejected[c.name], rest.rejected[c.name]) for c in pool.classes
        },
    )
