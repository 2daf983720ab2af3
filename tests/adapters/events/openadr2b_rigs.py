"""What the tests of OpenADR 2.0b share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from ebplan.adapters.events.inbox import Inbox, Taken
from ebplan.adapters.events.openadr2b.source import OpenAdr2bSource
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec
from ebplan.adapters.health import BackOff
from ebplan.twin.wire.openadr2b_vtn import Openadr2bVtn

WITHIN_S = 20.0
"""A test that waits longer has failed."""
PROMPT = BackOff(first_s=0.02, longest_s=0.1)


def soon(minutes: float = 60.0) -> datetime:
    """A start in the future, in whole seconds as the server writes them."""
    return (datetime.now(UTC) + timedelta(minutes=minutes)).replace(microsecond=0)


def spec(vtn: Openadr2bVtn, **changed: object) -> OpenAdr2bSpec:
    return OpenAdr2bSpec.parse(
        {
            "url": vtn.url,
            "ven_name": "site-1",
            "other": {},
            "currency": "JPY",
            "poll_s": 0.05,
            "timeout_s": 2.0,
            **changed,
        }
    )


class Heard:
    """An inbox, and everything that became of messages."""

    def __init__(self, **inbox: object) -> None:
        self.taken: list[Taken] = []
        self._more = asyncio.Event()
        self.inbox = Inbox(site="site", listen=self._listen, **inbox)  # type: ignore[arg-type]

    def _listen(self, taken: Taken) -> None:
        self.taken.append(taken)
        self._more.set()

    async def until(self, wanted: Callable[[Taken], bool]) -> Taken:
        """Return the first message that is wanted, as soon as it is there."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                for taken in self.taken:
                    if wanted(taken):
                        return taken
                self._more.clear()
                await self._more.wait()

    async def outcome(self, uid: str, outcome: str) -> Taken:
        return await self.until(lambda t: (t.message.uid, t.outcome) == (uid, outcome))


@asynccontextmanager
async def running(source: OpenAdr2bSource, heard: Heard) -> AsyncIterator[asyncio.Task[None]]:
    """Run a source; it must still run at the end."""
    task = asyncio.create_task(source.run(heard.inbox))
    try:
        yield task
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
