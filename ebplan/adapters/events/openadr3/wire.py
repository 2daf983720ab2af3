"""Messages of the server as they are read: what 3.0.1 and 3.1 write, fields unknown to us ignored.

toadr3's own models are not used to read: they know 3.0.1 only (3.1 writes targets as plain texts
and leaves out the start of an interval that follows another), and its calls refuse a whole list for
one event that they cannot read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from ebplan.document import FieldFault, Part, Timestamp

NOW = ("0001-01-01", "0000-00-00", "0000-01-01")
"""A start that begins so means now: Definition 3.1, and before it 3.0.1."""
ENDLESS = "P9999Y"
"""A duration without an end (Definition, intervalPeriod)."""
_DURATION = TypeAdapter(timedelta)

Endless = Literal["P9999Y"]


def _moment(value: object) -> object:
    if isinstance(value, str) and value.startswith(NOW):
        return datetime.min.replace(tzinfo=UTC)
    return value


def _seconds(value: object) -> object:
    """Read an ISO 8601 duration in seconds; years and months have no fixed length and are refused.

    The other texts that pydantic takes for a duration are refused as well.
    """
    if value is None or value == ENDLESS:
        return value
    text = value if isinstance(value, str) else ""
    try:
        if not text.startswith("P") or set(text.partition("T")[0]) & {"Y", "M"}:
            raise ValueError
        return _DURATION.validate_python(text).total_seconds()
    except (ValueError, ValidationError, OverflowError):
        raise FieldFault(
            field="",
            value=value,
            allowed=f"an ISO 8601 duration in weeks, days, hours, minutes, seconds, or {ENDLESS}",
            remedy="write it so: years and months have no fixed length",
        ) from None


Moment = Annotated[Timestamp, BeforeValidator(_moment)]
"""A time; ``datetime.min`` for now."""
Duration = Annotated[Endless | Annotated[float, Field(ge=0.0, le=1e11)], BeforeValidator(_seconds)]
"""In seconds, or without an end."""
ObjectId = Annotated[str, Field(pattern="^[a-zA-Z0-9_-]+$", max_length=128)]


class WirePart(Part, extra="ignore"):
    """A piece of a message."""


class Period(WirePart):
    """``intervalPeriod``."""

    start: Moment | None = None
    duration: Duration | None = None
    randomizeStart: Duration | None = None


class ValuesMap(WirePart):
    """``valuesMap``."""

    type: Annotated[str, Field(min_length=1, max_length=128)]
    values: tuple[object, ...]


class Interval(WirePart):
    """``interval``."""

    id: int = 0
    intervalPeriod: Period | None = None
    payloads: tuple[ValuesMap, ...] = ()


class PayloadDescriptor(WirePart):
    """``eventPayloadDescriptor``."""

    payloadType: str
    units: str | None = None
    currency: str | None = None


class ReportDescriptor(WirePart):
    """``reportDescriptor``: a report that is asked for."""

    payloadType: str
    readingType: str | None = None
    units: str | None = None


class WireEvent(WirePart):
    """``event``."""

    id: ObjectId
    programID: ObjectId
    createdDateTime: Timestamp | None = None
    modificationDateTime: Timestamp | None = None
    priority: Annotated[int, Field(ge=0)] | None = None
    targets: tuple[ValuesMap | str, ...] | None = None
    reportDescriptors: tuple[ReportDescriptor, ...] | None = None
    payloadDescriptors: tuple[PayloadDescriptor, ...] | None = None
    intervalPeriod: Period | None = None
    intervals: Annotated[tuple[Interval, ...], Field(max_length=1000)] | None = None
    duration: Duration | None = None
    """3.1: how long the intervals go on; longer than they are, they begin anew."""

    @property
    def changed(self) -> datetime | None:
        """When the server made this revision, by its own clock."""
        return self.modificationDateTime or self.createdDateTime


class WireProgram(WirePart):
    """``program``; 3.0.1 and 3.1 tell more of it than is needed here."""

    id: ObjectId
    programName: str
    payloadDescriptors: tuple[PayloadDescriptor, ...] | None = None
