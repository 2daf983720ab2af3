"""A real OpenADR 2.0b server (a VTN), openleadr's, on loopback, with faults and a record.

    async with Openadr2bVtn() as vtn:
        vtn.put(event("e1", [Span(600.0, -100.0)], start=...))
        answer = await vtn.answered("e1", 0)
        ...(vtn.url, vtn.reports)

openleadr keeps its name lookup and its way to write messages in a class: one server at a time.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web
from openleadr import OpenADRServer, objects
from openleadr.messaging import parse_message
from openleadr.service import VTNService

PREFIX = "/OpenADR2/Simple/2.0b"
Fault = Literal["garbage", "empty", "silent", "error", "cut"]
GARBAGE = b"<?xml version='1.0'?><oadr:oadrPayload xmlns:oadr='http://openadr.org/oadr-2.0b/20"


@dataclass(frozen=True)
class Span:
    """One interval of a signal."""

    duration_s: float
    value: float


@dataclass(frozen=True)
class Message:
    """One message of the node."""

    service: str
    kind: str
    content: dict[str, Any]


@dataclass(frozen=True)
class VtnTls:
    """Its PEM files."""

    certificate: Path
    key: Path
    authority: Path


class _Unkept(dict[Any, Any]):
    """Takes nothing: with callbacks openleadr reads no report that holds a status."""

    def __setitem__(self, key: object, value: object) -> None:
        del key, value


class Openadr2bVtn:
    """The server.

    Args:
        poll_s: how often it asks to be polled, in whole seconds; 0 leaves it to the node.
        wanted: what it asks reports of, as {name of report: rIDs}.
        every_s: how often values are to be taken and sent, in whole seconds.
        tls: with TLS, both ways.
        sign: whether messages are signed, both ways; with TLS only.
    """

    def __init__(
        self,
        *,
        poll_s: int = 0,
        wanted: dict[str, Sequence[str]] | None = None,
        every_s: int = 1,
        tls: VtnTls | None = None,
        sign: bool = False,
    ) -> None:
        self._poll_s, self._wanted, self._every_s = poll_s, wanted or {}, every_s
        self._tls, self._sign = tls, sign
        self.port = 0
        self.fault: Fault | None = None
        """What it does instead of answering."""
        self.forgetful = False
        """Whether it forgets nodes when it is started again."""
        self.registered: dict[str, str] = {}
        """Registration ids by node id."""
        self.fingerprint: str | None = None
        """Of the node's certificate, where it is to be checked."""
        self.events: dict[str, objects.Event] = {}
        """What it asks, by id."""
        self.messages: list[Message] = []
        """Everything the node said."""
        self.reports: list[dict[str, Any]] = []
        """Reports that it got, as openleadr reads them."""
        self._came = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self._server: OpenADRServer | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self._tls else ''}://localhost:{self.port}{PREFIX}"

    async def start(self) -> None:
        """Start, or start again at the same address: what was listed is listed again."""
        if self.forgetful:
            self.registered.clear()
        self._server = server = self._made()
        server.app.middlewares.append(self._recorded)
        self._runner = web.AppRunner(server.app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, "127.0.0.1", self.port, ssl_context=server.ssl_context,
            reuse_address=True,
        )  # fmt: skip
        await site.start()
        self.port = self._runner.addresses[0][1]
        for ven_id in self.registered:
            self._list(ven_id)

    async def stop(self) -> None:
        """Stop; connections that hang are cut."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    # --- events -----------------------------------------------------------------------------------

    def put(self, one: objects.Event) -> None:
        """List an event, or another revision of it."""
        self.events[one.event_descriptor.event_id] = one
        self._relist()

    def cancel(self, uid: str, *, counted: bool = True) -> None:
        """Cancel an event; ``counted`` gives it a new modification number, as it must."""
        one = self.events[uid]
        descriptor = replace(
            one.event_descriptor,
            event_status="cancelled",
            modification_number=one.event_descriptor.modification_number + counted,
        )
        cancelled = replace(one)
        cancelled.event_descriptor = descriptor  # the class would work out a status of its own
        self.put(cancelled)

    def drop(self, uid: str) -> None:
        """List an event no longer."""
        del self.events[uid]
        self._relist()

    # --- what came --------------------------------------------------------------------------------

    async def heard(self, kind: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first message of a kind that is wanted, as soon as it is there."""
        async with self._came:
            while True:
                for message in self.messages:
                    if message.kind == kind and wanted(message.content):
                        return message.content
                await self._came.wait()

    async def answered(self, uid: str, revision: int) -> str:
        """Return the first answer to a revision of an event: ``optIn`` or ``optOut``."""

        def about(content: dict[str, Any]) -> bool:
            return any(self._is(one, uid, revision) for one in content["event_responses"])

        content = await self.heard("oadrCreatedEvent", about)
        return str(
            next(
                one["opt_type"]
                for one in content["event_responses"]
                if self._is(one, uid, revision)
            )
        )

    async def said(self, kind: str, times: int = 1) -> None:
        """Return when so many more messages of a kind have come."""
        async with self._came:
            wanted = self._count(kind) + times
            await self._came.wait_for(lambda: self._count(kind) >= wanted)

    def _count(self, kind: str) -> int:
        return sum(message.kind == kind for message in self.messages)

    @staticmethod
    def _is(one: dict[str, Any], uid: str, revision: int) -> bool:
        return bool(str(one["event_id"]) == uid and one["modification_number"] == revision)

    # --- openleadr --------------------------------------------------------------------------------

    def _made(self) -> OpenADRServer:
        files: dict[str, Any] = {}
        if self._tls is not None:
            files = {
                "http_cert": str(self._tls.certificate),
                "http_key": str(self._tls.key),
                "http_ca_file": str(self._tls.authority),
            }
            if self._sign:
                files |= {"cert": files["http_cert"], "key": files["http_key"]}
        for left in ("fingerprint_lookup",):
            with suppress(AttributeError):
                delattr(VTNService, left)
        with warnings.catch_warnings():
            # it names what it keeps in its application by texts, as aiohttp no longer likes
            warnings.simplefilter("ignore", web.NotAppKeyWarning)
            server = OpenADRServer(
                vtn_id="vtn-twin",
                show_fingerprint=False,
                requested_poll_freq=timedelta(seconds=self._poll_s),
                ven_lookup=self._look_up,
                verify_message_signatures=self._sign,
                **files,
            )
        server.add_handler("on_create_party_registration", self._register)
        server.add_handler("on_register_report", self._request_reports)
        server.add_handler("on_update_report", self._got_report)
        server.services["report_service"].report_callbacks = _Unkept()
        return server

    async def _look_up(self, ven_id: str) -> dict[str, Any] | None:
        known = self.registered.get(ven_id)
        return known and {  # type: ignore[return-value]
            "ven_id": ven_id, "registration_id": known, "fingerprint": self.fingerprint,
        }  # fmt: skip

    async def _register(self, asked: dict[str, Any]) -> tuple[str, str]:
        ven_id = asked.get("ven_id") or f"ven-of-{asked['ven_name']}"
        self.registered[ven_id] = f"registration-{len(self.messages)}"
        self._list(ven_id)
        return ven_id, self.registered[ven_id]

    def _request_reports(self, offered: dict[str, Any]) -> list[tuple[Any, ...]]:
        name = offered["report_name"].removeprefix("METADATA_")
        every = timedelta(seconds=self._every_s)
        return [(r_id, print, every, every) for r_id in self._wanted.get(name, ())]

    async def _got_report(self, report: dict[str, Any]) -> None:
        self.reports.append(report)

    def _list(self, ven_id: str) -> None:
        assert self._server is not None
        self._server.events[ven_id] = list(self.events.values())
        self._server.events_updated[ven_id] = True

    def _relist(self) -> None:
        for ven_id in self.registered:
            self._list(ven_id)

    @web.middleware
    async def _recorded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        kind, content = parse_message(await request.read())
        fault = self.fault
        if fault is None:
            answer = await handler(request)
        async with self._came:
            self.messages.append(Message(request.path.rsplit("/", 1)[-1], kind, content))
            self._came.notify_all()
        match fault:
            case None:
                return answer
            case "garbage":
                return web.Response(body=GARBAGE, content_type="application/xml")
            case "empty":
                return web.Response(body=b"")
            case "error":
                return web.Response(status=500, text="<html>out of order</html>")
            case "cut":
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case "silent":
                await asyncio.Event().wait()
                raise AssertionError


