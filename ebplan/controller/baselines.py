"""What was drawn before each call, over restarts.

A call that asks for a change of the last value is measured against what was drawn when it began. A
controller that starts while the call lasts has not seen that, and what is drawn then is the answer
to the call, or what a fault left of it: a router that stood still has its queue served first. So
the baseline is kept where the calls are kept, from the first plan of a call on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

from ebplan.adapters.events.grid_event import end
from ebplan.document import Document, NonNegative, Part, Timestamp, read_json, write_atomically
from ebplan.errors import InputError
from ebplan.event import Baseline, Event

log = logging.getLogger("ebplan.controller.baselines")


class DrawnBefore(Part):
    """The baseline of a call that has begun."""

    event: str
    """Its id."""
    start: Timestamp
    """When it began; another start has another baseline."""
    until: Timestamp
    """When it ends, and this may be forgotten."""
    kw: NonNegative
    """What would have been drawn without it."""


class BaselinesFile(Document):
    """Baselines on disk."""

    kind: Literal["baselines"] = "baselines"
    drawn: tuple[DrawnBefore, ...] = ()
    """Of each call that has begun and is not over."""


class Baselines:
    """Baselines of the calls that a controller answers, found again by the next one.

    Args:
        path: file in which they survive a restart; without, nothing does. One that cannot be read
            is left out, and logged: a baseline is then what is drawn at the restart.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._before: dict[tuple[str, datetime], float] = {}
        """From before this controller began."""
        self._drawn: tuple[DrawnBefore, ...] = ()
        if path is not None and path.exists():
            try:
                self._drawn = BaselinesFile.parse(read_json(path), file=str(path)).drawn
            except InputError as error:
                log.warning("baselines of before are not known: %s", error)
        self._before = {(one.event, one.start): one.kw for one in self._drawn}

    def told(self, events: Iterable[Event]) -> tuple[Event, ...]:
        """Return the events, those that another controller began with the baseline it found."""
        return tuple(self._told(event) for event in events)

    def _told(self, event: Event) -> Event:
        kw = self._before.get((event.id, event.start))
        if kw is None or event.baseline.rule == "fixed":
            return event
        return event.model_copy(update={"baseline": Baseline(rule="fixed", kw=kw)})

    def keep(self, event: Event, kw: float, now: datetime) -> None:
        """Keep the baseline of an event whose plan has begun; a failure is logged."""
        if self._path is None or event.baseline.rule == "fixed":
            return
        new = DrawnBefore(event=event.id, start=event.start, until=end(event), kw=max(kw, 0.0))
        others = (one for one in self._drawn if one.until > now and one.event != event.id)
        self._drawn = (*others, new)
        try:
            content = BaselinesFile(drawn=self._drawn).to_json() + "\n"
            write_atomically(self._path, content, durable=True)
        except InputError as error:
            log.warning("the baseline of %s is not kept: %s", event.id, error)
