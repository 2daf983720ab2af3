"""What is done with each request.

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
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ebplan.adapters.events.grid_event import GridEvent, end
from ebplan.adapters.events.inbox import Inbox, Outcome, Taken
from ebplan.adapters.events.message import read_message
from ebplan.adapters.events.numbering import numbered
from ebplan.adapters.events.webhook.proof import HEADER, KeptOut, LetIn, content, may_send
from ebplan.adapters.events.webhook.signed_before import SignedBefore
from ebplan.adapters.events.webhook.spec import WebhookSpec
from ebplan.adapters.secrets import Secret
from ebplan.document import parse_json
from ebplan.errors import InputError

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger("ebplan.events.webhook")

BODY_WITHIN_S = 10.0
"""A sender that is slower with its message is not waited for."""
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


class Doors:
    """The paths of a webhook.

    Args:
        spec: what a sender must show, and what it may send.
        token: what it may show.
        key: what it may sign with.
        inbox: where calls go.
        before: signed requests that were heard.
        now: the wall clock.
    """

    def __init__(
        self,
        spec: WebhookSpec,
        *,
        token: Secret | None,
        key: Secret | None,
        inbox: Inbox,
        before: SignedBefore,
        now: Callable[[], datetime],
    ) -> None:
        from aiohttp import web

        self._spec, self._token, self._key = spec, token, key
        self._inbox, self._before, self._now = inbox, before, now
        self._shown = web.RequestKey("shown", LetIn)

    def app(self) -> web.Application:
        """Return the application that serves them."""
        from aiohttp import web

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        app = web.Application(client_max_size=self._spec.longest_bytes, middlewares=[guarded])
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/events", self._post)
        app.router.add_get("/events", self._standing)
        app.router.add_delete("/events/{uid}", self._take_back)
        return app

    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may send, and turn what goes wrong into an answer."""
        from aiohttp import web

        if request.path == "/healthz":
            return await self._asked(request, handler)
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body = await request.read()
        except TimeoutError:
            return answer(408, error=f"the message did not come within {BODY_WITHIN_S:g} s")
        except web.HTTPException as error:  # it is too long
            return answer(error.status, error=error.reason)
        proof = self._proof(request, body)
        if isinstance(proof, KeptOut):
            log.warning("%s: not let in: %s", self._spec.name, proof.why)
            kept_out = answer(proof.status, error=proof.why)
            kept_out.headers["WWW-Authenticate"] = "Bearer"
            return kept_out
        request[self._shown] = proof
        return await self._asked(request, handler)

    def _proof(self, request: web.Request, body: bytes) -> LetIn | KeptOut:
        return may_send(
            token=self._token,
            key=self._key,
            authorization=request.headers.get("Authorization"),
            signed=request.headers.get(HEADER),
            over=content(request.method, request.raw_path, body),
            now_s=self._now().timestamp(),
            within_s=self._spec.signed_within_s,
        )

    async def _asked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        from aiohttp import web

        try:
            return await handler(request)
        except InputError as error:
            if error.field == "(output)":
                log.error("%s: a call cannot be kept: %s", self._spec.name, error)
                return answer(507, error="it cannot be kept now: send it again")
            return answer(
                400,
                error=str(error),
                field=error.field,
                value=str(error.value)[:200],
                allowed=error.allowed,
                remedy=error.remedy,
            )
        except web.HTTPException as error:
            return answer(error.status, error=error.reason)

    async def _health(self, _: web.Request) -> web.Response:
        return answer(200, ok=True)

    async def _post(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json" or "Content-Encoding" in request.headers:
            return answer(415, error="Content-Type: application/json is wanted, not compressed")
        proof = request[self._shown]
        message = self._before.get(proof)
        if message is None:
            data, now = parse_json(_text(await request.read())), self._now()
            message = read_message(
                data,
                source=self._spec.name,
                received=now,
                terms=self._spec.terms,
                known=self._inbox.calls,
                signed=proof.at,
            )
            if data["kind"] == "event":
                self._before.keep(proof, message, now.timestamp())
        return _became(self._inbox.take(message))

    async def _standing(self, _: web.Request) -> web.Response:
        now = self._now()
        calls = [
            call.model_dump(mode="json", exclude_defaults=True, exclude={"source", "received"})
            | {"kind": call.kind, "revision": call.revision}
            for call in self._inbox.calls.values()
            if call.source == self._spec.name and not call.cancelled and _ends(call) > now
        ]
        return answer(200, calls=calls)

    async def _take_back(self, request: web.Request) -> web.Response:
        proof = request[self._shown]
        message = self._before.get(proof)
        if message is None:
            uid = request.match_info["uid"]
            known = self._inbox.calls.get((self._spec.name, uid))
            if known is None:
                return answer(404, error="no call of this name is known")
            message = self._taken_back(known, proof.at)
            self._before.keep(proof, message, self._now().timestamp())
        return _became(self._inbox.take(message))

    def _taken_back(self, known: GridEvent, signed: datetime | None) -> GridEvent:
        new = {"revision": 0, "cancelled": True, "issued": signed, "received": self._now()}
        return numbered(known.model_copy(update=new), known)


def answer(status: int, **said: object) -> web.Response:
    """Return an answer; in plain ASCII, since a sender may have sent what UTF-8 cannot say."""
    from aiohttp import web

    return web.json_response(said, status=status, dumps=json.dumps)


def _became(taken: Taken) -> web.Response:
    return answer(
        STATUS[taken.outcome],
        outcome=taken.outcome,
        uid=taken.message.uid,
        revision=taken.message.revision,
    )


def _ends(call: GridEvent) -> datetime:
    return max(end(event) for event in call.events) + timedelta(seconds=call.randomize_s)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            field="(message)", value=str(error), allowed="JSON in UTF-8", remedy="encode it so"
        ) from None
