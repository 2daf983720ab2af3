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
from ebplan.settlement.baselines import SAME_TIME_S, Baseline
from ebplan.settlement.day_calendar import DayCalendar, wall_clock
from ebplan.settlement.meter_file import is_power
from ebplan.settlement.series import FloatArray, MeterSeries
from ebplan.settlement.window import DAY_S, Window

HOUR_S = 3600.0


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
        levels = np.unique(hours[used])
        unseen = np.setdiff1d(hours[asked], levels)
        if len(unseen):
            raise self._fault(
                history,
                f"no reading of the hour from {int(unseen[0])} h on such days",
                "readings of every hour that is asked for",
                "give a history that begins earlier",
            )
        found = self._fitted(history, hours, levels, used)
        kw = self._design(history, hours, levels, asked) @ found
        return Baseline(
            rule=self.name,
            start=history.moment(float(history.time_s[asked][0])),
            interval_s=history.interval_s,
            kw=np.asarray(kw),
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

    def _fitted(
        self,
        history: MeterSeries,
        hours: NDArray[np.intp],
        levels: NDArray[np.intp],
        used: NDArray[np.bool_],
    ) -> FloatArray:
        """Return levels and slopes, shape (p,), by least squares.

        Raises:
            InputError: no more readings than parameters, or columns that cannot be told apart.
        """
        count = len(levels) + len(self.columns)
        if used.sum() <= count:
            raise self._fault(
                history,
                f"{int(used.sum())} reading(s) on such days",
                f"more than the {count} parameters, in the {self.days_back} days before the notice",
                "give a history that begins earlier, or regress on less",
            )
        design = self._design(history, hours, levels, used)
        scale = np.abs(design).max(axis=0)
        scale[scale == 0.0] = 1.0
        found, _, rank, _ = np.linalg.lstsq(design / scale, history.grid_kw[used], rcond=None)
        if rank < count:
            raise self._fault(
                history,
                f"{count} parameters of which {int(rank)} can be told apart",
                "columns that vary, none of them a sum of the others",
                "leave out a column that is constant or follows from the others",
            )
        return np.asarray(found / scale)

    def _design(
        self,
        history: MeterSeries,
        hours: NDArray[np.intp],
        levels: NDArray[np.intp],
        rows: NDArray[np.bool_],
    ) -> FloatArray:
        """Return what the parameters are multiplied by, shape (rows, p)."""
        level = (hours[rows, np.newaxis] == levels).astype(float)
        others = [history.column(name)[rows] for name in self.columns]
        return np.column_stack([level, *others])

    def _fault(self, history: MeterSeries, value: str, allowed: str, remedy: str) -> InputError:
        return InputError(
            field=self.name, value=value, allowed=allowed, remedy=remedy, file=history.file
        )
