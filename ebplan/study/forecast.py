"""A forecast that anybody could make, and says so: the days before, at the same time of day.

The value at a time of day is half that of the last day that is known and half the mean of the last
week. Before any day is known it is the mean of the series, as a planner knows it from other years.
"""

from __future__ import annotations

import numpy as np

from ebplan.solvers.program import FloatArray

WEEK_DAYS = 7
LAST_DAY = 0.5
"""Weight of the last known day against the week's mean."""


class Forecaster:
    """Forecasts one series of the study, or several side by side.

    Args:
        truth: what comes, shape (T, ...).
        steps_per_day: steps of a day.
        perfect: whether what comes is known.
    """

    def __init__(self, truth: FloatArray, steps_per_day: int, *, perfect: bool = False) -> None:
        self._truth, self._day, self._perfect = truth, steps_per_day, perfect
        self._mean = truth.mean(axis=0)
        days = len(truth) // steps_per_day
        self._by_day = truth.reshape(days, steps_per_day, *truth.shape[1:])

    def known_until(self, known: int, first: int, count: int) -> FloatArray:
        """Return values from a step on: the truth as far as it is known, then the forecast.

        Args:
            known: steps known, from the beginning of the study.
            first: first step that is wanted.
            count: number of steps; beyond the end of the study the forecast goes on.
        """
        steps = np.arange(first, first + count)
        if self._perfect:
            return np.asarray(self._truth[np.minimum(steps, len(self._truth) - 1)])
        values = self._typical_day(known // self._day)[steps % self._day]
        sure = steps < min(known, len(self._truth))
        values[sure] = self._truth[steps[sure]]
        return np.asarray(values)

    def _typical_day(self, days: int) -> FloatArray:
        """Return a day from the days that are known whole."""
        if days == 0:
            return np.repeat(self._mean[None], self._day, axis=0)
        week = self._by_day[max(days - WEEK_DAYS, 0) : days]
        return np.asarray(LAST_DAY * week[-1] + (1.0 - LAST_DAY) * week.mean(axis=0))
