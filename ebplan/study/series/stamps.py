"""Times of a file become seconds of UTC, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from ebplan.models.fit.table import Row, Table
from ebplan.solvers.program import FloatArray
from ebplan.study.series.declared import TimedFile


def utc_seconds(table: Table, declared: TimedFile) -> tuple[FloatArray, int]:
    """Return the beginning of each row's step in seconds since 1970, and how many were ambiguous.

    Raises:
        InputError: a cell is no time, or a wall clock shows it on no day.
    """
    zone = ZoneInfo(declared.time_zone)
    found, ambiguous = np.empty(len(table.rows)), 0
    before = -np.inf
    for i, row in enumerate(table.rows):
        moment = _moment(row, declared)
        if declared.slot is not None:
            at = _from_midnight(row, moment, declared, zone)
        elif moment.utcoffset() is not None:
            at = moment.timestamp()
        else:
            first, second = _both(row, moment, declared, zone)
            # the clocks are put back: the hour that comes twice is told apart by its order
            at = first if first > before else second
            ambiguous += first != second
        found[i] = before = at
    if declared.stamp == "end":
        found -= declared.step_s
    return found, ambiguous


def _moment(row: Row, declared: TimedFile) -> datetime:
    cell = row.text(declared.time).replace("/", "-")
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        raise row.fault(
            declared.time, cell, "ISO 8601, e.g. 2026-04-01T00:00", "correct the cell"
        ) from None


def _from_midnight(row: Row, day: datetime, declared: TimedFile, zone: ZoneInfo) -> float:
    """Return midnight and so many steps: the 23 or 25 h of a day are counted as they pass."""
    assert declared.slot is not None
    number = row.positive(declared.slot)
    midnight = datetime.combine(day.date(), datetime.min.time(), zone)
    after = datetime.combine(day.date() + timedelta(days=1), datetime.min.time(), zone)
    length_s = after.timestamp() - midnight.timestamp()
    offset = (number - 1.0) * declared.step_s
    if number != round(number) or offset >= length_s:
        raise row.fault(
            declared.slot,
            row.cells[declared.slot],
            f"1 to {length_s / declared.step_s:g} on {day.date()} in {declared.time_zone}",
            "correct the cell, or step_s",
        )
    return midnight.timestamp() + offset


def _both(row: Row, moment: datetime, declared: TimedFile, zone: ZoneInfo) -> tuple[float, float]:
    """Return the two times that a wall clock shows the same, equal where it does so once."""
    first, second = (moment.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first > second or datetime.fromtimestamp(first, zone).replace(tzinfo=None) != moment:
        raise row.fault(
            declared.time,
            row.cells[declared.time],
            f"a time that the clocks of {declared.time_zone} show: they are put forward over it",
            "name the zone of the file (a file in UTC, or without summer time?)",
        )
    return first, second


def iso(seconds: float) -> str:
    """Return a time in UTC as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
