"""The virtual end node: it listens, lists, and reports; what the server does never ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ebplan.adapters.answers import Answer, Refused, Unreachable
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr3.enrolment import (
    find_programs,
    privacy,
    register_ven,
    subscribe,
)
from ebplan.adapters.events.openadr3.hearing import Hearing
from ebplan.adapters.events.openadr3.line import BACKOFF, Line, NoAnswer
from ebplan.adapters.events.openadr3.reporting import Reporting
from ebplan.adapters.events.openadr3.skew import Skew
from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec
from ebplan.adapters.events.openadr3.webhook import Webhook
from ebplan.adapters.events.site_report import SiteReport
from ebplan.adapters.health import BackOff, Health

log = logging.getLogger("ebplan.events.openadr3")


@dataclass(frozen=True)
class SourceState:
    """How a source is doing."""

    health: Health
    """How its server answered lately."""
    listed_at: datetime | None
    """When all its events were last listed, by our clock."""
    skew: Skew | None
    """How far its clock lies from ours."""
    skew_warning: str | None
    """A line, where the clocks lie further apart than is tolerated."""
    refused: tuple[str, ...]
    """Lines about what was not understood, the latest last."""
    missing: tuple[str, ...]
    """Lines about programs that the server does not list."""


class OpenAdr3Source:
    """One OpenADR 3 server as a source of events.

    Args:
        spec: where it is, who we are, what its calls mean.
        clock: seconds for waiting.
        now: the wall clock.
        policy: how long the server is left alone after failures.

    Raises:
        InputError: a secret or a certificate is missing.
    """

    def __init__(
        self,
        spec: OpenAdr3Spec,
        *,
        clock: Clock | None = None,
        now: Callable[[], datetime] | None = None,
        policy: BackOff = BACKOFF,
    ) -> None:
        self.spec = spec
        self._clock = clock or MonotonicClock()
        self._now = now or (lambda: datetime.now(UTC))
        self._policy = policy
        self.line = Line(spec, clock=self._clock, now=self._now, policy=policy)
        self.webhook = None if spec.webhook is None else Webhook(spec.webhook, self._notified)
        """Where notifications are taken."""
        self._hearing: Hearing | None = None
        self._poked = asyncio.Event()
        self._registered = not spec.register_ven
        self._listed_at: datetime | None = None
        self._missing: tuple[str, ...] = ()
        self._warning: str | None = None
        self._reporting = Reporting(spec, self.line)
        self.on_round: Callable[[], None] | None = None
        """Called whenever it has tried to list events."""

    @property
    def name(self) -> str:
        """What this site calls it."""
        return self.spec.name

    @property
    def state(self) -> SourceState:
        """How it is doing."""
        return SourceState(
            health=self.line.health,
            listed_at=self._listed_at,
            skew=self.line.skew.skew,
            skew_warning=self._warning,
            refused=() if self._hearing is None else tuple(self._hearing.refused),
            missing=self._missing,
        )

    async def run(self, inbox: Inbox) -> None:
        """Listen until cancelled.

        Raises:
            InputError: the webhook's address cannot be listened on.
        """
        self._hearing = Hearing(self.spec, inbox, self._now)
        async with AsyncExitStack() as opened:
            opened.push_async_callback(self.line.close)
            if self.webhook is not None:
                await opened.enter_async_context(self.webhook)
            failures = 0
            while True:
                self._poked.clear()
                wait_s = self.spec.poll_s
                try:
                    await self.poll_once()
                    failures = 0
                except NoAnswer as error:
                    log.warning("%s: %s", self.name, error.why)
                    failures += 1
                    wait_s = min(self._policy.wait_s(failures), self.spec.poll_s)
                if self.on_round is not None:
                    self.on_round()
                await self._wait(wait_s)

    async def poll_once(self) -> None:
        """See to it that the server knows us, then list its events.

        Raises:
            NoAnswer: the server did not do its part; what was heard before stands.
        """
        hearing = self._hearing
        if hearing is None:
            raise RuntimeError("run() has not begun")
        programs, missing = await find_programs(self.line, self.spec)
        hearing.programs, self._missing = programs, tuple(missing)
        for line in missing:
            log.warning("%s: %s", self.name, line)
        await self._enrol()
        mark, listed, most_pages = hearing.mark(), list[Any](), 1
        for program in programs:
            query = (("programID", program), *privacy(self.spec))
            events, pages = await self.line.list_all("/events", query=query)
            listed += events
            most_pages = max(most_pages, pages)
        hearing.hear_list(listed, pages=most_pages, since=mark, whole=not missing)
        self._listed_at = self._now()
        self._watch_clock()

    async def report(self, report: SiteReport) -> Answer:
        """Tell the server; a report of the same stretches takes the place of the one before."""
        if report.uid is None:
            return Refused(
                device=self.name, command="report", asked=None,
                why="a report of OpenADR 3 is about an event",
            )  # fmt: skip
        try:
            events = {} if self._hearing is None else self._hearing.events
            return await self._reporting.send(report, report.uid, events)
        except NoAnswer as error:
            return Unreachable(
                device=self.name, command="report", asked=report.uid,
                why=error.why, executed=error.told,
            )  # fmt: skip

    async def _enrol(self) -> None:
        """Make ourselves known; where that is not taken, events are listed all the same."""
        assert self._hearing is not None
        try:
            if not self._registered:
                await register_ven(self.line, self.spec)
                self._registered = True
            if self.webhook is not None:
                await subscribe(self.line, self.spec, self.webhook, self._hearing.programs)
        except NoAnswer as error:
            log.warning("%s: %s", self.name, error.why)

    def _notified(self, told: dict[str, Any]) -> None:
        if self._hearing is not None and self._hearing.hear_notification(told):
            self._poked.set()

    async def _wait(self, seconds: float) -> None:
        """Wait so long, or until a notification asks for the list."""
        over = asyncio.ensure_future(self._clock.sleep(seconds))
        poked = asyncio.ensure_future(self._poked.wait())
        try:
            await asyncio.wait({over, poked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, poked):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _watch_clock(self) -> None:
        skew = self.line.skew.skew
        if skew is None or not skew.exceeds(self.spec.skew_tolerance_s):
            self._warning = None
            return
        line = f"{skew}, tolerated are {self.spec.skew_tolerance_s:g} s: set one of them"
        if self._warning is None:
            log.warning("%s: %s", self.name, line)
        self._warning = line
