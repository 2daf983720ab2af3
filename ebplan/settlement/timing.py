"""When a response begins, is there, and is gone again, from means over intervals.

Between the middles of intervals the power is taken to run straight. A level counts as reached when
the next interval holds it as well. The interval of a time comes from the response moved up and down
by the half-width of one reading, and is half an interval of the meter wider on either side, for a
mean does not say when within it the power moved.
"""

from __future__ import annotations

import numpy as np

from ebplan.settlement.number import Errors, Number
from ebplan.settlement.series import FloatArray

HELD = 2
"""Intervals in a row that a level must be held to count as reached."""


def reached(
    since_s: FloatArray,
    kw: FloatArray,
    level_kw: float,
    interval_s: float,
    errors: Errors,
) -> Number:
    """Return when a power comes to stand at or above a level, in s after the event's start.

    Args:
        since_s: beginning of each interval in seconds since the start, shape (n,).
        kw: mean power of each, shape (n,).
        level_kw: the level.
        interval_s: length of an interval.
        errors: of the power.
    """
    half_kw, half_s = errors.half_kw(level_kw), 0.5 * interval_s
    at = first_time(since_s, kw, level_kw, interval_s)
    early = first_time(since_s, kw + half_kw, level_kw, interval_s)
    late = first_time(since_s, kw - half_kw, level_kw, interval_s)
    return Number(
        value=at,
        low=None if early is None else max(early - half_s, 0.0),
        high=None if late is None else late + half_s,
    )


def first_time(
    since_s: FloatArray, kw: FloatArray, level_kw: float, interval_s: float
) -> float | None:
    """Return the first time at which a power reaches a level and holds it, >= 0; None if never."""
    above = kw >= level_kw
    held = above.copy()
    for ahead in range(1, HELD):
        # the last intervals have nothing after them that could tell otherwise
        held &= np.r_[above[ahead:], np.ones(min(ahead, len(above)), dtype=bool)]
    after = np.flatnonzero(held & (since_s > -1e-6))
    if not len(after):
        return None
    i = int(after[0])
    middle_s = since_s + 0.5 * interval_s
    if i == 0 or kw[i - 1] >= level_kw:
        return max(float(since_s[i]), 0.0)
    share = (level_kw - kw[i - 1]) / (kw[i] - kw[i - 1])
    return max(float(middle_s[i - 1] + share * (middle_s[i] - middle_s[i - 1])), 0.0)
