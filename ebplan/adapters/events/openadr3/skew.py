"""How far the clock of a server lies from ours, told by the Date header of its answers.

The header tells whole seconds (RFC 9110, 6.6.1), rounded down, of an instant between our request
and its answer. So each answer bounds the offset ``server - ours`` on both sides:

    date_s - answered_s  <=  offset  <=  date_s + 1 - asked_s

The estimate is the median of the middles of the last answers; its uncertainty is how far the true
offset may lie from it, given all these bounds. Nothing is ever shifted by it: it is a warning.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from statistics import median

RESOLUTION_S = 1.0
"""Of the header."""
KEPT = 15
"""Answers that are remembered."""


@dataclass(frozen=True)
class Skew:
    """What is known of the other clock."""

    offset_s: float
    """Its time less ours; > 0 where it is ahead."""
    uncertainty_s: float
    """The true offset lies within so much of it, if it did not change meanwhile."""
    answers: int
    """How many answers it rests on."""

    def exceeds(self, tolerance_s: float) -> bool:
        """Whether the clocks certainly lie further apart than that."""
        return abs(self.offset_s) - self.uncertainty_s > tolerance_s

    def __str__(self) -> str:
        side = "ahead of" if self.offset_s > 0.0 else "behind"
        return f"its clock is {abs(self.offset_s):.1f} s {side} ours (± {self.uncertainty_s:.1f} s)"


class SkewEstimate:
    """The offset of one server's clock, kept up to date.

    Args:
        kept: answers that count.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._bounds: deque[tuple[float, float]] = deque(maxlen=kept)

    def see(self, date: str | None, *, asked: datetime, answered: datetime) -> None:
        """Take the Date header of an answer; one that is none, or whose times run back, is not.

        Args:
            date: the header.
            asked: our clock when the request was sent.
            answered: our clock when the head of the answer was there.
        """
        date_s = _seconds(date)
        if date_s is None or answered < asked:
            return
        low_s = date_s - answered.timestamp()
        high_s = date_s + RESOLUTION_S - asked.timestamp()
        self._bounds.append((low_s, high_s))

    @property
    def skew(self) -> Skew | None:
        """What is known; None before the first answer."""
        if not self._bounds:
            return None
        offset_s = median((low_s + high_s) / 2.0 for low_s, high_s in self._bounds)
        low_s = max(low_s for low_s, _ in self._bounds)
        high_s = min(high_s for _, high_s in self._bounds)
        if low_s > high_s:  # no one offset fits: a clock was set, or drifts
            low_s = min(low_s for low_s, _ in self._bounds)
            high_s = max(high_s for _, high_s in self._bounds)
        uncertainty_s = max(offset_s - low_s, high_s - offset_s)
        return Skew(offset_s, uncertainty_s, len(self._bounds))


def _seconds(date: str | None) -> float | None:
    try:
        moment = None if date is None else parsedate_to_datetime(date)
    except ValueError:
        return None
    if moment is None or moment.tzinfo is None:
        return None
    return moment.timestamp()
