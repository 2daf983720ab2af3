"""What is heard of events, by list or by notification, and what of it the inbox is told.

Three things must not go wrong when both ways run side by side: an event that was notified after the
list was asked for is not absent from it; a list that was read in pages may have skipped one, so
that it must be absent twice; and a notification of a deletion carries the last revision, so that
the taking-back is given the next one.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from ebplan.adapters.events.grid_event import HIGHEST, GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr3.mapping import (
    Mapped,
    Program,
    family,
    map_event,
    microseconds,
    parse_event,
)
from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec
from ebplan.adapters.events.openadr3.wire import ObjectId, WireEvent, WirePart
from ebplan.errors import InputError

log = logging.getLogger("ebplan.events.openadr3")

REFUSALS = 200
"""Lines that are remembered."""
CREATED = frozenset({"POST", "PUT", "CREATE", "UPDATE"})
DELETED = "DELETE"
"""3.0.1 names operations by HTTP verbs, 3.1 by what they do."""


class _Named(WirePart):
    id: ObjectId


class Hearing:
    """Events of one server on their way to the inbox.

    Args:
        spec: what the site says.
        inbox: where calls go.
        now: the wall clock.
    """

    def __init__(self, spec: OpenAdr3Spec, inbox: Inbox, now: Callable[[], datetime]) -> None:
        self._spec, self._inbox, self._now = spec, inbox, now
        self.programs: dict[str, Program] = {}
        """Programs of the site by id, as far as they are known."""
        self.events: dict[str, WireEvent] = {}
        """Events as last heard, by id."""
        self.refused: deque[str] = deque(maxlen=REFUSALS)
        """Lines about what was not understood, the latest last."""
        self._missing: set[str] = set()
        self._told = 0
        self._told_of: dict[str, int] = {}

    # --- lists ------------------------------------------------------------------------------

    def mark(self) -> int:
        """Return a mark to hand to ``hear_list``; it is taken before the list is asked for."""
        return self._told

    def hear_list(
        self, listed: Iterable[object], *, pages: int, since: int, whole: bool = True
    ) -> None:
        """Take a list of events, and take back what is no longer on it.

        Args:
            listed: all events of all programs of the site.
            pages: pages it was read in, the most of any program.
            since: the mark taken before it was asked for.
            whole: False where a program was not found: then nothing is known to be absent.
        """
        present: set[str] = set()
        for data in listed:
            present |= self._hear(data)
        if not whole:
            return
        calls = {c.uid: c for c in self._inbox.calls.values() if c.source == self._spec.name}
        later = {uid for uid in calls if self._told_of.get(family(uid), 0) > since}
        absent = {u for u, c in calls.items() if not c.cancelled} - present - later
        surely = absent if pages <= 1 else absent & self._missing
        self._missing = absent
        self._inbox.take_back_absent(self._spec.name, set(calls) - surely)
        self._forget(present | later)

    def _forget(self, kept: set[str]) -> None:
        ids = {family(uid) for uid in kept}
        self.events = {uid: event for uid, event in self.events.items() if uid in ids}
        self._told_of = {uid: at for uid, at in self._told_of.items() if uid in ids}

    # --- notifications ----------------------------------------------------------------------

    def hear_notification(self, told: Mapping[str, Any]) -> bool:
        """Take a notification; return whether the list should be asked for as well."""
        operation, data = told.get("operation"), told.get("object")
        if told.get("objectType") != "EVENT" or not isinstance(data, dict):
            return True
        if data.get("programID") not in self.programs:
            return not self.programs or "programID" not in data
        if operation == DELETED:
            return not self._deleted(data)
        if operation not in CREATED:
            return False
        self._mark(self._hear(data))
        return False

    def _mark(self, uids: Iterable[str]) -> None:
        self._told += 1
        for uid in uids:
            self._told_of[family(uid)] = self._told

    def _deleted(self, data: Mapping[str, Any]) -> bool:
        try:
            uid = _Named.parse(dict(data)).id
        except InputError as error:
            self._refuse(f"notification of a deletion: {error}")
            return False
        try:
            changed = parse_event(data).changed
        except InputError:  # what cannot be read can be taken back all the same
            changed = None
        last = 0 if changed is None else microseconds(changed)
        uids = {call.uid for call in self._known(uid)} or {uid}
        for each in uids:
            known = self._inbox.calls.get((self._spec.name, each))
            revision = max(last, known.revision if known is not None else 0) + 1
            if known is None or not known.cancelled or known.absent:
                self._take_back(each, revision)
        self.events.pop(uid, None)
        self._mark(uids)
        return True

    # --- one event --------------------------------------------------------------------------

    def _hear(self, data: object) -> set[str]:
        """Take an event; return the uids of the calls that stand in it, or could not be read.

        A revision that cannot be read changes nothing: what stood before it stands on.
        """
        if not isinstance(data, dict):
            self._refuse(f"event: got {type(data).__name__}; allowed: an object")
            return set()
        program = self.programs.get(str(data.get("programID")))
        if program is None:
            return set()
        shown = str(data.get("id"))[:128]
        try:
            event = parse_event(data)
            mapped = map_event(event, program, self._spec, received=self._now())
        except InputError as error:
            self._refuse(f"event {shown}: {error}")
            return {shown, *(call.uid for call in self._known(shown))}
        for line in mapped.refused:
            self._refuse(f"event {shown}: {line}")
        self.events[event.id] = event
        return self._take(mapped)

    def _take(self, mapped: Mapped) -> set[str]:
        for call in mapped.calls:
            self._inbox.take(call)
        taken = {call.uid for call in mapped.calls}
        if mapped.refused:  # of a payload that cannot be read now, what stood before stands on
            return taken | {call.uid for call in self._known(mapped.event.id)} | {mapped.event.id}
        changed = mapped.event.changed
        for call in self._known(mapped.event.id):
            if call.uid not in taken and not call.cancelled and changed is not None:
                self._take_back(call.uid, max(microseconds(changed), call.revision))
        return taken

    def _known(self, event_id: str) -> list[GridEvent]:
        """Return the calls that an event is known by."""
        return [
            call
            for (source, uid), call in self._inbox.calls.items()
            if source == self._spec.name and family(uid) == event_id
        ]

    def _take_back(self, uid: str, revision: int) -> None:
        known = self._inbox.calls.get((self._spec.name, uid))
        self._inbox.take(
            GridEvent(
                source=self._spec.name,
                uid=uid,
                revision=min(revision, HIGHEST),
                received=self._now(),
                cancelled=True,
                events=() if known is None else known.events,
            )
        )

    def _refuse(self, line: str) -> None:
        if line not in self.refused:  # it is listed at each poll, and said once
            log.warning("%s: %s", self._spec.name, line)
            self.refused.append(line)
