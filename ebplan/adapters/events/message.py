"""A message of a simple sender: our own document, or one event and nothing else.

    {"kind": "grid_event", "uid": "dr-17", "revision": 2, "events": [{...}]}
    {"kind": "event", "event": {...}}

The first may change and take back what it asked; of the second each other content is a change. Who
sent it and when it came is for the receiver to say, not for the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ebplan.adapters.events.grid_event import GridEvent, Key
from ebplan.adapters.events.numbering import numbered
from ebplan.adapters.events.terms import EventTerms, with_terms
from ebplan.errors import InputError
from ebplan.event import Event

OURS = ("source", "received", "absent")


def read_message(
    data: Mapping[str, Any],
    *,
    source: str,
    received: datetime,
    file: str | None = None,
    terms: EventTerms | None = None,
    known: Mapping[Key, GridEvent] | None = None,
    signed: datetime | None = None,
) -> GridEvent:
    """Return the call of a message.

    Args:
        data: the message, parsed.
        source: who sent it, as this site calls them.
        received: when it came.
        file: where it came from, for the error.
        terms: what the contract adds to a single event.
        known: calls that are known, for the revision of a single event.
        signed: the time of its signature; it is then when the sender made it.

    Raises:
        InputError: it is neither of the two, or something in it is wrong.
    """
    issued = None if signed is None else signed.isoformat()
    ours = {"source": source, "received": received.isoformat(), "issued": issued}
    kind = data.get("kind")
    if kind == "grid_event":
        return _call(data, ours, file)
    if kind == "event":
        call = _single(data, ours, received, terms, file)
        return numbered(call, (known or {}).get(call.key))
    raise InputError(
        field="kind",
        value=kind,
        allowed="grid_event, or event",
        remedy='start with {"kind": "grid_event", ...} or {"kind": "event", "event": {...}}',
        file=file,
    )


def _call(data: Mapping[str, Any], ours: Mapping[str, Any], file: str | None) -> GridEvent:
    """Return the call of a message that is one of our documents."""
    for field in OURS:
        if field in data:
            raise InputError(
                field=field,
                value=data[field],
                allowed="nothing: who receives it says this",
                remedy="leave it out",
                file=file,
            )
    said = {name: value for name, value in ours.items() if value is not None}
    call = GridEvent.parse({**data, **said}, file=file)
    for n, event in enumerate(call.events):
        _names_no_file(event, at=f"events.{n}", file=file)
    return call


def _single(
    data: Mapping[str, Any],
    ours: Mapping[str, Any],
    received: datetime,
    terms: EventTerms | None,
    file: str | None,
) -> GridEvent:
    """Return the call of a message that holds one event and nothing else."""
    for field in sorted(data.keys() - {"kind", "event", "schema_version"}):
        raise InputError(
            field=field,
            value=data[field],
            allowed="kind and event",
            remedy="leave it out: whoever answers the event knows site and state itself",
            file=file,
        )
    event = Event.parse(data.get("event"), file=file, at="event")
    _names_no_file(event, at="event", file=file)
    if terms is not None:
        event = with_terms(event, terms)
    asked = {
        "uid": event.id,
        "revision": int(received.timestamp() * 1000.0),
        "events": [event.model_dump(mode="json")],
    }
    return GridEvent.parse({**ours, **asked}, file=file, at="event")


def _names_no_file(event: Event, *, at: str, file: str | None) -> None:
    response = None if event.target is None else event.target.frequency
    if response is not None and response.trace_file is not None:
        raise InputError(
            field=f"{at}.target.frequency.trace_file",
            value=response.trace_file,
            allowed="none in a message: a sender names no file of ours",
            remedy="send the trace itself, as target.frequency.trace",
            file=file,
        )
