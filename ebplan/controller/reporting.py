"""What a sender is told of its call while it is answered: baseline, draw, what was delivered.

Means over stretches of time go to the source that the call came from, all stretches since the
start each time, so that one report that is lost is made good by the next. They are sent beside the
loop, and the last one is tried again for a while: a sender that is slow or gone holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ebplan.adapters.answers import Answer, Refused, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.events.grid_event import Key
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import Measure, SiteReport, Stretch
from ebplan.adapters.events.source import EventSource
from ebplan.controller.sensing import Sensed
from ebplan.event import Event
from ebplan.plan import Step

AGAIN_S = 10.0
"""A report that did not arrive is sent again after this,"""
TRIES = 30
"""and after so many it is given up."""
MOST_STRETCHES = 10_000
"""A report holds no more; of a longer call the latest are told."""


@dataclass
class _Sums:
    """What has been seen of the stretch that is running: kW s, and the seconds they are over."""

    start: datetime
    end: datetime
    seen_s: float = 0.0
    grid_kws: float = 0.0
    baseline_kws: float = 0.0

    def stretch(self) -> Stretch | None:
        """Return their means; None where the meter was silent all the time."""
        lasts_s = (self.end - self.start).total_seconds()
        if self.seen_s <= 0.0 or lasts_s <= 0.0:
            return None
        grid_kw = self.grid_kws / self.seen_s
        baseline_kw = self.baseline_kws / self.seen_s
        values: dict[Measure, float] = {
            "baseline_kw": baseline_kw,
            "grid_kw": grid_kw,
            "delivered_kw": grid_kw - baseline_kw,
        }
        return Stretch(start=self.start, duration_s=lasts_s, values=values)


@dataclass
class _Account:
    """What is known of the call that is being answered."""

    event_id: str
    key: Key
    stretches: list[Stretch] = field(default_factory=list)
    running: _Sums | None = None


class Reporting:
    """Reports to the sources of calls.

    Args:
        sources: where calls come from.
        inbox: which call an event is of.
        energy_kwh: what the battery holds when it is full; None without a battery.
        every_s: length of a stretch, and time between two reports.
        clock: what times it.
        answered: told what became of each report that arrived, was refused or was given up.
    """

    def __init__(
        self,
        sources: Iterable[EventSource],
        inbox: Inbox,
        *,
        energy_kwh: float | None,
        every_s: float,
        clock: Clock,
        answered: Callable[[Answer], None],
    ) -> None:
        self._sources = {source.name: source for source in sources}
        self._inbox, self._energy_kwh, self._every_s = inbox, energy_kwh, every_s
        self._clock, self._answered = clock, answered
        self._account: _Account | None = None
        self._due: dict[Key, SiteReport] = {}
        self._sending: dict[Key, asyncio.Task[None]] = {}
        self._refused: set[Key] = set()

    def see(
        self,
        sensed: Sensed,
        step: Step | None,
        event: Event | None,
        since_s: float,
        *,
        online: bool,
    ) -> None:
        """Take what was measured since the reading before.

        Args:
            sensed: what was read.
            step: of the plan, now.
            event: what is being answered.
            since_s: since the reading before.
            online: whether the plan is followed.
        """
        account = self._account
        if account is not None and (event is None or event.id != account.event_id):
            self._close_stretch(account)
            self._report(account, sensed, online)
            self._account = account = None
        if event is None or step is None:
            return
        if account is None:
            key = self._inbox.sender_of(event.id)
            if key is None or key[0] not in self._sources:
                return
            self._account = account = _Account(event.id, key)
            since_s = 0.0  # what was measured before the call is not of it
        self._add(account, sensed, step, since_s)
        running = account.running
        if running is not None and (running.end - running.start).total_seconds() >= self._every_s:
            self._close_stretch(account)
            self._report(account, sensed, online)

    async def close(self) -> None:
        """Send nothing more; a report under way is cut off."""
        for task in self._sending.values():
            task.cancel()
        await asyncio.gather(*self._sending.values(), return_exceptions=True)

    def _add(self, account: _Account, sensed: Sensed, step: Step, since_s: float) -> None:
        at = sensed.state.at
        if account.running is None:
            account.running = _Sums(start=at - timedelta(seconds=since_s), end=at)
        running = account.running
        running.end = at
        if sensed.state.grid is not None:
            running.seen_s += since_s
            running.grid_kws += sensed.state.grid.kw * since_s
            running.baseline_kws += step.baseline_kw * since_s

    @staticmethod
    def _close_stretch(account: _Account) -> None:
        if account.running is not None and (stretch := account.running.stretch()) is not None:
            account.stretches.append(stretch)
            del account.stretches[:-MOST_STRETCHES]
        account.running = None

    def _report(self, account: _Account, sensed: Sensed, online: bool) -> None:
        if not account.stretches or account.key in self._refused:
            return
        soc = sensed.state.soc
        stored_kwh = None if soc is None or self._energy_kwh is None else soc * self._energy_kwh
        self._due[account.key] = SiteReport(
            at=sensed.state.at,
            uid=account.key[1],
            stretches=tuple(account.stretches),
            soc=soc,
            storage_kwh=stored_kwh,
            online=online,
        )
        if account.key not in self._sending:
            self._sending[account.key] = asyncio.create_task(self._send(account.key))

    async def _send(self, key: Key) -> None:
        """Send what is due of a call, the latest only, until it has arrived."""
        try:
            tries = 0
            while (report := self._due.get(key)) is not None:
                answer = await self._told(key[0], report)
                tries += 1
                if isinstance(answer, Unreachable) and tries < TRIES:
                    await self._clock.sleep(AGAIN_S)
                    continue
                if isinstance(answer, Refused):
                    self._refused.add(key)
                    self._due.pop(key, None)
                elif self._due.get(key) is report:
                    del self._due[key]
                self._answered(answer)
                tries = 0
        finally:
            del self._sending[key]

    async def _told(self, name: str, report: SiteReport) -> Answer:
        try:
            return await self._sources[name].report(report)
        except Exception as error:  # a source that raises must not end the reports to others
            return Unreachable(
                device=name,
                command="report",
                asked=report.uid,
                why=f"{type(error).__name__}: {error}",
                executed=False,
            )
