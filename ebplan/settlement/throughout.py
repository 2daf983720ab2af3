"""The readings of a stretch of time that was measured without a gap."""

from __future__ import annotations

from datetime import datetime

from ebplan.errors import InputError
from ebplan.settlement.series import SAME_TIME_S, MeterSeries


def measured_throughout(
    series: MeterSeries, begin: datetime, end: datetime, *, field: str
) -> MeterSeries:
    """Return the intervals that lie wholly between two times.

    Intervals that stand across one of the two times are not among them.

    Args:
        series: the series.
        begin: from when.
        end: until when.
        field: who needs it, for the error.

    Raises:
        InputError: there is a gap, or no whole interval.
    """
    fault = InputError(
        field=field,
        value=f"a gap between {begin.isoformat()} and {end.isoformat()}",
        allowed=f"a time measured throughout, with an interval of {series.interval_s:g} s in it",
        remedy="choose another time, or give a history without the gap",
        file=series.file,
    )
    low_s, high_s = series.seconds(begin), series.seconds(end)
    touched = (series.time_s + series.interval_s > low_s + SAME_TIME_S) & (
        series.time_s < high_s - SAME_TIME_S
    )
    at_s = series.time_s[touched]
    if (
        not len(at_s)
        or at_s[0] > low_s + SAME_TIME_S
        or at_s[-1] + series.interval_s < high_s - SAME_TIME_S
        or len(at_s) != round((at_s[-1] - at_s[0]) / series.interval_s) + 1
    ):
        raise fault
    try:
        return series.between(begin, end)
    except InputError:
        raise fault from None
