"""The webhook over real sockets: who is let in, what is answered, and what does not stop it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web
from webhook_rigs import KEY, NOW, TOKEN, call, event, running, secrets_in, signed

from ebplan.adapters.answers import Applied, Refused, Unreachable
from ebplan.adapters.events.grid_event import HIGHEST
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.events.source import EventSource
from ebplan.adapters.events.webhook import WebhookSource, WebhookSpec
from ebplan.adapters.events.webhook import source as source_module
from ebplan.adapters.events.webhook.proof import HEADER, content, signature
from ebplan.errors import InputError


def traced() -> dict[str, object]:
    frequency = {
        "release_capacity_kw": 1.0,
        "absorb_capacity_kw": 1.0,
        "curve": {"shape": "droop", "full_hz": 0.2},
        "nominal_hz": 50.0,
        "trace_file": "a-file-of-ours.csv",
    }
    return event(type="frequency_response", target={"frequency": frequency})


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, object]:
    return secrets_in(tmp_path)


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
        (stands,) = said["calls"]
        assert stands["events"][0]["target"] == {"delta_kw": -2.0}
        assert (stands["uid"], stands["revision"]) == ("dr-17", 4)
        assert (await line.send(body=stands))[1]["outcome"] == "repeated"
        assert (await line.send("DELETE", "/events/dr-17"))[1] == {
            "outcome": "cancelled",
            "uid": "dr-17",
            "revision": 5,
        }
        assert (await line.send("DELETE", "/events/dr-17"))[0] == 200
        assert (await line.send("DELETE", "/events/other"))[0] == 404
        assert (await line.send("GET"))[1] == {"calls": []}
        assert line.inbox.events() == ()


async def test_a_bare_event_and_one_that_is_over(secrets) -> None:
    async with running(secrets) as line:
        assert (await line.send(body={"kind": "event", "event": event()}))[0] == 202
        old = event(start=(NOW - timedelta(days=1)).isoformat(), id="old")
        assert (await line.send(body={"kind": "event", "event": old}))[0] == 410


async def test_what_is_past_stands_no_longer(secrets) -> None:
    moment = [NOW]
    async with running(secrets, now=lambda: moment[0]) as line:
        assert (await line.send(body=call(randomize_s=60.0)))[0] == 202
        for minutes, standing in ((15.5, 1), (16.5, 0)):  # 5 to the start, 10, and 1 of delay
            moment[0] = NOW + timedelta(minutes=minutes)
            assert len((await line.send("GET"))[1]["calls"]) == standing


async def test_what_the_contract_says_is_added_to_a_bare_event_only(secrets) -> None:
    terms = {"payment_per_kwh": 40.0, "baseline": {"rule": "fixed", "kw": 5.0}}
    async with running(secrets | {"terms": terms}) as line:
        await line.send(body={"kind": "event", "event": event(id="bare", payment_per_kwh=3.0)})
        await line.send(body=call())
        bare, whole = (line.inbox.calls["utility", uid].events[0] for uid in ("bare", "dr-17"))
        assert (bare.payment_per_kwh, bare.baseline.kw) == (3.0, 5.0)
        assert (whole.payment_per_kwh, whole.baseline.kw) == (0.0, None)


async def test_a_call_of_the_highest_revision_can_be_taken_back(secrets, tmp_path: Path) -> None:
    inbox = Inbox(path=tmp_path / "inbox.json", now=lambda: NOW)
    async with running(secrets, inbox) as line:
        status, said = await line.send(body=call(revision=HIGHEST))
        assert (status, said["field"]) == (400, "revision")
        assert (await line.send(body=call(revision=HIGHEST - 1)))[0] == 202
        assert (await line.send("DELETE", "/events/dr-17"))[1]["revision"] == HIGHEST
        assert (await line.send("DELETE", "/events/dr-17"))[0] == 200
        bare = {"kind": "event", "event": event(-3.0)}
        assert (await line.send(body=bare))[0] in {400, 409}  # there is no next one
    again = Inbox(path=tmp_path / "inbox.json", now=lambda: NOW)
    assert again.calls == inbox.calls
    assert again.events() == ()


async def test_what_has_no_end_and_names_that_are_no_text_are_refused(secrets) -> None:
    async with running(secrets) as line:
        for far in ({"duration_s": 1e300}, {"start": "9999-12-31T23:59:59+00:00"}):
            status, _ = await line.send(body=call(events=[event(**far)]))
            assert status == 400
        assert (await line.send(body=call(randomize_s=1e300)))[0] == 400
        assert (await line.send("DELETE", "/events/a%2Fb%FF"))[0] == 404
        assert (await line.send("GET"))[1] == {"calls": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "line 1 column 2"),
        (b"[]", "(file)"),
        (b'{"kind": "event", "event": {"duration_s": NaN}}', "(number)"),
        (b"\xff\xfe", None),
        (b"[" * 100_000, "(file)"),
        (b'{"kind": "grid_event", "kind": "event"}', "kind"),
        (b'{"kind": "\\ud800"}', "kind"),
        (b'{"kind": "event", "\\ud800": 1}', "\ud800"),
        ({"kind": "plan"}, "kind"),
        (call(received=NOW.isoformat()), "received"),
        (call(events=[event(duration_s=-1.0)]), "events.0.duration_s"),
        (call(surprise=1), "surprise"),
        (call(events=[traced()]), "events.0.target.frequency.trace_file"),
        ({"kind": "event", "event": traced()}, "event.target.frequency.trace_file"),
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
    body = json.dumps(call()).encode()
    async with running(secrets) as line:
        for ago_s, status in ((301, 403), (-301, 403), (300, 202), (-300, 200)):
            assert (await line.send(body=body, headers=signed(body, ago_s)))[0] == status
        assert (await line.send(body=body, headers=signed(body + b" ")))[0] == 401
        headers = signed(method="DELETE", path="/events/dr-17")
        assert (await line.send("DELETE", "/events/dr-17", headers=headers))[0] == 202


async def test_other_kinds_and_sizes_are_refused(secrets) -> None:
    async with running(secrets) as line:
        plain = TOKEN | {"Content-Type": "text/plain"}
        assert (await line.send(body=call(), headers=plain))[0] == 415
        assert (await line.send(body=b" " * (line.source.spec.longest_bytes + 1)))[0] == 413
        packed = TOKEN | {"Content-Encoding": "gzip"}
        assert (await line.send(body=gzip.compress(b" " * 10**7), headers=packed))[0] == 415
        assert (await line.send("PUT", body=call()))[0] == 405
        assert (await line.send("GET", "/"))[0] == 404


async def test_of_many_at_once_one_is_new(secrets) -> None:
    async with running(secrets) as line:
        statuses = await asyncio.gather(*(line.send(body=call()) for _ in range(50)))
        assert sorted(status for status, _ in statuses) == [200] * 49 + [202]


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
        ({"longest_bytes": 10}, "longest_bytes"),
        ({"report_url": "http://elsewhere.example/reports"}, "report_url"),
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


@pytest.mark.parametrize("says", [None, b"", b"no HTTP\r\n\r\n"])
async def test_whoever_does_not_answer_may_have_the_report(secrets, says: bytes | None) -> None:
    closed = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if says is None:
            await reader.read()  # until the other gives up
        else:
            writer.write(says)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        closed.set()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/reports"
        spec = WebhookSpec.parse({"port": 0, "report_url": url, "report_timeout_s": 0.3} | secrets)
        answer = await WebhookSource(spec, now=lambda: NOW).report(REPORT)
        assert isinstance(answer, Unreachable)
        assert answer.executed
        await closed.wait()


async def test_reports_are_posted_and_signed(secrets) -> None:
    heard: list[tuple[str, str, bytes]] = []
    statuses = iter((200, 500))

    async def take(request: web.Request) -> web.Response:
        heard.append((request.raw_path, request.headers[HEADER], await request.read()))
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
    path, shown, body = heard[0]
    over = content("POST", path, body)
    assert shown == signature(KEY, over, int(NOW.timestamp()))
    assert SiteReport.parse(body) == REPORT
    await runner.cleanup()
    gone = await source.report(REPORT)
    assert isinstance(gone, Unreachable)
    assert not gone.executed
    mute = WebhookSource(WebhookSpec.parse({"port": 0} | secrets))
    assert isinstance(await mute.report(REPORT), Refused)
