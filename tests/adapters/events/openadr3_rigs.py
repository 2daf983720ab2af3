"""A source, its server and its inbox, for tests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ebplan.adapters.events.inbox import Inbox, Taken
from ebplan.adapters.events.openadr3 import OpenAdr3Source, OpenAdr3Spec
from ebplan.adapters.health import BackOff
from ebplan.twin.wire.openadr3_vtn import Openadr3Vtn

SECRETS = {"EBPLAN_TEST_ID": "ven-client", "EBPLAN_TEST_HOOK": "hook-of-this-site"}
TERMS = {
    "baseline": {"rule": "fixed", "kw": 5.0},
    "level_kw": {"1": -0.5, "2": -1.0, "3": -2.0},
}


def spec_of(url: str = "http://127.0.0.1:9", **fields: Any) -> OpenAdr3Spec:
    return OpenAdr3Spec.parse(
        {
            "url": url,
            "client_id": {"env": "EBPLAN_TEST_ID"},
            "client_secret": {"env": "EBPLAN_TEST_SECRET"},
            "programs": [{"name": "dr"}],
            "ven_name": "site-1",
            "currency": "JPY",
            "terms": TERMS,
            **fields,
        }
    )


def event_body(program: str = "programs-1", **fields: Any) -> dict[str, Any]:
    """An event that asks to release 1 kW for an hour, an hour from now."""
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    return {
        "programID": program,
        "payloadDescriptors": [{"payloadType": "DISPATCH_SETPOINT_RELATIVE", "units": "KW"}],
        "intervalPeriod": {"start": start.isoformat(), "duration": "PT1H"},
        "intervals": [
            {"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT_RELATIVE", "values": [-1.0]}]}
        ],
        **fields,
    }


class Rig:
    """A server and a source that listens to it; lists come when the test asks for them."""

    def __init__(
        self,
        *,
        hook: bool = True,
        inbox_at: Path | None = None,
        vtn: Openadr3Vtn | None = None,
        version: Literal["3.0.1", "3.1"] = "3.0.1",
        **fields: Any,
    ) -> None:
        self.own_vtn = vtn is None
        self.vtn = vtn or Openadr3Vtn(version=version)
        self.hook, self.inbox_at, self.version, self.fields = hook, inbox_at, version, fields
        self.taken: list[Taken] = []
        self._changed = asyncio.Event()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self.own_vtn:
            await self._open.enter_async_context(self.vtn)
            self.program = self.vtn.add("programs", {"programName": "dr"})["id"]
        else:
            self.program = next(iter(self.vtn.objects["programs"]))
        os.environ.update(SECRETS, EBPLAN_TEST_SECRET=self.vtn.client_secret)
        if self.hook:
            self.fields["webhook"] = {"token": {"env": "EBPLAN_TEST_HOOK"}}
        spec = spec_of(
            self.vtn.url,
            version=self.version,
            **{"poll_s": 3600.0, "timeout_s": 5.0, **self.fields},
        )
        policy = BackOff(first_s=0.01, longest_s=0.02)
        self.source = OpenAdr3Source(spec, policy=policy)
        self.source.on_round = self._note
        self.inbox = Inbox(path=self.inbox_at, site="here", listen=self._take)
        self._running = asyncio.create_task(self.source.run(self.inbox))
        await self.until(lambda: self.source.state.listed_at is not None)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._open.aclose()

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until something holds; it is looked at after each list and each message."""
        async with asyncio.timeout(20.0):
            while not holds():
                self._changed.clear()
                if not holds():
                    await self._changed.wait()

    async def pause(self) -> None:
        """Wait as long as the source leaves its server alone."""
        await asyncio.sleep(0.02)

    def outcomes(self) -> list[str]:
        return [taken.outcome for taken in self.taken]

    def _take(self, taken: Taken) -> None:
        self.taken.append(taken)
        self._changed.set()

    def _note(self) -> None:
        self._changed.set()
