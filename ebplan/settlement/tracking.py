"""How near a response keeps to what is asked: errors against the curve, time outside tolerance."""

from __future__ import annotations

from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray

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


def track(
    asked: Asked,
    change_kw: FloatArray,
    interval_s: float,
    errors: Errors,
    *,
    under: float | None,
    over: float | None,
    averaging_s: float | None = None,
) -> Tracking:
    """Return how near a change of the draw keeps to what is asked.

    Args:
        asked: what is asked.
        change_kw: draw less baseline in each interval, shape (n,).
        interval_s: length of an interval.
        errors: of the change.
        under: tolerance below, as a share of the size asked; None where it is unknown.
        over: tolerance above; None where more is allowed, or it is unknown.
        averaging_s: powers are averaged over this before they are judged.
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
        share_outside=_share_outside(
            asked,
            change_kw,
            errors,
            under=under,
            over=over,
            windows=_windows(asked, averaging_s, interval_s),
        ),
        under_kwh=_part(missing, errors, interval_s),
        over_kwh=_part(surplus, errors, interval_s),
    )


def _part(kw: FloatArray, errors: Errors, interval_s: float) -> Number:
    """Return the energy of what lies on one side only; errors count where something lies."""
    some = kw > 0.0
    found = errors.energy(kw[some], interval_s)
    return Number(value=found.value, low=max(found.low or 0.0, 0.0), high=found.high)


def _windows(asked: Asked, averaging_s: float | None, interval_s: float) -> NDArray[np.intp]:
    """Return the window that each interval inside the event is averaged in, shape (m,)."""
    many = max(round((averaging_s or interval_s) / interval_s), 1)
    first = np.flatnonzero(asked.inside)[0]
    return np.asarray((np.flatnonzero(asked.inside) - first) // many)


def _share_outside(
    asked: Asked,
    change_kw: FloatArray,
    errors: Errors,
    *,
    under: float | None,
    over: float | None,
    windows: NDArray[np.intp],
) -> Number | None:
    if under is None:
        return None
    inside, size = asked.inside, asked.size_kw
    releases = asked.sense[inside] < 0.0
    most = asked.most_kw[inside] + (np.inf if over is None else over * size)
    least = asked.least_kw[inside] - under * size
    low, high = np.where(releases, -most, least), np.where(releases, -least, most)
    idle = asked.sense[inside] == 0.0
    low = np.where(idle, np.minimum(low, -under * size), low)
    count = np.bincount(windows)

    def averaged(kw: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(windows, kw)[count > 0] / count[count > 0])

    mean, low, high = averaged(change_kw[inside]), averaged(low), averaged(high)
    slack = 1e-9 * max(size, 1.0)
    lasting = errors.quantile * errors.lasting_kw
    shares = [
        float(((mean + shift < low - slack) | (mean + shift > high + slack)).mean())
        for shift in (0.0, -lasting, lasting)
    ]
    return Number(value=shares[0], low=min(shares), high=max(shares))
