"""Readings gathered for some seconds and told as one: the median, which no single one can move."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from statistics import fmean, median

from ebplan.models.tracking.belief import Numbers

FEWEST = 3
"""Readings that make a block at least: fewer have no median that a bad one leaves alone."""
LONGEST = 6.0
"""A reading older than this many lengths of a block belongs to no block any more."""


@dataclass
class Block:
    """Readings of one parameter, as they come."""

    seconds: float
    """How long they are gathered at least."""
    _readings: list[tuple[datetime, Numbers, float]] = field(default_factory=list)

    def add(self, at: datetime, row: Numbers, value: float) -> tuple[Numbers, float] | None:
        """Take a reading in; return the mean of the rows and the median once a block is full.

        Args:
            at: when it was read.
            row: how the parameter's numbers make it, shape (n,).
            value: what was read.
        """
        oldest_s = LONGEST * self.seconds
        self._readings = [r for r in self._readings if 0.0 <= _apart_s(r[0], at) <= oldest_s]
        self._readings.append((at, row, value))
        if _apart_s(self._readings[0][0], at) < self.seconds or len(self._readings) < FEWEST:
            return None
        rows, values = zip(*((row, value) for _, row, value in self._readings), strict=True)
        self._readings = []
        return tuple(fmean(column) for column in zip(*rows, strict=True)), median(values)


def _apart_s(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds()
