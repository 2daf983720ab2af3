"""Asks a daemon over its socket, and never believes it to be there.

Several requests may be under way: a renewal does not wait for a command that takes its time. A
request that is not answered in time fails; the connection is kept, because the lease hangs on it,
and the late answer is thrown away. Whatever is no answer ends the connection: a line that garbles
one answer may have garbled others.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Final

from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.daemon.wire import DENIALS, LINE_BYTES, PROTOCOL, Denied, decode, encode
from ebplan.adapters.health import BackOff, Health, after_failure, after_success, may_try

UNANSWERED: Final = 3
"""So many requests in a row without an answer, and the connection is given up."""


class NoAnswer(Exception):
    """The daemon did not answer; ``executed`` says whether it may have done what was asked."""

    def __init__(self, why: str, *, executed: bool) -> None:
        self.why, self.executed = why, executed
        super().__init__(why)


class _TooSoon(NoAnswer):
    """It was not even asked."""


class LeftAlone(NoAnswer):
    """It failed a moment ago and is not asked yet."""


class DaemonClient:
    """One connection to one daemon, made when it is needed.

    Args:
        path: its socket.
        daemon: the name it must give.
        timeout_s: how long it may take to answer, and to be connected.
        clock: what time it is.
        policy: how long it is left alone after failures.
    """

    def __init__(
        self,
        path: Path,
        daemon: str,
        *,
        timeout_s: float = 0.5,
        clock: Clock | None = None,
        policy: BackOff | None = None,
    ) -> None:
        self.path, self.daemon, self.timeout_s = path, daemon, timeout_s
        self.instance: str | None = None
        """Which run of the daemon answered last."""
        self.restarts = 0
        """How often another run of it was found."""
        self.safe_s = 0.0
        """How long it takes to its safe state, as it says."""
        self.health = Health()
        """What is remembered of it."""
        self._clock = clock or MonotonicClock()
        self._policy = policy or BackOff(first_s=0.05, longest_s=1.0, steady_s=5.0)
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._unanswered = 0
        self._connecting = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether a connection is open, as far as this side knows."""
        return self._writer is not None

    async def ask(self, op: str, *, longer_s: float = 0.0, **fields: Any) -> dict[str, Any]:
        """Return the body of the answer.

        Args:
            op: what to do.
            longer_s: how much longer than usual the answer may take.
            fields: what goes with it; finite numbers only.

        Raises:
            Denied: the daemon says no.
            NoAnswer: it says nothing.
        """
        try:
            async with self._connecting:
                if self._writer is None:
                    self._be_patient()
                    await self._connect()
            return await self._exchange(op, self.timeout_s + longer_s, fields)
        except _TooSoon as soon:
            raise NoAnswer(soon.why, executed=False) from None
        except NoAnswer as failure:
            self.health = after_failure(self.health, self._clock.now_s(), failure.why)
            raise

    async def close(self) -> None:
        """Hang up; a lease held through this connection ends with it."""
        self._drop("hung up")
        reading, self._reading = self._reading, None
        if reading is not None:
            await asyncio.wait({reading})

    def _be_patient(self) -> None:
        """Leave a daemon that failed alone for a while; that is no further failure."""
        if self.health.failures and not may_try(self.health, self._clock.now_s(), self._policy):
            raise _TooSoon(f"left alone after a failure: {self.health.why}", executed=False)

    async def _connect(self) -> None:
        if self._reading is not None:
            await asyncio.wait({self._reading})  # the one before is on its way out
        try:
            async with asyncio.timeout(self.timeout_s):
                reader, writer = await asyncio.open_unix_connection(
                    str(self.path), limit=LINE_BYTES
                )
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            why = str(error) or "no connection in time"
            raise NoAnswer(f"not connected: {why}", executed=False) from None
        self._writer, self._unanswered = writer, 0
        self._reading = asyncio.create_task(self._read(reader, writer), name=f"{self.daemon} lines")
        try:
            hello = await self._exchange("hello", self.timeout_s, {})
            self._recognise(hello)
        except (NoAnswer, Denied) as error:
            self._drop(error.why)
            raise NoAnswer(f"no greeting: {error.why}", executed=False) from None
        except asyncio.CancelledError:
            self._drop("given up")
            raise

    def _recognise(self, hello: dict[str, Any]) -> None:
        match hello:
            case {
                "daemon": self.daemon,
                "protocol": int() as protocol,
                "instance": str() as instance,
                "safe_s": float() | int() as safe_s,
            } if protocol == PROTOCOL:
                self.restarts += self.instance not in (None, instance)
                self.instance, self.safe_s = instance, float(safe_s)
            case _:
                who, version = str(hello.get("daemon"))[:40], str(hello.get("protocol"))[:10]
                raise NoAnswer(f"this is {who}, protocol {version}", executed=False)

    async def _exchange(self, op: str, within_s: float, fields: dict[str, Any]) -> dict[str, Any]:
        writer = self._writer
        if writer is None:
            raise NoAnswer("the connection is gone", executed=False)
        self._number += 1
        number = self._number
        line = encode({"id": number, "op": op, **fields})
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            writer.write(line)
            async with asyncio.timeout(within_s):
                message = await answered
        except TimeoutError:
            self._unanswered += 1
            if self._unanswered >= UNANSWERED:
                self._drop("it answers nothing")
            raise NoAnswer("no answer in time", executed=True) from None
        finally:
            self._waiting.pop(number, None)
        self._unanswered = 0
        self.health = after_success(self.health, self._clock.now_s(), self._policy)
        if message["ok"] is True:
            return message
        denial, why = message.get("error"), message.get("why")
        raise Denied(denial if denial in DENIALS else "failed", str(why)[:500])

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        why = "it hung up"
        try:
            while (line := await reader.readline()).endswith(b"\n"):
                self._take(decode(line))
        except (OSError, ValueError) as error:
            why = f"no answer but noise: {error}" if isinstance(error, ValueError) else str(error)
        finally:
            if self._writer is writer:
                self._drop(why)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"id": int() as number, "ok": bool()} if 0 < number <= self._number:
                answered = self._waiting.get(number)
                if answered is not None and not answered.done():
                    answered.set_result(message)
            case {"ok": False, "why": str() as why}:
                raise ValueError(why[:200])
            case _:
                raise ValueError("an answer to nothing that was asked")

    def _drop(self, why: str) -> None:
        """End the connection and fail whatever waits for an answer."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.transport.abort()
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(NoAnswer(why[:300], executed=True))
