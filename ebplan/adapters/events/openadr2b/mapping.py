"""What an event of the server means to this site, as a ``GridEvent``."""

from __future__ import annotations

from datetime import datetime, timedelta

from ebplan.adapters.events.grid_event import HIGHEST, GridEvent
from ebplan.adapters.events.openadr2b.heard import HeardEvent, HeardInterval, HeardSignal
from ebplan.adapters.events.openadr2b.signals import asked, our_signal
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec
from ebplan.adapters.events.openadr2b.times import duration_s, instant
from ebplan.adapters.events.terms import EventTerms, Interval, events_of
from ebplan.errors import InputError
from ebplan.event import Event

SLACK_S = 1.0
"""Durations are whole seconds: sums of them may be off by one."""


def to_grid_event(heard: HeardEvent, spec: OpenAdr2bSpec, received: datetime) -> GridEvent:
    """Return an event in ebplan's words; one that is cancelled, or at level 0, asks nothing.

    No clock of the server is compared with ours: ``createdDateTime`` is only kept.

    Args:
        heard: the event; it is for this site.
        spec: what its calls mean.
        received: when it came here.

    Raises:
        InputError: something in it is not understood; one line says what.
    """
    events = () if heard.status == "cancelled" else _events(heard, spec)
    randomize_s = 0.0
    if heard.start_after is not None and events:
        randomize_s = duration_s(heard.start_after, at="startafter")
    return GridEvent.parse(
        {
            "source": spec.name,
            "uid": heard.uid,
            "revision": heard.revision,
            "issued": _issued(heard),
            "received": received,
            "cancelled": not events,
            "test": heard.test,
            "priority": heard.priority or None,
            "randomize_s": randomize_s,
            "events": events,
        },
        at=f"event {heard.uid}",
    )


def taken_back(heard: HeardEvent, spec: OpenAdr2bSpec, received: datetime) -> GridEvent:
    """Return an event as taken back for this site only; the same revision may stand again."""
    return GridEvent.parse(
        {
            "source": spec.name,
            "uid": heard.uid,
            "revision": min(heard.revision, HIGHEST),
            "issued": _issued(heard),
            "received": received,
            "cancelled": True,
            "absent": True,
            "test": heard.test,
        },
        at=f"event {heard.uid}",
    )


def _issued(heard: HeardEvent) -> datetime | None:
    """Return when the server made it, where it says so in a way that is understood."""
    try:
        return instant(heard.created, at="createdDateTime")
    except InputError:
        return None


def _events(heard: HeardEvent, spec: OpenAdr2bSpec) -> tuple[Event, ...]:
    programme = spec.programme(heard.market_context)
    if programme is None:
        raise InputError(
            field="marketContext",
            value=heard.market_context,
            allowed=", ".join(sorted(spec.programmes)),
            remedy="declare the programme in programmes of the source, or other for any",
        )
    signal = our_signal(heard, spec)
    ask = asked(signal, programme, spec.currency)
    intervals = [
        Interval(start, length_s, ask.number(interval.value))
        for start, length_s, interval in _placed(heard, signal, spec.open_end_s)
    ]
    return events_of(heard.uid, ask.ask, intervals, _terms(heard, programme.terms))


def _terms(heard: HeardEvent, terms: EventTerms) -> EventTerms:
    """Let the message say how long the recovery is, where it does."""
    recovery_s = 0.0 if heard.recovery is None else duration_s(heard.recovery, at="x-eiRecovery")
    if recovery_s == 0.0:
        return terms
    response = terms.response.model_copy(update={"recovery_s": recovery_s})
    return terms.model_copy(update={"response": response})


def _placed(
    heard: HeardEvent, signal: HeardSignal, open_end_s: float
) -> list[tuple[datetime, float, HeardInterval]]:
    """Return when each interval starts and how long it lasts; they fill the active period."""
    start = instant(heard.start, at="dtstart")
    period_s = duration_s(heard.duration, at="duration")
    until = start + timedelta(seconds=period_s or open_end_s)
    placed: list[tuple[datetime, float, HeardInterval]] = []
    at, last = start, len(signal.intervals) - 1
    for n, interval in enumerate(signal.intervals):
        if interval.start is not None:
            at = _in_order(instant(interval.start, at=f"interval {n} dtstart"), at, n)
        length_s = 0.0
        if interval.duration is not None:
            length_s = duration_s(interval.duration, at=f"interval {n} duration")
        if length_s == 0.0 and n == last and (period_s == 0.0 or interval.duration is None):
            length_s = (until - at).total_seconds()
        if length_s <= 0.0:
            raise InputError(
                field=f"interval {n} duration",
                value=interval.duration,
                allowed="> 0; 0 for the last one of a call without an end",
                remedy="the server must say how long it lasts",
            )
        placed.append((at, length_s, interval))
        at += timedelta(seconds=length_s)
    if period_s and abs((at - until).total_seconds()) > SLACK_S:
        raise InputError(
            field=f"signal {signal.name}",
            value=f"intervals that end at {at.isoformat()}",
            allowed=f"until the active period ends, {until.isoformat()}",
            remedy="the server must let intervals and active period agree",
        )
    return placed


def _in_order(given: datetime, earliest: datetime, n: int) -> datetime:
    if given < earliest:
        raise InputError(
            field=f"interval {n} dtstart",
            value=given.isoformat(),
            allowed=f"from {earliest.isoformat()} on",
            remedy="the server must sort the intervals and let them not overlap",
        )
    return given
