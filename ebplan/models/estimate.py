"""What a fitted model answers: a mean and an interval, and how often the interval holds."""

from __future__ import annotations

from dataclasses import dataclass

from ebplan.models.curves import FloatArray

CONFIDENCE = 0.9
"""Confidence of every interval where none is asked for."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval; all have one shape and one unit."""

    mean: FloatArray | None
    """Best guess; None where nothing was measured and only the interval can be stated."""
    low: FloatArray
    """Lower end of the interval."""
    high: FloatArray
    """Upper end of the interval."""
    confidence: float
    """Share of new measurements that the interval is made to hold."""

    @property
    def middle(self) -> FloatArray:
        """The mean, or the middle of the interval where nothing was measured."""
        return 0.5 * (self.low + self.high) if self.mean is None else self.mean

    def holds(self, measured: FloatArray) -> FloatArray:
        """Return 1 where a measurement lies in the interval and 0 elsewhere, same shape."""
        return ((self.low <= measured) & (measured <= self.high)).astype(float)
