"""Connections to the listener: as many as it can serve, and none for longer than it is used."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("ebplan.events.webhook")

MOST = 128
"""Connections open at a time; in a burst it may be twice as many for a moment."""
WITHIN_S = 10.0
"""A client that is slower with its handshake, its headers or its next request, or that is slower to
read its answer, is not waited for."""


class Listener:
    """Serves an application at an address, while it is entered.

    Where there are too many connections, the oldest that asks nothing makes room, so that clients
    who only hold one keep nobody out. Where all ask something, the new one is turned away.

    Args:
        app: the application, not yet set up.
        host: address that is listened on.
        port: port that is listened on; 0 for a free one.
        tls: our certificate, and whom we let in.

    Raises:
        OSError: on entering: the address is none of this machine's, or somebody else listens on it.
    """

    def __init__(
        self, app: web.Application, *, host: str, port: int, tls: ssl.SSLContext | None
    ) -> None:
        from aiohttp import web

        self._app, self._host, self._tls = app, host, tls
        self._asking: set[object] = set()
        self._open = AsyncExitStack()
        self.port = port
        """Port that is listened on."""

        @web.middleware
        async def served(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._serve(request, handler)

        app.middlewares.insert(0, served)

    async def __aenter__(self) -> Self:
        from aiohttp import web

        runner = web.AppRunner(
            self._app,
            access_log=None,
            shutdown_timeout=0.5,
            keepalive_timeout=WITHIN_S,
            lingering_time=WITHIN_S,
            auto_decompress=False,
        )
        await runner.setup()
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runner.cleanup)
            server = await asyncio.get_running_loop().create_server(
                lambda: self._admit(cast(web.Server, runner.server)),
                self._host,
                self.port,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else WITHIN_S,
                backlog=MOST // 2,
            )
            stack.callback(server.close)
            self.port = int(server.sockets[0].getsockname()[1])
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    def _admit(self, server: web.Server) -> asyncio.Protocol:
        open_now = [one for one in server.connections if one.transport is not None]
        if len(open_now) >= MOST:
            idle = next((one for one in open_now if one not in self._asking), None)
            if idle is None:
                log.warning("%d connections, all in use: a new one is turned away", len(open_now))
                return _TurnedAway()
            idle.force_close()
        return cast(asyncio.Protocol, server())

    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._asking.add(request.protocol)
        try:
            answer = await handler(request)
            # Sent here, where it can be given up: the library would wait for a reader without end.
            try:
                async with asyncio.timeout(WITHIN_S):
                    await answer.prepare(request)
                    await answer.write_eof()
            except TimeoutError:
                log.warning("an answer is not read within %g s: given up", WITHIN_S)
                if request.transport is not None:
                    request.transport.abort()
            return answer
        finally:
            self._asking.discard(request.protocol)


class _TurnedAway(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()
