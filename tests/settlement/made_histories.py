"""Meter histories made for tests: half-hours in Japan, from a Monday on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import numpy as np

from ebplan.settlement.series import FloatArray, MeterSeries

TOKYO = timezone(timedelta(hours=9))
MONDAY = datetime(2026, 6, 1, tzinfo=TOKYO)


def days(
    count: int,
    kw: Callable[[int, FloatArray], FloatArray | float],
    start: datetime = MONDAY,
    interval_s: float = 1800.0,
    **others: FloatArray,
) -> MeterSeries:
    """Return a history: ``kw(day, hour)`` in each interval of each day."""
    per_day = round(86400.0 / interval_s)
    hour = np.arange(per_day) * interval_s / 3600.0
    values = [np.broadcast_to(kw(day, hour), hour.shape) for day in range(count)]
    return MeterSeries(
        start=start,
        interval_s=interval_s,
        time_s=interval_s * np.arange(count * per_day),
        values={"grid_kw": np.concatenate(values).astype(float), **others},
    )


def levels(*kw: float) -> MeterSeries:
    """Return a history with one level for each day."""
    return days(len(kw), lambda day, hour: kw[day] + 0.0 * hour)


def without(history: MeterSeries, begin: datetime, end: datetime) -> MeterSeries:
    """Return a history with a gap."""
    at = history.time_s
    low, high = history.seconds(begin), history.seconds(end)
    keep = (at < low) | (at >= high)
    return MeterSeries(
        start=history.start,
        interval_s=history.interval_s,
        time_s=at[keep],
        values={name: value[keep] for name, value in history.values.items()},
    )


def on(day: int, hour: float = 17.0) -> datetime:
    """Return a time on a day of a history; day 0 is a Monday."""
    return MONDAY + timedelta(days=day, hours=hour)
