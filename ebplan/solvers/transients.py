"""The draw in time under decisions, and where it peaks inside a step.

Load moved onto fewer instances acts within a second, a drained instance falls over many: together
they make a hump that neither the mean nor the edges of a long step show. Where the converter has
no power left to hide it, the instant of the peak is watched too. Most steps are told apart by a
bound; only where that exceeds what the converter hides is the peak looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ebplan.models.kernel import NEGLIGIBLE_WEIGHT, mean_settling, settling_at
from ebplan.problem import Problem
from ebplan.site import Response
from ebplan.solvers.blocks.battery import converter_limits_kw, response_limit_kw
from ebplan.solvers.blocks.channels import responses
from ebplan.solvers.blocks.prewarm import lead_epochs
from ebplan.solvers.blocks.response import settled_draw_kw, weights_of
from ebplan.solvers.decision import PoolDecision
from ebplan.solvers.program import FloatArray, IndexArray
from ebplan.state import Settling
from ebplan.timegrid import TimeGrid

FROM_THE_KINK = np.r_[0.0, np.geomspace(1e-5, 1.0, 48)]
"""First samples between two kinks of the draw, as shares of the span: responses are fastest right
after a kink, and a hump of half a second must be seen in an hour."""
SAMPLES, ROUNDS = 17, 2
"""Samples around the highest so far, and how often."""
INSTANT_S = 1e-9
"""Two times this close are one."""
UNDONE_KW = 1e-6
"""An overshoot below a milliwatt is rounding."""


@dataclass(frozen=True)
class Part:
    """What drives the draw of the pools that answer alike."""

    fast: Response
    """How their power follows loads and caps."""
    slow: Response
    """How it follows where instances are drained."""
    settled_kw: FloatArray
    """Settled draw before the plan and from each epoch on, shape (K + 1,)."""
    held_back_kw: FloatArray
    """What the instances drained at each epoch fall by with the slow response, shape (K,)."""


@dataclass(frozen=True)
class Draw:
    """The draw of all pools in time."""

    grid: TimeGrid
    parts: tuple[Part, ...]
    settling: tuple[Settling, ...]
    """What earlier commands have left on its way."""

    def kw(self, times_s: FloatArray | None) -> FloatArray:
        """Return the step means (T,), or the draw at ``times_s``, same shape."""
        if times_s is None:
            driven_kw = [mean_settling(self.settling, self.grid)]
        else:
            driven_kw = [settling_at(self.settling, times_s)]
        for part in self.parts:
            fast, lag = weights_of(part.fast, part.slow, self.grid, times_s)
            driven_kw.append(fast @ part.settled_kw + lag @ part.held_back_kw)
        return np.asarray(np.sum(driven_kw, axis=0))


def draw_of(problem: Problem, decisions: tuple[PoolDecision, ...]) -> Draw:
    """Return the draw of all pools under decisions."""
    driven: dict[tuple[Response, Response], list[tuple[FloatArray, FloatArray]]] = {}
    for decision in decisions:
        pool = decision.pool
        settled = np.append(pool.power_at_start_kw(), settled_kw(problem, decision))
        answers = responses(pool, problem.direction)
        driven.setdefault(answers, []).append((settled, falling_kw(decision)))
    parts = (
        Part(*answers, *(np.sum(kw, axis=0) for kw in zip(*inputs, strict=True)))
        for answers, inputs in driven.items()
    )
    settling = tuple(part for decision in decisions for part in decision.pool.settling)
    return Draw(problem.grid, tuple(parts), settling)


def compute_kw(
    problem: Problem, decisions: tuple[PoolDecision, ...], times_s: FloatArray | None
) -> FloatArray:
    """Return the draw of all pools under decisions: step means (T,), or at ``times_s``."""
    return draw_of(problem, decisions).kw(times_s)


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


def overshoot(
    problem: Problem, draw: Draw, sign: int, *, everywhere: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Return by how much the draw exceeds at worst what the converter hides, and when, each (T,).

    The highest draw within each step of the event where it is judged from above (``sign`` 1), the
    lowest from below (-1). Where it stays within what is hidden, a number below 0 says no more than
    that, unless the peak is asked for ``everywhere``; -inf outside the event.
    """
    aim = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    room_kw = sign * (aim - np.array(problem.other_kw)) + hidden_kw(problem, sign)
    room_kw = np.where(problem.in_event, room_kw + problem.tolerance_kw, np.inf)
    over_kw, at_s = np.full(len(aim), -np.inf), problem.grid.starts_s.copy()
    spans, step = _smooth_spans(problem)
    may = np.isfinite(room_kw[step])
    if not everywhere:
        may &= _bound_kw(draw, spans, sign) > room_kw[step]
    if may.any():
        highest_kw, when_s = _highest_kw(draw, spans[may], sign)
        beyond_kw, step = highest_kw - room_kw[step[may]], step[may]
        order = np.lexsort((beyond_kw, step))
        last = order[np.flatnonzero(np.diff(step[order], append=len(aim)))]
        over_kw[step[last]], at_s[step[last]] = beyond_kw[last], when_s[last]
    return over_kw, at_s


