"""What the handmade fleet and battery do, by the slowest straightforward code.

Nothing here is shared with the checker, nor with what makes plans: the power at an instant is
summed epoch by epoch, and its mean over a step is taken by sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from handmade_problem import EDGES_S, EPOCHS_S, Decision, natural_kw

from ebplan.problem import BatteryProblem, PoolProblem

SAMPLES = 200


def epoch_durations_s() -> list[float]:
    ends = (*EPOCHS_S[1:], EDGES_S[-1])
    return [end - begin for begin, end in zip(EPOCHS_S, ends, strict=True)]


def served(pool: PoolProblem, told: Decision) -> float:
    return sum(c.load for c in pool.classes) - sum(told.rejected)


def power_each_kw(pool: PoolProblem, told: Decision) -> float:
    if told.active == 0:
        return 0.0
    return told.power_each_kw or natural_kw(pool, served(pool, told) / told.active)


def capacity_each(pool: PoolProblem, told: Decision) -> float:
    ratio = power_each_kw(pool, told) / pool.cap_curve.full_kw
    return min(
        math.pow(ratio, pool.cap_curve.elasticity), 1.0 + pool.cap_curve.elasticity * (ratio - 1.0)
    )


def pool_power_kw(pool: PoolProblem, story: Sequence[Decision], t_s: float) -> float:
    """Return a pool's power at an instant, from each epoch's change and its response."""
    full_kw = natural_kw(pool, 1.0)

    def slow(active: int, asleep: int) -> float:
        idle = pool.instances - active - asleep
        return idle * pool.drained_kw + asleep * pool.asleep_kw + active * full_kw

    active = pool.active_at_start
    offered = sum(c.load for c in pool.classes)
    before_kw = active * natural_kw(pool, min(offered / active, 1.0)) if active else 0.0
    inputs = [(slow(active, pool.asleep_at_start), before_kw - active * full_kw)]
    inputs += [
        (slow(d.active, d.asleep), d.active * (power_each_kw(pool, d) - full_kw)) for d in story
    ]
    power_kw = sum(inputs[0])
    for k, epoch_s in enumerate(EPOCHS_S):
        for channel, response in enumerate((pool.route_response, pool.cap_response)):
            since_s = t_s - epoch_s - response.delay_s
            if since_s > 0.0:
                arrived = 1.0 - math.exp(-since_s / response.time_constant_s)
                power_kw += (inputs[k + 1][channel] - inputs[k][channel]) * arrived
    return power_kw


def samples(function: Callable[[float], float], begin: float, end: float) -> list[float]:
    width = (end - begin) / SAMPLES
    return [function(begin + (i + 0.5) * width) for i in range(SAMPLES)]


def loss_kw(battery: BatteryProblem, x: float) -> float:
    return battery.loss_linear * x + battery.loss_quadratic * x * x / battery.rated_kw
