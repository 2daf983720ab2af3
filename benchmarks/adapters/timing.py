"""Calls timed one after another."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ebplan.adapters.answers import Applied

WARM_UP = 50


@dataclass(frozen=True)
class Timed:
    """One line of the table; times in ms."""

    what: str
    calls: int
    median_ms: float
    p99_ms: float
    goal_ms: float | None = None
    """Goal for p99, where there is one."""


async def timed(
    what: str, call: Callable[[int], Awaitable[object]], calls: int, *, goal_ms: float | None = None
) -> Timed:
    """Return how long a call takes; each must be applied.

    Raises:
        RuntimeError: one was not.
    """
    took_ms = []
    for i in range(-WARM_UP, calls):
        began_s = time.perf_counter()
        answer = await call(i % 1000)
        took_s = time.perf_counter() - began_s
        for one in answer.values() if isinstance(answer, Mapping) else (answer,):
            if not isinstance(one, Applied):
                raise RuntimeError(f"{what}: {one}")
        if i >= 0:
            took_ms.append(1e3 * took_s)
    median_ms, p99_ms = np.percentile(took_ms, [50, 99])
    return Timed(what, calls, float(median_ms), float(p99_ms), goal_ms)
