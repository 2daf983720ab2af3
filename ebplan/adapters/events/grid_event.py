"""What a source heard: one call of the grid at one revision, in ebplan's own words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, NonNegative, Timestamp
from ebplan.event import Event

Key = tuple[str, str]
"""Source and uid: what a call is known by through all its revisions."""
HIGHEST = 2**53 - 1
"""Highest revision: whole numbers are exact up to there in every JSON. Only a call that is taken
back has it, so that each one that asks something can be taken back."""


class GridEvent(Document):
    """One call of the grid as its sender has it now.

    A call of several intervals holds an event for each. A call is taken back by a later revision
    that is ``cancelled``.
    """

    kind: Literal["grid_event"] = "grid_event"
    source: Annotated[str, Field(min_length=1, max_length=200)]
    """Who sent it, as this site calls them."""
    uid: Annotated[str, Field(min_length=1, max_length=200)]
    """What the sender calls it, the same through all revisions."""
    revision: Annotated[int, Field(ge=0, le=HIGHEST)] = 0
    """Grows with each change; only compared with numbers of the same sender and call, so that no
    clock of theirs is ever compared with ours."""
    issued: Timestamp | None = None
    """When the sender made this revision, by its own clock."""
    received: Timestamp
    """When it came here."""
    cancelled: bool = False
    """Whether it is taken back."""
    absent: bool = False
    """Whether it is taken back because its sender lists it no longer; listed again, it stands."""
    test: bool = False
    """Whether it is only a test of the line: answered, never carried out."""
    priority: Annotated[int, Field(ge=0)] | None = None
    """How the sender ranks its calls for the same time, the lower number first: of calls that stand
    at once the controller answers that one, and of the same rank the one that began last. A call
    without a rank stands behind those that have one."""
    randomize_s: NonNegative = 0.0
    """The start is put off by a random share of this, so that not all sites move at once."""
    events: Annotated[tuple[Event, ...], Field(max_length=1000)] = ()
    """What is asked, in order of time; none where it is taken back."""

    @model_validator(mode="after")
    def _asks_or_is_taken_back(self) -> GridEvent:
        if not self.events and not self.cancelled:
            raise FieldFault(
                field="events",
                value=[],
                allowed="at least one event, or cancelled = true",
                remedy="add what is asked",
            )
        if self.revision == HIGHEST and not self.cancelled:
            raise FieldFault(
                field="revision",
                value=self.revision,
                allowed=f"up to {HIGHEST - 1} for what asks something: the next one takes it back",
                remedy="count from 0, or number by time in microseconds",
            )
        ids = [event.id for event in self.events]
        if len(set(ids)) < len(ids):
            raise FieldFault(
                field="events",
                value=next(i for i in ids if ids.count(i) > 1),
                allowed="ids of their own",
                remedy="give each event another id",
            )
        for n, event in enumerate(self.events):
            try:
                event.start.astimezone(UTC)
                later(end(event), self.randomize_s).astimezone(UTC)
            except OverflowError:
                raise FieldFault(
                    field=f"events.{n}.duration_s",
                    value=event.duration_s,
                    allowed="a start, and an end with randomize_s, in the years 1 to 9999",
                    remedy="correct the start, the duration or randomize_s",
                ) from None
        starts = [event.start for event in self.events]
        for n in range(1, len(starts)):
            if starts[n] < end(self.events[n - 1]):
                raise FieldFault(
                    field=f"events.{n}.start",
                    value=starts[n].isoformat(),
                    allowed=f"from the end of the one before on, {end(self.events[n - 1])}",
                    remedy="sort the intervals and let them not overlap",
                )
        return self

    @model_validator(mode="after")
    def _absent_is_taken_back(self) -> GridEvent:
        if self.absent and not self.cancelled:
            raise FieldFault(
                field="absent",
                value=True,
                allowed="only with cancelled = true",
                remedy="leave it out",
            )
        return self

    @property
    def key(self) -> Key:
        """What it is known by."""
        return self.source, self.uid

    def same_as(self, other: GridEvent) -> bool:
        """Whether both ask the same; when they came does not matter."""
        apart = {"received", "issued", "revision"}
        return self.model_dump(exclude=apart) == other.model_dump(exclude=apart)


def end(event: Event) -> datetime:
    """Return when an event ends."""
    return later(event.start, event.duration_s)


def later(moment: datetime, by_s: float) -> datetime:
    """Return the moment so many seconds later, at the same offset from UTC.

    A zone that changes its clocks would add hours of the clock, not seconds.

    Raises:
        OverflowError: it lies past the year 9999.
    """
    offset = moment.utcoffset()
    assert offset is not None, "a Timestamp has a zone"
    return moment.replace(tzinfo=timezone(offset)) + timedelta(seconds=by_s)
