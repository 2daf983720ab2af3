"""The listener: messages come in over HTTP, each is answered with what it changed.

What is done with each request stands in ``doors``, who may send in ``proof``.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from ebplan.adapters.answers import Answer, Applied, Refused, Unreachable
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.webhook.connections import Listener
from ebplan.adapters.events.webhook.doors import Doors
from ebplan.adapters.events.webhook.proof import HEADER, content, signature
from ebplan.adapters.events.webhook.signed_before import SignedBefore
from ebplan.adapters.events.webhook.spec import ServerTls, WebhookSpec
from ebplan.errors import InputError

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("ebplan.events.webhook")

AGAIN_S = 5.0
"""Between two tries to listen on an address that is taken."""


class WebhookSource:
    """Implements ``EventSource``.

    Args:
        spec: where it listens, and what a sender must show.
        clock: seconds for waiting.
        now: the wall clock.

    Raises:
        InputError: a secret or a certificate is missing or wrong.
    """

    def __init__(
        self,
        spec: WebhookSpec,
        *,
        clock: Clock | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.spec = spec
        self._clock = clock or MonotonicClock()
        self._now: Callable[[], datetime] = now or (lambda: datetime.now(UTC))
        self._token = None if spec.token is None else spec.token.read(at="token")
        self._key = None if spec.signing_key is None else spec.signing_key.read(at="signing_key")
        self._tls = None if spec.tls is None else _context(spec.tls)
        self._before = SignedBefore()
        self._listening = asyncio.Event()
        self.port = spec.port
        """Port that is listened on."""

    @property
    def name(self) -> str:
        """What this site calls the sender."""
        return self.spec.name

    async def listening(self) -> int:
        """Wait until it listens; return the port."""
        await self._listening.wait()
        return self.port

    async def run(self, inbox: Inbox) -> None:
        """Listen until cancelled; an address that is taken is tried again."""
        spec = self.spec
        while True:
            listener = Listener(self._app(inbox), host=spec.host, port=spec.port, tls=self._tls)
            try:
                async with listener:
                    self.port = listener.port
                    self._listening.set()
                    await asyncio.get_running_loop().create_future()
            except OSError as error:
                where = f"{spec.host}:{spec.port}"
                log.warning("%s: cannot listen on %s: %s", self.name, where, error.strerror)
            finally:
                self._listening.clear()
            await self._clock.sleep(AGAIN_S)

    async def report(self, report: SiteReport) -> Answer:
        """Post a report to where the sender wants it."""
        import aiohttp

        url, about = self.spec.report_url, report.uid or "site"
        if url is None:
            why = "no report_url is declared"
            return Refused(device=self.name, command="report", asked=about, why=why)
        body = report.to_json().encode()
        began_s = monotonic()
        timeout = aiohttp.ClientTimeout(total=self.spec.report_timeout_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(
                    url, data=body, headers=self._proof(url, body), allow_redirects=False
                ) as reply,
            ):
                status = reply.status
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a timeout is an OSError
            unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL)
            return Unreachable(
                device=self.name,
                command="report",
                asked=about,
                why=f"{type(error).__name__}: {error}",
                executed=not unsent,
            )
        took_s = monotonic() - began_s
        if 200 <= status < 300:
            return Applied(
                device=self.name, command="report", asked=about, confirmed=about, took_s=took_s
            )
        why = f"the sender answers {status}"
        return Refused(device=self.name, command="report", asked=about, why=why, took_s=took_s)

    def _proof(self, url: str, body: bytes) -> dict[str, str]:
        from yarl import URL

        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            signed = content("POST", URL(url).raw_path_qs, body)
            headers[HEADER] = signature(self._key, signed, int(self._now().timestamp()))
        elif self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return headers

    def _app(self, inbox: Inbox) -> web.Application:
        return Doors(
            self.spec,
            token=self._token,
            key=self._key,
            inbox=inbox,
            before=self._before,
            now=self._now,
        ).app()


def _context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # never None: the library would ask for a passphrase on the terminal
        context.load_cert_chain(tls.certificate, tls.key, "")
        if tls.clients is not None:
            context.load_verify_locations(tls.clients)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            field="tls",
            value=tls.certificate,
            allowed="PEM files with a certificate, its key and an authority",
            remedy=str(error),
        ) from None
    return context
