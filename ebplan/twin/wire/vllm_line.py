"""The requests in an engine without a model: who waits, who is computed, and who is stopped how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class VllmLine:
    """Requests in the order in which they came.

    Args:
        most_running: computed at once; more wait.
        most_waiting: wait at most; None for any number.
    """

    def __init__(self, most_running: int, most_waiting: int | None) -> None:
        self._most_waiting = most_waiting
        self.waiting = self.running = 0
        self._slots = asyncio.Semaphore(most_running)
        self._open, self._moving, self._empty = asyncio.Event(), asyncio.Event(), asyncio.Event()
        for event in (self._open, self._moving, self._empty):
            event.set()
        self._inside = 0
        self._epoch = 0
        """Grows whenever answers are cut short."""

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self._most_waiting is not None and self.waiting >= self._most_waiting

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[int]:
        """Wait for one's turn and hold it; yields what ``goes_on`` asks for."""
        self.waiting += 1
        began = False
        try:
            await self._open.wait()  # it hangs: no error, no hint
            epoch = self._epoch
            self._enter()
            try:
                async with self._slots:
                    self.waiting -= 1
                    self.running += 1
                    began = True
                    yield epoch
            finally:
                self._leave()
        finally:
            if began:
                self.running -= 1
            else:
                self.waiting -= 1

    def goes_on(self, epoch: int) -> bool:
        """Whether an answer that was begun is not cut short."""
        return epoch == self._epoch

    async def unfrozen(self) -> None:
        """Return once answers go on."""
        await self._moving.wait()

    async def stop(self, mode: str) -> None:
        """Begin nothing new, and return once what has begun is out of the way.

        Args:
            mode: ``abort`` cuts it short, ``wait`` lets it end, ``keep`` freezes it.
        """
        self.shut()
        if mode == "keep":
            self._moving.clear()
            return
        if mode == "abort":
            self._epoch += 1
        await self._empty.wait()

    def shut(self) -> None:
        """Begin nothing new."""
        self._open.clear()

    def open(self) -> None:
        """Go on with everything."""
        self._open.set()
        self._moving.set()

    def _enter(self) -> None:
        self._inside += 1
        self._empty.clear()

    def _leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()
