"""Blocking calls on a thread of their own: one that hangs delays nobody else."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class LaneError(Exception):
    """The lane has no answer; ``executed`` says whether the call may have been executed."""

    def __init__(self, why: str, *, executed: bool) -> None:
        self.executed = executed
        super().__init__(why)


class Lane:
    """Runs blocking calls one after another on a thread of its own.

    The thread is a daemon: a driver that hangs for ever does not keep the process from ending.

    Args:
        name: what the thread is called.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None
        self._busy = False

    async def run(self, call: Callable[[], T], timeout_s: float) -> T:
        """Return what the call returns, or raise what it raises.

        Raises:
            LaneError: it does not return in time, or one before it still has not.
        """
        if self._busy:
            raise LaneError("a call before it has not returned", executed=False)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def finish(result: Any, error: BaseException | None) -> None:
            self._busy = False
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def work() -> None:
            result: T | None = None
            error: Exception | None = None
            try:
                result = call()
            except Exception as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(finish, result, error)
            except RuntimeError:
                self._busy = False  # the loop has ended: nobody waits any more

        self._busy = True
        self._calls.put(work)
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            raise LaneError(f"no answer in {timeout_s:g} s", executed=True) from None

    def close(self) -> None:
        """Let the thread end once its call has returned."""
        if self._thread is not None:
            self._calls.put(None)
            if not self._busy:
                self._thread.join(1.0)
            self._thread = None

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