def overshoots(
    problem: Problem, decisions: tuple[PoolDecision, ...], shortfall_kw: FloatArray
) -> list[float]:
    """Return the instants at which the draw exceeds what the converter can hide.

    Args:
        problem: the problem.
        decisions: what the fleet does.
        shortfall_kw: shortfall granted in each step, shape (T,).
    """
    draw = draw_of(problem, decisions)
    found: list[float] = []
    for sign in judged_from(problem):
        over_kw, at_s = overshoot(problem, draw, sign)
        found += at_s[over_kw > shortfall_kw + UNDONE_KW].tolist()
    return found


def _bound_kw(draw: Draw, spans: FloatArray, sign: int) -> FloatArray:
    """Return a bound on the draw, times ``sign``, within each span between kinks, shape (S,).

    The draw where a span begins, and of each response what is still on its way there and arrives
    within the span, where that is more draw. Weights that are left out as negligible come on top.
    """
    begin_s, width_s = spans[:, 0], np.diff(spans)[:, 0]
    # What earlier commands have left on its way is highest where a span begins or ends.
    bound_kw = np.zeros(len(spans))
    for earlier in draw.settling:
        bound_kw += (sign * settling_at((earlier,), spans)).max(axis=1)
    for part in draw.parts:
        change_kw, held_kw = sign * np.diff(part.settled_kw), sign * part.held_back_kw
        bound_kw += sign * part.settled_kw[0]
        for response, kw in ((part.fast, change_kw + held_kw), (part.slow, -held_kw)):
            since_s = begin_s[:, None] - draw.grid.epoch_starts_s - response.delay_s
            begun = since_s >= -INSTANT_S
            left = np.exp(-np.maximum(since_s, 0.0) / response.time_constant_s)
            on_its_way_kw = (begun * left) @ kw
            arrives = -np.expm1(-width_s / response.time_constant_s)
            bound_kw += begun @ kw - on_its_way_kw + arrives * np.maximum(on_its_way_kw, 0.0)
        weights_kw = part.settled_kw.size * np.ptp(part.settled_kw) + np.abs(held_kw).sum()
        bound_kw += NEGLIGIBLE_WEIGHT * weights_kw + UNDONE_KW
    return bound_kw


def _highest_kw(draw: Draw, spans: FloatArray, sign: int) -> tuple[FloatArray, FloatArray]:
    """Return the highest draw, times ``sign``, within each span, and when, each (S,)."""
    for share in (FROM_THE_KINK, *(np.linspace(0.0, 1.0, SAMPLES),) * ROUNDS):
        times = spans[:, :1] + np.diff(spans) * share
        draw_kw = sign * draw.kw(times.ravel()).reshape(times.shape)
        best, last = draw_kw.argmax(axis=1), len(share) - 1
        rows = np.arange(len(times))
        around = (np.maximum(best - 1, 0), np.minimum(best + 1, last))
        spans = np.column_stack([times[rows, around[0]], times[rows, around[1]]])
    return draw_kw[rows, best], times[rows, best]


def hidden_kw(problem: Problem, sign: int) -> FloatArray:
    """Return what the converter can hide of a draw judged from a side, shape (T,)."""
    battery = problem.battery
    if battery is None:
        return np.zeros(problem.grid.n_steps)
    if problem.tracks:
        gives, takes = converter_limits_kw(problem, battery)
        return gives if sign > 0 else takes
    return response_limit_kw(problem, battery)


def _smooth_spans(problem: Problem) -> tuple[FloatArray, IndexArray]:
    """Return spans between kinks, shape (S, 2), and the step each lies in, shape (S,).

    The draw has a kink where a response begins: at each epoch plus a dead time.
    """
    answers = [r for p in problem.pools for r in (p.route_response, p.cap_response)]
    answers += [p.rise_response for p in problem.pools if p.rise_response is not None]
    begins_s = [part.delay_s for pool in problem.pools for part in pool.settling]
    delays_s = frozenset(response.delay_s for response in answers)
    return _spans_between(problem.grid, delays_s, frozenset(begins_s))


@lru_cache(maxsize=64)
def _spans_between(
    grid: TimeGrid, delays_s: frozenset[float], begins_s: frozenset[float]
) -> tuple[FloatArray, IndexArray]:
    kinks = [grid.epoch_starts_s + delay_s for delay_s in sorted(delays_s)]
    kinks.append(np.array(sorted(begins_s)))
    times = np.unique(np.concatenate([grid.edges_s, *kinks]))
    times = times[times <= grid.horizon_s]
    spans = np.column_stack([times[:-1], times[1:]])
    step = np.searchsorted(np.array(grid.edges_s), spans.mean(axis=1), side="right") - 1
    for shared in (spans, step):
        shared.setflags(write=False)
    return spans, step
