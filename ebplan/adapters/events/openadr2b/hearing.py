"""What becomes of each event that the server lists, and what it is answered."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox, Outcome
from ebplan.adapters.events.openadr2b.heard import HeardEvent
from ebplan.adapters.events.openadr2b.mapping import taken_back, to_grid_event
from ebplan.adapters.events.openadr2b.signals import SignalRefused
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec
from ebplan.adapters.events.openadr2b.targets import elsewhere
from ebplan.errors import InputError

LOG = logging.getLogger(__name__)

OK, OUT_OF_SEQUENCE, INVALID_DATA = 200, 450, 454
SIGNAL_NOT_SUPPORTED, TARGET_MISMATCH, OTHER_ERROR = 460, 462, 469
CODES: dict[Outcome, int] = {
    "new": OK,
    "modified": OK,
    "cancelled": OK,
    "repeated": OK,
    "outdated": OUT_OF_SEQUENCE,
    "conflict": OUT_OF_SEQUENCE,
    "over": INVALID_DATA,
    "full": OTHER_ERROR,
}
"""What the server is told of each outcome; with 200 we are in."""
WHY: dict[Outcome, str] = {
    "outdated": "a later revision is known",
    "conflict": "the same revision asked another thing before, and that stands",
    "over": "all that it asks is past by this site's clock",
    "full": "as many calls are known as can be remembered",
}


@dataclass(frozen=True)
class OptAnswer:
    """The answer to one event."""

    uid: str
    """The event."""
    revision: int
    """Its revision."""
    code: int
    """Response code of the profile."""
    why: str = ""
    """Why not, as the server is told."""

    @property
    def opt(self) -> Literal["optIn", "optOut"]:
        """Whether we take part."""
        return "optIn" if self.code == OK else "optOut"


class Hearing:
    """Hands events to the inbox, and answers each as it decided.

    Args:
        spec: what calls mean.
        inbox: where calls go.
    """

    def __init__(self, spec: OpenAdr2bSpec, inbox: Inbox) -> None:
        self._spec, self._inbox = spec, inbox
        self._logged: dict[str, str] = {}

    def hear(self, events: Sequence[HeardEvent], ven_id: str | None) -> list[OptAnswer]:
        """Take a whole list of events; return the answers that the server wants.

        Raises:
            InputError: the inbox cannot be written; what was not taken is not answered.
        """
        answers = []
        for event in events:
            answer = self._hear(event, ven_id)
            if answer is not None and event.answer == "always":
                answers.append(answer)
        if self._spec.absent == "cancelled":
            self._inbox.take_back_absent(self._spec.name, {event.uid for event in events})
        listed = {event.uid for event in events}
        self._logged = {uid: why for uid, why in self._logged.items() if uid in listed}
        return answers

    def _hear(self, event: HeardEvent, ven_id: str | None) -> OptAnswer | None:
        if event.status == "completed":
            self._end(event)
            return None  # the profile wants none
        other = elsewhere(event.targets, self._spec, ven_id)
        if other is not None:
            return self._refuse(event, TARGET_MISMATCH, other)
        try:
            call = to_grid_event(event, self._spec, self._inbox.now())
        except SignalRefused as error:
            return self._refuse(event, SIGNAL_NOT_SUPPORTED, error.line(), error.field)
        except InputError as error:
            return self._refuse(event, INVALID_DATA, error.line(), error.field)
        taken = self._inbox.take(call)
        if taken.outcome == "conflict" and call.cancelled:
            # a server that cancels without a new number means it all the same
            taken = self._inbox.take(taken_back(event, self._spec, self._inbox.now()))
        why = WHY.get(taken.outcome, "")
        if why:
            self._log(event, why)
        return OptAnswer(event.uid, event.revision, CODES[taken.outcome], why)

    def _refuse(self, event: HeardEvent, code: int, why: str, field: str = "") -> OptAnswer:
        """Stay out of an event; what an earlier revision of it asked no longer stands."""
        self._log(event, why)
        known = self._standing(event)
        if known is not None and known.revision <= event.revision:
            self._inbox.take(taken_back(event, self._spec, self._inbox.now()))
        # what this site has declared is no business of the server's
        said = f"not understood here: {field}" if field else why
        return OptAnswer(event.uid, event.revision, code, said)

    def _end(self, event: HeardEvent) -> None:
        """Let a call end that the server calls completed; one that is over anyway is unchanged."""
        if self._standing(event) is not None:
            present = {uid for source, uid in self._inbox.calls if source == self._spec.name}
            self._inbox.take_back_absent(self._spec.name, present - {event.uid})

    def _standing(self, event: HeardEvent) -> GridEvent | None:
        known = self._inbox.calls.get((self._spec.name, event.uid))
        return None if known is None or known.cancelled else known

    def _log(self, event: HeardEvent, why: str) -> None:
        """Log why we stay out, once for each reason."""
        line = f"revision {event.revision}: {why}"
        if self._logged.get(event.uid) != line:
            self._logged[event.uid] = line
            LOG.warning("%s: event %s %s", self._spec.name, event.uid, line)
