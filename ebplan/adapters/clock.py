"""Time as adapters see it: seconds that only grow, and a sleep; both can be faked."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds of a clock that is never set back."""

    def now_s(self) -> float:
        """Return the seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after this many of them."""
        ...


class MonotonicClock:
    """The machine's own; it goes on while the machine is suspended, as leases must."""

    def now_s(self) -> float:
        """Return seconds since the machine started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Return after this many seconds."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that stands until it is told to go on; for tests and replay."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_s(self) -> float:
        """Return the seconds it was told."""
        return self._now_s

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been told to go on by this much."""
        until = self._now_s + max(seconds, 0.0)
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (until, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Go on by this much, waking whoever sleeps till then, in order."""
        until = self._now_s + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._now_s, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._now_s = until

    @staticmethod
    async def _settle() -> None:
        """Let every task run until it waits again."""
        for _ in range(10):
            await asyncio.sleep(0)
