"""The draw in time under decisions, and where it peaks inside a step.

Load moved onto fewer instances acts within a second, a drained instance falls over many: together
they make a hump that neither the mean nor the edges of a long step show. Where the converter has
no power left to hide it, the instant of the peak is watched too.
"""

from __future__ import annotations

import numpy as np

from ebplan.problem import Problem
from ebplan.solvers.blocks.battery import discharge_allowed
from ebplan.solvers.blocks.response import response_weights, settled_draw_kw
from ebplan.solvers.decision import PoolDecision
from ebplan.solvers.program import FloatArray

SAMPLES = 33
"""Samples between two kinks of the draw, and again around the highest of them."""
UNDONE_KW = 1e-6
"""An overshoot below a milliwatt is rounding."""


def compute_kw(
    problem: Problem, decisions: tuple[PoolDecision, ...], times_s: FloatArray | None
) -> FloatArray:
    """Return the draw of all pools under decisions: step means (T,), or at ``times_s``."""
    draws = []
    for decision in decisions:
        pool = decision.pool
        settled = settled_draw_kw(pool, decision.active, decision.asleep, decision.power_kw)
        fast, lag = response_weights(pool, problem.grid, times_s)
        held_back_kw = (pool.full_kw - pool.drained_kw) * decision.newly_drained()
        draws.append(fast @ np.r_[pool.power_at_start_kw(), settled] + lag @ held_back_kw)
    return np.asarray(np.sum(draws, axis=0))


def peaks(problem: Problem, decisions: tuple[PoolDecision, ...]) -> tuple[FloatArray, FloatArray]:
    """Return the highest draw of the pools within each step and when it occurs, each (T,)."""
    spans, step = _smooth_spans(problem)
    for _ in range(2):
        width = spans[:, 1:] - spans[:, :1]
        times = spans[:, :1] + width * np.linspace(0.0, 1.0, SAMPLES)
        draw = compute_kw(problem, decisions, times.ravel()).reshape(times.shape)
        best = draw.argmax(axis=1)
        rows = np.arange(len(times))
        around = (np.maximum(best - 1, 0), np.minimum(best + 1, SAMPLES - 1))
        spans = np.column_stack([times[rows, around[0]], times[rows, around[1]]])
    peak_kw, at_s = draw[rows, best], times[rows, best]
    order = np.lexsort((peak_kw, step))
    last = np.flatnonzero(np.diff(np.append(step[order], problem.grid.n_steps)))
    return peak_kw[order][last], at_s[order][last]


def overshoots(
    problem: Problem, decisions: tuple[PoolDecision, ...], shortfall_kw: FloatArray
) -> list[float]:
    """Return the instants at which the draw exceeds what the converter can hide.

    Args:
        problem: the problem.
        decisions: what the fleet does.
        shortfall_kw: shortfall granted in each step, shape (T,).
    """
    peak_kw, at_s = peaks(problem, decisions)
    ceiling = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    room_kw = ceiling - np.array(problem.other_kw) + shortfall_kw
    if problem.battery is not None:
        allowed = discharge_allowed(problem, problem.battery)
        room_kw = room_kw + np.where(allowed, problem.battery.discharge_limit_kw, 0.0)
    over = problem.in_event & (peak_kw > room_kw + UNDONE_KW)
    return [float(t) for t in at_s[over]]


def _smooth_spans(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Return spans between kinks, shape (S, 2), and the step each lies in, shape (S,).

    The draw has a kink where a response begins: at each epoch plus a dead time.
    """
    grid = problem.grid
    delays = {r.delay_s for p in problem.pools for r in (p.route_response, p.cap_response)}
    kinks = [grid.epoch_starts_s + delay for delay in delays]
    times = np.unique(np.concatenate([grid.edges_s, *kinks]))
    times = times[times <= grid.horizon_s]
    spans = np.column_stack([times[:-1], times[1:]])
    step = np.searchsorted(np.array(grid.edges_s), spans.mean(axis=1), side="right") - 1
    return spans, step
