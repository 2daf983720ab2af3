"""One time axis on which 100 ms and hours both read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import Problem
from ebplan.words import time_words

FloatArray = NDArray[np.float64]

_LINEAR_S = 0.1
"""Below this time the axis is linear, above it logarithmic: the shortest step of a plan."""
_RECOVERY_SCALE = 0.4
_NOTICE_SCALE = 0.25
"""Width of a decade after and before the event, against one within it."""
_TICKS_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
_EVEN_S = (10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 4 * 3600.0)
_MOST_EVEN = 8
"""Distances of ticks on an even axis, and how many there are at most."""
_CHARACTER = 0.012
"""Width of a character of a tick's label, as a share of the axis."""


@dataclass(frozen=True)
class EventAxis:
    """A time axis on which 100 ms and hours both read.

    Within the event the position of a time is ``asinh((t - start) / 0.1 s)``: linear up to the
    shortest step, then the same width for each decade. The same clock runs backwards from the
    start and onwards from the end, on a smaller scale: the recovery of a long event stays visible.
    Where a target moves throughout, or only prices do, nothing is special about the start: the
    axis is then ``even``, time itself.
    """

    start_s: float
    """Start of the event, seconds from plan start."""
    end_s: float
    """End of the event."""
    horizon_s: float
    """End of the plan."""
    even: bool = False
    """Whether every second is as wide as the next."""

    @classmethod
    def of(cls, problem: Problem) -> EventAxis:
        """Return the axis of a problem."""
        return cls(
            problem.event_start_s,
            problem.event_end_s,
            problem.grid.horizon_s,
            even=problem.asks != "one_way",
        )

    def position(self, t_s: FloatArray) -> FloatArray:
        """Return where each time (seconds from plan start) lies, same shape, rising."""
        t = np.asarray(t_s, dtype=float)
        if self.even:
            return t - self.start_s
        before = np.arcsinh(np.maximum(self.start_s - t, 0.0) / _LINEAR_S)
        inside = np.arcsinh((np.clip(t, self.start_s, self.end_s) - self.start_s) / _LINEAR_S)
        after = np.arcsinh(np.maximum(t - self.end_s, 0.0) / _LINEAR_S)
        return np.asarray(inside + _RECOVERY_SCALE * after - _NOTICE_SCALE * before)

    def time_s(self, position: FloatArray) -> FloatArray:
        """Return the time at each position: the inverse of ``position``."""
        p = np.asarray(position, dtype=float)
        if self.even:
            return p + self.start_s
        width = float(self.position(np.array(self.end_s)))
        before_s = _LINEAR_S * np.sinh(np.maximum(-p, 0.0) / _NOTICE_SCALE)
        inside_s = _LINEAR_S * np.sinh(np.clip(p, 0.0, width))
        after_s = _LINEAR_S * np.sinh(np.maximum(p - width, 0.0) / _RECOVERY_SCALE)
        return np.asarray(self.start_s + inside_s + after_s - before_s)

    def share(self, t_s: float) -> float:
        """Return where a time lies between the plan's start (0) and end (1)."""
        at, first, last = self.position(np.array([t_s, 0.0, self.horizon_s]))
        return float((at - first) / (last - first))

    def ticks(self) -> list[tuple[float, str]]:
        """Return times and their labels, the most important first, none too close to another.

        Labels count from the start of the event; those with a plus count from its end.
        """
        length_s = self.end_s - self.start_s
        wanted = [(self.start_s, "0"), (self.end_s, time_words(length_s))]
        if self.start_s > 0.0:
            wanted.append((0.0, f"-{time_words(self.start_s)}"))
        wanted += [(self.horizon_s, f"+{time_words(self.horizon_s - self.end_s)}")]
        if self.even:
            apart_s = next((s for s in _EVEN_S if length_s / s <= _MOST_EVEN), _EVEN_S[-1])
            wanted += [(self.start_s + t, time_words(t)) for t in np.arange(0, length_s, apart_s)]
            return self._apart(wanted)
        wanted += [(self.start_s + t, time_words(t)) for t in _TICKS_S if t < length_s]
        wanted += [
            (self.end_s + t, f"+{time_words(t)}")
            for t in reversed(_TICKS_S)
            if self.end_s + t < self.horizon_s
        ]
        return self._apart(wanted)

    def _apart(self, wanted: list[tuple[float, str]]) -> list[tuple[float, str]]:
        """Return the ticks of a list that lie far enough from those before them."""
        kept: list[tuple[float, str]] = []
        for t_s, label in wanted:
            at = self.share(t_s)
            if all(
                abs(at - self.share(other)) >= _CHARACTER * (1.0 + (len(label) + len(text)) / 2.0)
                for other, text in kept
            ):
                kept.append((t_s, label))
        return kept
