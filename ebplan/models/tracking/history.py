"""What tracking changed, when and why: kept in order, bounded, readable as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

from ebplan.document import Part, Timestamp

Reason = Literal["tracked", "drift", "de-rated", "restored"]
MOST_ENTRIES = 2000
"""Older entries are forgotten: at one change an hour this is twelve weeks."""


class Entry(Part):
    """One change."""

    at: Timestamp
    """When."""
    parameter: str
    """What was changed, e.g. ``busy_gain``."""
    pool: str | None
    """Of which pool; None for the battery."""
    old: float
    """Before."""
    new: float
    """After."""
    reason: Reason
    """Why."""
    words: str
    """The same in a sentence."""


History = tuple[Entry, ...]


def appended(history: History, entries: Iterable[Entry]) -> History:
    """Return a history with further entries, the oldest forgotten where there are too many."""
    return (*history, *entries)[-MOST_ENTRIES:]


def rows(history: History) -> list[dict[str, Any]]:
    """Return the entries as plain rows: times in ISO 8601."""
    return [entry.model_dump(mode="json") for entry in history]


def json_lines(history: History) -> str:
    """Return the entries as JSON, one a line."""
    return "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows(history))
