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

from ebplan.adapters.events.grid_event import GridEvent
from ebplan.errors import InputError
from ebplan.event import Event

OURS = ("source", "received", "absent")


def read_message(
    data: Mapping[str, Any], *, source: str, received: datetime, file: str | None = None
) -> GridEvent:
    """Return the call of a message.

    Args:
        data: the message, parsed.
        source: who sent it, as this site calls them.
        received: when it came.
        file: where it came from, for the error.

    Raises:
        InputError: it is neither of the two, or something in it is wrong.
    """
    kind = data.get("kind")
    if kind == "grid_event":
        for field in OURS:
            if field in data:
                raise InputError(
                    field=field,
                    value=data[field],
                    allowed="nothing: who receives it says this",
                    remedy="leave it out",
                    file=file,
                )
        ours = {"source": source, "received": received.isoformat()}
        return GridEvent.parse({**data, **ours}, file=file)
    if kind != "event":
        raise InputError(
            field="kind",
            value=kind,
            allowed="grid_event, or event",
            remedy='start with {"kind": "grid_event", ...} or {"kind": "event", "event": {...}}',
            file=file,
        )
    for field in sorted(data.keys() - {"kind", "event", "schema_version"}):
        raise InputError(
            field=field,
            value=data[field],
            allowed="kind and event",
            remedy="leave it out: whoever answers the event knows site and state itself",
            file=file,
        )
    event = Event.parse(data.get("event"), file=file, at="event")
    return GridEvent.parse(
        {
            "source": source,
            "uid": event.id,
            "revision": int(received.timestamp() * 1000.0),
            "received": received.isoformat(),
            "events": [event.model_dump(mode="json")],
        },
        file=file,
        at="event",
    )
