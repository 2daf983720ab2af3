"""How near a response keeps to what is asked: errors against the curve, time outside tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np

from ebplan.document import Part
from ebplan.settlement.asked import Asked
from ebplan.settlement.number import Errors, Number
from ebplan.settlement.series import FloatArray


class Tracking(Part):
    """Errors against the product's curve inside the event; > 0 is delivered too much."""

    rmse_kw: Number
    """Root of the mean squared error; the noise of the meter is in it."""
    max_kw: Number
    """Largest error, by its size."""
    max_at_s: float
    """When, in seconds since the start of the event."""
    mean_kw: Number
    """Mean error."""
    share_outside: Number | None
    """Share of the time outside tolerance; None where the tolerance is unknown. Its interval
    comes from the errors that last."""
    under_kwh: Number
    """Energy that was missing below the curve, interval by interval."""
    over_kwh: Number
    """Energy beyond what the curve allows at most, interval by interval."""


@dataclass(frozen=True)
class Band:
    """Means over the product's averaging time, and between which powers they must lie."""

    begins_s: FloatArray
    """Beginning of each mean in seconds since the start of the event, shape (m,)."""
    length_s: float
    """Length of the time that each is taken over."""
    mean_kw: FloatArray
    """Change of the draw, shape (m,)."""
    low_kw: FloatArray
    """Least that is within tolerance, shape (m,)."""
    high_kw: FloatArray
    """Most that is within tolerance, shape (m,)."""

    def beyond_kw(self, shift_kw: float = 0.0) -> FloatArray:
        """Return how far each mean, moved by a shift, lies outside; <= 0 inside, shape (m,)."""
        moved_kw = self.mean_kw + shift_kw
        return np.maximum(self.low_kw - moved_kw, moved_kw - self.high_kw)


def band(
    asked: Asked,
    change_kw: FloatArray,
    time_s: FloatArray,
    interval_s: float,
    *,
    under: float,
    over: float | None,
    averaging_s: float | None = None,
) -> Band:
    """Return the means that are judged, and the tolerance of each.

    Args:
        asked: what is asked.
        change_kw: draw less baseline in each interval, shape (n,).
        time_s: beginning of each interval in seconds of the series, shape (n,).
        interval_s: length of an interval.
        under: tolerance below, as a share of the size asked.
        over: tolerance above; None where more is allowed, or it is unknown.
        averaging_s: powers are averaged over this before they are judged.
    """
    inside, size = asked.inside, asked.size_kw
    releases = asked.sense[inside] < 0.0
    most = asked.most_kw[inside] + (np.inf if over is None else over * size)
    least = asked.least_kw[inside] - under * size
    low, high = np.where(releases, -most, least), np.where(releases, -least, most)
    idle = asked.sense[inside] == 0.0
    low = np.where(idle, np.minimum(low, -under * size), low)
    many = max(round((averaging_s or interval_s) / interval_s), 1)
    since_s = time_s[inside] - asked.start_s
    window = np.round((since_s - since_s[0]) / interval_s).astype(np.intp) // many
    count = np.bincount(window)
    # a rounding of the meter's numbers is not outside
    slack = 1e-9 * max(size, 1.0)

    def averaged(kw: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(window, kw)[count > 0] / count[count > 0])

    return Band(
        begins_s=since_s[0] + many * interval_s * np.flatnonzero(count),
        length_s=many * interval_s,
        mean_kw=averaged(change_kw[inside]),
        low_kw=averaged(low) - slack,
        high_kw=averaged(high) + slack,
    )


def track(
    asked: Asked,
    change_kw: FloatArray,
    interval_s: float,
    errors: Errors,
    tolerance: Band | None,
) -> Tracking:
    """Return how near a change of the draw keeps to what is asked.

    Args:
        asked: what is asked.
        change_kw: draw less baseline in each interval, shape (n,).
        interval_s: length of an interval.
        errors: of the change.
        tolerance: the means that are judged; None where the tolerance is unknown.
    """
    inside = asked.inside
    sense = np.where(asked.sense == 0.0, 1.0, asked.sense)[inside]
    error = sense * (change_kw - asked.kw)[inside]
    delivered = sense * change_kw[inside]
    rmse, mean, at = (
        float(np.sqrt((error**2).mean())),
        float(error.mean()),
        int(abs(error).argmax()),
    )
    slope = mean / rmse if rmse > 0.0 else 1.0
    half = errors.quantile * hypot(
        slope * errors.lasting_kw,
        errors.noise_kw * sqrt(min(errors.correlation / len(error), 1.0)),
    )
    worst_half = errors.half_kw(float(delivered[at]))
    missing = np.maximum(asked.least_kw[inside] - delivered, 0.0)
    surplus = np.maximum(delivered - asked.most_kw[inside], 0.0)
    return Tracking(
        rmse_kw=Number(value=rmse, low=max(rmse - half, 0.0), high=rmse + half),
        max_kw=Number(value=error[at], low=error[at] - worst_half, high=error[at] + worst_half),
        max_at_s=float((np.flatnonzero(inside)[at] - np.flatnonzero(inside)[0]) * interval_s),
        mean_kw=errors.mean(error),
        share_outside=None if tolerance is None else _share_outside(tolerance, errors),
        under_kwh=_part(missing, errors, interval_s),
        over_kwh=_part(surplus, errors, interval_s),
    )


def _part(kw: FloatArray, errors: Errors, interval_s: float) -> Number:
    """Return the energy of what lies on one side only; errors count where something lies."""
    some = kw > 0.0
    found = errors.energy(kw[some], interval_s)
    return Number(value=found.value, low=max(found.low or 0.0, 0.0), high=found.high)


def _share_outside(tolerance: Band, errors: Errors) -> Number:
    lasting = errors.quantile * errors.lasting_kw
    shares = [
        float((tolerance.beyond_kw(shift) > 0.0).mean()) for shift in (0.0, -lasting, lasting)
    ]
    return Number(value=shares[0], low=min(shares), high=max(shares))
