"""The webhook over real sockets: who is let in, what is answered, and what does not stop it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from ebplan.adapters.answers import Applied, Refused, Unreachable
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.source import EventSource
from ebplan.adapters.events.webhook import WebhookSource, WebhookSpec
from ebplan.adapters.events.webhook import source as source_module
from ebplan.adapters.events.webhook.proof import HEADER, signature
from ebplan.adapters.secrets import Secret
from ebplan.errors import InputError

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
TOKEN = {"Authorization": "Bearer a-token-of-ours"}
KEY = Secret("a-key-of-ours")


def event(delta_kw: float = -1.0, **changes: object) -> dict[str, object]:
    return {
        "id": "dr-17",
        "type": "demand_response",
        "start": (NOW + timedelta(minutes=5)).isoformat(),
        "duration_s": 600.0,
        "target": {"delta_kw": delta_kw},
    } | changes


def call(**changes: object) -> dict[str, object]:
    return {"kind": "grid_event", "uid": "dr-17", "events": [event()]} | changes


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, object]:
    for name, value in (("token", "a-token-of-ours"), ("key", KEY.reveal())):
        (tmp_path / name).write_text(value)
        (tmp_path / name).chmod(0o600)
    return {
        "token": {"file": str(tmp_path / "token")},
        "signing_key": {"file": str(tmp_path / "key")},
    }


class Line:
    """A running source and a client of it."""

    def __init__(self, source: WebhookSource, inbox: Inbox, http: aiohttp.ClientSession) -> None:
        self.source, self.inbox, self.http = source, inbox, http
        self.url = f"http://127.0.0.1:{source.port}"

    async def send(
        self,
        method: str = "POST",
        path: str = "/events",
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        raw = body if isinstance(body, bytes) else None
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
        given = {"Content-Type": "application/json"} | (TOKEN if headers is None else headers)
        async with self.http.request(method, self.url + path, data=raw, headers=given) as reply:
            return reply.status, await reply.json()


@contextlib.asynccontextmanager
async def running(secrets: dict[str, object], inbox: Inbox | None = None) -> AsyncIterator[Line]:
    spec = WebhookSpec.parse({"port": 0, "name": "utility"} | secrets)
    inbox = inbox or Inbox(now=lambda: NOW)
    source = WebhookSource(spec, now=lambda: NOW)
    task = asyncio.create_task(source.run(inbox))
    try:
        await asyncio.wait_for(source.listening(), 5.0)
        async with aiohttp.ClientSession() as http:
            yield Line(source, inbox, http)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_call_comes_changes_and_is_taken_back(secrets) -> None:
    async with running(secrets) as line:
        assert isinstance(line.source, EventSource)
        assert await line.send(body=call()) == (
            202,
            {"outcome": "new", "uid": "dr-17", "revision": 0},
        )
        assert (await line.send(body=call()))[0] == 200
        assert (await line.send(body=call(events=[event(-2.0)])))[1]["outcome"] == "conflict"
        assert (await line.send(body=call(revision=4, events=[event(-2.0)])))[0] == 202
        assert (await line.send(body=call(revision=3)))[0] == 409
        status, said = await line.send("GET")
        assert status == 200
        assert said["events"][0]["target"] == {"delta_kw": -2.0}
        assert (await line.send("DELETE", "/events/dr-17"))[1] == {
            "outcome": "cancelled",
            "uid": "dr-17",
            "revision": 5,
        }
        assert (await line.send("DELETE", "/events/dr-17"))[0] == 200
        assert (await line.send("DELETE", "/events/other"))[0] == 404
        assert (await line.send("GET"))[1] == {"events": []}
        assert line.inbox.events() == ()


async def test_a_bare_event_and_one_that_is_over(secrets) -> None:
    async with running(secrets) as line:
        assert (await line.send(body={"kind": "event", "event": event()}))[0] == 202
        old = event(start=(NOW - timedelta(days=1)).isoformat(), id="old")
        assert (await line.send(body={"kind": "event", "event": old}))[0] == 410


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "line 1 column 2"),
        (b"[]", "(file)"),
        (b'{"kind": "event", "event": {"duration_s": NaN}}', "(number)"),
        (b"\xff\xfe", None),
        ({"kind": "plan"}, "kind"),
        (call(received=NOW.isoformat()), "received"),
        (call(events=[event(duration_s=-1.0)]), "events.0.duration_s"),
        (call(surprise=1), "surprise"),
    ],
)
async def test_what_is_wrong_is_named(secrets, body: object, field: str | None) -> None:
    async with running(secrets) as line:
        status, said = await line.send(body=body)
        assert status == 400
        assert "\n" not in said["error"]
        if field is not None:
            assert said["field"] == field
            assert said["remedy"]
        assert line.inbox.calls == {}
        assert (await line.send(body=call()))[0] == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "a-token-of-ours"},
        {HEADER: "t=1,v1=" + "0" * 64},
        {HEADER: "nonsense"},
    ],
)
async def test_who_shows_nothing_good_is_not_let_in(secrets, headers: dict[str, str]) -> None:
    async with running(secrets) as line:
        for method, path in (("POST", "/events"), ("GET", "/events"), ("DELETE", "/events/dr-17")):
            body = call() if method == "POST" else None
            assert (await line.send(method, path, body=body, headers=headers))[0] == 401
        assert line.inbox.calls == {}
        assert await line.send("GET", "/healthz", headers={}) == (200, {"ok": True})


async def test_a_signed_message_is_let_in_near_its_time(secrets) -> None:
    body, now_s = json.dumps(call()).encode(), int(NOW.timestamp())
    async with running(secrets) as line:
        for ago_s, status in ((301, 401), (-301, 401), (300, 202), (-300, 200)):
            headers = {HEADER: signature(KEY, body, now_s - ago_s)}
            assert (await line.send(body=body, headers=headers))[0] == status
        other = {HEADER: signature(KEY, body + b" ", now_s)}
        assert (await line.send(body=body, headers=other))[0] == 401
        headers = {HEADER: signature(KEY, b"DELETE /events/dr-17", now_s)}
        assert (await line.send("DELETE", "/events/dr-17", headers=headers))[0] == 202


async def test_other_kinds_and_sizes_are_refused(secrets) -> None:
    async with running(secrets) as line:
        plain = TOKEN | {"Content-Type": "text/plain"}
        assert (await line.send(body=call(), headers=plain))[0] == 415
        assert (await line.send(body=b" " * (source_module.MOST_BYTES + 1)))[0] == 413
        assert (await line.send("PUT", body=call()))[0] == 405
        assert (await line.send("GET", "/"))[0] == 404


async def test_of_many_at_once_one_is_new(secrets) -> None:
    async with running(secrets) as line:
        statuses = await asyncio.gather(*(line.send(body=call()) for _ in range(50)))
        assert sorted(status for status, _ in statuses) == [200] * 49 + [202]


async def test_a_slow_sender_holds_up_nobody(secrets, monkeypatch) -> None:
    monkeypatch.setattr(source_module, "BODY_WITHIN_S", 0.2)
    async with running(secrets) as line:
        reader, writer = await asyncio.open_connection("127.0.0.1", line.source.port)
        writer.write(
            b"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-token-of-ours\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        assert (await line.send(body=call()))[0] == 202
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 5.0)
        writer.close()
        await writer.wait_closed()


async def test_after_a_restart_a_call_is_known(secrets, tmp_path: Path) -> None:
    for status in (202, 200):
        inbox = Inbox(path=tmp_path / "inbox.json", now=lambda: NOW)
        async with running(secrets, inbox) as line:
            assert (await line.send(body=call()))[0] == status


async def test_what_cannot_be_kept_is_not_taken(secrets, tmp_path: Path) -> None:
    inbox = Inbox(path=tmp_path / "gone" / "inbox.json", now=lambda: NOW)
    async with running(secrets, inbox) as line:
        assert (await line.send(body=call()))[0] == 507
        (tmp_path / "gone").mkdir()
        assert (await line.send(body=call()))[0] == 202


async def test_an_address_that_is_taken_is_tried_again(secrets, monkeypatch, caplog) -> None:
    monkeypatch.setattr(source_module, "AGAIN_S", 0.05)
    other = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    spec = WebhookSpec.parse({"port": port} | secrets)
    source = WebhookSource(spec)
    task = asyncio.create_task(source.run(Inbox()))
    while "cannot listen" not in caplog.text:
        await asyncio.sleep(0.01)
    other.close()
    await other.wait_closed()
    assert await asyncio.wait_for(source.listening(), 5.0) == port
    task.cancel()
    await asyncio.wait([task])


async def test_only_known_senders_over_tls(secrets, tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    server, client = ours.issue_cert("127.0.0.1"), theirs.issue_cert("sender")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    theirs.cert_pem.write_to_path(tmp_path / "clients.pem")
    tls = {
        "certificate": str(tmp_path / "cert.pem"),
        "key": str(tmp_path / "key.pem"),
        "clients": str(tmp_path / "clients.pem"),
    }
    async with running(secrets | {"tls": tls}) as line:
        line.url = line.url.replace("http", "https")
        context = ssl.create_default_context()
        ours.configure_trust(context)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
            line.http = http
            with pytest.raises(aiohttp.ClientError):
                await line.send(body=call())
        client.configure_cert(context)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
            line.http = http
            assert (await line.send(body=call()))[0] == 202


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"token": None, "signing_key": None}, "token"),
        ({"host": "0.0.0.0"}, "host"),
        ({"tls": {"certificate": "/gone", "key": "/gone"}}, "tls"),
        ({"port": 70000}, "port"),
    ],
)
def test_a_wrong_declaration_is_one_line(secrets, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        WebhookSource(WebhookSpec.parse({"port": 0} | secrets | changes))


REPORT = SiteReport.parse(
    {
        "at": NOW.isoformat(),
        "uid": "dr-17",
        "stretches": [
            {"start": NOW.isoformat(), "duration_s": 60.0, "values": {"delivered_kw": -1.0}}
        ],
    }
)


async def test_reports_are_posted_and_signed(secrets) -> None:
    heard: list[tuple[str, bytes]] = []
    statuses = iter((200, 500))

    async def take(request: web.Request) -> web.Response:
        heard.append((request.headers[HEADER], await request.read()))
        return web.Response(status=next(statuses))

    app = web.Application()
    app.router.add_post("/reports", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    url = f"http://127.0.0.1:{port}/reports"
    spec = WebhookSpec.parse({"port": 0, "report_url": url, "report_timeout_s": 2.0} | secrets)
    source = WebhookSource(spec, now=lambda: NOW)
    assert isinstance(await source.report(REPORT), Applied)
    assert isinstance(await source.report(REPORT), Refused)
    signed, body = heard[0]
    assert signed == signature(KEY, body, int(NOW.timestamp()))
    assert SiteReport.parse(body) == REPORT
    await runner.cleanup()
    assert isinstance(await source.report(REPORT), Unreachable)
    mute = WebhookSource(WebhookSpec.parse({"port": 0} | secrets))
    assert isinstance(await mute.report(REPORT), Refused)
