"""What was drawn before each call, over restarts.

A call that asks for a change of the last value is measured against what was drawn when it began. A
controller that starts while the call lasts has not seen that, and what is drawn then is the answer
to the call, or what a fault left of it: a router that stood still has its queue served first. So
the baseline is kept where the calls are kept, from the first plan of a call on. The same holds for
a call that goes on after another one came between: the first baseline is the one that counts.
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
        path: file in which they survive a restart; without, they are known until the end of the
            run. One that cannot be read is left out, and logged: a baseline is then what is drawn
            at the restart.
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
        return tuple(
            _measured_against(self._before.get((event.id, event.start)), event) for event in events
        )

    def begun(self, event: Event) -> Event:
        """Return an event with the baseline that is kept of it, or as it is where none is."""
        kept = (one.kw for one in self._drawn if (one.event, one.start) == (event.id, event.start))
        return _measured_against(next(kept, None), event)

    def keep(self, event: Event, kw: float, now: datetime) -> None:
        """Keep the baseline of an event whose plan has begun; the first one of a start stays.

        A failure is logged, and so is a baseline below zero, which is not kept: no event can be
        told to be measured against one.
        """
        if event.baseline.rule == "fixed":
            return
        first_kw = self.begun(event).baseline.kw
        kw = kw if first_kw is None else first_kw
        if kw < 0.0:
            log.warning("the baseline of %s is not kept: it is %.2f kW, below zero", event.id, kw)
            return
        new = DrawnBefore(event=event.id, start=event.start, until=end(event), kw=kw)
        if new in self._drawn:
            return
        others = (one for one in self._drawn if one.until > now and one.event != event.id)
        self._drawn = (*others, new)
        if self._path is None:
            return
        try:
            content = BaselinesFile(drawn=self._drawn).to_json() + "\n"
            write_atomically(self._path, content, durable=True)
        except InputError as error:
            log.warning("the baseline of %s is not kept: %s", event.id, error)


def file_beside(inbox: Path) -> Path:
    """Return where baselines are kept beside an inbox; another inbox has another place."""
    stem = inbox.name.removesuffix(".json")
    return inbox.with_name(f"{stem}.baselines.json")


def _measured_against(kw: float | None, event: Event) -> Event:
    if kw is None or event.baseline.rule == "fixed":
        return event
    return event.model_copy(update={"baseline": Baseline(rule="fixed", kw=kw)})
