"""A stand-in for an OpenADR 3 server (a VTN): programs, events, reports, subscriptions, names.

    async with Openadr3Vtn() as vtn:
        program = vtn.add("programs", {"programName": "dr"})
        await vtn.create("events", {...})        # subscribers are told
        ...(vtn.url, vtn.reports)

Its faults: ``fail_next``; tokens that are refused from one moment on (``expire_tokens``);
notifications that are lost, come twice or in another order (``notify``, ``held``). It keeps every
message that it got and sent (``exchanges``, ``notifications``), for a check against the published
contract.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, web

Kind = Literal["programs", "events", "reports", "subscriptions", "vens"]
Operation = Literal["CREATE", "UPDATE", "DELETE"]
OBJECT_TYPES: dict[Kind, str] = {
    "programs": "PROGRAM",
    "events": "EVENT",
    "reports": "REPORT",
    "subscriptions": "SUBSCRIPTION",
    "vens": "VEN",
}
VERBS: dict[Operation, str] = {"CREATE": "POST", "UPDATE": "PUT", "DELETE": "DELETE"}
"""How a notification of 3.0.1 writes an operation."""
FILTERS = ("programID", "eventID", "clientName", "venName")
BASE = "/openadr3/3.0.1"
"""Path of its API."""
MOST_LISTED = 50
GARBAGE = b'[{"id": "half an ev'


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    content_type: str
    asked: bytes
    status: int
    answer_type: str
    answered: bytes


@dataclass(frozen=True)
class Fault:
    """What becomes of one request."""

    status: int = 200
    """Answered instead, as a page of HTML, if it is none of success."""
    delay_s: float = 0.0
    """How long the answer waits."""
    garbage: bool = False
    """Half a document is answered."""
    hang_up: bool = False
    """The connection ends without an answer."""
    after: bool = False
    """The request is carried out all the same."""


class Openadr3Vtn:
    """One server on loopback.

    Args:
        port: where it listens; 0 for a free one.
        version: whose words it uses for operations: ``3.0.1`` or ``3.1``.
        ahead_s: how far its clock is ahead.
        token_s: how long a token is good, as it says.
        tls: its certificate, where it speaks TLS.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        version: Literal["3.0.1", "3.1"] = "3.0.1",
        ahead_s: float = 0.0,
        token_s: int = 3600,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tls = tls
        self.port, self.version, self.ahead_s, self.token_s = port, version, ahead_s, token_s
        self.client_id, self.client_secret = "ven-client", secrets.token_hex(8)
        self.objects: dict[Kind, dict[str, dict[str, Any]]] = {kind: {} for kind in OBJECT_TYPES}
        self.exchanges: list[Exchange] = []
        """Every request, but those that ended without an answer."""
        self.notifications: list[dict[str, Any]] = []
        """Every notification that was posted."""
        self.answers: list[int] = []
        """What the callbacks answered; 0 for nothing."""
        self.notify = 1
        """How often each notification is posted; 0 loses it."""
        self.most_listed = MOST_LISTED
        """Objects in a page at most, whatever is asked for."""
        self.pages = True
        """Whether it knows pages; otherwise each answer is the whole list."""
        self.held: list[tuple[dict[str, Any], dict[str, Any]]] | None = None
        """Where it is a list, notifications wait here for ``release``."""
        self._faults: deque[Fault] = deque()
        self._tokens: set[str] = set()
        self._count = 0
        self._last = datetime.min.replace(tzinfo=UTC)
        self._runner: web.AppRunner | None = None
        self._caller: ClientSession | None = None

    @property
    def url(self) -> str:
        """Base of its API."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}{BASE}"

    @property
    def reports(self) -> list[dict[str, Any]]:
        """Reports that it holds."""
        return list(self.objects["reports"].values())

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._record, self._guard])
        app.router.add_post(f"{BASE}/auth/token", self._issue)
        for kind in OBJECT_TYPES:
            app.router.add_get(f"{BASE}/{{kind:{kind}}}", self._list)
            app.router.add_post(f"{BASE}/{{kind:{kind}}}", self._post)
            app.router.add_get(f"{BASE}/{{kind:{kind}}}/{{id}}", self._get)
            app.router.add_put(f"{BASE}/{{kind:{kind}}}/{{id}}", self._put)
            app.router.add_delete(f"{BASE}/{{kind:{kind}}}/{{id}}", self._delete)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls).start()
        self.port = int(self._runner.addresses[0][1])
        self._caller = ClientSession(timeout=ClientTimeout(total=5.0))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        assert self._caller is not None
        await self._caller.close()
        await self._runner.cleanup()

    # --- what its operator does ---------------------------------------------------------------

    def add(self, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
        """Add an object and tell nobody."""
        self._count += 1
        now = self._stamp()
        made = {
            **body,
            "id": f"{kind[:-1]}-{self._count}",
            "createdDateTime": now,
            "modificationDateTime": now,
            "objectType": OBJECT_TYPES[kind],
        }
        self.objects[kind][made["id"]] = made
        return made

    async def create(self, kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
        """Add an object and tell who subscribed to that."""
        made = self.add(kind, body)
        await self._announce(kind, "CREATE", made)
        return made

    async def update(self, kind: Kind, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object, as PUT does."""
        kept = {k: self.objects[kind][name][k] for k in ("id", "createdDateTime", "objectType")}
        made = {**body, **kept, "modificationDateTime": self._stamp()}
        self.objects[kind][name] = made
        await self._announce(kind, "UPDATE", made)
        return made

    async def delete(self, kind: Kind, name: str) -> dict[str, Any]:
        """Remove an object."""
        gone = self.objects[kind].pop(name)
        await self._announce(kind, "DELETE", gone)
        return gone

    def fail_next(self, *faults: Fault) -> None:
        """Let the next requests, those for tokens included, meet these faults."""
        self._faults.extend(faults)

    def expire_tokens(self) -> None:
        """Take no token any more that was issued until now."""
        self._tokens.clear()

    async def release(self, *order: int) -> None:
        """Post the notifications that were held, in this order."""
        held, self.held = self.held or [], None
        for n in order or range(len(held)):
            await self._call(*held[n])

    # --- notifications ------------------------------------------------------------------------

    async def _announce(self, kind: Kind, operation: Operation, made: dict[str, Any]) -> None:
        verb = VERBS[operation] if self.version == "3.0.1" else operation
        told = {"objectType": OBJECT_TYPES[kind], "operation": verb, "object": made}
        for subscription in list(self.objects["subscriptions"].values()):
            if subscription.get("programID") not in (None, made.get("programID")):
                continue
            for wanted in subscription["objectOperations"]:
                if told["objectType"] in wanted["objects"] and operation in wanted["operations"]:
                    for _ in range(self.notify):
                        if self.held is not None:
                            self.held.append((wanted, told))
                        else:
                            await self._call(wanted, told)

    async def _call(self, wanted: Mapping[str, Any], told: dict[str, Any]) -> None:
        assert self._caller is not None
        self.notifications.append(told)
        token = wanted.get("bearerToken")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            async with self._caller.post(
                wanted["callbackUrl"], json=told, headers=headers
            ) as answer:
                self.answers.append(answer.status)
        except (ClientError, OSError, TimeoutError):
            self.answers.append(0)

    # --- endpoints ----------------------------------------------------------------------------

    @web.middleware
    async def _record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        asked = await request.read()
        fault = self._faults.popleft() if self._faults else Fault()
        await asyncio.sleep(fault.delay_s)
        answer: web.StreamResponse = web.Response(status=fault.status)
        if fault.status < 400 or fault.after:
            answer = await handler(request)
        if fault.hang_up:
            assert request.transport is not None
            request.transport.abort()
            return answer
        if fault.status >= 400:
            page = f"<html>{fault.status}</html>"
            answer = web.Response(status=fault.status, text=page, content_type="text/html")
        elif fault.garbage:
            answer = web.Response(body=GARBAGE, content_type="application/json")
        answer.headers["Date"] = format_datetime(self._now(), usegmt=True)
        body = answer.body if isinstance(answer, web.Response) else b""
        self.exchanges.append(
            Exchange(
                request.method,
                request.path,
                tuple(request.query.items()),
                request.content_type,
                asked,
                answer.status,
                answer.content_type,
                body if isinstance(body, bytes) else b"",
            )
        )
        return answer

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not request.path.endswith("/auth/token") and shown not in self._tokens:
            return _problem(401, "Unauthorized")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _issue(self, request: web.Request) -> web.Response:
        form = await request.post()
        shown = (form.get("client_id"), form.get("client_secret"))
        if shown != (self.client_id, self.client_secret):
            return web.json_response({"error": "invalid_client"}, status=400)
        token = secrets.token_urlsafe(16)
        self._tokens.add(token)
        return web.json_response(
            {"access_token": token, "token_type": "Bearer", "expires_in": self.token_s}
        )

    async def _list(self, request: web.Request) -> web.Response:
        kind = _kind(request)
        query = request.query
        found = [
            one
            for one in self.objects[kind].values()
            if all(one.get(name) == query[name] for name in FILTERS if name in query)
        ]
        skip, limit = int(query.get("skip", 0)), int(query.get("limit", MOST_LISTED))
        if skip < 0 or not 0 <= limit <= MOST_LISTED:
            return _problem(400, "Bad Request")
        if not self.pages:
            return web.json_response(found)
        return web.json_response(found[skip : skip + min(limit, self.most_listed)])

    async def _post(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if body is None:
            return _problem(400, "Bad Request")
        return web.json_response(await self.create(_kind(request), body), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        found = self.objects[_kind(request)].get(request.match_info["id"])
        return _problem(404, "Not Found") if found is None else web.json_response(found)

    async def _put(self, request: web.Request) -> web.Response:
        kind, name, body = _kind(request), request.match_info["id"], await _body(request)
        if name not in self.objects[kind]:
            return _problem(404, "Not Found")
        if body is None:
            return _problem(400, "Bad Request")
        return web.json_response(await self.update(kind, name, body))

    async def _delete(self, request: web.Request) -> web.Response:
        kind, name = _kind(request), request.match_info["id"]
        if name not in self.objects[kind]:
            return _problem(404, "Not Found")
        return web.json_response(await self.delete(kind, name))

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)

    def _stamp(self) -> str:
        """Return a time later than the last: two changes are never one."""
        self._last = max(self._now(), self._last + timedelta(microseconds=1))
        return self._last.isoformat().replace("+00:00", "Z")


def _kind(request: web.Request) -> Kind:
    kind: Kind = request.match_info["kind"]  # type: ignore[assignment]  # one of them by its route
    return kind


async def _body(request: web.Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.read())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _problem(status: int, title: str) -> web.Response:
    return web.json_response({"title": title, "status": status}, status=status)
