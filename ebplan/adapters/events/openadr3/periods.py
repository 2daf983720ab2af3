"""Where the intervals of an event lie in time.

An interval takes what it leaves out from the event; without a start it follows the one before
(Definition, interval and intervalPeriod). A duration of PT0S, or none, is either an instant or
endless, depending on the payload (OpenAPI 3.0.1, intervalPeriod): what is asked of a site lasts, so
here it goes on until the next one starts, the last one without end.

``now`` is when the server made this revision: the same at each reading, and by the same clock as
its other times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import floor

from ebplan.adapters.events.openadr3.wire import ENDLESS, Endless, Period, ValuesMap, WireEvent
from ebplan.errors import InputError

MOST = 1000
"""Most intervals of an event, repetitions counted."""


@dataclass(frozen=True)
class Placed:
    """One interval in time."""

    start: datetime
    duration_s: float
    payloads: tuple[ValuesMap, ...]


@dataclass(frozen=True)
class Schedule:
    """All intervals of an event, by start."""

    intervals: tuple[Placed, ...]
    randomize_s: float
    """Range of the random delay of the start."""
    extended: int
    """How often an end was put off since this revision was made."""


@dataclass(frozen=True)
class _Open:
    start: datetime
    end: datetime | None
    payloads: tuple[ValuesMap, ...]


def schedule(event: WireEvent, *, horizon_s: float, now: datetime) -> Schedule:
    """Return where an event lies in time.

    An event without an end ends ``horizon_s`` after its start, and is extended by the same again
    and again while it lasts: ``extended`` counts that.

    Args:
        event: the event.
        horizon_s: for how long an event without an end is planned.
        now: our clock.

    Raises:
        InputError: a start or a duration is missing, or times are out of any range.
    """
    try:
        open_ended = _repeated(event, _sequence(event))
        extended = 0
        placed = []
        for interval in open_ended:
            end = interval.end
            if end is None:
                past = (now - interval.start).total_seconds() / horizon_s
                extended = max(0, floor(past) + 1)
                end = interval.start + timedelta(seconds=horizon_s * (extended + 1))
            duration_s = (end - interval.start).total_seconds()
            placed.append(Placed(interval.start, duration_s, interval.payloads))
        return Schedule(tuple(placed), _randomize_s(event), extended)
    except OverflowError:
        raise _wrong("intervalPeriod", event.id, "times that a calendar holds") from None


def _sequence(event: WireEvent) -> list[_Open]:
    """Return the intervals as listed, by start."""
    default = event.intervalPeriod or Period()
    placed: list[_Open] = []
    follows = _resolved(default.start, event)
    for n, interval in enumerate(event.intervals or ()):
        own = interval.intervalPeriod or Period()
        start = _resolved(own.start, event) or follows
        if start is None:
            raise _wrong(f"intervals.{n}.intervalPeriod.start", None, "a start, here or before")
        lasts = own.duration if own.duration is not None else default.duration
        follows = _end(start, lasts)
        placed.append(_Open(start, follows, interval.payloads))
    placed.sort(key=lambda interval: interval.start)
    for n, (before, after) in enumerate(pairwise(placed)):
        if before.end is None:
            if after.start <= before.start:
                raise _wrong(f"intervals.{n}.intervalPeriod.duration", None, "a duration > 0")
            placed[n] = _Open(before.start, after.start, before.payloads)
    return placed


def _end(start: datetime, lasts: float | Endless | None) -> datetime | None:
    if lasts is None or lasts == ENDLESS or lasts == 0.0:
        return None
    return start + timedelta(seconds=float(lasts))


def _resolved(start: datetime | None, event: WireEvent) -> datetime | None:
    if start is not None and start.replace(tzinfo=None) == datetime.min:
        return event.changed
    return start


def _repeated(event: WireEvent, sequence: Sequence[_Open]) -> list[_Open]:
    """Apply the duration of the event: it cuts the intervals short, or lets them begin anew."""
    if event.duration is None or not sequence:
        return list(sequence)
    first = sequence[0].start
    last = max(i.end or datetime.max.replace(tzinfo=UTC) for i in sequence)
    if event.duration == ENDLESS or event.duration == 0.0:
        if sequence[-1].end is None:
            return list(sequence)
        raise _wrong("duration", event.duration, "an end, where the intervals have one")
    until = first + timedelta(seconds=float(event.duration))
    if until <= last:
        return [
            _Open(i.start, until if i.end is None else min(i.end, until), i.payloads)
            for i in sequence
            if i.start < until
        ]
    period = last - first
    times = (until - first) / period
    if times * len(sequence) > MOST:
        raise _wrong("duration", event.duration, f"at most {MOST} intervals, repetitions counted")
    again = [
        _Open(i.start + n * period, min((i.end or last) + n * period, until), i.payloads)
        for n in range(floor(times) + 1)
        for i in sequence
    ]
    return [i for i in again if i.start < until]


def _randomize_s(event: WireEvent) -> float:
    """Return the range of the delay; the whole event is delayed by one number."""
    default = event.intervalPeriod or Period()
    told = [
        interval.intervalPeriod.randomizeStart
        for interval in event.intervals or ()
        if interval.intervalPeriod is not None
        and interval.intervalPeriod.randomizeStart is not None
    ]
    first = told[0] if told else default.randomizeStart
    if first == ENDLESS or any(other != first for other in told):
        raise _wrong("intervals.intervalPeriod.randomizeStart", told, "one range for all intervals")
    return 0.0 if first is None else float(first)


def _wrong(field: str, value: object, allowed: str) -> InputError:
    return InputError(
        field=field, value=value, allowed=allowed, remedy="the program must send it otherwise"
    )
