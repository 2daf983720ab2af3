"""When a response begins, is there, and is gone again, from means over intervals.

Between the middles of intervals the power is taken to run straight. A level counts as reached when
the next interval holds it as well.

What the meter hides: of a power that rises, the last mean below a level says that it was not there
when that interval began, and the first mean above that it was there when this one ended. A step may
lie anywhere in these two intervals. The interval of a time reaches from one to the other, with the
response moved up and down by the half-width of one reading.
"""

from __future__ import annotations

import numpy as np

from ebplan.settlement.number import Errors, Number
from ebplan.settlement.series import FloatArray

HELD = 2
"""Intervals in a row that a level must be held to count as reached."""


def spoken(seconds: float) -> str:
    """Return a length of time in whole minutes where it is some: ``30 min``, ``90 s``."""
    minutes = seconds / 60.0
    return f"{minutes:g} min" if minutes > 1.0 and minutes.is_integer() else f"{seconds:g} s"


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
    half_kw = errors.half_kw(level_kw)
    early = reached_by_meter(since_s, kw + half_kw, level_kw, interval_s)
    late = reached_by_meter(since_s, kw - half_kw, level_kw, interval_s)
    at = reached_by_meter(since_s, kw, level_kw, interval_s)
    return Number(value=at.value, low=early.low, high=late.high)


def reached_by_meter(
    since_s: FloatArray, kw: FloatArray, level_kw: float, interval_s: float
) -> Number:
    """Return the same with the interval that the meter alone leaves open, all >= 0.

    None of the three is known where the level is never held.
    """
    i = _first_held(since_s, kw, level_kw)
    if i is None:
        return Number(value=None, low=None, high=None)
    if i == 0 or kw[i - 1] >= level_kw:
        at_s, low_s = since_s[i], since_s[i] - interval_s
    else:
        middle_s = since_s + 0.5 * interval_s
        share = (level_kw - kw[i - 1]) / (kw[i] - kw[i - 1])
        at_s = middle_s[i - 1] + share * (middle_s[i] - middle_s[i - 1])
        low_s = since_s[i - 1]
    return Number(
        value=max(float(at_s), 0.0),
        low=max(float(low_s), 0.0),
        high=float(since_s[i] + interval_s),
    )


def _first_held(since_s: FloatArray, kw: FloatArray, level_kw: float) -> int | None:
    """Return the first interval after the start from which a level is held; None if never."""
    above = kw >= level_kw
    held = above.copy()
    for ahead in range(1, HELD):
        # the last intervals have nothing after them that could tell otherwise
        held &= np.r_[above[ahead:], np.ones(min(ahead, len(above)), dtype=bool)]
    after = np.flatnonzero(held & (since_s > -1e-6))
    return int(after[0]) if len(after) else None
