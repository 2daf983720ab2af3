"""What became of a message of the grid, in a line."""

from __future__ import annotations

from ebplan.adapters.events.inbox import Taken
from ebplan.event import Event

NOTHING_DONE = {
    "over": "it was over before it was heard; nothing is done",
    "outdated": "a later revision of it stands; nothing changes",
    "conflict": "another one of the same revision stands; nothing changes",
    "full": "too many calls are remembered; it is not taken",
}
"""Of messages that change nothing: why."""


def call_words(taken: Taken) -> str:
    """Return what became of a message, what it asks, and why where it changes nothing."""
    call = taken.message
    asked = "; ".join(
        f"{event.type} {event.start.isoformat()} for {event.duration_s:g} s: {_asked(event)}"
        for event in call.events
    )
    why = NOTHING_DONE.get(taken.outcome)
    line = (
        f"{taken.outcome:9s} {call.source} {call.uid}"
        f"{f': {asked}' if asked else ''}{f' ({why})' if why else ''}"
    )
    # what a sender says is shown in one line, whatever is in it
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def _asked(event: Event) -> str:
    if event.target is None:
        return ", ".join(f"{price:g} from {at_s:g} s" for at_s, price in event.prices)
    named = {name: value for name, value in event.target.model_dump().items() if value is not None}
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else name for name, value in named.items()
    )
