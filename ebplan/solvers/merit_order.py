"""The whitepaper's escalation rule as a plan: least impact first, no solver.

Each pool takes the posture of least impact that carries what is still missing after the pools
before it (``solvers/postures.py``); it is held from the start of the event to its end. The battery
bridges. A target followed both ways is the battery's alone; where nothing is asked, nothing moves.
Afterwards the battery takes back what is to be restored, within the limit of the draw.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.blocks.counts import arriving_at_start, arriving_in_tier
from ebplan.solvers.blocks.prewarm import still_warm, warm_epochs
from ebplan.solvers.complete import complete
from ebplan.solvers.decision import PoolDecision, Running, Swaps
from ebplan.solvers.demands import Load
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.operations import CLOCK_LOCK, operations
from ebplan.solvers.postures import Posture, as_it_is, escalate, take_up
from ebplan.solvers.program import FloatArray
from ebplan.solvers.quality import bounded


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
    answer = escalate if problem.direction < 0 else take_up
    for pool in map(bounded, problem.pools):
        # What is asked both ways the battery follows alone; where nothing is, nothing moves.
        one_way = problem.asks == "one_way"
        rest = as_it_is(pool)
        posture = answer(pool, rest, missing_kw, held_s) if one_way else rest
        missing_kw -= problem.direction * (posture.draw_kw - pool.power_at_start_kw())
        decisions.append(_hold(problem, pool, posture, as_it_is(_as_usual(pool))))
    return complete(problem, formulation, tuple(decisions))


def _during(problem: Problem) -> NDArray[np.bool_]:
    """Return the epochs in which a posture is held: those that begin inside the event, (K,)."""
    starts = problem.grid.epoch_starts_s
    return (starts >= problem.event_start_s - 1e-9) & (starts < problem.event_end_s - 1e-9)


def _hold(problem: Problem, pool: PoolProblem, posture: Posture, rest: Posture) -> PoolDecision:
    """Hold the posture from the start of the event to its end, and the usual one otherwise."""
    during, grid = _during(problem), problem.grid

    def held(in_event: Load, otherwise: Load) -> FloatArray:
        return np.where(during, in_event, otherwise)

    def by_class(what: str) -> dict[str, FloatArray]:
        told, usual = getattr(posture.demand, what), getattr(rest.demand, what)
        return {name: held(load, usual.get(name, 0.0)) for name, load in told.items()}

    serving = held(float(posture.active), float(rest.active))
    awake = np.cumsum(arriving_at_start(pool, grid)[0])
    asleep = np.cumsum(arriving_at_start(pool, grid)[1])
    none = np.zeros(grid.n_epochs)
    lower_active = held(float(posture.lower_active), float(rest.lower_active))
    swaps = None
    if pool.tier is not None:
        holding = pool.in_tier_at_start + np.cumsum(arriving_in_tier(pool, grid))
        swaps = Swaps(drained=holding - lower_active, to_tier=none, to_own=none)
    prewarm = None if pool.prewarm is None else _prewarm(problem, pool, serving)
    return PoolDecision(
        pool=pool,
        ways=tuple(_ways(pool, posture, rest, during)),
        drained=awake + pool.active_at_start + pool.drained_at_start - serving,
        asleep=asleep + pool.asleep_at_start,
        to_sleep=none,
        to_wake=none,
        rejected=by_class("rejected"),
        deferred=by_class("deferred"),
        pulled=by_class("pulled"),
        lowered=by_class("lowered"),
        swaps=swaps,
        prewarm=prewarm,
        woken_warm=None if prewarm is None else none,
    )


def _as_usual(pool: PoolProblem) -> PoolProblem:
    """Return the pool with as many active instances as usual, as far as they are awake."""
    awake = pool.active_at_start + pool.drained_at_start
    active = min(pool.usual_active, awake)
    return pool.model_copy(update={"active_at_start": active, "drained_at_start": awake - active})


def _ways(
    pool: PoolProblem, posture: Posture, rest: Posture, during: NDArray[np.bool_]
) -> Iterator[Running]:
    """Yield how the instances of each way run, in the order of ``operations``."""

    def held(in_event: Load, otherwise: Load) -> FloatArray:
        return np.where(during, in_event, otherwise)

    for operation in operations(pool):
        if operation.key not in (None, CLOCK_LOCK):
            factor = operation.capacity_factor
            yield Running(
                operation=operation,
                active=held(posture.lower_active, rest.lower_active),
                load=held(
                    sum(posture.demand.lowered.values()) / factor,
                    sum(rest.demand.lowered.values()) / factor,
                ),
                power_kw=held(posture.lower_power_kw, rest.lower_power_kw),
            )
            continue
        here = float(posture.clock_locked == (operation.key == CLOCK_LOCK))
        usual = float(operation.key is None)
        yield Running(
            operation=operation,
            active=held(here * posture.active, usual * rest.active),
            load=held(
                here * posture.demand.served_by_own(pool), usual * rest.demand.served_by_own(pool)
            ),
            power_kw=held(here * posture.power_kw, usual * rest.power_kw),
        )


def _prewarm(problem: Problem, pool: PoolProblem, serving: FloatArray) -> FloatArray:
    """Warm the cache in time for the first drain, where that costs less than draining cold."""
    grid, warmth = problem.grid, pool.prewarm
    assert warmth is not None
    before = np.r_[pool.active_at_start, serving[:-1]]
    drained = np.maximum(before - serving, 0.0)
    command = np.zeros(grid.n_epochs)
    if not drained.any() or still_warm(warmth, grid)[np.flatnonzero(drained)[0]]:
        return command
    saved = (pool.drain_per_instance - warmth.drain_per_instance) * drained.max()
    first = int(np.flatnonzero(drained)[0])
    in_time = np.flatnonzero(warm_epochs(warmth, grid)[first])
    energy_h = warmth.power_kw * warmth.lead_s / 3600.0
    price_per_kwh = float(problem.energy_prices_per_kwh.mean())
    if in_time.size and warmth.price + energy_h * price_per_kwh < saved:
        last = int(in_time[-1])
        if not still_warm(warmth, grid)[last]:
            command[last] = 1.0
    return command
