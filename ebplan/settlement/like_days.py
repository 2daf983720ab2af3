"""Errors of a baseline from like days, where the readings before the event are too few.

Meters of half an hour have two readings in the hour before an event, which tell no noise. The same
hours of days without an event do: what a day's mean is off is the error that lasts, and how
readings scatter about their day's mean is the noise. Of ``n`` days the former has ``n`` degrees of
freedom, so that few days give wide intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from ebplan.errors import InputError
from ebplan.settlement.backtest import Backtest, backtest, like_windows
from ebplan.settlement.baselines import Baseline, Fixed, Rule
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.number import Errors
from ebplan.settlement.series import FloatArray, MeterSeries
from ebplan.settlement.window import Window


@dataclass(frozen=True)
class SameHours:
    """A baseline that is given, taken for that of the same hours of any day."""

    given: Baseline
    """It, on the day of the event."""
    event_start: datetime
    """Start of the event."""

    @property
    def name(self) -> str:
        """Name of what is given."""
        return self.given.rule

    def baseline(self, history: MeterSeries, window: Window) -> Baseline:
        """Return it at the hours of a window; the history is not looked at."""
        return replace(self.given, start=self.given.start + (window.start - self.event_start))


def errors_of_days(
    history: MeterSeries,
    rule: Rule,
    window: Window,
    calendar: DayCalendar,
    *,
    interval_s: float,
    accuracy: float = 0.0,
    confidence: float = 0.9,
) -> tuple[Errors, int]:
    """Return the errors of a baseline in readings of a length, and how many like days tell them.

    An agreed baseline (``Fixed``) has no error of its level, and readings scatter about the usual
    course of these hours.

    Args:
        history: the series with the like days.
        rule: how the baseline is found.
        window: the event.
        calendar: holidays, and the days of events.
        interval_s: length of a reading of the meter.
        accuracy: standard error of the meter's gain, as a share.
        confidence: of every interval.

    Raises:
        InputError: no like day tells them, or the history has longer readings than the meter.
    """
    if history.interval_s > interval_s * (1.0 + 1e-9):
        raise InputError(
            field="--history",
            value=f"readings of {history.interval_s:g} s",
            allowed=f"at most {interval_s:g} s, as METER has them",
            remedy="give earlier days at the meter's interval",
            file=history.file,
        )
    alone = Window(window.start, window.duration_s, window.notice)
    found = backtest(history, rule, like_windows(history, alone, calendar), slot_s=interval_s)
    about = {"accuracy": accuracy, "confidence": confidence}
    if isinstance(rule, Fixed):
        draws_kw = _table(found.draws_kw)
        if draws_kw.size < 2:
            raise InputError(
                field="(days)",
                value="one reading of one like day",
                allowed="two readings or more",
                remedy="give more days without an event",
                file=history.file,
            )
        noise_kw, degrees = _scatter(draws_kw, about_course=True)
        return Errors(0.0, noise_kw, degrees=degrees, **about), len(found.days)
    return _of_test(found, **about), len(found.days)


def _of_test(found: Backtest, *, accuracy: float, confidence: float) -> Errors:
    pairs = zip(found.draws_kw, found.baselines_kw, strict=True)
    noise_kw, _ = _scatter(_table([draw - base for draw, base in pairs]), about_course=False)
    return Errors(
        lasting_kw=found.level_rmse_kw,
        # one reading a day: its noise is in the error of the day
        noise_kw=noise_kw or found.level_rmse_kw,
        degrees=len(found.days),
        accuracy=accuracy,
        confidence=confidence,
    )


def _table(rows: Sequence[FloatArray]) -> FloatArray:
    """Return the days that have as many readings as the first, shape (days, readings)."""
    return np.array([row for row in rows if len(row) == len(rows[0])])


def _scatter(kw: FloatArray, *, about_course: bool) -> tuple[float, int]:
    """Return the standard deviation of readings about their day, and its degrees of freedom.

    Args:
        kw: shape (days, readings).
        about_course: whether what all days have in common is taken off first.
    """
    days, readings = kw.shape
    off, degrees = kw, days
    if about_course and days > 1:
        off, degrees = off - off.mean(axis=0), days - 1
    if readings > 1:
        off, degrees = off - off.mean(axis=1, keepdims=True), degrees * (readings - 1)
    elif days == 1 or not about_course:
        return 0.0, degrees
    return float(np.sqrt((off**2).sum() / degrees)), degrees
