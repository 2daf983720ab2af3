"""Baselines: what a site would have drawn without the event, by the rule of its settlement.

Every rule is told which readings it may use: those before the site heard of the event, except
where the rule itself says otherwise. A baseline is constant within its intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

import numpy as np

from ebplan.errors import InputError
from ebplan.settlement.series import SAME_TIME_S, FloatArray, MeterSeries
from ebplan.settlement.throughout import measured_throughout
from ebplan.settlement.window import Window


@dataclass(frozen=True)
class LeftOut:
    """A day that a rule did not use."""

    day: date
    """Which day."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class Baseline:
    """What the site would have drawn, interval by interval."""

    rule: str
    """Name of the rule."""
    start: datetime
    """Beginning of the first interval."""
    interval_s: float
    """Length of every interval."""
    kw: FloatArray
    """Mean draw in each interval, shape (n,)."""
    days: tuple[date, ...] = ()
    """Days it was made from, the latest first; none where the rule uses none."""
    left_out: tuple[LeftOut, ...] = ()
    """Days that might have been used and were not."""
    adjustment_kw: float = 0.0
    """What the same-day adjustment added, contained in ``kw``."""

    @property
    def end(self) -> datetime:
        """End of the last interval."""
        return self.start + timedelta(seconds=self.interval_s * len(self.kw))

    def mean_kw(self, begin: datetime, end: datetime) -> float:
        """Return the mean baseline between two times.

        Raises:
            InputError: it does not reach that far.
        """
        edges_s = np.array([self._seconds(begin), self._seconds(end)])
        return float(np.diff(self._summed(edges_s))[0] / np.diff(edges_s)[0])

    def on(self, meter: MeterSeries) -> FloatArray:
        """Return the mean baseline in each interval of a meter series, shape (n,).

        Raises:
            InputError: it does not reach that far.
        """
        begins_s = meter.time_s + self._seconds(meter.start)
        ends = self._summed(begins_s + meter.interval_s)
        return np.asarray((ends - self._summed(begins_s)) / meter.interval_s)

    def to_csv(self) -> str:
        """Return the baseline as CSV: ``begins_at,baseline_kw``."""
        begins = (self.start + timedelta(seconds=i * self.interval_s) for i in range(len(self.kw)))
        rows = zip(begins, self.kw.tolist(), strict=True)
        return "".join(
            ["begins_at,baseline_kw\n", *(f"{at.isoformat()},{kw!r}\n" for at, kw in rows)]
        )

    def _seconds(self, moment: datetime) -> float:
        return (moment - self.start).total_seconds()

    def _summed(self, at_s: FloatArray) -> FloatArray:
        """Return the integral from the start to some times in kWs, shape of ``at_s``."""
        edges_s = self.interval_s * np.arange(len(self.kw) + 1)
        if at_s.min() < -SAME_TIME_S or at_s.max() > edges_s[-1] + SAME_TIME_S:
            raise InputError(
                field="baseline",
                value=f"asked from {at_s.min():g} s to {at_s.max():g} s",
                allowed=f"0 to {edges_s[-1]:g} s after {self.start.isoformat()}",
                remedy="make it for a longer window: --around e.g. 2h; in Python before_s, after_s",
            )
        summed = np.r_[0.0, np.cumsum(self.kw * self.interval_s)]
        return np.asarray(np.interp(at_s, edges_s, summed))


class Rule(Protocol):
    """How a baseline is found."""

    @property
    def name(self) -> str:
        """Name with its parameters, as on the command line."""

    def baseline(self, history: MeterSeries, window: Window) -> Baseline:
        """Return the baseline of a window.

        Raises:
            InputError: the history does not hold what the rule needs.
        """


@dataclass(frozen=True)
class Fixed:
    """A baseline that was agreed."""

    kw: float
    """The agreed draw."""

    @property
    def name(self) -> str:
        """Name with its parameter."""
        return f"fixed:{self.kw:g}"

    def baseline(self, history: MeterSeries, window: Window) -> Baseline:
        """Return the agreed draw throughout; the history is not looked at."""
        return constant(self.name, self.kw, window)


@dataclass(frozen=True)
class LastValue:
    """The mean draw of the last minutes before the site heard of the event."""

    minutes: float = 30.0
    """How many minutes."""

    @property
    def name(self) -> str:
        """Name with its parameter."""
        return f"last_value:{self.minutes:g}"

    def baseline(self, history: MeterSeries, window: Window) -> Baseline:
        """Return that mean throughout.

        Raises:
            InputError: these minutes were not measured throughout.
        """
        begin = window.known_at - timedelta(minutes=self.minutes)
        used = measured_throughout(history, begin, window.known_at, field=self.name)
        return constant(self.name, float(used.grid_kw.mean()), window)


def constant(rule: str, kw: float, window: Window) -> Baseline:
    """Return a baseline that does not change over the window."""
    length_s = (window.until - window.begin).total_seconds()
    return Baseline(rule=rule, start=window.begin, interval_s=length_s, kw=np.array([kw]))
