"""Every way in which the counts of a pool can move, by walking through the epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import PoolProblem

FloatArray = NDArray[np.float64]

COUNTS = ("active", "drained", "asleep", "to_sleep", "to_wake")


@dataclass
class Walk:
    """Counts of a pool so far, epoch by epoch, and who arrives when."""

    counts: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in COUNTS})
    arrivals: list[tuple[float, int, str]] = field(default_factory=list)
    """(epoch start at which it arrives, how many, where)."""


def walks(pool: PoolProblem, epoch_s: FloatArray) -> Iterator[dict[str, list[int]]]:
    """Yield every trajectory of counts that lead times, dwell and start allow."""
    arrivals: list[tuple[float, int, str]]
    arrivals = [(_on_epoch(epoch_s, a.at_s), a.count, a.to) for a in pool.arrivals]
    start = Walk(arrivals=arrivals)
    awake = pool.active_at_start + pool.drained_at_start
    yield from _extend(pool, epoch_s, start, awake, pool.asleep_at_start)


def _extend(
    pool: PoolProblem, epoch_s: FloatArray, walk: Walk, awake: int, asleep: int
) -> Iterator[dict[str, list[int]]]:
    k = len(walk.counts["active"])
    if k == len(epoch_s):
        yield walk.counts
        return
    most = pool.instances + 1
    drained = walk.counts["drained"][-1] if k else pool.drained_at_start
    for sleep in range(min(most, drained + 1) if pool.may_sleep else 1):
        for wake in range(most):
            arrivals = [
                *walk.arrivals,
                (_on_epoch(epoch_s, epoch_s[k] + pool.sleep_s), sleep, "asleep"),
                (_on_epoch(epoch_s, epoch_s[k] + pool.wake_s), wake, "awake"),
            ]
            now_awake = awake - sleep + _arrived(arrivals, "awake", epoch_s[k], 1e-6)
            now_asleep = asleep - wake + _arrived(arrivals, "asleep", epoch_s[k], 1e-6)
            # Whoever arrived within the dwell must still be there.
            bound_awake = _arrived(arrivals, "awake", epoch_s[k], pool.min_awake_s)
            bound_asleep = _arrived(arrivals, "asleep", epoch_s[k], pool.min_asleep_s)
            if now_awake < bound_awake or now_asleep < bound_asleep:
                continue
            for active in range(now_awake + 1):
                now = (active, now_awake - active, now_asleep, sleep, wake)
                counts = {
                    name: [*walk.counts[name], n] for name, n in zip(COUNTS, now, strict=True)
                }
                yield from _extend(pool, epoch_s, Walk(counts, arrivals), now_awake, now_asleep)


def _on_epoch(epoch_s: FloatArray, at_s: float) -> float:
    """Return the first epoch start at or after a time; never, where there is none."""
    later = epoch_s[epoch_s >= at_s - 1e-9]
    return float(later[0]) if len(later) else np.inf


def _arrived(arrivals: list[tuple[float, int, str]], to: str, now_s: float, within_s: float) -> int:
    """Return how many arrived in (now - within, now]."""
    return sum(n for at, n, where in arrivals if where == to and 0.0 <= now_s - at < within_s)
