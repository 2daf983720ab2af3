"""A number with its interval, and how errors of a metered response add up.

A delivered power is ``d_i = s (g_i - b_i)``: meter less baseline, times the direction asked. Two
kinds of error are kept apart, because averaging helps against one only:

- what **lasts** through the event: the baseline's level (standard error ``L``) and the meter's gain
  (a share ``a`` of what is read): the same in every interval;
- what is **independent** from interval to interval (standard deviation ``S``): the noise of the
  meter and of the load. Readings in a row that resemble one another count as fewer: ``n`` of them
  as ``n / c``, ``c`` being their correlation time in intervals.

A sum of powers with weights ``w_i``, such as a mean (``1 / n``) or an energy, has the standard
error

    sqrt((L sum w)^2 + (a sum w d)^2 + S^2 c sum w^2)

so that a mean of ``n`` intervals has ``sqrt(L^2 + (a d)^2 + S^2 c / n)``. An interval reaches
Student's quantile of it to either side, for the degrees of freedom that the quiet stretch before
the event had.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np

from ebplan.document import Part
from ebplan.models.curves import FloatArray
from ebplan.models.intervals import student_quantile


class Number(Part):
    """A measured number with its interval; all have the unit that its name says."""

    value: float | None
    """Best guess; None where it was never reached."""
    low: float | None
    """Lower end of the interval; None where nothing can be said."""
    high: float | None
    """Upper end; None where it may never be reached."""

    def times(self, factor: float) -> Number:
        """Return the number times a factor."""
        ends = [None if end is None else factor * end for end in (self.low, self.high)]
        low, high = ends if factor >= 0.0 else ends[::-1]
        return Number(value=None if self.value is None else factor * self.value, low=low, high=high)


@dataclass(frozen=True)
class Errors:
    """How wrong a delivered power may be."""

    lasting_kw: float
    """Standard error that is the same in every interval."""
    noise_kw: float
    """Standard deviation that is independent from interval to interval."""
    correlation: float = 1.0
    """Readings in a row that say as much as one."""
    degrees: int = 30
    """Degrees of freedom of both."""
    accuracy: float = 0.0
    """Standard error of the meter's gain, as a share."""
    confidence: float = 0.9
    """Share of intervals that hold the truth."""

    @property
    def quantile(self) -> float:
        """How many standard errors an interval reaches to either side."""
        return student_quantile(self.confidence, self.degrees)

    def of_sum(self, kw: FloatArray, weights: FloatArray) -> float:
        """Return the standard error of a weighted sum of the powers of intervals.

        A mean has the weights ``1 / n``, an energy the length of an interval in hours.

        Args:
            kw: power of each interval, shape (n,).
            weights: weight of each, shape (n,).
        """
        alike = min(self.correlation, float(max(len(kw), 1)))
        return hypot(
            self.lasting_kw * float(weights.sum()),
            self.accuracy * float(weights @ kw),
            self.noise_kw * sqrt(alike * float(weights @ weights)),
        )

    def weighted(self, kw: FloatArray, weights: FloatArray) -> Number:
        """Return a weighted sum of the powers of intervals with its interval."""
        value, half = float(weights @ kw), self.quantile * self.of_sum(kw, weights)
        return Number(value=value, low=value - half, high=value + half)

    def mean(self, kw: FloatArray) -> Number:
        """Return the mean of powers of shape (n,), in kW."""
        return self.weighted(kw, np.full(len(kw), 1.0 / max(len(kw), 1)))

    def energy(self, kw: FloatArray, interval_s: float) -> Number:
        """Return the energy of intervals with powers of shape (n,), in kWh."""
        return self.weighted(kw, np.full(len(kw), interval_s / 3600.0))

    def half_kw(self, kw: float) -> float:
        """Return half the interval of the power of one interval."""
        return self.quantile * self.of_sum(np.array([kw]), np.ones(1))

    def also(self, other: Errors) -> Errors:
        """Return the errors of a difference of two powers whose errors have nothing in common."""
        return Errors(
            lasting_kw=hypot(self.lasting_kw, other.lasting_kw),
            noise_kw=hypot(self.noise_kw, other.noise_kw),
            correlation=max(self.correlation, other.correlation),
            degrees=min(self.degrees, other.degrees),
            accuracy=max(self.accuracy, other.accuracy),
            confidence=self.confidence,
        )
