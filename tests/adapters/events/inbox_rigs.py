"""Calls for tests of the inbox, and a clock that is set by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox, Taken

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def event(
    delta_kw: float = -1.0,
    *,
    name: str = "x",
    start: datetime = NOW + HOUR,
    length_s: float = 600.0,
) -> dict[str, Any]:
    return {
        "id": name,
        "type": "demand_response",
        "start": start.isoformat(),
        "duration_s": length_s,
        "target": {"delta_kw": delta_kw},
    }


def call(uid: str = "a", revision: int = 0, **changes: Any) -> GridEvent:
    """A call of one event that is to come; taken back it asks nothing."""
    asked = [] if changes.get("cancelled") else [event()]
    data = {
        "source": "s",
        "uid": uid,
        "revision": revision,
        "received": NOW.isoformat(),
        "events": asked,
    }
    return GridEvent.parse(data | changes)


def asking(uid: str, revision: int, delta_kw: float, **changes: Any) -> GridEvent:
    return call(uid, revision, events=[event(delta_kw)], **changes)


class Heard:
    """An inbox that can be restarted, with all that its listener was told."""

    def __init__(self, path: Path | None = None, site: str = "hall-1") -> None:
        self.path, self.site, self.now = path, site, NOW
        self.told: list[Taken] = []
        self.restart()

    def restart(self) -> None:
        self.inbox = Inbox(
            path=self.path, site=self.site, now=lambda: self.now, listen=self.told.append
        )

    def take(self, message: GridEvent) -> str:
        return self.inbox.take(message).outcome

    @property
    def asked_kw(self) -> list[float | None]:
        return [e.target.delta_kw for e in self.inbox.events() if e.target is not None]
