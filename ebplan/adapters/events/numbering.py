"""Revisions for messages that bring none: a single event, and a DELETE.

Each other content is a later revision than the one known, whatever our clock does. Where two
messages are signed, the times of their signatures, both of the sender's clock, say which is the
later; so one that somebody saw and sends again undoes nothing, after a restart either.
"""

from __future__ import annotations

from datetime import datetime

from ebplan.adapters.events.grid_event import GridEvent


def numbered(call: GridEvent, known: GridEvent | None) -> GridEvent:
    """Return a call with the revision that it has beside the one known.

    Args:
        call: the call; its revision is the least that it may get, and ``issued`` the time of its
            signature, or None.
        known: the call as it is known.

    Raises:
        InputError: what is known has the highest revision.
    """
    if known is None:
        return call
    signed_later = _compared(call.issued, known.issued)
    if signed_later is not None and signed_later < 0:
        return _with(call, max(known.revision - 1, 0))
    unchanged = call.same_as(known) and not signed_later
    return _with(call, max(call.revision, known.revision + (not unchanged)))


def _compared(one: datetime | None, other: datetime | None) -> float | None:
    """Return by how many seconds one is later than the other; None where one is not known."""
    return None if one is None or other is None else (one - other).total_seconds()


def _with(call: GridEvent, revision: int) -> GridEvent:
    plain = call.model_dump(mode="json")
    return GridEvent.parse({**plain, "revision": revision})
