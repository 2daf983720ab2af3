"""What the handmade fleet and battery do, by the slowest straightforward code.

Nothing here is shared with the checker, nor with what makes plans: the power at an instant is
summed epoch by epoch, and its mean over a step is taken by sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from handmade_problem import EDGES_S, EPOCHS_S, Decision, natural_kw

from ebplan.problem import BatteryProblem, PoolProblem
from ebplan.site import Response

SAMPLES = 200


def epoch_durations_s() -> list[float]:
    ends = (*EPOCHS_S[1:], EDGES_S[-1])
    return [end - begin for begin, end in zip(EPOCHS_S, ends, strict=True)]


def served(pool: PoolProblem, told: Decision) -> float:
    return sum(c.load for c in pool.classes) - sum(told.rejected) - sum(told.deferred)


def work_waiting(pool: PoolProblem, story: Sequence[Decision], i: int) -> list[float]:
    """Return how much work of a class waits: at the start, then at the end of each epoch."""
    deferral = pool.classes[i].deferral
    work = [deferral.backlog_at_start if deferral else 0.0]
    for told, seconds in zip(story, epoch_durations_s(), strict=True):
        work.append(work[-1] + told.deferred[i] * seconds)
    return work


def power_each_kw(pool: PoolProblem, told: Decision) -> float:
    if told.active == 0:
        return 0.0
    return told.power_each_kw or natural_kw(pool, served(pool, told) / told.active)


def capacity_each(pool: PoolProblem, told: Decision) -> float:
    ratio = power_each_kw(pool, told) / pool.cap_curve.full_kw
    elasticity = pool.cap_curve.elasticity
    return min(math.pow(ratio, elasticity), 1.0 + elasticity * (ratio - 1.0), 1.0)


def pool_power_kw(
    pool: PoolProblem, story: Sequence[Decision], t_s: float, *, absorbs: bool
) -> float:
    """Return a pool's power at an instant, from each epoch's change and its response.

    What a drained instance has not shed yet is counted, but not where it would help to absorb.
    """
    held_back_kw = 0.0 if absorbs else natural_kw(pool, 1.0) - pool.drained_kw

    def settled(active: int, asleep: int, active_kw: float) -> float:
        idle = pool.instances - active - asleep
        return active_kw + idle * pool.drained_kw + asleep * pool.asleep_kw

    def arrived(response: Response, since_s: float) -> float:
        x = since_s - response.delay_s
        return 1.0 - math.exp(-x / response.time_constant_s) if x > 0.0 else 0.0

    active = pool.active_at_start
    offered = sum(c.load for c in pool.classes)
    before_kw = active * natural_kw(pool, min(offered / active, 1.0)) if active else 0.0
    levels = [settled(active, pool.asleep_at_start, before_kw)]
    levels += [settled(d.active, d.asleep, d.active * power_each_kw(pool, d)) for d in story]
    counts = [active, *(d.active for d in story)]
    power_kw = levels[0]
    for k, epoch_s in enumerate(EPOCHS_S):
        fast = arrived(pool.cap_response, t_s - epoch_s)
        slow = arrived(pool.route_response, t_s - epoch_s)
        drained = max(counts[k] - counts[k + 1], 0)
        power_kw += (levels[k + 1] - levels[k]) * fast + drained * held_back_kw * (fast - slow)
    return power_kw


def samples(function: Callable[[float], float], begin: float, end: float) -> list[float]:
    width = (end - begin) / SAMPLES
    return [function(begin + (i + 0.5) * width) for i in range(SAMPLES)]


def loss_kw(battery: BatteryProblem, x: float) -> float:
    return battery.loss_linear * x + battery.loss_quadratic * x * x / battery.rated_kw