def event(
    uid: str,
    spans: Sequence[Span],
    *,
    start: datetime,
    signal: tuple[str, str] = ("LOAD_DISPATCH", "delta"),
    revision: int = 0,
    measurement: objects.Measurement | None = None,
    market_context: str = "http://twin/dr",
    start_after_s: float = 0.0,
    **descriptor: Any,
) -> objects.Event:
    """Return an event of one signal; powers are in kW.

    Args:
        uid: its id.
        spans: its intervals, in order of time.
        start: when it starts.
        signal: name and type.
        revision: modification number.
        measurement: what its numbers are; powerReal in kW for LOAD_DISPATCH, else nothing.
        market_context: programme.
        start_after_s: random delay of the start, at most.
        **descriptor: further fields of the descriptor, e.g. ``test_event=True``.
    """
    if measurement is None and signal[0] == "LOAD_DISPATCH" and signal[1] in ("delta", "setpoint"):
        measurement = power("k")
    at, intervals = start, []
    for span in spans:
        length = timedelta(seconds=span.duration_s)
        intervals.append(objects.Interval(dtstart=at, duration=length, signal_payload=span.value))
        at += length
    return objects.Event(
        event_descriptor=objects.EventDescriptor(
            event_id=uid, modification_number=revision, market_context=market_context,
            event_status="far", **{"created_date_time": datetime.now(UTC), **descriptor},
        ),
        event_signals=[
            objects.EventSignal(
                intervals=intervals, signal_name=signal[0], signal_type=signal[1],
                signal_id="s0", measurement=measurement,
            )
        ],
        active_period=objects.ActivePeriod(
            dtstart=start,
            duration=at - start,
            tolerance={"startafter": timedelta(seconds=start_after_s)} if start_after_s else None,
        ),
        targets=[{"ven_id": None}],
    )  # fmt: skip


def power(scale: str) -> objects.Measurement:
    """Return real power at a scale code, e.g. ``k``."""
    return objects.Measurement(
        name="powerReal", description="RealPower", unit="W", scale=scale,
        power_attributes=objects.PowerAttributes(hertz=50, voltage=200, ac=True),
    )  # fmt: skip
