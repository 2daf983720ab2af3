"""A bad line on cue: a proxy in front of any stream server, TCP or unix socket, that misbehaves.

    async with FaultProxy(("127.0.0.1", device.port)) as line:
        client = connect(*line.address)
        await line.turn(Fault.SILENT)

It knows no protocol: what it forwards are bytes. A fault begins at once, for connections that are
open as well, and ends when the line is turned to ``Fault.NONE`` again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Final, Self

Address = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""

CHUNK_BYTES: Final = 65536
NOISE: Final = bytes(range(0xFF, 0x7F, -1))
"""What a garbled line says: no protocol begins so, and no text is made of it."""


class Fault(Enum):
    """How the line misbehaves."""

    NONE = "none"
    """It forwards everything."""
    REFUSE = "refuse"
    """Nobody listens, and what was open is gone."""
    SILENT = "silent"
    """Requests arrive and are carried out; the answers are lost."""
    HALF_OPEN = "half_open"
    """The connection stays open and nothing passes, either way."""
    SLOW = "slow"
    """Answers come ``slow_s`` late."""
    GARBAGE = "garbage"
    """Answers are noise of the same length."""
    PARTIAL = "partial"
    """The first half of each answer comes, and no more."""
    FLAPPING = "flapping"
    """Connections are accepted and closed at once."""
    EDIT = "edit"
    """Answers are changed by ``edit``, e.g. into those of another device."""


class FaultProxy:
    """A line to a stream server that can be turned bad.

    Args:
        target: the server.
        listen: where to listen; a free port of the loopback by default.
        slow_s: how late answers come with ``SLOW``.
        edit: what happens to each piece of an answer with ``EDIT``.
    """

    def __init__(
        self,
        target: Address,
        *,
        listen: Address = ("127.0.0.1", 0),
        slow_s: float = 1.0,
        edit: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.target = target
        self.address = listen
        self.slow_s = slow_s
        self.edit = edit
        self.fault = Fault.NONE
        """What is wrong now."""
        self.accepted = 0
        """Connections accepted so far."""
        self.requested_bytes = 0
        """Bytes that clients have sent so far, whether they arrived or not."""
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Port it listens on.

        Raises:
            TypeError: it listens on a unix socket.
        """
        if isinstance(self.address, str):
            raise TypeError(f"{self.address} is a unix socket: it has no port")
        return self.address[1]

    @property
    def open_connections(self) -> int:
        """Clients that are connected now."""
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deafen()
        self.drop()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        if isinstance(self.address, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address)

    async def turn(self, fault: Fault) -> None:
        """Misbehave like this from now on."""
        self.fault = fault
        if fault is Fault.REFUSE:
            self._deafen()
        elif self._server is None:
            await self._listen()
        if fault in (Fault.REFUSE, Fault.FLAPPING):
            self.drop()

    async def restart(self, down_s: float) -> None:
        """Drop everything, be away for a while, and come back without a fault."""
        await self.turn(Fault.REFUSE)
        await asyncio.sleep(down_s)
        await self.turn(Fault.NONE)

    def drop(self) -> None:
        """Cut every open connection, without a goodbye."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _listen(self) -> None:
        if isinstance(self.address, str):
            self._server = await asyncio.start_unix_server(self._accept, self.address)
        else:
            self._server = await asyncio.start_server(self._accept, *self.address)
            host, port, *_ = self._server.sockets[0].getsockname()
            self.address = (host, port)

    def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if self.fault is not Fault.FLAPPING:
                await self._carry(reader, writer)
        except OSError:
            pass  # the target is away: the client sees its connection closed
        finally:
            self._open.discard(writer)
            await _shut(writer)
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await self._reach()
        self._open.add(there_writer)
        ways = {
            asyncio.create_task(self._requests(reader, there_writer)),
            asyncio.create_task(self._answers(there_reader, writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._open.discard(there_writer)
            await _shut(there_writer)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, str):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK_BYTES):
            self.requested_bytes += len(data)
            if self.fault is not Fault.HALF_OPEN:
                sink.write(data)
                await sink.drain()

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK_BYTES):
            if self.fault is Fault.SLOW:
                await asyncio.sleep(self.slow_s)
            data = self._spoilt(data)
            if data:
                sink.write(data)
                await sink.drain()

    def _spoilt(self, data: bytes) -> bytes:
        match self.fault:
            case Fault.SILENT | Fault.HALF_OPEN:
                return b""
            case Fault.GARBAGE:
                return (NOISE * (len(data) // len(NOISE) + 1))[: len(data)]
            case Fault.PARTIAL:
                return data[: len(data) // 2]
            case Fault.EDIT:
                return self.edit(data)
            case _:
                return data


async def _shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
