"""The grid frequency over time, straight between its points.

Points lie at fixed seconds of the plant, so the frequency does not depend on how the plant is
stepped.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ebplan.errors import InputError
from ebplan.twin.disturbances import FrequencyContingency
from ebplan.twin.noise import Autoregression
from ebplan.twin.settings import FrequencyModel

SAME_TIME_S = 1e-9


class Stretch(NamedTuple):
    """A straight piece of the frequency."""

    hz: float
    """Where it was asked for."""
    hz_per_s: float
    """Its slope."""
    until_s: float
    """Where it ends."""


class GridFrequency:
    """The frequency that a plant meets.

    Args:
        model: the process, or the trace in its place.
        contingencies: what is added to it.
        rng: draws the process.

    Raises:
        InputError: the times of a trace do not rise.
    """

    def __init__(
        self,
        model: FrequencyModel,
        contingencies: Sequence[FrequencyContingency],
        rng: np.random.Generator,
    ) -> None:
        self.nominal_hz = model.nominal_hz
        self._model = model
        self._added = [_corners(c) for c in contingencies]
        self._trace_s = [t for t, _ in model.trace]
        if any(b <= a for a, b in pairwise(self._trace_s)):
            raise InputError(
                field="frequency.trace",
                value=self._trace_s[:3],
                allowed="times that rise",
                remedy="sort the trace by time",
            )
        self._process = Autoregression(
            rng, std=model.std_hz, tick_s=model.tick_s, correlation_s=model.correlation_s
        )
        self._points_hz = [self._process.value]

    def at(self, t_s: float) -> Stretch:
        """Return the straight piece that holds ``t_s``; before 0 the frequency is that at 0."""
        if t_s < 0.0:
            return self.at(0.0)._replace(hz_per_s=0.0, until_s=0.0)
        hz, slope, until_s = self._own(t_s)
        for corners in self._added:
            added_hz, added_slope, corner_s = _between(corners, t_s)
            hz, slope, until_s = hz + added_hz, slope + added_slope, min(until_s, corner_s)
        return Stretch(hz, slope, until_s)

    def _own(self, t_s: float) -> tuple[float, float, float]:
        if self._trace_s:
            return _between(self._model.trace, t_s)
        if self._model.std_hz == 0.0:
            return self.nominal_hz, 0.0, math.inf
        tick_s = self._model.tick_s
        k = math.floor(t_s / tick_s + SAME_TIME_S)
        while len(self._points_hz) <= k + 1:
            self._points_hz.append(self._process.advance())
        first, last = self._points_hz[k], self._points_hz[k + 1]
        slope = (last - first) / tick_s
        return self.nominal_hz + first + slope * (t_s - k * tick_s), slope, (k + 1) * tick_s


def _corners(c: FrequencyContingency) -> tuple[tuple[float, float], ...]:
    extreme_s = c.at_s + c.fall_s
    back_s = extreme_s + c.hold_s
    return (
        (c.at_s, 0.0),
        (extreme_s, c.deviation_hz),
        (back_s, c.deviation_hz),
        (back_s + c.recovery_s, 0.0),
    )


def _between(points: Sequence[tuple[float, float]], t_s: float) -> tuple[float, float, float]:
    """Return value, slope and end of the straight piece through rising points; ends hold."""
    after = bisect_right(points, t_s + SAME_TIME_S, key=lambda point: point[0])
    if after == 0:
        return points[0][1], 0.0, points[0][0]
    if after == len(points):
        return points[-1][1], 0.0, math.inf
    (t0, y0), (t1, y1) = points[after - 1], points[after]
    slope = (y1 - y0) / (t1 - t0)
    return y0 + slope * (t_s - t0), slope, t1
