"""A meter series: what a site drew, interval by interval, with its wall time.

Powers are means over an interval and stand at its beginning. An interval that was not measured is
not there: a gap, never a zero. Signs are those of every document: ``grid_kw > 0`` is drawn from the
grid, ``battery_kw > 0`` is discharge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.card import Excluded
from ebplan.site import MeasurementPoint

FloatArray = NDArray[np.float64]

GRID, BATTERY, POOL = "grid_kw", "battery_kw", "pool."
"""Names of the columns: the meter at the grid, the battery's, and the beginning of a pool's."""
SAME_TIME_S = 1e-6


@dataclass(frozen=True)
class MeterSeries:
    """Readings of the meters of a site, at one interval."""

    start: datetime
    """Beginning of the first interval, with its zone."""
    interval_s: float
    """Length of every interval."""
    time_s: FloatArray
    """Beginning of each interval in seconds since ``start``, rising, from 0 on, shape (n,)."""
    values: Mapping[str, FloatArray]
    """Columns by name, each of shape (n,): ``grid_kw`` always; ``battery_kw``, ``pool.NAME`` (kW)
    and others, such as ``load``, where they were measured."""
    measurement_point: MeasurementPoint = "connection_point"
    """Where powers are seen; only what is seen at the connection point is settled."""
    file: str = "(series)"
    """Where it came from, for errors and reports."""
    sha256: str = ""
    """Digest of that file; empty where there is none."""
    simulated: bool = False
    """Whether a plant of the bench was measured, and no real one."""
    excluded: tuple[Excluded, ...] = field(default=())
    """Rows that were left out, with the reason."""

    def __post_init__(self) -> None:
        """Refuse what is no series.

        Raises:
            InputError: a naive start, no readings, columns of other lengths or without a finite
                number, or times that do not rise by whole intervals.
        """
        if self.start.utcoffset() is None:
            raise self._fault("start", self.start, "a time with its zone", "add the UTC offset")
        # at a fixed offset: between two times of one zone, Python counts hours of the wall clock
        fixed = timezone(self.start.utcoffset() or timedelta())
        object.__setattr__(self, "start", self.start.astimezone(fixed))
        if GRID not in self.values:
            known = ", ".join(self.values) or None
            raise self._fault(GRID, known, "the meter at the grid", "map its column")
        if not len(self.time_s):
            raise self._fault("(rows)", 0, "one interval or more", "give readings")
        for name, value in self.values.items():
            if value.shape != self.time_s.shape or not np.isfinite(value).all():
                allowed = f"{len(self)} finite numbers"
                raise self._fault(name, value.shape, allowed, "leave out what was not measured")
        steps = np.diff(self.time_s) / self.interval_s
        if self.time_s[0] != 0.0 or (np.abs(steps - np.maximum(np.round(steps), 1.0)) > 1e-6).any():
            allowed = f"times from 0 s on that rise by whole intervals of {self.interval_s:g} s"
            raise self._fault("time_s", self.time_s[:3], allowed, "read it with read_meter")

    def __len__(self) -> int:
        """Return the number of intervals that were measured."""
        return len(self.time_s)

    @property
    def grid_kw(self) -> FloatArray:
        """Draw at the grid, shape (n,)."""
        return self.values[GRID]

    @property
    def battery_kw(self) -> FloatArray | None:
        """Battery power, > 0 is discharge, shape (n,); None where it has no meter."""
        return self.values.get(BATTERY)

    @property
    def pools_kw(self) -> dict[str, FloatArray]:
        """Draw of each pool that has a meter, each of shape (n,)."""
        return {k.removeprefix(POOL): v for k, v in self.values.items() if k.startswith(POOL)}

    @property
    def end_s(self) -> float:
        """End of the last interval in seconds since ``start``."""
        return float(self.time_s[-1] + self.interval_s)

    @property
    def end(self) -> datetime:
        """End of the last interval."""
        return self.moment(self.end_s)

    @property
    def gaps_s(self) -> tuple[tuple[float, float], ...]:
        """Stretches that were not measured, as (from, to) in seconds since ``start``."""
        at = np.flatnonzero(np.diff(self.time_s) > 1.5 * self.interval_s)
        return tuple(
            (float(self.time_s[i] + self.interval_s), float(self.time_s[i + 1])) for i in at
        )

    def column(self, name: str) -> FloatArray:
        """Return a column, shape (n,).

        Raises:
            InputError: it was not measured.
        """
        if name not in self.values:
            raise self._fault(name, None, f"one of {', '.join(self.values)}", "map its column")
        return self.values[name]

    def moment(self, seconds: float) -> datetime:
        """Return the wall time of a number of seconds since ``start``."""
        return self.start + timedelta(seconds=seconds)

    def seconds(self, moment: datetime) -> float:
        """Return the seconds since ``start`` of a wall time."""
        return (moment - self.start).total_seconds()

    def between(self, begin: datetime, end: datetime) -> MeterSeries:
        """Return the intervals that lie wholly between two wall times.

        Raises:
            InputError: none does.
        """
        low, high = self.seconds(begin) - SAME_TIME_S, self.seconds(end) + SAME_TIME_S
        return self._where((self.time_s >= low) & (self.time_s + self.interval_s <= high))

    def resampled(self, interval_s: float) -> MeterSeries:
        """Return means over longer intervals, which begin at whole multiples since midnight.

        Midnight is that of the offset of ``start``. The energy of an interval is what was measured
        in it; an interval that was not measured throughout is left out, as are those at the ends
        that the series does not fill.

        Raises:
            InputError: the intervals are shorter than those measured, or none is filled.
        """
        if not interval_s >= self.interval_s:
            allowed = f">= {self.interval_s:g} s, as it was measured"
            raise self._fault("interval_s", interval_s, allowed, "choose a longer interval")
        midnight = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        since_s = self.seconds(midnight)
        first = np.ceil((-since_s - SAME_TIME_S) / interval_s)
        last = np.floor((self.end_s - since_s + SAME_TIME_S) / interval_s)
        edges_s = since_s + interval_s * np.arange(first, last + 1.0)
        covered_s = np.diff(self._summed(np.ones(len(self)), edges_s))
        whole = covered_s > interval_s - SAME_TIME_S * max(1.0, interval_s)
        if not whole.any():
            allowed = f"one or more intervals of {interval_s:g} s measured throughout"
            raise self._fault("interval_s", interval_s, allowed, "choose a shorter interval")
        begins_s = edges_s[:-1][whole]
        return replace(
            self,
            start=self.moment(float(begins_s[0])),
            interval_s=float(interval_s),
            time_s=np.round((begins_s - begins_s[0]) / interval_s) * interval_s,
            values={
                name: np.diff(self._summed(value, edges_s))[whole] / interval_s
                for name, value in self.values.items()
            },
        )

    def energy_kwh(self, column: str = GRID) -> float:
        """Return the energy of the intervals measured, in kWh."""
        return float(self.column(column).sum()) * self.interval_s / 3600.0

    def with_columns(self, **values: FloatArray) -> MeterSeries:
        """Return the series with further columns, or other values of those it has."""
        return replace(self, values={**self.values, **values})

    def to_csv(self) -> str:
        """Return the series as CSV that ``read_meter`` reads back, times at the beginning."""
        lines = [",".join(["begins_at", *self.values])]
        for i, seconds in enumerate(self.time_s.tolist()):
            numbers = (repr(float(value[i])) for value in self.values.values())
            lines.append(",".join([self.moment(seconds).isoformat(), *numbers]))
        return "\n".join(lines) + "\n"

    def _where(self, keep: NDArray[np.bool_]) -> MeterSeries:
        if not keep.any():
            allowed = f"times between {self.start.isoformat()} and {self.end.isoformat()}"
            raise self._fault("(time)", "no interval", allowed, "choose a time that was measured")
        time_s = self.time_s[keep]
        return replace(
            self,
            start=self.moment(float(time_s[0])),
            time_s=time_s - time_s[0],
            values={name: value[keep] for name, value in self.values.items()},
        )

    def _summed(self, value: FloatArray, at_s: FloatArray) -> FloatArray:
        """Return the integral of a column from the start to some times, shape of ``at_s``."""
        edges_s = np.column_stack([self.time_s, self.time_s + self.interval_s]).ravel()
        steps = np.column_stack([np.zeros(len(self)), value * self.interval_s]).ravel()
        return np.asarray(np.interp(at_s, edges_s, np.cumsum(steps)))

    def _fault(self, name: str, value: object, allowed: str, remedy: str) -> InputError:
        return InputError(field=name, value=value, allowed=allowed, remedy=remedy, file=self.file)
