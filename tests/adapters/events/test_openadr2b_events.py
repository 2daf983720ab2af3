"""Events of a real OpenADR 2.0b server reach the inbox once, and each is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from openadr2b_rigs import PROMPT, WITHIN_S, Heard, running, soon, spec
from openleadr import objects

from ebplan.adapters.events.openadr2b.source import OpenAdr2bSource
from ebplan.adapters.events.source import EventSource
from ebplan.twin.wire.openadr2b_vtn import Openadr2bVtn, Span, event

SHED = [Span(1800.0, -100.0)]


@pytest.fixture
async def vtn() -> AsyncIterator[Openadr2bVtn]:
    async with Openadr2bVtn() as vtn:
        yield vtn


@pytest.fixture
async def heard(vtn: Openadr2bVtn) -> AsyncIterator[Heard]:
    """Return what is heard by a source that runs."""
    heard = Heard()
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), heard):
        yield heard


async def opted(vtn: Openadr2bVtn, uid: str, revision: int = 0) -> str:
    return await asyncio.wait_for(vtn.answered(uid, revision), WITHIN_S)


def asked(heard: Heard) -> list[tuple[str, float | None]]:
    return [(e.id, e.target and e.target.delta_kw) for e in heard.inbox.events()]


def codes(vtn: Openadr2bVtn, uid: str) -> list[int]:
    return [
        one["response_code"]
        for message in vtn.messages
        if message.kind == "oadrCreatedEvent"
        for one in message.content["event_responses"]
        if one["event_id"] == uid
    ]


def test_it_is_a_source(tmp_path: Path) -> None:
    vtn = Openadr2bVtn()
    assert isinstance(OpenAdr2bSource(spec(vtn)), EventSource)


async def test_an_event_of_two_intervals_is_in_the_inbox_and_opted_in(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    start = soon()
    vtn.put(event("e1", [Span(900.0, -120.0), Span(900.0, -80.0)], start=start))
    await heard.outcome("e1", "new")
    assert await opted(vtn, "e1") == "optIn"
    assert asked(heard) == [("e1/0", -120.0), ("e1/1", -80.0)]
    first, second = heard.inbox.events()
    assert (first.start, second.start) == (start, start + timedelta(minutes=15))


async def test_an_id_that_looks_like_a_number_keeps_its_zeros(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    vtn.put(event("007", SHED, start=soon()))
    assert (await heard.outcome("007", "new")).message.uid == "007"


async def test_a_modified_event_replaces_the_one_before(vtn: Openadr2bVtn, heard: Heard) -> None:
    start = soon()
    vtn.put(event("e1", SHED, start=start))
    assert await opted(vtn, "e1") == "optIn"
    vtn.put(event("e1", [Span(1800.0, -50.0)], start=start, revision=1))
    assert await opted(vtn, "e1", 1) == "optIn"
    assert asked(heard) == [("e1", -50.0)]


async def test_a_repeated_event_is_answered_again_and_changes_nothing(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    shed = event("e1", SHED, start=soon())
    vtn.put(shed)
    assert await opted(vtn, "e1") == "optIn"
    vtn.messages.clear()
    vtn.put(shed)
    assert await opted(vtn, "e1") == "optIn"
    await heard.outcome("e1", "repeated")
    assert asked(heard) == [("e1", -100.0)]


async def test_an_older_revision_is_told_to_be_out_of_sequence(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    start = soon()
    vtn.put(event("e1", SHED, start=start, revision=3))
    assert await opted(vtn, "e1", 3) == "optIn"
    vtn.put(event("e1", [Span(1800.0, -1.0)], start=start, revision=2))
    assert await opted(vtn, "e1", 2) == "optOut"
    assert codes(vtn, "e1")[-1] == 450
    assert asked(heard) == [("e1", -100.0)]


async def test_another_ask_under_the_same_number_is_told_to_be_out_of_sequence(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    start = soon()
    vtn.put(event("e1", SHED, start=start))
    assert await opted(vtn, "e1") == "optIn"
    vtn.messages.clear()
    vtn.put(event("e1", [Span(1800.0, -500.0)], start=start))
    assert await opted(vtn, "e1") == "optOut"
    assert asked(heard) == [("e1", -100.0)]


@pytest.mark.parametrize("counted", [True, False])
async def test_a_cancelled_event_is_taken_back(
    vtn: Openadr2bVtn, heard: Heard, counted: bool
) -> None:
    vtn.put(event("e1", SHED, start=soon()))
    assert await opted(vtn, "e1") == "optIn"
    vtn.messages.clear()
    vtn.cancel("e1", counted=counted)
    assert await opted(vtn, "e1", int(counted)) == "optIn"
    await heard.outcome("e1", "cancelled")
    assert asked(heard) == []


async def test_an_event_that_is_no_longer_listed_is_taken_back(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    vtn.put(event("e1", SHED, start=soon()))
    vtn.put(event("e2", SHED, start=soon(200)))
    await heard.outcome("e1", "new")
    vtn.drop("e1")
    await heard.outcome("e1", "cancelled")
    assert asked(heard) == [("e2", -100.0)]


async def test_an_event_that_is_no_longer_listed_is_kept_where_that_is_declared(
    vtn: Openadr2bVtn,
) -> None:
    heard = Heard()
    async with running(OpenAdr2bSource(spec(vtn, absent="kept"), policy=PROMPT), heard):
        vtn.put(event("e1", SHED, start=soon()))
        await heard.outcome("e1", "new")
        vtn.drop("e1")
        vtn.put(event("e2", SHED, start=soon(200)))
        await heard.outcome("e2", "new")
    assert asked(heard) == [("e1", -100.0), ("e2", -100.0)]


async def test_a_call_without_an_end_ends_when_the_server_says_so(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    start = datetime.now(UTC) - timedelta(minutes=1)
    vtn.put(event("e1", [Span(0.0, -100.0)], start=start.replace(microsecond=0)))
    assert await opted(vtn, "e1") == "optIn"
    assert [e.duration_s for e in heard.inbox.events()] == [86400.0]
    ended = event("e1", [Span(30.0, -100.0)], start=start.replace(microsecond=0))
    vtn.put(ended)  # openleadr works out the status: completed
    await heard.outcome("e1", "cancelled")
    assert asked(heard) == []


async def test_a_test_event_is_answered_and_not_carried_out(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    vtn.put(event("e1", SHED, start=soon(), test_event=True))
    assert await opted(vtn, "e1") == "optIn"
    assert (await heard.outcome("e1", "new")).message.test
    assert asked(heard) == []


async def test_a_start_is_put_off_by_a_share_of_the_tolerance(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    start = soon()
    vtn.put(event("e1", SHED, start=start, start_after_s=600.0))
    call = (await heard.outcome("e1", "new")).message
    assert call.randomize_s == 600.0
    (put_off,) = heard.inbox.events()
    assert (put_off.start - start).total_seconds() == pytest.approx(heard.inbox.delay_s(call))
    assert 0.0 < heard.inbox.delay_s(call) < 600.0


@pytest.mark.parametrize("years", [-50, 50])
async def test_the_clock_of_the_server_does_not_matter(
    vtn: Openadr2bVtn, heard: Heard, years: int
) -> None:
    created = datetime.now(UTC) + timedelta(days=365 * years)
    start = soon()
    vtn.put(event("e1", SHED, start=start, created_date_time=created))
    assert await opted(vtn, "e1") == "optIn"
    vtn.put(
        event(
            "e1", [Span(60.0, -1.0)], start=start, revision=1,
            created_date_time=created - timedelta(days=365),
        )
    )  # fmt: skip
    assert await opted(vtn, "e1", 1) == "optIn"
    call = next(iter(heard.inbox.calls.values()))
    assert call.issued is not None
    assert abs(call.received - datetime.now(UTC)) < timedelta(minutes=5)


async def test_what_is_not_understood_is_opted_out_and_logged_once(
    vtn: Openadr2bVtn, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    charge = event("e1", [Span(600.0, 0.5)], start=soon(), signal=("CHARGE_STATE", "setpoint"))
    with caplog.at_level(logging.WARNING, "ebplan"):
        vtn.put(charge)
        assert await opted(vtn, "e1") == "optOut"
        vtn.messages.clear()
        vtn.put(charge)
        assert await opted(vtn, "e1") == "optOut"
    assert codes(vtn, "e1")[0] == 460
    (line,) = [r.message for r in caplog.records if "e1" in r.message]
    assert "CHARGE_STATE" in line
    assert "allowed" in line
    assert "\n" not in line
    assert asked(heard) == []


async def test_a_change_that_is_not_understood_ends_what_stood_before(
    vtn: Openadr2bVtn, heard: Heard
) -> None:
    start = soon()
    vtn.put(event("e1", SHED, start=start))
    assert await opted(vtn, "e1") == "optIn"
    vtn.put(event("e1", SHED, start=start, revision=1, signal=("LOAD_CONTROL", "setpoint")))
    assert await opted(vtn, "e1", 1) == "optOut"
    assert asked(heard) == []
    vtn.put(event("e1", SHED, start=start, revision=2))
    assert await opted(vtn, "e1", 2) == "optIn"
    assert asked(heard) == [("e1", -100.0)]


async def test_an_event_for_somebody_else_is_not_taken(vtn: Openadr2bVtn, heard: Heard) -> None:
    other = event("e1", SHED, start=soon())
    other.targets = [objects.Target(resource_id="another-site")]
    other.targets_by_type = {"resource_id": ["another-site"]}
    vtn.put(other)
    assert await opted(vtn, "e1") == "optOut"
    assert codes(vtn, "e1")[0] == 462
    assert heard.inbox.calls == {}


async def test_an_event_of_another_programme_is_not_taken(vtn: Openadr2bVtn) -> None:
    heard = Heard()
    declared = spec(vtn, other=None, programmes={"http://twin/dr": {}})
    async with running(OpenAdr2bSource(declared, policy=PROMPT), heard):
        vtn.put(event("e1", SHED, start=soon(), market_context="http://twin/unknown"))
        assert await opted(vtn, "e1") == "optOut"
        vtn.put(event("e2", SHED, start=soon(200)))
        assert await opted(vtn, "e2") == "optIn"
    assert asked(heard) == [("e2", -100.0)]


async def test_an_event_that_wants_no_answer_gets_none(vtn: Openadr2bVtn, heard: Heard) -> None:
    vtn.put(replace(event("e1", SHED, start=soon()), response_required="never"))
    await heard.outcome("e1", "new")
    vtn.put(event("e2", SHED, start=soon(200)))
    assert await opted(vtn, "e2") == "optIn"
    assert codes(vtn, "e1") == []


async def test_an_event_that_is_over_is_opted_out(vtn: Openadr2bVtn) -> None:
    # by this site's clock: openleadr itself says "completed" of what is past by its own
    heard = Heard(now=lambda: datetime.now(UTC) + timedelta(days=30))
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), heard):
        vtn.put(event("e1", SHED, start=soon()))
        assert await opted(vtn, "e1") == "optOut"
    assert heard.inbox.events() == ()


async def test_what_cannot_be_kept_is_not_answered_until_it_can(
    vtn: Openadr2bVtn, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    heard = Heard(path=folder / "inbox.json")
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), heard):
        vtn.put(event("e1", SHED, start=soon()))
        await asyncio.wait_for(vtn.said("oadrRequestEvent", 3), WITHIN_S)
        assert codes(vtn, "e1") == []
        folder.mkdir()
        assert await opted(vtn, "e1") == "optIn"
    assert (folder / "inbox.json").exists()
