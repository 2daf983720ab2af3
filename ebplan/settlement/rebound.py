"""What comes after the end: how far the draw goes beyond the baseline, and when it is back."""

from __future__ import annotations

import numpy as np

from ebplan.document import Part
from ebplan.settlement.number import Errors, Number
from ebplan.settlement.reference import band_kw
from ebplan.settlement.series import FloatArray
from ebplan.settlement.timing import reached


class Rebound(Part):
    """The recovery after the end of an event."""

    watched_s: float
    """How long the series was looked at after the end."""
    peak_kw: Number
    """Farthest that the draw went beyond the baseline, against the direction asked; at least 0."""
    energy_kwh: Number
    """Energy beyond the baseline and its noise band."""
    return_s: Number
    """When the draw is back within the noise band of the baseline, in seconds after the end."""


def rebound(
    after_s: FloatArray,
    against_kw: FloatArray,
    interval_s: float,
    errors: Errors,
    spreads: float,
) -> Rebound | None:
    """Return what came after the end; None where the series ends with the event.

    Args:
        after_s: beginning of each interval in seconds after the end, from 0 on, shape (n,).
        against_kw: draw beyond the baseline against the direction asked, shape (n,).
        interval_s: length of an interval.
        errors: of the draw less the baseline.
        spreads: half the width of the noise band, in standard deviations.
    """
    if not len(after_s):
        return None
    band = band_kw(errors, spreads)
    peak = max(float(against_kw.max()), 0.0)
    half = errors.half_kw(peak)
    beyond = against_kw[against_kw > band]
    energy = errors.energy(beyond, interval_s)
    return Rebound(
        watched_s=float(after_s[-1] + interval_s),
        peak_kw=Number(value=peak, low=max(peak - half, 0.0), high=peak + half),
        energy_kwh=Number(value=energy.value, low=max(energy.low or 0.0, 0.0), high=energy.high),
        return_s=reached(after_s, -np.abs(against_kw), -band, interval_s, errors),
    )
