"""The draw in time under decisions, and where it peaks inside a step.

Load moved onto fewer instances acts within a second, a drained instance falls over many: together
they make a hump that neither the mean nor the edges of a long step show. Where the converter has
no power left to hide it, the instant of the peak is watched too.
"""

from __future__ import annotations

import numpy as np

from ebplan.problem import Problem
from ebplan.solvers.blocks.battery import converter_limits_kw, response_limit_kw
from ebplan.solvers.blocks.prewarm import lead_epochs
from ebplan.solvers.blocks.response import response_weights, settled_draw_kw
from ebplan.solvers.decision import PoolDecision
from ebplan.solvers.program import FloatArray

FROM_THE_KINK = np.r_[0.0, np.geomspace(1e-5, 1.0, 48)]
"""First samples between two kinks of the draw, as shares of the span: responses are fastest right
after a kink, and a hump of half a second must be seen in an hour."""
SAMPLES, ROUNDS = 17, 2
"""Samples around the highest so far, and how often."""
UNDONE_KW = 1e-6
"""An overshoot below a milliwatt is rounding."""


def compute_kw(
    problem: Problem, decisions: tuple[PoolDecision, ...], times_s: FloatArray | None
) -> FloatArray:
    """Return the draw of all pools under decisions: step means (T,), or at ``times_s``."""
    draws = []
    for decision in decisions:
        pool = decision.pool
        settled = settled_kw(problem, decision)
        fast, lag = response_weights(pool, problem.grid, times_s, problem.direction)
        held_back_kw = falling_kw(decision)
        draws.append(fast @ np.r_[pool.power_at_start_kw(), settled] + lag @ held_back_kw)
    return np.asarray(np.sum(draws, axis=0))


def settled_kw(problem: Problem, decision: PoolDecision) -> FloatArray:
    """Return the settled draw of a pool at each epoch, a pre-warm at work included, shape (K,)."""
    serving, asleep, power_kw = decision.serving, decision.asleep, decision.power_kw
    settled = settled_draw_kw(decision.pool, serving, asleep, power_kw)
    return settled + prewarming_kw(problem, decision)


def falling_kw(decision: PoolDecision) -> FloatArray:
    """Return what the instances drained at each epoch fall by, from saturation, shape (K,)."""
    pool = decision.pool
    own, lower = decision.newly_drained()
    tier_full_kw = pool.tier.load_curve.full_kw if pool.tier else pool.full_kw
    return (pool.full_kw - pool.drained_kw) * own + (tier_full_kw - pool.drained_kw) * lower


def prewarming_kw(problem: Problem, decision: PoolDecision) -> FloatArray:
    """Return the draw of a pre-warm at work at each epoch, shape (K,)."""
    warmth = decision.pool.prewarm
    if warmth is None or decision.prewarm is None:
        return np.zeros(problem.grid.n_epochs)
    return np.asarray(warmth.power_kw * lead_epochs(warmth, problem.grid) @ decision.prewarm)


def judged_from(problem: Problem) -> tuple[int, ...]:
    """Return the sides from which the draw is judged: 1 from above, -1 from below."""
    return (1, -1) if problem.tracks else (-problem.direction,)


def peaks(
    problem: Problem, decisions: tuple[PoolDecision, ...], sign: int
) -> tuple[FloatArray, FloatArray]:
    """Return the draw of the pools that is hardest to hide within each step, and when, each (T,).

    The highest where it is judged from above (``sign`` 1), the lowest from below (-1).
    """
    spans, step = _smooth_spans(problem)
    for share in (FROM_THE_KINK, *(np.linspace(0.0, 1.0, SAMPLES),) * ROUNDS):
        width = spans[:, 1:] - spans[:, :1]
        times = spans[:, :1] + width * share
        draw = sign * compute_kw(problem, decisions, times.ravel()).reshape(times.shape)
        best, last = draw.argmax(axis=1), len(share) - 1
        rows = np.arange(len(times))
        around = (np.maximum(best - 1, 0), np.minimum(best + 1, last))
        spans = np.column_stack([times[rows, around[0]], times[rows, around[1]]])
    peak_kw, at_s = draw[rows, best], times[rows, best]
    order = np.lexsort((peak_kw, step))
    highest = np.flatnonzero(np.diff(np.append(step[order], problem.grid.n_steps)))
    return sign * peak_kw[order][highest], at_s[order][highest]


def overshoots(
    problem: Problem, decisions: tuple[PoolDecision, ...], shortfall_kw: FloatArray
) -> list[float]:
    """Return the instants at which the draw exceeds what the converter can hide.

    Args:
        problem: the problem.
        decisions: what the fleet does.
        shortfall_kw: shortfall granted in each step, shape (T,).
    """
    aim = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    found: list[float] = []
    for sign in judged_from(problem):
        peak_kw, at_s = peaks(problem, decisions, sign)
        room_kw = sign * (aim - np.array(problem.other_kw)) + shortfall_kw
        room_kw = room_kw + problem.tolerance_kw + hidden_kw(problem, sign)
        over = problem.in_event & (sign * peak_kw > room_kw + UNDONE_KW)
        found += [float(t) for t in at_s[over]]
    return found


def hidden_kw(problem: Problem, sign: int) -> FloatArray:
    """Return what the converter can hide of a draw judged from a side, shape (T,)."""
    battery = problem.battery
    if battery is None:
        return np.zeros(problem.grid.n_steps)
    if problem.tracks:
        gives, takes = converter_limits_kw(problem, battery)
        return gives if sign > 0 else takes
    return response_limit_kw(problem, battery)


def _smooth_spans(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Return spans between kinks, shape (S, 2), and the step each lies in, shape (S,).

    The draw has a kink where a response begins: at each epoch plus a dead time.
    """
    grid = problem.grid
    responses = [
        r for p in problem.pools for r in (p.route_response, p.cap_response, p.rise_response)
    ]
    delays = {response.delay_s for response in responses if response is not None}
    kinks = [grid.epoch_starts_s + delay for delay in delays]
    times = np.unique(np.concatenate([grid.edges_s, *kinks]))
    times = times[times <= grid.horizon_s]
    spans = np.column_stack([times[:-1], times[1:]])
    step = np.searchsorted(np.array(grid.edges_s), spans.mean(axis=1), side="right") - 1
    return spans, step
