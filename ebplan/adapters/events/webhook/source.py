"""The listener: messages come in over HTTP, each is answered with what it changed.

    POST   /events         a message (``message``): 202 new, modified or cancelled, 200 repeated
    DELETE /events/{uid}   takes a call back
    GET    /events         what stands
    GET    /healthz        that it runs, and nothing more; the only one without a token

Each answer is JSON; what is wrong is named by field, value, what is allowed and what to do.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from ebplan.adapters.answers import Answer, Applied, Refused, Unreachable
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.events.inbox import Inbox, Outcome, Taken
from ebplan.adapters.events.message import read_message
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.webhook.proof import HEADER, may_send, signature
from ebplan.adapters.events.webhook.spec import ServerTls, WebhookSpec
from ebplan.document import parse_json
from ebplan.errors import InputError

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("ebplan.events.webhook")

MOST_BYTES = 256 * 2**10
BODY_WITHIN_S = 10.0
"""A sender that is slower with its message is not waited for."""
AGAIN_S = 5.0
"""Between two tries to listen on an address that is taken."""
STATUS: dict[Outcome, int] = {
    "new": 202,
    "modified": 202,
    "cancelled": 202,
    "repeated": 200,
    "outdated": 409,
    "conflict": 409,
    "over": 410,
    "full": 507,
}


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
        while True:
            async with AsyncExitStack() as stack:
                try:
                    await self._listen(inbox, stack)
                    await asyncio.get_running_loop().create_future()
                except OSError as error:
                    where = f"{self.spec.host}:{self.spec.port}"
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
                    url, data=body, headers=self._proof(body), allow_redirects=False
                ) as reply,
            ):
                status = reply.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = f"{type(error).__name__}: {error}"
            return Unreachable(
                device=self.name, command="report", asked=about, why=why, executed=True
            )
        took_s = monotonic() - began_s
        if 200 <= status < 300:
            return Applied(
                device=self.name, command="report", asked=about, confirmed=about, took_s=took_s
            )
        why = f"the sender answers {status}"
        return Refused(device=self.name, command="report", asked=about, why=why, took_s=took_s)

    def _proof(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers[HEADER] = signature(self._key, body, int(self._now().timestamp()))
        elif self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return headers

    async def _listen(self, inbox: Inbox, stack: AsyncExitStack) -> None:
        from aiohttp import web

        doors = _Doors(self, inbox)

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await doors.guard(request, handler)

        app = web.Application(client_max_size=MOST_BYTES, middlewares=[guard])
        app.router.add_get("/healthz", doors.health)
        app.router.add_post("/events", doors.post)
        app.router.add_get("/events", doors.standing)
        app.router.add_delete("/events/{uid}", doors.take_back)
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=BODY_WITHIN_S
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, self.spec.host, self.spec.port, ssl_context=self._tls)
        await site.start()
        self.port = int(runner.addresses[0][1])
        self._listening.set()

    def why_not(self, request: web.Request, body: bytes) -> str | None:
        """Return why a request is not let in; None where it is."""
        return may_send(
            token=self._token,
            key=self._key,
            authorization=request.headers.get("Authorization"),
            signed=request.headers.get(HEADER),
            body=body,
            now_s=self._now().timestamp(),
            within_s=self.spec.signed_within_s,
        )


Handler = Callable[["web.Request"], Any]


class _Doors:
    """What is done at each path."""

    def __init__(self, source: WebhookSource, inbox: Inbox) -> None:
        self._source, self._inbox = source, inbox

    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may send, and turn what goes wrong into an answer."""
        from aiohttp import web

        if request.path == "/healthz":
            return await handler(request)  # type: ignore[no-any-return]
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body = await request.read()
        except TimeoutError:
            return _answer(408, error=f"the message did not come within {BODY_WITHIN_S:g} s")
        except web.HTTPException as error:  # it is too long
            return _answer(error.status, error=error.reason)
        if why := self._source.why_not(request, _signed_part(request, body)):
            log.warning("%s: not let in: %s", self._source.name, why)
            return _answer(401, error=why)
        try:
            return await handler(request)  # type: ignore[no-any-return]
        except InputError as error:
            if error.field == "(output)":
                log.error("%s: a call cannot be kept: %s", self._source.name, error)
                return _answer(507, error="it cannot be kept now: send it again")
            return _answer(
                400,
                error=str(error),
                field=error.field,
                value=str(error.value)[:200],
                allowed=error.allowed,
                remedy=error.remedy,
            )
        except web.HTTPException as error:
            return _answer(error.status, error=error.reason)

    async def health(self, _: web.Request) -> web.Response:
        return _answer(200, ok=True)

    async def post(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _answer(415, error="Content-Type: application/json is wanted")
        now = self._source._now()
        message = read_message(
            parse_json(_text(await request.read())), source=self._source.name, received=now
        )
        return _became(self._inbox.take(message))

    async def standing(self, _: web.Request) -> web.Response:
        events = [
            event.model_dump(mode="json", exclude_defaults=True)
            for call in self._inbox.calls.values()
            if call.source == self._source.name and not call.cancelled
            for event in call.events
        ]
        return _answer(200, events=events)

    async def take_back(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        known = self._inbox.calls.get((self._source.name, uid))
        if known is None:
            return _answer(404, error="no call of this name is known")
        if known.cancelled:
            return _became(self._inbox.take(known))
        changes = {
            "cancelled": True,
            "events": (),
            "revision": known.revision + 1,
            "received": self._source._now(),
        }
        return _became(self._inbox.take(known.model_copy(update=changes)))


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            field="(message)", value=str(error), allowed="JSON in UTF-8", remedy="encode it so"
        ) from None


def _signed_part(request: web.Request, body: bytes) -> bytes:
    """Return what is signed: the body, or method and path where there is none."""
    return body or f"{request.method} {request.raw_path}".encode()


def _became(taken: Taken) -> web.Response:
    return _answer(
        STATUS[taken.outcome],
        outcome=taken.outcome,
        uid=taken.message.uid,
        revision=taken.message.revision,
    )


def _answer(status: int, **said: object) -> web.Response:
    from aiohttp import web

    return web.json_response(said, status=status, dumps=lambda o: json.dumps(o, ensure_ascii=False))


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
