"""A server that is away, silent, broken, restarted or forgetful: the source goes on by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from openadr2b_rigs import PROMPT, WITHIN_S, Heard, running, soon, spec

from ebplan.adapters.answers import Refused, Unreachable
from ebplan.adapters.events.openadr2b.source import OpenAdr2bSource
from ebplan.adapters.events.site_report import SiteReport, Stretch
from ebplan.twin.wire.openadr2b_vtn import Fault, Openadr2bVtn, Span, event

SHED = [Span(1800.0, -100.0)]


@pytest.fixture
async def vtn() -> AsyncIterator[Openadr2bVtn]:
    async with Openadr2bVtn() as vtn:
        yield vtn


async def opted(vtn: Openadr2bVtn, uid: str, revision: int = 0) -> str:
    return await asyncio.wait_for(vtn.answered(uid, revision), WITHIN_S)


async def polled(vtn: Openadr2bVtn, times: int = 1) -> None:
    await asyncio.wait_for(vtn.said("oadrPoll", times), WITHIN_S)


async def test_a_server_that_is_away_at_the_start_is_found_later(
    vtn: Openadr2bVtn, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    declared = spec(vtn)
    await vtn.stop()
    with caplog.at_level(logging.WARNING, "ebplan"):
        async with running(OpenAdr2bSource(declared, policy=PROMPT), heard):
            while not caplog.records:
                await asyncio.sleep(0)
            vtn.put(event("e1", SHED, start=soon()))
            await vtn.start()
            assert await opted(vtn, "e1") == "optIn"
    # however often it was tried
    assert [r.message for r in caplog.records] == ["openadr2b: no connection; trying again"]


@pytest.mark.parametrize("forgetful", [False, True])
async def test_a_server_that_was_restarted_is_registered_with_again(
    vtn: Openadr2bVtn, forgetful: bool
) -> None:
    heard = Heard()
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), heard):
        vtn.put(event("e1", SHED, start=soon()))
        assert await opted(vtn, "e1") == "optIn"
        vtn.forgetful = forgetful
        await vtn.stop()
        vtn.put(event("e2", SHED, start=soon(200)))
        await vtn.start()
        assert await opted(vtn, "e2") == "optIn"
    assert [e.id for e in heard.inbox.events()] == ["e1", "e2"]


async def test_a_server_that_forgot_us_between_two_polls_is_registered_with_again(
    vtn: Openadr2bVtn,
) -> None:
    heard = Heard()
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), heard):
        await polled(vtn)
        vtn.registered.clear()  # its answer is now oadrRequestReregistration
        vtn.put(event("e1", SHED, start=soon()))
        assert await opted(vtn, "e1") == "optIn"


async def test_registration_and_list_are_renewed_though_nothing_seems_wrong(
    vtn: Openadr2bVtn,
) -> None:
    heard = Heard()
    async with running(OpenAdr2bSource(spec(vtn, refresh_s=0.2), policy=PROMPT), heard):
        await polled(vtn)
        first = vtn.registered.copy()
        assert vtn._server is not None
        vtn.events["e1"] = event("e1", SHED, start=soon())
        vtn._server.events.clear()  # it polls for ever, and nothing is ever new
        assert await opted(vtn, "e1") == "optIn"
    assert vtn.registered.keys() == first.keys()
    assert vtn.registered != first


@pytest.mark.parametrize("fault", ["garbage", "empty", "silent", "error", "cut"])
async def test_a_server_out_of_order_is_asked_again_until_it_answers(
    vtn: Openadr2bVtn, fault: Fault
) -> None:
    heard = Heard()
    source = OpenAdr2bSource(spec(vtn, timeout_s=0.3), policy=PROMPT)
    async with running(source, heard):
        await polled(vtn)
        vtn.fault = fault
        vtn.put(event("e1", SHED, start=soon()))
        await asyncio.wait_for(vtn.said("oadrCreatePartyRegistration", 2), WITHIN_S)
        assert heard.taken == []
        vtn.fault = None
        assert await opted(vtn, "e1") == "optIn"


async def test_an_answer_that_is_lost_is_given_again(vtn: Openadr2bVtn) -> None:
    heard = Heard()

    def listen(_: object) -> None:
        vtn.fault = "cut"  # the answer to this event reaches nobody

    heard.inbox._listen = listen
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), heard):
        vtn.put(event("e1", SHED, start=soon()))
        await asyncio.wait_for(vtn.heard("oadrCreatedEvent", lambda _: True), WITHIN_S)
        vtn.messages.clear()
        heard.inbox._listen = None
        vtn.fault = None
        assert await opted(vtn, "e1") == "optIn"


async def test_another_server_than_declared_is_not_listened_to(
    vtn: Openadr2bVtn, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    vtn.put(event("e1", SHED, start=soon()))
    with caplog.at_level(logging.WARNING, "ebplan"):
        async with running(OpenAdr2bSource(spec(vtn, vtn_id="vtn-other"), policy=PROMPT), heard):
            while not caplog.records:
                await asyncio.sleep(0.01)
    assert "another server, vtn-twin" in caplog.text
    assert heard.inbox.calls == {}


async def test_a_restarted_site_answers_what_it_knows_the_same(
    vtn: Openadr2bVtn, tmp_path: Path
) -> None:
    path = tmp_path / "inbox.json"
    vtn.put(event("e1", SHED, start=soon(), start_after_s=300.0))
    first = Heard(path=path)
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), first):
        assert await opted(vtn, "e1") == "optIn"
    vtn.messages.clear()
    second = Heard(path=path)
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), second):
        assert await opted(vtn, "e1") == "optIn"
    assert {t.outcome for t in second.taken} == {"repeated"}
    assert first.inbox.events() == second.inbox.events()


async def test_a_report_to_a_server_that_is_away_says_so(vtn: Openadr2bVtn) -> None:
    source = OpenAdr2bSource(spec(vtn), policy=PROMPT)
    report = SiteReport(
        at=soon(), stretches=(Stretch(start=soon(), duration_s=60.0, values={"grid_kw": 1.0}),)
    )
    answer = await source.report(report)
    assert isinstance(answer, Unreachable)
    async with running(source, Heard()):
        await polled(vtn)
        assert isinstance(await source.report(report), Refused)  # nobody asks for any
        vtn.fault = "error"
        await asyncio.wait_for(vtn.said("oadrCreatePartyRegistration", 2), WITHIN_S)
        answer = await source.report(report)
    assert isinstance(answer, Unreachable)
    assert not answer.executed
