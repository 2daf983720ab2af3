"""Limits on latency stated once more, for each instance by itself.

From what a request sees: it waits for one of the ``c`` slots of its instance, then prefills, then
gets token after token, and a cap slows all of that by the same factor. The share of requests that
find every slot taken is ``x^e`` (Sakasegawa), and who waits, waits exponentially long.
"""

from __future__ import annotations

import math
from typing import Any

import cvxpy as cp
import numpy as np
from oracle_requests import Statement
from scipy.optimize import brentq

from ebplan.models.latency import ClassLatency
from ebplan.problem import PoolProblem
from ebplan.solvers.blocks.lens import cap_lines
from ebplan.timegrid import TimeGrid

Expression = Any


def state_latency(
    said: Statement,
    pool: PoolProblem,
    grid: TimeGrid,
    active: Expression,
    load: Expression,
    power: Expression,
) -> None:
    """Keep the hard limits on every instance, and charge for what is late by the others."""
    if pool.queue is None:
        return
    natural = _natural_line(pool)
    draws = natural[0] * load + natural[1] * active
    speed, utilisation = _asked_by_hard_limits(pool)
    if speed is not None:
        said.constraints += [power >= _power_share(pool, speed) * draws]
    if utilisation is not None:
        for slope, intercept in cap_lines(pool):
            said.constraints += [load <= utilisation * (slope * power + intercept * active)]
    seconds = grid.epoch_durations_s
    for requests in pool.classes:
        known = requests.latency
        if known is None or known.late_per_instance_s is None or requests.load == 0.0:
            continue
        late: Expression = np.zeros(grid.n_epochs)
        if known.ttft_p95_limit_s is not None:
            beyond = _load_beyond(said, pool, known, (active, load, power))
            late = late + requests.load / pool.load * beyond
        if known.itl_limit_s is not None and known.itl_s is not None:
            least = known.itl_s / known.itl_limit_s
            missing_kw = _missing(_power_share(pool, least) * draws - power)
            late = late + requests.load * _late_per_kw(pool, least, natural) * missing_kw
        said.charge("late", known.late_per_instance_s * (late @ seconds))


def _load_beyond(
    said: Statement, pool: PoolProblem, known: ClassLatency, operated: tuple[Expression, ...]
) -> Expression:
    """Return the load beyond the utilisation at which a priced limit is used up."""
    active, load, power = operated
    assert known.ttft_p95_limit_s is not None
    in_time = _fullest(pool, known.ttft_p95_limit_s - known.prefill_s)
    above = cp.Variable(load.shape, nonneg=True)
    for slope, intercept in cap_lines(pool):
        said.constraints += [above >= load - in_time * (slope * power + intercept * active)]
    return cp.sum(above, axis=0)


def _missing(kw: Expression) -> Expression:
    """Return the positive part, summed over the instances."""
    return cp.sum(cp.pos(kw), axis=0)


def _asked_by_hard_limits(pool: PoolProblem) -> tuple[float | None, float | None]:
    """Return the speed that caps must leave and the utilisation allowed; None where any is.

    A cap may go as deep as the tokens allow. Only where the first token would then be late already
    at the utilisation of the start, caps stay shallower, down to none at all.
    """
    hard = [
        c.latency
        for c in pool.classes
        if c.load > 0.0 and c.latency is not None and c.latency.is_hard
    ]
    g, curve = pool.cap_curve.elasticity, pool.load_curve
    deepest = _speed(pool.cap_curve.floor_kw / float(curve.power_kw(pool.max_utilisation)), g)
    slope, intercept = _natural_line(pool)
    uncapped = min(
        float(curve.power_kw(u)) / (slope * u + intercept) for u in (pool.min_utilisation, 1.0)
    )
    asked = [deepest]
    asked += [h.itl_s / h.itl_limit_s for h in hard if h.itl_limit_s and h.itl_s]
    firsts = [(h.prefill_s, h.ttft_p95_limit_s) for h in hard if h.ttft_p95_limit_s]
    wait_s = _wait_s(pool, _used_at_start(pool))
    never_capped = _speed(min(uncapped, 1.0) - 1e-9, g)
    asked += [min((prefill + wait_s) / limit, never_capped) for prefill, limit in firsts]
    speed = max(asked)
    fullest = [_fullest(pool, limit * speed - prefill) for prefill, limit in firsts]
    utilisation = min([pool.max_utilisation, *fullest])
    return (
        speed if speed > deepest else None,
        utilisation if utilisation < pool.max_utilisation else None,
    )


