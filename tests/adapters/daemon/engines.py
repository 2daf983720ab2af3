"""Serving engines that can sleep, as far as the agent sees them: two paths over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Self


class Engine:
    """Answers ``/wake_up`` and ``/is_sleeping``; fails on cue."""

    def __init__(self) -> None:
        self.asleep = True
        self.woken = 0
        self.deaf_wakes = 0
        """So many wakes do nothing."""
        self.status = "200 OK"
        self.says: bytes | None = None
        self.wake_s = 0.0
        self.asked: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(0.02)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            what = " ".join(head.split(" ")[:2])
            self.asked.append(what)
            body = b""
            if what == "POST /wake_up":
                await asyncio.sleep(self.wake_s)
                self.woken += 1
                self.asleep = self.asleep and self.woken <= self.deaf_wakes
            elif what == "GET /is_sleeping":
                body = json.dumps({"is_sleeping": self.asleep}).encode()
            if self.says is not None:
                body = self.says
            writer.write(
                f"HTTP/1.1 {self.status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
