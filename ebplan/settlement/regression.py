"""Regression: the draw as a linear function of what the event does not move.

    draw_i = a_{hour(i)} + sum_c b_c x_{c,i}

by least squares over the readings before the notice; without ``time_of_day`` there is one ``a``.
What is regressed on is read during the event too, so it must be something that the event does not
move: requests that arrive, temperature; never requests served or power drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.settlement.baselines import Baseline
from ebplan.settlement.day_calendar import DayCalendar, wall_clock
from ebplan.settlement.meter_file import is_power
from ebplan.settlement.series import SAME_TIME_S, FloatArray, MeterSeries
from ebplan.settlement.window import DAY_S, Window

HOUR_S = 3600.0
FLAT = 1e-9
"""A column that varies by less than this share of its size is constant but for rounding."""


@dataclass(frozen=True)
class Regression:
    """The rule with its parameters."""

    columns: tuple[str, ...] = ()
    """Columns of the series that the draw is regressed on."""
    time_of_day: bool = True
    """Whether each hour of the day has a level of its own."""
    calendar: DayCalendar = field(default_factory=DayCalendar)
    """Holidays and the days of other events; only days of the event's kind are used."""
    days_back: int = 30
    """No reading further back is used."""

    def __post_init__(self) -> None:
        """Refuse a regression on nothing, on a power, or on a column twice.

        Raises:
            InputError: so it is.
        """
        powers = [name for name in self.columns if is_power(name)]
        if (
            powers
            or len(set(self.columns)) < len(self.columns)
            or not (self.columns or self.time_of_day)
        ):
            raise InputError(
                field=self.name,
                value=powers[0] if powers else list(self.columns),
                allowed="columns that the event does not move, each once; or time_of_day",
                remedy="name requests that arrive, a temperature or time_of_day",
            )

    @property
    def name(self) -> str:
        """Name with its parameters."""
        return "regression:" + ",".join(
            [*self.columns, *(["time_of_day"] if self.time_of_day else [])]
        )

    def baseline(self, history: MeterSeries, window: Window) -> Baseline:
        """Return the baseline of a window in the intervals of the series.

        Raises:
            InputError: a column that was not measured, in the history or in the window; too few
                readings, or columns that cannot be told apart.
        """
        zone = self.calendar.zone_of(history, window.start)
        longest = timedelta(days=self.days_back + 1)
        history = history.between(
            max(window.known_at - longest, history.start), min(window.until + longest, history.end)
        )
        days, seconds = wall_clock(history, zone)
        used = self._training(history, window, days, window.start.astimezone(zone).date())
        asked = self._asked(history, window)
        hours = (seconds // HOUR_S).astype(np.intp) if self.time_of_day else np.zeros_like(days)
        unseen = np.setdiff1d(hours[asked], hours[used])
        if len(unseen) and used.any():
            raise self._fault(
                history,
                f"no reading of the hour from {int(unseen[0])} h on such days",
                "readings of every hour that is asked for",
                "give a history that begins earlier",
            )
        return Baseline(
            rule=self.name,
            start=history.moment(float(history.time_s[asked][0])),
            interval_s=history.interval_s,
            kw=self._predicted(history, hours, used, asked),
        )

    def _training(
        self, history: MeterSeries, window: Window, days: NDArray[np.intp], today: date
    ) -> NDArray[np.bool_]:
        """Return which readings are regressed, shape (n,)."""
        until_s = history.seconds(window.known_at)
        from_s = until_s - self.days_back * DAY_S
        good = [
            day
            for day in map(date.fromordinal, np.unique(days).tolist())
            if self.calendar.is_working(day) == self.calendar.is_working(today)
            and (day == today or day not in self.calendar.left_out)
        ]
        return np.asarray(
            np.isin(days, [day.toordinal() for day in good])
            & (history.time_s >= from_s - SAME_TIME_S)
            & (history.time_s + history.interval_s <= until_s + SAME_TIME_S)
        )

    def _asked(self, history: MeterSeries, window: Window) -> NDArray[np.bool_]:
        """Return which intervals touch the window, shape (n,).

        Raises:
            InputError: one of them was not measured.
        """
        low_s, high_s = history.seconds(window.begin), history.seconds(window.until)
        touches = (history.time_s + history.interval_s > low_s + SAME_TIME_S) & (
            history.time_s < high_s - SAME_TIME_S
        )
        at_s = history.time_s[touches]
        length_s = high_s - low_s
        if (
            not len(at_s)
            or at_s[0] > low_s + SAME_TIME_S
            or at_s[-1] + history.interval_s < high_s - SAME_TIME_S
            or (np.diff(at_s) > 1.5 * history.interval_s).any()
        ):
            raise self._fault(
                history,
                f"{len(at_s)} interval(s) in the {length_s:g} s from {window.begin.isoformat()}",
                f"{', '.join(self.columns) or 'intervals'} measured throughout the window",
                "give a series that covers the event without a gap, or another rule",
            )
        return touches

    def _predicted(
        self,
        history: MeterSeries,
        hours: NDArray[np.intp],
        used: NDArray[np.bool_],
        asked: NDArray[np.bool_],
    ) -> FloatArray:
        """Return the draw in the intervals asked for by least squares over those used.

        The slopes are those of what is left of draw and columns after the mean of each hour is
        taken off (Frisch and Waugh), the levels follow from the means.

        Raises:
            InputError: no more readings than parameters, or columns that cannot be told apart.
        """
        levels, level = np.unique(hours[used], return_inverse=True)
        count = len(levels) + len(self.columns)
        if used.sum() <= count:
            raise self._fault(
                history,
                f"{int(used.sum())} reading(s) on such days",
                f"more than the {count} parameters, in the {self.days_back} days before the notice",
                "give a history that begins earlier, or regress on less",
            )
        columns = [history.grid_kw, *(history.column(name) for name in self.columns)]
        sizes = np.bincount(level)
        means = np.array([np.bincount(level, column[used]) / sizes for column in columns])
        kw, *others = (
            column[used] - mean[level] for column, mean in zip(columns, means, strict=True)
        )
        slopes = self._slopes(history, kw, np.array(others).reshape(-1, len(kw)))
        at = np.searchsorted(levels, hours[asked])
        off = np.array(
            [c[asked] - mean[at] for c, mean in zip(columns[1:], means[1:], strict=True)]
        ).reshape(len(slopes), len(at))
        return np.asarray(means[0, at] + slopes @ off)

    def _slopes(self, history: MeterSeries, kw: FloatArray, others: FloatArray) -> FloatArray:
        """Return the slopes of the columns, shape (columns,)."""
        if not len(others):
            return np.zeros(0)
        spread = np.abs(others).max(axis=1)
        size = np.array([np.abs(history.column(name)).max() for name in self.columns])
        flat = spread <= FLAT * np.maximum(size, 1.0)
        scaled = others / np.where(flat, 1.0, spread)[:, np.newaxis]
        found, _, rank, _ = np.linalg.lstsq(scaled.T, kw, rcond=FLAT)
        if flat.any() or rank < len(others):
            raise self._fault(
                history,
                f"{len(others)} column(s), not all of which tell anything of their own",
                "columns that vary within each hour, none of them a sum of the others",
                "leave out a column that is constant or follows from the others",
            )
        return np.asarray(found / spread)

    def _fault(self, history: MeterSeries, value: str, allowed: str, remedy: str) -> InputError:
        return InputError(
            field=self.name, value=value, allowed=allowed, remedy=remedy, file=history.file
        )