def _used_at_start(pool: PoolProblem) -> float:
    if not pool.active_at_start:
        return 1.0
    each = min(pool.load / pool.active_at_start, 1.0)
    share = float(pool.load_curve.power_kw(each)) / pool.cap_curve.full_kw
    g = pool.cap_curve.elasticity
    return min(each / min(share**g, 1.0 + g * (share - 1.0), 1.0), 1.0)


def _wait_s(pool: PoolProblem, x: float) -> float:
    """Return the wait of one in twenty: P(wait > t) = x^e exp(-c (1 - x) t / tau) = 1/20."""
    assert pool.queue is not None
    c, tau = pool.queue.slots, pool.queue.service_s
    if x >= 1.0:
        return math.inf
    log_share = (math.sqrt(2.0 * c + 2.0) - 1.0) * math.log(max(x, 1e-300))
    return max(log_share - math.log(1.0 / 20.0), 0.0) * tau / c / (1.0 - x)


def _fullest(pool: PoolProblem, wait_s: float) -> float:
    """Return the utilisation at which one in twenty waits this long."""
    nearly = 1.0 - 1e-13
    if _wait_s(pool, nearly) <= wait_s:
        return nearly
    assert pool.queue is not None
    free = math.exp(-math.log(20.0) / (math.sqrt(2.0 * pool.queue.slots + 2.0) - 1.0))
    if wait_s <= 0.0:
        return free
    return float(brentq(lambda x: _wait_s(pool, x) - wait_s, free, nearly, xtol=1e-15))


def _speed(share: float, g: float) -> float:
    return max(min(share**g, 1.0 + g * (share - 1.0), 1.0), 0.0) if share > 0.0 else 0.0


def _power_share(pool: PoolProblem, speed: float) -> float:
    """Return the share of the natural draw that leaves a speed."""
    g = pool.cap_curve.elasticity
    return float(brentq(lambda k: _speed(k, g) - speed, 1e-9, 1.0, xtol=1e-15))


def _natural_line(pool: PoolProblem) -> tuple[float, float]:
    """Return the tangent of the load curve where the plan starts."""
    curve, n = pool.load_curve, pool.active_at_start
    at = max(min(pool.load / n, 1.0) if n else 1.0, curve.one_request_utilisation)
    slope = sum(j.amplitude_kw * j.exponent * at ** (j.exponent - 1.0) for j in curve.terms)
    touch = curve.idle_kw + sum(j.amplitude_kw * at**j.exponent for j in curve.terms)
    return slope, touch - slope * at


def _late_per_kw(pool: PoolProblem, least: float, natural: tuple[float, float]) -> float:
    """Return the share of a class whose tokens are late, per kW below the threshold.

    Slowed to z, of the tokens that would be in time at ``least`` the share 1 - z / least is late.
    Linear from the threshold on, for an instance with the load of the start.
    """
    g, k = pool.cap_curve.elasticity, _power_share(pool, least)
    dz_dk = g if g > 1.0 else g * k ** (g - 1.0)
    n = pool.active_at_start or pool.instances
    at = min(pool.load / n, 1.0) if pool.active_at_start else 1.0
    draw_kw = float(pool.load_curve.power_kw(at))
    return dz_dk / draw_kw / least / n
