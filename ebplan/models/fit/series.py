"""Time series of power: how many readings are independent, and dips that the workload makes.

The dip rule is fixed, and the same for every table. A board that works draws close to its cap or
its natural draw; one that waits for work falls to its idle power, a quarter to a third of that.
Half lies between the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebplan.models.curves import FloatArray

DIP_SHARE = 0.5
"""A reading below this share of the busy level is a dip."""
DIP_EDGE_READINGS = 2
"""Readings on either side of a dip that belong to it: the one that the dip's edge falls into, and
one for the sensor's own lag."""
DIP_RECOVERY_S = 0.5
"""After a dip the board climbs back under its own power control; for this long the climb is the
workload's, not the command's."""
WITHIN = 0.1
"""A step has been made when the power is within this share of it from the new level."""


def correlation_time(values: FloatArray) -> float:
    """Return how many readings in a row say as much as one independent reading, at least 1.

    ``1 + 2 sum rho_k`` over the lags before the autocorrelation first falls to zero: sensors that
    repeat themselves, and levels that drift, count for less than their number of readings.
    """
    count = len(values)
    off = values - values.mean()
    if count < 3 or not off.any():
        return float(count)
    spectrum = np.fft.rfft(off, 2 * count)  # padded, so that the end does not meet the beginning
    shared = np.fft.irfft(spectrum * spectrum.conj(), 2 * count)[: count - 1]
    rho = shared / shared[0]
    ended = np.flatnonzero(rho <= 0.0)
    before = rho[1 : ended[0]] if len(ended) else rho[1:]
    return float(min(1.0 + 2.0 * before.sum(), count))


def busy_level(power: FloatArray) -> float:
    """Return the level at which a stretch of power comes to stand while there is work.

    Of its later half: the earlier one may still be on its way from the level before.
    """
    later = power[len(power) // 2 :]
    return float(np.median(later[later > DIP_SHARE * np.quantile(later, 0.95)]))


def dips(time: FloatArray, power: FloatArray, starts: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return which readings lie in a dip or in its edges, shape (N,).

    Until the power has come near the level of a new command, the lower of the old and the new
    level is what a dip is measured by, so that no step is taken for one.

    Args:
        time: in s, shape (N,).
        power: in any unit, shape (N,).
        starts: first reading of each stretch under one command, the first being 0.
    """
    low = np.zeros(len(power), dtype=bool)
    before = None
    for begin, end in zip(starts, [*starts[1:], len(power)], strict=True):
        stretch = power[begin:end]
        level = busy_level(stretch)
        old = level if before is None else before
        near = np.abs(stretch - level) <= WITHIN * abs(level - old)
        arrived = int(near.argmax()) if near.any() else len(stretch)
        measure = np.where(np.arange(len(stretch)) < arrived, min(level, old), level)
        low[begin:end] = stretch < DIP_SHARE * measure
        before = level
    out = low.copy()
    for shift in range(1, DIP_EDGE_READINGS + 1):
        out[:-shift] |= low[shift:]
        out[shift:] |= low[:-shift]
    last_low = np.maximum.accumulate(np.where(low, time, -np.inf))
    return np.asarray(out | (time - last_low <= DIP_RECOVERY_S))
