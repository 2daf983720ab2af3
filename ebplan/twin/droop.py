"""What the frequency asks of an armed reserve, straight between bends.

The converter sees the frequency its delay late.
"""

from __future__ import annotations

import math

from ebplan.frequency import ResponseCurve
from ebplan.twin.frequency import SAME_TIME_S, GridFrequency, Stretch


class DroopSignal:
    """Share of the armed reserve over time, -1 (release all) to 1 (absorb all)."""

    def __init__(self, curve: ResponseCurve, frequency: GridFrequency, delay_s: float) -> None:
        self._curve, self._frequency, self._delay_s = curve, frequency, delay_s

    def next_bend_s(self, now_s: float) -> float:
        """Return when the share next bends or jumps, in seconds of the plant."""
        seen_s = now_s - self._delay_s
        stretch = self._frequency.at(seen_s)
        bend_s = bend_after_s(stretch, seen_s, self._frequency.nominal_hz, self._curve)
        return max(bend_s, 0.0) + self._delay_s

    def shares(self, now_s: float, seconds: float) -> tuple[float, float]:
        """Return the share at both ends of a stretch without a bend."""
        stretch = self._frequency.at(now_s - self._delay_s)
        off_hz = stretch.hz - self._frequency.nominal_hz
        # read off inside, because a threshold jumps at the ends
        first, last = (
            share_of(self._curve, off_hz + stretch.hz_per_s * x * seconds) for x in (0.25, 0.75)
        )
        return 1.5 * first - 0.5 * last, 1.5 * last - 0.5 * first


def bend_after_s(stretch: Stretch, t_s: float, nominal_hz: float, curve: ResponseCurve) -> float:
    """Return when the response to a piece, begun at ``t_s``, next bends or jumps."""
    first_s = stretch.until_s
    if stretch.hz_per_s != 0.0:
        for corner_hz in curve.corners_hz:
            for level_hz in (nominal_hz - corner_hz, nominal_hz + corner_hz):
                after_s = (level_hz - stretch.hz) / stretch.hz_per_s
                if after_s > SAME_TIME_S:
                    first_s = min(first_s, t_s + after_s)
    return first_s


def share_of(curve: ResponseCurve, deviation_hz: float) -> float:
    """Return ``curve.share`` of one deviation, as a plain number."""
    size = abs(deviation_hz)
    if curve.shape == "threshold":
        grown = float(size >= curve.full_hz)
    else:
        knee = ((curve.knee_hz, curve.knee_fraction),) if curve.shape == "knee" else ()
        grown, low_hz, low = 0.0, curve.dead_band_hz, 0.0
        for high_hz, high in (*knee, (curve.full_hz, 1.0)):
            if high_hz is None or high is None:  # not with shape "knee": the curve refuses it
                continue
            if size >= high_hz:
                grown, low_hz, low = high, high_hz, high
                continue
            if size > low_hz:
                grown = low + (high - low) * (size - low_hz) / (high_hz - low_hz)
            break
    return math.copysign(grown, deviation_hz)
