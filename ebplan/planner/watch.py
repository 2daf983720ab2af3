"""What a reading of a pool says of its models, while a plan is carried out.

A reading is held against the fitted models under what is measured (counts, requests served) and
what is told (the cap in force), and only while nothing that was told is still moving the draw:

    not capped      draw / (idle power + busy power)         the gains of both
    capped          (natural - draw) / (natural - cap)       what the cap delivers
    requests wait   served / (instances x capacity)          the gain of the capacity

Where the pool runs in other ways (a locked clock, a lower precision, a cache being warmed) nothing
is concluded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from ebplan.models.tracking.assumed import CAP_POWER_SD, CAP_SURE
from ebplan.plan import PoolEpoch
from ebplan.problem import PoolProblem
from ebplan.state import PoolCorrection, PoolState

SETTLED = 6.0
"""Time constants after which a change has settled to 1/400."""
AVERAGED_S = 2.0
"""A meter shows the mean over a second or so, and a command takes its time."""
NEAR_NATURAL = 0.02
"""A cap this close to the natural draw may bind or not."""
FEWEST_WAITING_S = 0.5
"""Requests that instances could serve in less time than this are no queue."""


@dataclass(frozen=True)
class Reading:
    """What one reading says; None where it says nothing."""

    power: tuple[tuple[float, float], float] | None = None
    """Shares of idle and busy power in what the fitted models say, and the draw over that."""
    cap: tuple[float, float] | None = None
    """Share of what the cap was meant to take that it took, and its standard deviation."""
    capacity: float | None = None
    """Requests served over what the fitted model says."""


NOTHING = Reading()


class Watch:
    """Reads one pool while one plan is carried out.

    Args:
        pool: the pool as the plan was posed.
        epochs: what the plan tells it.
    """

    def __init__(self, pool: PoolProblem, epochs: tuple[PoolEpoch, ...]) -> None:
        self._pool, self._epochs = pool, epochs
        self._by = pool.correction or PoolCorrection()
        self._starts_s = [epoch.t_s for epoch in epochs]
        self._moving = tuple(_moving(pool, epochs))

    def capped(self, elapsed_s: float) -> bool:
        """Tell whether a cap is in force."""
        return self._epoch(elapsed_s).cap_w_per_gpu is not None

    def _epoch(self, elapsed_s: float) -> PoolEpoch:
        return self._epochs[max(bisect_right(self._starts_s, elapsed_s) - 1, 0)]

    def read(self, told: PoolState, elapsed_s: float, steady_s: float) -> Reading:
        """Return what a reading says.

        Args:
            told: what was measured.
            elapsed_s: since the plan began.
            steady_s: for how long the counts have been as they are.
        """
        if told.power_kw is None or told.warm_remaining_s > 0.0 or told.active == 0:
            return NOTHING
        if steady_s < _lasts_s(self._pool, slow=True):
            return NOTHING
        if any(from_s <= elapsed_s < to_s for from_s, to_s in self._moving):
            return NOTHING
        epoch = self._epoch(elapsed_s)
        if _in_other_ways(told, epoch):
            return NOTHING
        work = self._work(told, epoch)
        if work is None:
            return NOTHING
        return self._said(told, epoch, told.power_kw, work / told.active)

    def _work(self, told: PoolState, epoch: PoolEpoch) -> float | None:
        """Return what is served in instance-equivalents; None where that was not read."""
        served = told.served_req_per_s
        if not served:
            plain = all(
                c.rejected_req_per_s == c.deferred_req_per_s == c.pulled_req_per_s == 0.0
                for c in epoch.classes.values()
            )
            if not plain:
                return None
            served = told.load_req_per_s
        rates = {c.name: c.requests_per_s_per_instance for c in self._pool.classes}
        if set(served) != set(rates):
            return None
        return sum(rate / rates[name] for name, rate in served.items())

    def _said(self, told: PoolState, epoch: PoolEpoch, power_kw: float, each: float) -> Reading:
        pool, by = self._pool, self._by
        natural_kw = float(pool.load_curve.power_kw(min(each, 1.0)))
        each_w = epoch.cap_w_per_gpu
        cap_kw = None
        if each_w is not None:
            cap_kw = each_w * pool.gpus_per_instance / 1000.0 / pool.gpu_kw_per_kw
        idle = told.total - told.lost - told.asleep - told.active
        awake_kw = power_kw - told.asleep * pool.asleep_kw
        waits_s = self._waiting(told) / told.active
        if cap_kw is None or cap_kw > natural_kw * (1.0 + NEAR_NATURAL):
            if waits_s > FEWEST_WAITING_S:
                return Reading(capacity=each * by.capacity_gain)
            idle_kw = (told.active + idle) * pool.drained_kw / by.idle_gain
            busy_kw = told.active * (natural_kw - pool.drained_kw) / by.busy_gain
            model_kw = idle_kw + busy_kw
            return Reading(power=((idle_kw / model_kw, busy_kw / model_kw), awake_kw / model_kw))
        meant_kw = natural_kw - cap_kw
        sd = CAP_POWER_SD * natural_kw / meant_kw if meant_kw > 0.0 else float("inf")
        if sd > CAP_SURE or told.active != epoch.active:
            return NOTHING
        took_kw = natural_kw - (awake_kw - idle * pool.drained_kw) / told.active
        return Reading(cap=(took_kw / meant_kw, sd))

    def _waiting(self, told: PoolState) -> float:
        """Return what waits, in instance-seconds."""
        rates = {c.name: c.requests_per_s_per_instance for c in self._pool.classes}
        return sum(n / rates[name] for name, n in told.waiting_requests.items() if name in rates)


def _in_other_ways(told: PoolState, epoch: PoolEpoch) -> bool:
    """Tell whether instances run in ways that say nothing of the pool's own models."""
    tier = told.tier is not None and told.tier.active + told.tier.drained > 0
    locked = epoch.clock_lock is not None and epoch.clock_lock.active > 0
    return tier or locked or epoch.prewarm


def _lasts_s(pool: PoolProblem, *, slow: bool) -> float:
    rise = pool.rise_response or pool.cap_response
    response = pool.route_response if slow else rise
    return response.delay_s + SETTLED * response.time_constant_s + AVERAGED_S


def _moving(pool: PoolProblem, epochs: tuple[PoolEpoch, ...]) -> Iterator[tuple[float, float]]:
    """Yield when what a plan tells is moving the draw, from and to in seconds of the plan."""
    for part in pool.settling:
        yield 0.0, part.delay_s + SETTLED * part.time_constant_s + AVERAGED_S
    counts: tuple[int, ...] = (pool.active_at_start, pool.drained_at_start, pool.asleep_at_start)
    cap_w = None
    for epoch in epochs:
        now = (epoch.active, epoch.drained, epoch.asleep)
        if now != counts:
            yield epoch.t_s, epoch.t_s + _lasts_s(pool, slow=True)
        elif epoch.cap_w_per_gpu != cap_w:
            yield epoch.t_s, epoch.t_s + _lasts_s(pool, slow=False)
        counts, cap_w = now, epoch.cap_w_per_gpu
