"""Every way in which the counts of a pool can move, by walking through the epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import PoolProblem

FloatArray = NDArray[np.float64]
Arrival = tuple[float, int, str]
"""(epoch start at which it arrives, how many, where); those who must stay there are told apart."""


@dataclass(frozen=True)
class Walk:
    """Counts of a pool so far, epoch by epoch, who arrives when, and when it is warm."""

    counts: tuple[dict[str, int], ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    busy: tuple[tuple[float, float, float], ...] = field(default=())
    """Pre-warms: from when it is worked on, from when it is warm, until when."""

    def series(self) -> dict[str, list[int]]:
        """Return the counts by the names of their columns."""
        return {name: [now[name] for now in self.counts] for name in self.counts[0]}


def walks(pool: PoolProblem, epoch_s: FloatArray) -> Iterator[dict[str, list[int]]]:
    """Yield every trajectory of counts that lead times, dwell and start allow."""
    waiting = [_start(pool, epoch_s)]
    while waiting:
        walk = waiting.pop()
        if len(walk.counts) == len(epoch_s):
            yield walk.series()
        else:
            waiting += _next(pool, epoch_s, walk)


def random_walk(
    rng: np.random.Generator, pool: PoolProblem, epoch_s: FloatArray
) -> dict[str, list[int]]:
    """Return a trajectory of counts that takes each step by chance."""
    walk = _start(pool, epoch_s)
    for _ in epoch_s:
        steps = list(_next(pool, epoch_s, walk))
        walk = steps[rng.integers(len(steps))]
    return walk.series()


def _start(pool: PoolProblem, epoch_s: FloatArray) -> Walk:
    arrivals = tuple((_on_epoch(epoch_s, a.at_s), a.count, a.to) for a in pool.arrivals)
    warm = pool.prewarm.warm_until_s if pool.prewarm else 0.0
    return Walk(arrivals=arrivals, busy=((-np.inf, -np.inf, warm),))


def _before(pool: PoolProblem, walk: Walk) -> dict[str, int]:
    if walk.counts:
        return walk.counts[-1]
    tier = pool.tier
    return {
        "active": pool.active_at_start,
        "drained": pool.drained_at_start,
        "asleep": pool.asleep_at_start,
        "clock_lock.active": 0,
        "tier.active": tier.active_at_start if tier else 0,
        "tier.drained": tier.drained_at_start if tier else 0,
    }


def _next(pool: PoolProblem, epoch_s: FloatArray, walk: Walk) -> Iterator[Walk]:
    """Yield the walk one epoch on, by every set of commands and every router weight."""
    now_s = epoch_s[len(walk.counts)]
    was = _before(pool, walk)
    own, lower = was["active"] + was["clock_lock.active"] + was["drained"], 0
    lower = was["tier.active"] + was["tier.drained"]
    for commands, arrivals, busy in _commands(pool, epoch_s, walk, was):
        awake = own - commands["to_sleep"] - commands["to_tier"]
        awake += _arrived(arrivals, "awake", now_s, 1e-6) + _arrived(arrivals, "own", now_s, 1e-6)
        asleep = was["asleep"] - commands["to_wake"] - commands["to_wake_warm"]
        asleep += _arrived(arrivals, "asleep", now_s, 1e-6)
        in_tier = lower - commands["to_own"] + _arrived(arrivals, "tier", now_s, 1e-6)
        # Whoever arrived within the dwell must still be there.
        bound_awake = _arrived(arrivals, "awake", now_s, pool.min_awake_s)
        bound_asleep = _arrived(arrivals, "asleep", now_s, pool.min_asleep_s)
        if min(awake - bound_awake, asleep - bound_asleep, in_tier) < 0:
            continue
        locked = range(awake + 1) if pool.clock_lock else (0,)
        for active, clocked, there in product(range(awake + 1), locked, range(in_tier + 1)):
            if active + clocked > awake:
                continue
            places = {
                "active": active,
                "drained": awake - active - clocked,
                "asleep": asleep,
                "clock_lock.active": clocked,
                "tier.active": there,
                "tier.drained": in_tier - there,
            }
            yield Walk((*walk.counts, places | commands), arrivals, busy)


def _commands(
    pool: PoolProblem, epoch_s: FloatArray, walk: Walk, was: dict[str, int]
) -> Iterator[tuple[dict[str, int], tuple[Arrival, ...], tuple[tuple[float, float, float], ...]]]:
    """Yield every set of commands with who then arrives when, and the pre-warms so far."""
    now_s, tier, warmth = epoch_s[len(walk.counts)], pool.tier, pool.prewarm
    warms = [0]
    if warmth is not None and not any(begin <= now_s < end for begin, _, end in walk.busy):
        warms = [0, 1]
    for prewarm in warms:
        busy = walk.busy
        if prewarm and warmth is not None:
            ready_s = now_s + warmth.lead_s
            busy = (*busy, (now_s, ready_s, ready_s + warmth.expires_s))
        is_warm = any(ready <= now_s < end for _, ready, end in busy)
        for sleep, wake, warm_wake, to_tier, to_own in product(
            range(was["drained"] + 1) if pool.may_sleep else (0,),
            range(pool.instances + 1),
            range(pool.instances + 1) if warmth and is_warm else (0,),
            range(was["drained"] + 1) if tier else (0,),
            range(was["tier.drained"] + 1) if tier else (0,),
        ):
            if sleep + to_tier > was["drained"]:
                continue
            leads = (
                (sleep, "asleep", pool.sleep_s),
                (wake, "awake", pool.wake_s),
                (warm_wake, "awake", warmth.wake_s if warmth else 0.0),
                (to_tier, "tier", tier.swap_s if tier else 0.0),
                (to_own, "own", tier.swap_s if tier else 0.0),
            )
            sent = tuple((_on_epoch(epoch_s, now_s + s), n, to) for n, to, s in leads if n)
            commands = {
                "to_sleep": sleep,
                "to_wake": wake,
                "to_wake_warm": warm_wake,
                "to_tier": to_tier,
                "to_own": to_own,
                "prewarm": prewarm,
            }
            yield commands, walk.arrivals + sent, busy


def _on_epoch(epoch_s: FloatArray, at_s: float) -> float:
    """Return the first epoch start at or after a time; never, where there is none."""
    later = epoch_s[epoch_s >= at_s - 1e-9]
    return float(later[0]) if len(later) else np.inf


def _arrived(arrivals: tuple[Arrival, ...], to: str, now_s: float, within_s: float) -> int:
    """Return how many arrived in (now - within, now]."""
    return sum(n for at, n, where in arrivals if where == to and 0.0 <= now_s - at < within_s)
