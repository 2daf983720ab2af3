"""Which days are alike: working days and others, holidays, days to leave out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ebplan.document import read_text
from ebplan.errors import InputError
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.window import DAY_S

SATURDAY = 5
HALF_HOUR_S = 1800.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class DayCalendar:
    """Working days and others, as the clock on the wall has them."""

    holidays: frozenset[date] = frozenset()
    """Days that count as weekends."""
    left_out: frozenset[date] = frozenset()
    """Days of other events, and others that no baseline may be made from."""
    zone: tzinfo | None = None
    """Whose days they are; the zone of the event where absent."""

    @classmethod
    def of_event(
        cls,
        start: datetime,
        duration_s: float,
        *,
        holidays: Iterable[date] = (),
        others: Iterable[date] = (),
        zone: tzinfo | None = None,
    ) -> DayCalendar:
        """Return the calendar of an event: no baseline is made from the days that it touches.

        Args:
            start: its start, with its zone.
            duration_s: its length, > 0.
            holidays: days that count as weekends.
            others: days of other events.
            zone: whose days they are; the zone of ``start`` where absent.
        """
        clock = zone or start.tzinfo
        # an event that ends at midnight does not touch the day that begins there
        last = start + timedelta(seconds=duration_s) - timedelta(microseconds=1)
        first_day, last_day = (moment.astimezone(clock).date() for moment in (start, last))
        own = (first_day + timedelta(days=i) for i in range((last_day - first_day).days + 1))
        return cls(frozenset(holidays), frozenset([*own, *others]), zone)

    def is_working(self, day: date) -> bool:
        """Whether a day is a working day."""
        return day.weekday() < SATURDAY and day not in self.holidays

    def kind(self, day: date) -> str:
        """Return the kind of a day in words."""
        return "working day" if self.is_working(day) else "weekend or holiday"

    def zone_of(self, history: MeterSeries, moment: datetime) -> tzinfo:
        """Return whose days are meant.

        Raises:
            InputError: no zone is given, and the event's offset is not that of the series, so
                that a clock may have been changed in between.
        """
        if self.zone is not None:
            return self.zone
        own, theirs = moment.utcoffset(), history.start.utcoffset()
        if own != theirs:
            raise InputError(
                field="zone",
                value=f"an event at {_offset(own)}, a series that begins at {_offset(theirs)}",
                allowed="one offset, or a zone that says when its clocks change",
                remedy=f"give it: --zone Europe/Berlin, or --zone {_offset(own)} where no clock "
                "changes",
                file=history.file,
            )
        return timezone(own or timedelta())

    def localised(self, wall: datetime, zone: tzinfo) -> datetime | None:
        """Return the moment of a time on the wall; none where a clock change skips it."""
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        return moment if moment.astimezone(zone).replace(tzinfo=None) == wall else None


def wall_clock(history: MeterSeries, zone: tzinfo) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the day of each interval, as its ordinal, and its seconds since midnight, both (n,).

    The offset of a zone is looked up each half-hour: clocks change on these.
    """
    since_s = (history.start - _EPOCH).total_seconds() + history.time_s
    if (fixed := zone.utcoffset(None)) is not None:
        offset_s = np.full(len(history), fixed.total_seconds())
    else:
        half_hours, where = np.unique(np.floor(since_s / HALF_HOUR_S), return_inverse=True)
        offset_s = np.array([_offset_s(zone, HALF_HOUR_S * k) for k in half_hours.tolist()])[where]
    days, seconds = np.divmod(since_s + offset_s, DAY_S)
    return days.astype(np.intp) + _EPOCH.toordinal(), seconds


def _offset_s(zone: tzinfo, since_s: float) -> float:
    offset = (_EPOCH + timedelta(seconds=since_s)).astimezone(zone).utcoffset()
    return (offset or timedelta()).total_seconds()


def parse_zone(text: str, *, field: str = "--zone") -> tzinfo:
    """Return a zone from its name (``Asia/Tokyo``) or its offset (``+09:00``).

    Raises:
        InputError: it is neither.
    """
    try:
        if text.startswith(("+", "-")):
            offset = datetime.fromisoformat(f"2000-01-01T00:00:00{text}").utcoffset()
            return timezone(offset or timedelta())
        return ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        raise InputError(
            field=field,
            value=text,
            allowed="a name like Asia/Tokyo, or an offset like +09:00",
            remedy="correct it; where no zones are installed: pip install tzdata",
        ) from None


def parse_day(text: str, *, field: str, file: str | None = None) -> date:
    """Return a day from ``YYYY-MM-DD``.

    Raises:
        InputError: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(
            field=field,
            value=text,
            allowed="a day as YYYY-MM-DD",
            remedy="correct it",
            file=file,
        ) from None


def read_days(path: Path) -> frozenset[date]:
    """Read days from a file: one a line, first in the line; ``#`` begins a remark.

    Raises:
        InputError: the file cannot be read, or a line begins with no day.
    """
    days = set()
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        text = line.partition("#")[0].partition(",")[0].strip()
        if text:
            days.add(parse_day(text, field=f"line {number}", file=str(path)))
    return frozenset(days)


def _offset(offset: timedelta | None) -> str:
    return datetime(2000, 1, 1, tzinfo=timezone(offset or timedelta())).isoformat()[-6:]
