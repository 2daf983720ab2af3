"""An event of the server as calls of the grid.

An event of one payload type is one call with the event's id. Where its intervals hold several types
that are understood, e.g. a price and a limit, each is a call of its own, ``<id>/<type>``: they lie
in the same time, and a call asks for one thing at a time. A payload that is not understood is
refused in a line of its own; the others stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.openadr3.payloads import Meaning, meaning, refused
from ebplan.adapters.events.openadr3.periods import Placed, schedule
from ebplan.adapters.events.openadr3.spec import Descriptor, OpenAdr3Spec
from ebplan.adapters.events.openadr3.targets import is_for
from ebplan.adapters.events.openadr3.wire import PayloadDescriptor, ValuesMap, WireEvent
from ebplan.adapters.events.terms import EventTerms, Interval, events_of
from ebplan.errors import InputError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Program:
    """A program that the site takes part in, as far as it is known."""

    id: str
    terms: EventTerms
    name: str | None = None
    told: Mapping[str, Descriptor] = field(default_factory=dict)
    """Units that the program itself tells, by payload type."""
    assumed: Mapping[str, Descriptor] = field(default_factory=dict)
    """Units that the site's file tells."""


@dataclass(frozen=True)
class Mapped:
    """What was made of one event."""

    event: WireEvent
    ours: bool
    """Whether it is meant for this site."""
    calls: tuple[GridEvent, ...] = ()
    """What it asks."""
    refused: tuple[str, ...] = ()
    """What was not understood, a line each."""


def map_event(
    event: WireEvent, program: Program, spec: OpenAdr3Spec, *, received: datetime
) -> Mapped:
    """Return what an event asks of this site.

    Args:
        event: the event.
        program: the program that it belongs to.
        spec: what the site says.
        received: our clock.

    Raises:
        InputError: nothing of it can be read, e.g. it says not when.
    """
    if not is_for(event, spec, program.name):
        return Mapped(event, ours=False)
    if event.changed is None:
        raise InputError(
            field="modificationDateTime",
            value=None,
            allowed="a time, or createdDateTime: later revisions are known by it",
            remedy="the server must provide it",
        )
    when = schedule(event, horizon_s=spec.horizon_s, now=received)
    asked, lines = _asked(event, when.intervals, program, spec)
    whole = {
        "source": spec.name,
        "revision": microseconds(event.changed) + when.extended,
        "issued": event.changed.isoformat(),
        "received": received.isoformat(),
        "priority": event.priority,
        "randomize_s": when.randomize_s,
    }
    calls = []
    for read, intervals in asked.items():
        uid = event.id if len(asked) == 1 else f"{event.id}/{read.kind}"
        try:
            events = events_of(uid, read.ask, intervals, program.terms)
            plain = [one.model_dump(mode="json") for one in events]
            calls.append(
                GridEvent.parse({**whole, "uid": uid, "cancelled": not events, "events": plain})
            )
        except InputError as error:
            lines.append(f"payload {read.kind}: {error}")
    return Mapped(event, ours=True, calls=tuple(calls), refused=tuple(lines))


def microseconds(moment: datetime) -> int:
    """Return a time as microseconds since 1970, never negative: it numbers revisions."""
    return max(0, (moment - EPOCH) // timedelta(microseconds=1))


def family(uid: str) -> str:
    """Return the id of the event that a call belongs to."""
    return uid.partition("/")[0]


def told(descriptors: tuple[PayloadDescriptor, ...] | None) -> dict[str, Descriptor]:
    """Return what descriptors tell, by payload type."""
    return {
        one.payloadType: Descriptor(units=one.units or None, currency=one.currency or None)
        for one in descriptors or ()
    }


def _asked(
    event: WireEvent, placed: tuple[Placed, ...], program: Program, spec: OpenAdr3Spec
) -> tuple[dict[Meaning, list[Interval]], list[str]]:
    """Return what each payload type asks over time, and a line for each that is refused."""
    units: dict[str, Descriptor] = {
        **program.assumed, **program.told, **told(event.payloadDescriptors)
    }  # fmt: skip
    by_kind: dict[str, list[tuple[Placed, ValuesMap]]] = {}
    for interval in placed:
        for payload in interval.payloads:
            by_kind.setdefault(payload.type, []).append((interval, payload))
    asked: dict[Meaning, list[Interval]] = {}
    lines = []
    for kind, found in by_kind.items():
        try:
            read = meaning(kind, units.get(kind), spec)
            asked[read] = [one for at, payload in found for one in _split(at, payload, read)]
        except InputError as error:
            lines.append(str(error))
    if not by_kind and not event.reportDescriptors:
        lines.append(str(refused("type", None, "at least one payload")))
    return asked, lines


def _split(at: Placed, payload: ValuesMap, read: Meaning) -> list[Interval]:
    """Return the parts of an interval: several numbers share it equally (3.1, compact form)."""
    values = read.values(payload)
    part_s = at.duration_s / len(values)
    edges = [at.start + timedelta(seconds=n * part_s) for n in range(len(values) + 1)]
    return [
        Interval(start, (end - start).total_seconds(), value)
        for (start, end), value in zip(pairwise(edges), values, strict=True)
    ]


def parse_event(data: Mapping[str, Any]) -> WireEvent:
    """Read an event.

    Raises:
        InputError: it is none.
    """
    return WireEvent.parse(dict(data))
