"""Events of a real OpenADR 2.0b server reach the inbox once, and each is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from openadr2b_rigs import PROMPT, WITHIN_S, Heard, running, soon, spec

from ebplan.adapters.events.openadr2b.source import OpenAdr2bSource
from ebplan.twin.wire.openadr2b_vtn import Openadr2bVtn, Span, event


@pytest.fixture
async def vtn() -> AsyncIterator[Openadr2bVtn]:
    async with Openadr2bVtn() as vtn:
        yield vtn


async def opted(vtn: Openadr2bVtn, uid: str, revision: int) -> str:
    return await asyncio.wait_for(vtn.answered(uid, revision), WITHIN_S)


async def test_an_event_reaches_the_inbox_and_is_opted_in(vtn: Openadr2bVtn) -> None:
    heard, start = Heard(), soon()
    vtn.put(event("007", [Span(900.0, -120.0), Span(900.0, -80.0)], start=start))
    async with running(OpenAdr2bSource(spec(vtn), policy=PROMPT), heard):
        await heard.outcome("007", "new")
        assert await opted(vtn, "7", 0) == "optIn"  # as openleadr reads its own id
    asked = heard.inbox.events()
    assert [(e.id, e.start, e.duration_s) for e in asked] == [
        ("007/0", start, 900.0),
        ("007/1", asked[0].start + (asked[1].start - asked[0].start), 900.0),
    ]
    assert [e.target and e.target.delta_kw for e in asked] == [-120.0, -80.0]
