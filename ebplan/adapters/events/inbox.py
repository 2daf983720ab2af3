"""The inbox: it alone decides what a message changes, so that each call is answered once.

The same message may come twice, by two ways, after a restart, or after a later one. A call is
known by its source and uid; of two revisions the higher counts; a repeated one changes nothing; one
that was taken back stays so until a later revision asks again. In whatever order the revisions of a
call come, before or after what they ask is past, it ends as the highest has it. Which random delay
a call gets follows from its name: it is the same after a restart and through all revisions.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from ebplan.adapters.events.grid_event import GridEvent, Key, end, later
from ebplan.adapters.only_one import only_one
from ebplan.document import Document, FieldFault, Part, Timestamp, read_json, write_atomically
from ebplan.errors import InputError
from ebplan.event import Event

log = logging.getLogger("ebplan.events.inbox")

Outcome = Literal[
    "new", "modified", "cancelled", "repeated", "outdated", "conflict", "over", "full"
]
"""What a message changed. ``outdated``: a later revision is known; ``conflict``: the same revision
asked another thing before, and that stands; ``over``: all that it asks is past, and nothing stood
before; ``full``: as much of this source is known as can be remembered."""

CHANGES: frozenset[Outcome] = frozenset({"new", "modified", "cancelled"})
KEPT = timedelta(days=7)
"""So long after the latest end that any of its revisions asked a call is remembered; a copy of one
of them that comes later is over anyway."""
KEPT_CALLS = 2_000
"""Most calls of one source that are remembered at a time; one of several events counts as so many.
One more takes the place of what is past for longest; where nothing is past it is refused. So no
source crowds out another, and its share of the file stays about 2 MB, written in about 30 ms."""


@dataclass(frozen=True)
class Taken:
    """What became of a message."""

    outcome: Outcome
    """What it changed."""
    message: GridEvent
    """The call as it stands now; for ``conflict`` and ``outdated`` the one that stays."""

    def __str__(self) -> str:
        call = self.message
        line = f"{call.source}: {call.uid} revision {call.revision}: {self.outcome}"
        # what a sender says is shown in one line, whatever is in it
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class Note(Part):
    """What the last revision of a call does not tell of it."""

    source: str
    """Of whom the call is."""
    uid: str
    """What they call it."""
    until: Timestamp
    """Latest end that any of its revisions asked."""
    late: bool = False
    """Whether it never stood, because all that it asks was past when it came."""


class InboxFile(Document):
    """The inbox on disk."""

    kind: Literal["inbox"] = "inbox"
    calls: tuple[GridEvent, ...] = ()
    """Every call that is remembered, as it stands, in the order in which they became known."""
    notes: tuple[Note, ...] = ()
    """Of the calls of which there is more to remember."""

    @model_validator(mode="after")
    def _each_call_once(self) -> InboxFile:
        known: set[Key] = set()
        for n, call in enumerate(self.calls):
            if call.key in known:
                raise FieldFault(
                    field=f"calls.{n}.uid",
                    value=call.uid,
                    allowed=f"each call of {call.source} once",
                    remedy="keep the one with the highest revision",
                )
            known.add(call.key)
        return self


class Inbox:
    """Calls of the grid as they stand. It belongs to one event loop and is not thread-safe.

    Args:
        path: file in which it survives a restart; without, it is in memory only.
        site: name of the site; with the call's it gives the random delay of the start.
        now: the wall clock.
        listen: called once with what became of each message, e.g. to write the audit log. If it
            fails, that is logged: what was taken stands, and a sender's repeating it would not
            tell it again.

    Raises:
        InputError: the file is there and cannot be read, or the clock has no zone.
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
        if (moment := self.now()).utcoffset() is None:
            raise InputError(
                field="now",
                value=moment.isoformat(),
                allowed="a clock whose times have a zone",
                remedy="use datetime.now(UTC)",
            )
        self._lock: int | None = None
        self._subscribed: list[Callable[[], None]] = []
        self._calls: dict[Key, GridEvent] = {}
        self._notes: dict[Key, Note] = {}
        self._read()

    def _read(self) -> None:
        if self._path is not None and self._path.exists():
            kept = InboxFile.parse(read_json(self._path), file=str(self._path))
            self._notes = {(note.source, note.uid): note for note in kept.notes}
            self._calls = {call.key: call for call in kept.calls}

    def hold(self) -> None:
        """Let no other process use the file until ``close``, or until this one ends.

        The file is read again: whoever had it before may have written to it since.

        Raises:
            InputError: another one does, or it cannot be read, or its folder cannot be written to.
        """
        if self._path is None or self._lock is not None:
            return
        try:
            self._lock = only_one(self._path)
        except OSError as error:
            raise InputError(
                field="(inbox)",
                value=error.strerror,
                allowed="one process at a time, and a folder that it may write to",
                remedy="end the other one (ebplan run, ebplan listen), or name another inbox",
                file=str(self._path),
            ) from None
        try:
            self._read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another process use the file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def calls(self) -> Mapping[Key, GridEvent]:
        """Every call that is remembered, taken-back ones included."""
        return self._calls

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` after each message that changed something; return what ends that."""
        self._subscribed.append(changed)
        return lambda: self._subscribed.remove(changed)

    def take(self, message: GridEvent) -> Taken:
        """Take a message, and say what it changed. A change is on disk before this returns.

        Raises:
            InputError: it cannot be written; the message is not taken, and may come again.
        """
        asked_until = _last(message)
        known = self._calls.get(message.key)
        if known is not None and message.cancelled:
            # Which ids are in use is seen by what was asked; of what is not carried out no more
            # needs to be kept.
            message = message.model_copy(update={"events": known.events})
        taken = self._judge(message, known)
        self._remember(taken, message, asked_until)
        self._tell(taken)
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
        it ends. No two have the same id: where calls use the same, the one that was known first
        keeps it, and the id of another is followed by its source and uid.
        """
        now = self.now()
        asked = [event for _, event in self._asked() if end(event) > now]
        return tuple(sorted(asked, key=lambda event: (event.start, event.id)))

    def sender_of(self, event_id: str) -> Key | None:
        """Return the call that an event of ``events`` is of; None where it no longer stands."""
        return next((key for key, event in self._asked() if event.id == event_id), None)

    def priorities(self) -> dict[str, int | None]:
        """Return how the sender of each event of ``events`` ranks it, by event id."""
        return {event.id: self._calls[key].priority for key, event in self._asked()}

    def _asked(self) -> Iterator[tuple[Key, Event]]:
        """Yield every event that was not taken back, over or not, under the id it is shown by."""
        owners: dict[str, tuple[Key, str]] = {}
        for call in self._calls.values():
            # Calls taken back or over keep their ids too: no id changes owners while it is known.
            ids = [_own_id(event.id, call.key, owners) for event in call.events]
            if call.cancelled or call.test:
                continue
            for shown, event in zip(ids, self._delayed(call), strict=True):
                same = shown == event.id
                yield call.key, event if same else event.model_copy(update={"id": shown})

    def delay_s(self, call: GridEvent) -> float:
        """Return the random delay of a call's start in seconds, uniform in 0 to ``randomize_s``."""
        digest = hashlib.sha256("\0".join((self._site, *call.key)).encode()).digest()
        return call.randomize_s * int.from_bytes(digest[:7], "big") / 2**56

    def _delayed(self, call: GridEvent) -> list[Event]:
        if call.randomize_s == 0.0:
            return list(call.events)
        delay_s = self.delay_s(call)
        return [
            event.model_copy(update={"start": later(event.start, delay_s)}) for event in call.events
        ]

    def _judge(self, message: GridEvent, known: GridEvent | None) -> Taken:
        if known is None:
            return Taken(self._judge_unknown(message), message)
        late = self._late(message.key)
        if message.revision < known.revision:
            return Taken("outdated", known)
        if message.same_as(known):
            # A higher number is remembered, so that what came between the two does not count.
            latest = message if message.revision > known.revision else known
            return Taken("over" if late else "repeated", latest)
        if message.revision == known.revision and not (message.absent or known.absent):
            return Taken("conflict", known)
        if message.cancelled:
            return Taken("cancelled", message)
        if (known.cancelled or late) and _over(message, self.now()):
            return Taken("over", message)
        if self._room_for(message) is None:
            return Taken("full", known)
        return Taken("new" if late else "modified", message)

    def _judge_unknown(self, message: GridEvent) -> Outcome:
        if not message.cancelled and _over(message, self.now()):
            return "over"  # remembered all the same: an earlier revision may come after it
        if self._room_for(message) is None:
            return "full"
        # One that is taken back is remembered: what it takes back may come after it.
        return "cancelled" if message.cancelled else "new"

    def _remember(self, taken: Taken, message: GridEvent, asked_until: datetime) -> None:
        """Write what is known now, where that is more than before."""
        key = message.key
        known, note = self._calls.get(key), self._notes.get(key)
        counts = taken.message is message and taken.outcome != "full"
        room = self._room_for(message)
        if (known is None and not counts) or (counts and room is None):
            return  # of what is over nothing is lost
        gone = {*self._forgotten(), *((room or ()) if counts else ())}
        calls = {k: call for k, call in self._calls.items() if k not in gone}
        if counts:
            if known is not None and not known.events:
                calls.pop(key, None)  # its ids are new: others that have them keep them
            calls[key] = message
        elif key in gone:
            return
        ends = [asked_until] if known is None else [asked_until, self._until(key)]
        late = taken.outcome == "over" if counts else self._late(key)
        new: Note | None = Note(source=message.source, uid=message.uid, until=max(ends), late=late)
        if not late and max(ends) <= _last(calls[key]):
            new = None
        if not counts and new == note:
            return
        notes = {k: n for k, n in self._notes.items() if k in calls and k != key}
        if new is not None:
            notes[key] = new
        self._keep(calls, notes)
        self._calls.clear()
        self._calls.update(calls)
        self._notes = notes

    def _late(self, key: Key) -> bool:
        note = self._notes.get(key)
        return note is not None and note.late

    def _until(self, key: Key) -> datetime:
        """Return until when a copy of a call that is known may ask something."""
        last, note = _last(self._calls[key]), self._notes.get(key)
        return last if note is None else max(last, note.until)

    def _forgotten(self) -> list[Key]:
        """Return the calls that may be forgotten."""
        horizon = self.now() - KEPT
        return [key for key in self._calls if self._until(key) < horizon]

    def _room_for(self, message: GridEvent) -> list[Key] | None:
        """Return which calls make room for a message; None where that is not enough."""
        source, now, room = message.source, self.now(), list[Key]()
        others = [key for key in self._calls if key[0] == source and key != message.key]
        excess = sum(_size(self._calls[key]) for key in others) + _size(message) - KEPT_CALLS
        if excess <= 0:
            return room
        # What was taken back before it was heard has no end that could be past.
        past = [key for key in others if self._calls[key].events and self._until(key) <= now]
        for key in [*self._forgotten(), *sorted(past, key=self._until)]:
            if excess > 0 and key in others and key not in room:
                room.append(key)
                excess -= _size(self._calls[key])
        return room if excess <= 0 else None

    def _keep(self, calls: Mapping[Key, GridEvent], notes: Mapping[Key, Note]) -> None:
        if self._path is not None:
            kept = InboxFile(calls=tuple(calls.values()), notes=tuple(notes.values()))
            write_atomically(self._path, kept.to_json() + "\n", durable=True)

    def _tell(self, taken: Taken) -> None:
        if self._listen is not None:
            try:
                self._listen(taken)
            except Exception:
                log.exception("what became of a message could not be told: %s", taken)
        if taken.outcome in CHANGES:
            for changed in tuple(self._subscribed):
                try:
                    changed()
                except Exception:
                    log.exception("a change could not be told: %s", taken)


def _own_id(wanted: str, key: Key, owners: dict[str, tuple[Key, str]]) -> str:
    """Return an id that nothing else has, and note whose it is."""
    shown, n = wanted, 1
    while owners.setdefault(shown, (key, wanted)) != (key, wanted):
        shown = f"{wanted} ({key[0]} {key[1]})" + (f" {n}" if n > 1 else "")
        n += 1
    return shown


def _size(call: GridEvent) -> int:
    return max(1, len(call.events))


def _last(call: GridEvent) -> datetime:
    """Return when the last of a call is past: its end, or its coming if that was later."""
    ends = [later(end(event), call.randomize_s) for event in call.events]
    return max([call.received, *ends])


def _over(message: GridEvent, now: datetime) -> bool:
    return all(later(end(event), message.randomize_s) <= now for event in message.events)
