"""The virtual end node against a server on loopback: what it hears, and what it survives."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from openadr3_rigs import Rig, event_body, spec_of

from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr3 import OpenAdr3Source
from ebplan.adapters.events.openadr3.line import NoAnswer
from ebplan.adapters.events.source import EventSource
from ebplan.adapters.health import BackOff
from ebplan.errors import InputError
from ebplan.twin.wire.openadr3_vtn import Fault, Openadr3Vtn


@pytest.fixture(params=["3.0.1", "3.1"])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_notified_event_is_in_the_inbox_before_the_server_has_its_answer(
    version: Any,
) -> None:
    async with Rig(version=version) as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        assert rig.vtn.answers == [204]
        call = rig.inbox.calls["openadr3", made["id"]]
        assert call.events[0].target is not None
        assert call.events[0].target.delta_kw == -1.0
        assert rig.outcomes() == ["new"]
        assert isinstance(rig.source, EventSource)


async def test_a_change_and_a_deletion_are_heard(version: Any) -> None:
    async with Rig(version=version) as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        deeper = [{"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [-2.0]}]}]
        await rig.vtn.update("events", made["id"], event_body(rig.program, intervals=deeper))
        target = rig.inbox.events()[0].target
        assert target is not None
        assert target.delta_kw == -2.0
        await rig.vtn.delete("events", made["id"])
        assert rig.inbox.events() == ()
        assert rig.outcomes() == ["new", "modified", "cancelled"]


async def test_a_lost_notification_is_healed_by_the_list() -> None:
    async with Rig() as rig:
        rig.vtn.notify = 0
        made = await rig.vtn.create("events", event_body(rig.program))
        assert rig.inbox.events() == ()
        await rig.source.poll_once()
        assert [event.id for event in rig.inbox.events()] == [made["id"]]
        await rig.vtn.delete("events", made["id"])
        await rig.source.poll_once()
        assert rig.inbox.events() == ()
        assert rig.outcomes() == ["new", "cancelled"]


async def test_a_notified_event_whose_deletion_was_lost_is_taken_back() -> None:
    async with Rig() as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        assert rig.outcomes() == ["new"]
        rig.vtn.notify = 0
        await rig.vtn.delete("events", made["id"])
        await rig.source.poll_once()
        assert rig.inbox.events() == ()
        rig.vtn.objects["events"][made["id"]] = made
        await rig.source.poll_once()
        assert [event.id for event in rig.inbox.events()] == [made["id"]]


async def test_where_its_program_is_not_listed_an_event_stands() -> None:
    async with Rig() as rig:
        await rig.vtn.create("events", event_body(rig.program))
        programs = dict(rig.vtn.objects["programs"])
        rig.vtn.objects["programs"].clear()
        await rig.source.poll_once()
        assert len(rig.inbox.events()) == 1
        rig.vtn.objects["programs"].update(programs)
        await rig.source.poll_once()
        assert rig.source.state.missing == ()


async def test_doubled_and_disordered_notifications_change_nothing_more() -> None:
    async with Rig() as rig:
        rig.vtn.notify = 2
        rig.vtn.held = []
        body = event_body(rig.program)
        made = await rig.vtn.create("events", body)
        later = [{"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [-2.0]}]}]
        await rig.vtn.update("events", made["id"], {**body, "intervals": later})
        await rig.vtn.delete("events", made["id"])
        await rig.vtn.release(2, 0, 3, 4, 1, 5, 2)
        assert rig.inbox.events() == ()
        assert [o for o in rig.outcomes() if o in ("new", "modified", "cancelled")] == [
            "new",
            "cancelled",
        ]
        await rig.source.poll_once()
        assert rig.inbox.events() == ()


async def test_a_deletion_that_comes_before_its_event_keeps_it_away() -> None:
    async with Rig() as rig:
        rig.vtn.held = []
        made = await rig.vtn.create("events", event_body(rig.program))
        await rig.vtn.delete("events", made["id"])
        await rig.vtn.release(1, 0)
        assert rig.inbox.events() == ()


async def test_a_restart_with_its_inbox_hears_nothing_twice(tmp_path: Path) -> None:
    inbox_at = tmp_path / "inbox.json"
    async with Openadr3Vtn() as vtn:
        program = vtn.add("programs", {"programName": "dr"})["id"]
        vtn.add("events", event_body(program, intervalPeriod=now_for("PT1H", "PT5M")))
        async with Rig(vtn=vtn, inbox_at=inbox_at) as rig:
            before = rig.inbox.events()
            assert rig.outcomes() == ["new"]
        async with Rig(vtn=vtn, inbox_at=inbox_at) as rig:
            assert rig.outcomes() == ["repeated"]
            assert rig.inbox.events() == before
        assert len(vtn.objects["subscriptions"]) == 1
        assert len(vtn.objects["vens"]) == 1


async def test_an_event_heard_while_a_list_is_read_is_not_absent_from_it() -> None:
    async with Rig() as rig:
        listed = rig.source.line.list_all

        async def slow(path: str, **query: Any) -> Any:
            found = await listed(path, **query)
            if path == "/events":
                await rig.vtn.create("events", event_body(rig.program))
            return found

        rig.source.line.list_all = slow  # type: ignore[method-assign]
        await rig.source.poll_once()
        assert len(rig.inbox.events()) == 1


async def test_a_list_of_several_pages_is_read_whole_and_absence_must_be_seen_twice() -> None:
    async with Rig(hook=False) as rig:
        made = [rig.vtn.add("events", event_body(rig.program)) for _ in range(101)]
        await rig.source.poll_once()
        assert len(rig.inbox.events()) == 101
        del rig.vtn.objects["events"][made[0]["id"]]
        await rig.source.poll_once()
        assert len(rig.inbox.events()) == 101
        await rig.source.poll_once()
        assert len(rig.inbox.events()) == 100


@pytest.mark.parametrize(("most", "pages"), [(7, True), (10**6, False)])
async def test_a_server_with_pages_of_its_own_or_none_is_read_whole(most: int, pages: bool) -> None:
    async with Rig(hook=False) as rig:
        rig.vtn.most_listed, rig.vtn.pages = most, pages
        for _ in range(60):
            rig.vtn.add("events", event_body(rig.program))
        await rig.source.poll_once()
        assert len(rig.inbox.events()) == 60


async def test_another_programs_and_anothers_events_are_not_ours() -> None:
    async with Rig() as rig:
        other = rig.vtn.add("programs", {"programName": "other"})["id"]
        await rig.vtn.create("events", event_body(other))
        await rig.vtn.create(
            "events",
            event_body(rig.program, targets=[{"type": "VEN_NAME", "values": ["site-2"]}]),
        )
        await rig.source.poll_once()
        assert rig.inbox.calls == {}
        assert rig.source.state.refused == ()


async def test_an_event_that_is_no_longer_ours_is_taken_back() -> None:
    async with Rig() as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        elsewhere = [{"type": "VEN_NAME", "values": ["site-2"]}]
        await rig.vtn.update("events", made["id"], event_body(rig.program, targets=elsewhere))
        assert rig.inbox.events() == ()


async def test_a_revision_that_cannot_be_read_is_said_once_and_leaves_what_stood() -> None:
    async with Rig() as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        strange = [{"id": 0, "payloads": [{"type": "CURVE", "values": [{"x": 1, "y": 2}]}]}]
        await rig.vtn.update("events", made["id"], event_body(rig.program, intervals=strange))
        await rig.source.poll_once()
        assert len(rig.inbox.events()) == 1
        (line,) = rig.source.state.refused
        assert "payload CURVE" in line
        assert made["id"] in line


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=500),
        Fault(status=429),
        Fault(garbage=True),
        Fault(hang_up=True),
        Fault(status=403),
    ],
)
async def test_a_server_that_fails_is_asked_again_and_takes_nothing_back(fault: Fault) -> None:
    async with Rig(poll_s=0.01) as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        rig.vtn.fail_next(*[fault] * 6)
        before = len(rig.vtn.exchanges)
        rig.vtn.notify = 0
        other = await rig.vtn.create("events", event_body(rig.program))
        await rig.until(lambda: ("openadr3", other["id"]) in rig.inbox.calls)
        assert {event.id for event in rig.inbox.events()} == {made["id"], other["id"]}
        assert len(rig.vtn.exchanges) > before


async def test_a_server_that_is_slow_is_not_waited_for_longer_than_said() -> None:
    async with Rig(hook=False, timeout_s=0.2) as rig:
        rig.vtn.fail_next(Fault(delay_s=0.6))
        with pytest.raises(NoAnswer, match="no answer in time"):
            await rig.source.poll_once()


async def test_a_server_is_trusted_by_its_certificate_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, strange = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    for name, authority in (("ours", ours), ("strange", strange)):
        authority.cert_pem.write_to_path(str(tmp_path / name))
    async with Openadr3Vtn(tls=context) as vtn:
        monkeypatch.setenv("EBPLAN_TEST_ID", "ven-client")
        monkeypatch.setenv("EBPLAN_TEST_SECRET", vtn.client_secret)
        for name, trusted in (("ours", True), ("strange", False)):
            spec = spec_of(vtn.url, authority=str(tmp_path / name))
            line = OpenAdr3Source(spec).line
            try:
                if trusted:
                    assert (await line.ask("GET", "/programs")).body == []
                else:
                    with pytest.raises(NoAnswer, match="certificate"):
                        await line.ask("GET", "/programs")
            finally:
                await line.close()


async def test_a_token_that_is_refused_is_replaced() -> None:
    async with Rig(hook=False) as rig:
        rig.vtn.expire_tokens()
        await rig.source.poll_once()
        asked = [e.status for e in rig.vtn.exchanges if e.path.endswith("/programs")]
        assert asked == [200, 200, 401, 200, 200]
        assert rig.source.state.health.failures == 0


async def test_a_wrong_secret_is_said_and_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Openadr3Vtn() as vtn:
        monkeypatch.setenv("EBPLAN_TEST_ID", "ven-client")
        monkeypatch.setenv("EBPLAN_TEST_SECRET", "not-the-one")
        source = OpenAdr3Source(spec_of(vtn.url))
        tried = asyncio.Event()
        source.on_round = tried.set
        running = asyncio.create_task(source.run(Inbox()))
        with caplog.at_level(logging.WARNING):
            async with asyncio.timeout(10.0):
                await tried.wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert "no token" in source.state.health.why
        assert "not-the-one" not in caplog.text


async def test_a_server_that_was_away_from_the_start_is_found_when_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Openadr3Vtn() as vtn:
        port = vtn.port
    monkeypatch.setenv("EBPLAN_TEST_ID", "ven-client")
    monkeypatch.setenv("EBPLAN_TEST_SECRET", vtn.client_secret)
    source = OpenAdr3Source(spec_of(vtn.url), policy=BackOff(first_s=0.01, longest_s=0.02))
    tried = asyncio.Event()
    source.on_round = tried.set
    running = asyncio.create_task(source.run(Inbox()))
    for _ in range(2):
        await tried.wait()
        assert source.state.health.failures > 0
        tried.clear()
    again = Openadr3Vtn(port=port)
    again.client_secret = vtn.client_secret
    async with again, asyncio.timeout(10.0):
        while source.state.listed_at is None:
            tried.clear()
            await tried.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_lost_subscription_comes_back() -> None:
    async with Rig() as rig:
        rig.vtn.objects["subscriptions"].clear()
        await rig.source.poll_once()
        await rig.vtn.create("events", event_body(rig.program))
        assert rig.outcomes() == ["new"]


async def test_a_program_that_is_not_listed_is_said() -> None:
    async with Rig(programs=[{"name": "dr"}, {"name": "tariff"}]) as rig:
        (line,) = rig.source.state.missing
        assert "tariff" in line


async def test_a_notification_without_the_token_or_without_sense_changes_nothing() -> None:
    import aiohttp

    async with Rig() as rig, aiohttp.ClientSession() as session:
        assert rig.source.webhook is not None
        url = rig.source.webhook.url
        body = {"objectType": "EVENT", "operation": "POST", "object": event_body(rig.program)}
        token = {"Authorization": "Bearer hook-of-this-site"}
        for headers, data, status in (
            ({}, body, 401),
            ({"Authorization": "Bearer another"}, body, 401),
            (token, [1, 2], 400),
            (token, {"objectType": "EVENT", "operation": "POST", "object": {"id": 3}}, 204),
            (token, {"objectType": "PROGRAM"}, 204),
        ):
            async with session.post(url, json=data, headers=headers) as answer:
                assert answer.status == status
        async with session.post(url, data=b"{", headers=token) as answer:
            assert answer.status == 400
        assert rig.inbox.calls == {}


async def test_a_clock_that_lies_apart_is_warned_of_and_shifts_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with Rig(vtn=None, skew_tolerance_s=5.0) as rig:
            rig.vtn.ahead_s = 120.0
            body = event_body(rig.program)
            await rig.vtn.create("events", body)
            for _ in range(10):
                await rig.source.poll_once()
            warning = rig.source.state.skew_warning
            assert warning is not None
            assert "ahead" in warning
            assert caplog.text.count("set one of them") == 1
            (event,) = rig.inbox.events()
            assert event.start.isoformat() == body["intervalPeriod"]["start"]


async def test_a_port_that_is_taken_is_said() -> None:
    async with Rig() as rig:
        assert rig.source.webhook is not None
        hook = {"token": {"env": "EBPLAN_TEST_HOOK"}, "port": rig.source.webhook.port}
        other = OpenAdr3Source(spec_of(rig.vtn.url, webhook=hook))
        with pytest.raises(InputError, match=r"webhook\.port"):
            await other.run(Inbox())


def now_for(duration: str, randomize: str) -> dict[str, Any]:
    return {"start": "0001-01-01T00:00:00Z", "duration": duration, "randomizeStart": randomize}
