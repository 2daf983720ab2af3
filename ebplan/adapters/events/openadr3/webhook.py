"""Where the server posts its notifications: one path, one token, one small answer.

A notification is answered with 204 once it has been taken, so that a server that repeats what was
not answered does so; with 401 without the token, 400 where it is none. It is only a hint of what
the list says too: nothing is lost with it for longer than until the next poll.
"""

from __future__ import annotations

import hmac
import json
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ebplan.adapters.events.openadr3.spec import WebhookSpec
from ebplan.errors import InputError

if TYPE_CHECKING:
    from aiohttp import web

MOST_BYTES = 1_000_000
"""No notification is longer."""
SILENT_S = 60.0
"""A connection on which nothing is told for so long is closed."""
PATH = "/openadr3/notifications"


class Webhook:
    """A listener.

    Args:
        spec: where it listens, and what the server must show.
        take: called with each notification, a JSON object; it never raises.

    Raises:
        InputError: the token is missing, or the certificate cannot be read.
    """

    def __init__(self, spec: WebhookSpec, take: Callable[[dict[str, Any]], None]) -> None:
        self._spec, self._take = spec, take
        self.token = spec.token.read(at="webhook.token")
        self._tls = _identity(spec)
        self._open = AsyncExitStack()
        self.port = spec.port
        """Port that is listened on."""

    @property
    def url(self) -> str:
        """Where the server finds it."""
        if self._spec.public_url is not None:
            return self._spec.public_url
        scheme = "http" if self._tls is None else "https"
        host = f"[{self._spec.host}]" if ":" in self._spec.host else self._spec.host
        return f"{scheme}://{host}:{self.port}{PATH}"

    async def __aenter__(self) -> Self:
        from aiohttp import web

        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_post("/{path:.*}", self._heard)  # a proxy may call it by another path
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=SILENT_S
        )
        await runner.setup()
        self._open.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, self._spec.host, self._spec.port, ssl_context=self._tls)
        try:
            await site.start()
        except OSError as error:
            await self._open.aclose()
            raise InputError(
                field="webhook.port",
                value=f"{self._spec.host}:{self._spec.port}",
                allowed="an address of this machine that nobody listens on",
                remedy=str(error.strerror or error),
            ) from None
        self.port = int(runner.addresses[0][1])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def _heard(self, request: web.Request) -> web.Response:
        from aiohttp import web

        shown = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(shown, f"Bearer {self.token.reveal()}".encode()):
            return web.Response(status=401)
        try:
            told = json.loads(await request.read())
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            return web.Response(status=400)
        self._take(told)
        return web.Response(status=204)


def _identity(spec: WebhookSpec) -> ssl.SSLContext | None:
    if spec.certificate is None or spec.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(spec.certificate, spec.key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            field="webhook.certificate",
            value=spec.certificate,
            allowed="PEM files with a certificate and its key",
            remedy=str(error),
        ) from None
    return context
