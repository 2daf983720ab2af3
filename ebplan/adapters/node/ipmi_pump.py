"""One thread for every IPMI session of a process.

pyghmi keeps its sessions, sockets and timers in variables of its class and lets whichever thread
waits handle the packets of all: with a thread for each controller they take packets from each
other, and its blocking calls go on for ten seconds after a controller has gone. So one thread does
all of its work, by its callbacks, and a silent controller delays no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

SLICE_S = 0.02
"""While an answer is awaited, so long at most until a new request is sent."""


class Exchange:
    """Something begun on the pump's thread whose result is awaited on a loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Any] = self._loop.create_future()
        self.over = False
        """Whether nothing is awaited any more."""

    def done(self, result: object) -> None:
        """Hand over the result; from the pump's thread."""
        self._finish(lambda: self.result.set_result(result))

    def failed(self, error: Exception) -> None:
        """Hand over an error; from the pump's thread."""
        self._finish(lambda: self.result.set_exception(error))

    def _finish(self, hand_over: Callable[[], None]) -> None:
        self.over = True

        def tell() -> None:
            if not self.result.done():
                hand_over()

        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(tell)


class IpmiPump:
    """Does what it is given on its thread, and lets pyghmi work while anything is awaited."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._awaited: set[Exchange] = set()
        self._thread: threading.Thread | None = None

    async def talk(self, begin: Callable[[Exchange], None]) -> Any:
        """Run ``begin`` on the thread and return what it hands to the exchange.

        Args:
            begin: must not block; an error of its own is the result.
        """
        exchange = Exchange()

        def call() -> None:
            if exchange.over:
                return
            self._awaited.add(exchange)
            try:
                begin(exchange)
            except Exception as error:
                exchange.failed(error)

        self.post(call)
        try:
            return await exchange.result
        finally:
            exchange.over = True

    def post(self, call: Callable[[], None]) -> None:
        """Run something on the thread; nobody waits for it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="ipmi", daemon=True)
            self._thread.start()
        self._calls.put(call)

    def _work(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                self._calls.get()()
            while self._awaited:
                self._pump()
                with contextlib.suppress(queue.Empty):
                    self._calls.get_nowait()()
                self._awaited = {one for one in self._awaited if not one.over}

    @staticmethod
    def _pump() -> None:
        from pyghmi.ipmi.private.session import Session

        try:
            Session.wait_for_rsp(timeout=SLICE_S)
        except Exception:  # noise that came for one of them: dropped, its deadline decides
            time.sleep(SLICE_S / 10.0)


PUMP = IpmiPump()
"""The pump of this process: pyghmi's state is the process's, so there cannot be two."""
