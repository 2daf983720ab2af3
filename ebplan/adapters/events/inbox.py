"""The inbox: it alone decides what a message changes, so that each call is answered once.

The same message may come twice, by two ways, after a restart, or after a later one. A call is
known by its source and uid; of two revisions the higher counts; a repeated one changes nothing; one
that was taken back stays so. Which random delay a call gets follows from its name: it is the same
after a restart and through all revisions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from ebplan.adapters.events.grid_event import GridEvent, Key, end
from ebplan.document import Document, read_json, write_atomically
from ebplan.errors import InputError
from ebplan.event import Event

Outcome = Literal[
    "new", "modified", "cancelled", "repeated", "outdated", "conflict", "over", "full"
]
"""What a message changed. ``outdated``: a later revision is known; ``conflict``: the same revision
asked another thing before, and that stands; ``over``: all that it asks is past; ``full``: as many
calls are known as can be remembered."""

CHANGES: frozenset[Outcome] = frozenset({"new", "modified", "cancelled"})
KEPT = timedelta(days=7)
"""So long after its end a call is remembered; a copy that comes later is over anyway."""
KEPT_CALLS = 10_000
"""Most calls that are remembered at a time."""


@dataclass(frozen=True)
class Taken:
    """What became of a message."""

    outcome: Outcome
    """What it changed."""
    message: GridEvent
    """The call as it stands now; for ``conflict`` and ``outdated`` the one that stays."""

    def __str__(self) -> str:
        call = self.message
        return f"{call.source}: {call.uid} revision {call.revision}: {self.outcome}"


class InboxFile(Document):
    """The inbox on disk."""

    kind: Literal["inbox"] = "inbox"
    calls: tuple[GridEvent, ...] = ()
    """Every call that is remembered, as it stands."""


class Inbox:
    """Calls of the grid as they stand. It belongs to one event loop and is not thread-safe.

    Args:
        path: file in which it survives a restart; without, it is in memory only.
        site: name of the site; with the call's it gives the random delay of the start.
        now: the wall clock.
        listen: called with what became of each message, e.g. to write the audit log.

    Raises:
        InputError: the file is there and cannot be read.
    """

    def __init__(
        self,
        *,
        path: Path | None = None,
        site: str = "",
        now: Callable[[], datetime] | None = None,
        listen: Callable[[Taken], None] | None = None,
    ) -> None:
        self._path, self._site, self._listen = path, site, listen
        self.now: Callable[[], datetime] = now or (lambda: datetime.now(UTC))
        """The wall clock that messages are stamped with."""
        self._calls: dict[Key, GridEvent] = {}
        if path is not None and path.exists():
            kept = InboxFile.parse(read_json(path), file=str(path))
            self._calls = {call.key: call for call in kept.calls}

    @property
    def calls(self) -> Mapping[Key, GridEvent]:
        """Every call that is remembered, taken-back ones included."""
        return self._calls

    def take(self, message: GridEvent) -> Taken:
        """Take a message, and say what it changed. A change is on disk before this returns.

        Raises:
            InputError: it cannot be written; the message is not taken, and may come again.
        """
        taken = self._judge(message)
        if taken.outcome in CHANGES:
            before = dict(self._calls)
            self._calls[message.key] = message
            self._forget()
            try:
                self._keep()
            except InputError:
                self._calls = before
                raise
        if self._listen is not None:
            self._listen(taken)
        return taken

    def take_back_absent(self, source: str, present: set[str]) -> list[Taken]:
        """Take back the calls of a source that it no longer lists; return what changed.

        One that is listed again later stands again.

        Args:
            source: the source, which has just listed all its calls.
            present: their uids.
        """
        now = self.now()
        return [
            self.take(call.model_copy(update={"cancelled": True, "absent": True, "received": now}))
            for call in list(self._calls.values())
            if call.source == source
            and call.uid not in present
            and not call.cancelled
            and not _over(call, now)
        ]

    def events(self) -> tuple[Event, ...]:
        """Return what is asked from now on, by start; tests and taken-back calls are not in it.

        Starts are put off by the random delay of their call. An event that has begun is in it until
        it ends.
        """
        now = self.now()
        asked = [
            delayed
            for call in self._calls.values()
            if not call.cancelled and not call.test
            for delayed in self._delayed(call)
            if end(delayed) > now
        ]
        return tuple(sorted(asked, key=lambda event: (event.start, event.id)))

    def delay_s(self, call: GridEvent) -> float:
        """Return the random delay of a call's start in seconds, uniform in 0 to ``randomize_s``."""
        digest = hashlib.sha256("\0".join((self._site, *call.key)).encode()).digest()
        return call.randomize_s * int.from_bytes(digest[:7], "big") / 2**56

    def _delayed(self, call: GridEvent) -> list[Event]:
        if call.randomize_s == 0.0:
            return list(call.events)
        delay = timedelta(seconds=self.delay_s(call))
        return [event.model_copy(update={"start": event.start + delay}) for event in call.events]

    def _judge(self, message: GridEvent) -> Taken:
        known = self._calls.get(message.key)
        if known is None:
            return Taken(self._judge_unknown(message), message)
        if message.revision < known.revision:
            return Taken("outdated", known)
        if message.same_as(known):
            return Taken("repeated", known)
        if message.revision == known.revision and not (message.absent or known.absent):
            return Taken("conflict", known)
        return Taken("cancelled" if message.cancelled else "modified", message)

    def _judge_unknown(self, message: GridEvent) -> Outcome:
        if message.cancelled:
            return "cancelled"  # remembered: what it takes back may come after it
        if _over(message, self.now()):
            return "over"
        return "full" if len(self._calls) >= KEPT_CALLS else "new"

    def _forget(self) -> None:
        horizon = self.now() - KEPT
        for key, call in list(self._calls.items()):
            last = max((end(event) for event in call.events), default=call.received)
            if max(last, call.received) < horizon:
                del self._calls[key]

    def _keep(self) -> None:
        if self._path is not None:
            kept = InboxFile(calls=tuple(self._calls.values()))
            write_atomically(self._path, kept.to_json() + "\n")


def _over(message: GridEvent, now: datetime) -> bool:
    latest = timedelta(seconds=message.randomize_s)
    return all(end(event) + latest <= now for event in message.events)
