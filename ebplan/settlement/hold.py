"""How long a response is held: from full activation until tolerance is first left.

Tolerance is left by three means in a row outside it, or by one so far outside that no noise
explains it. A reading that the noise moved across the limit ends no hold; it counts in the share of
the time outside. The lower end of the interval is that of the response moved down by the errors
that last; the upper end that of the response moved up by the half-width of one reading, for noise
may have moved each that counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.settlement.number import Errors, Number
from ebplan.settlement.series import SAME_TIME_S
from ebplan.settlement.tracking import Band

IN_A_ROW = 3
"""Means in a row outside tolerance that end a hold."""
BEFORE_S = 1e-3
"""What ends before a time ends by this much before it at least."""


@dataclass(frozen=True)
class Hold:
    """How long the whole response is within tolerance, in s."""

    lasts_s: Number
    """From full activation, not before it is asked, until tolerance is first left or the end."""
    by_meter_s: Number
    """The same with the interval that the meter alone leaves open."""
    left: bool
    """Whether tolerance is surely left before the end."""


def hold(
    tolerance: Band,
    errors: Errors,
    *,
    full_s: Number,
    full_by_meter_s: Number,
    asked_from_s: float,
    end_s: float,
    spreads: float,
) -> Hold:
    """Return how long a response is held.

    Args:
        tolerance: means over the product's averaging time, and what is allowed of each.
        errors: of the change of the draw.
        full_s: when the response came to stand within tolerance.
        full_by_meter_s: the same with what the meter alone leaves open.
        asked_from_s: the whole response is asked from here on.
        end_s: the end of the event.
        spreads: so many standard deviations of a reading no noise explains.
    """
    if full_s.value is None:
        # with the errors of measurement it may have been there from some time on
        most_s = 0.0 if full_s.low is None else max(end_s - max(full_s.low, asked_from_s), 0.0)
        nothing = Number(value=0.0, low=0.0, high=0.0)
        return Hold(nothing.model_copy(update={"high": most_s}), nothing, left=False)
    begin_s, far_kw = max(full_s.value, asked_from_s), spreads * errors.noise_kw
    lasting_kw = errors.quantile * errors.lasting_kw
    reading_kw = errors.half_kw(float(np.abs(tolerance.mean_kw).max()))
    shifts = (0.0, -lasting_kw, lasting_kw, -reading_kw, reading_kw)
    left, *moved = (_left(tolerance, begin_s, end_s, far_kw, by) for by in shifts)

    def between(low_s: float, high_s: float, full: Number) -> Number:
        late_s = end_s if full.high is None else max(full.high, asked_from_s)
        early_s = max(full.low or 0.0, asked_from_s)
        return Number(
            value=max(left[1] - begin_s, 0.0),
            low=max(low_s - late_s, 0.0),
            high=max(high_s - early_s, 0.0),
        )

    low_s = min(one[0] for one in (left, *moved[:2]))
    high_s = max(one[2] for one in (left, *moved))
    return Hold(
        lasts_s=between(low_s, high_s, full_s),
        by_meter_s=between(left[0], left[2], full_by_meter_s),
        left=high_s < end_s,
    )


def _left(
    tolerance: Band, begin_s: float, end_s: float, far_kw: float, shift_kw: float
) -> tuple[float, float, float]:
    """Return between which times, and when most likely, tolerance is left; the end if never."""
    beyond_kw = tolerance.beyond_kw(shift_kw)
    outside = beyond_kw > 0.0
    stays = outside.copy()
    for ahead in range(1, IN_A_ROW):
        stays &= np.r_[outside[ahead:], np.zeros(min(ahead, len(outside)), dtype=bool)]
    counted = tolerance.begins_s >= begin_s - SAME_TIME_S
    first = np.flatnonzero(counted & (stays | (beyond_kw > max(far_kw, 0.0))))
    if not len(first):
        return end_s, end_s, end_s
    i = int(first[0])
    at_s = float(tolerance.begins_s[i])
    # a step away lies in the last mean inside, or in the first one outside and before its end
    low_s = float(tolerance.begins_s[i - 1]) if i else at_s
    return low_s, at_s, min(at_s + tolerance.length_s, end_s) - BEFORE_S
