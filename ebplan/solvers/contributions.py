"""Who contributes: the change of a pool's draw, split by mechanism."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ebplan.mechanisms import least_impact_first
from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.blocks.response import response_weights, settled_draw_kw
from ebplan.solvers.decision import PoolDecision, Running
from ebplan.solvers.operations import CLOCK_LOCK, Operation
from ebplan.solvers.program import FloatArray
from ebplan.solvers.transients import falling_kw, prewarming_kw


def contributions(problem: Problem, decision: PoolDecision) -> dict[str, FloatArray]:
    """Split the change of a pool's draw by mechanism, each of shape (T,) in kW.

    In the order in which they act on the state at the start: admission, deferral and work done
    ahead change the load of the serving instances, consolidation moves what is left onto fewer (and
    waits for the drained ones to settle), the lower precision replaces some of them, a locked clock
    and a cap take what remains above the plan's power, a pre-warm adds its work. Each is a change
    of the settled draw carried through the same weights, so the parts sum to the whole at every
    step. That a lower precision frees instances shows as consolidation: by itself it moves no watt.
    """
    pool = decision.pool
    settled = dict(_settled_by_mechanism(pool, decision))
    settled["prewarm"] = settled["power_cap"] + prewarming_kw(problem, decision)
    fast, lag = response_weights(pool, problem.grid, None, problem.direction)
    carry, parts = fast[:, 1:], {}
    before = np.full(problem.grid.n_epochs, pool.power_at_start_kw())
    for mechanism, kw in settled.items():
        parts[mechanism] = carry @ (kw - before)
        before = kw
    parts["consolidation"] = parts["consolidation"] + lag @ falling_kw(decision)
    always = ("consolidation", "power_cap", "admission")
    offered = (*always, *_optional_mechanisms(pool))
    return {mechanism: parts[mechanism] for mechanism in least_impact_first(offered)}


def _settled_by_mechanism(
    pool: PoolProblem, decision: PoolDecision
) -> Iterator[tuple[str, FloatArray]]:
    """Yield the settled draw, (K,), after each mechanism has acted on top of those before it."""
    epochs = np.zeros(len(decision.asleep))
    own, ways = decision.own.operation, decision.ways
    start = pool.active_at_start + epochs
    load = pool.load - pool.load_in_tier_at_start + epochs
    # What is drawn besides the active instances stays as it is while their load changes.
    beside_kw = pool.power_at_start_kw() - _natural_kw(own, load, start)
    for mechanism, change in (
        ("admission", -_total(decision.rejected, epochs)),
        ("deferral", -_total(decision.deferred, epochs)),
        ("pull_forward", _total(decision.pulled, epochs)),
    ):
        load = load + change
        yield mechanism, beside_kw + _natural_kw(own, np.maximum(load, 0.0), start)
    idle_kw = settled_draw_kw(pool, decision.serving, decision.asleep, epochs)
    lower = [w for w in ways if w.operation.key not in (None, CLOCK_LOCK)]
    upper = [w for w in ways if w.operation.key in (None, CLOCK_LOCK)]
    together = sum((w.load for w in upper), epochs), sum((w.active for w in upper), epochs)
    own_kw = idle_kw + _natural_kw(own, *together)
    # An instance of the lower precision as if it had the pool's own curve: what it frees.
    yield "consolidation", own_kw + sum((_natural_kw(own, w.load, w.active) for w in lower), epochs)
    yield "precision", own_kw + sum((_running_naturally_kw(w) for w in lower), epochs)
    settled_kw = idle_kw + sum((_running_naturally_kw(way) for way in ways), epochs)
    for way in ways:
        if way.operation.key == CLOCK_LOCK:
            settled_kw = settled_kw + way.power_kw - _running_naturally_kw(way)
    yield "clock_lock", settled_kw
    yield "power_cap", idle_kw + decision.power_kw


def _optional_mechanisms(pool: PoolProblem) -> Iterator[str]:
    """Yield the mechanisms that only some pools have."""
    if any(c.deferral is not None for c in pool.classes):
        yield "deferral"
    if any(c.pull_forward is not None for c in pool.classes):
        yield "pull_forward"
    if pool.tier is not None:
        yield "precision"
    if pool.clock_lock is not None:
        yield "clock_lock"
    if pool.prewarm is not None:
        yield "prewarm"


def _total(by_class: dict[str, FloatArray], nothing: FloatArray) -> FloatArray:
    return np.asarray(np.sum([nothing, *by_class.values()], axis=0))


def _running_naturally_kw(way: Running) -> FloatArray:
    return _natural_kw(way.operation, way.load, way.active)


def _natural_kw(operation: Operation, load: FloatArray, active: FloatArray) -> FloatArray:
    """Return the uncapped power of ``active`` instances sharing ``load``, shape (K,).

    More load than the instances can serve leaves them saturated.
    """
    each = np.divide(load, active, out=np.zeros(len(load)), where=active > 0)
    return active * operation.load_curve.power_kw(np.minimum(each, 1.0))
