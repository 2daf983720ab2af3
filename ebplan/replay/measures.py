"""The same numbers of the recording and of the twin: delivered, missing, outside, rebound."""

from __future__ import annotations

import numpy as np

from ebplan.document import Part
from ebplan.event import Event
from ebplan.settlement.asked import Asked, asked
from ebplan.settlement.series import FloatArray, MeterSeries

REACHED = 0.9
"""A response has come at this share of what is asked."""


class EventNumbers(Part):
    """What a series says of an event; energies count in the direction asked."""

    baseline_kw: float
    """Mean baseline over the event."""
    asked_kwh: float
    """What was asked."""
    delivered_kwh: float
    """What was delivered inside the event."""
    paid_kwh: float
    """Of what was asked, what was delivered, interval by interval: more in one does not pay for
    what is missing in another."""
    missing_kwh: float
    """What was missing below the curve, interval by interval, beyond the tolerance."""
    outside_s: float
    """Time outside what was asked and the tolerance."""
    worst_kw: float
    """Farthest outside."""
    reached_s: float | None
    """When 90 % of what is asked was first there, in seconds since the start; None: never."""
    rebound_kw: float
    """Farthest beyond the baseline in the recovery, against the direction asked."""
    unmetered_s: float
    """Time of the event that was not metered."""


def numbers_of(
    meter: MeterSeries, event: Event, baseline_kw: FloatArray, tolerance: float
) -> tuple[EventNumbers, Asked]:
    """Return what a series says of an event, and what was asked on its intervals.

    Args:
        meter: the series.
        event: the event.
        baseline_kw: the baseline on its intervals, shape (n,).
        tolerance: share of the size asked that counts as met.
    """
    want = asked(meter, event, baseline_kw)
    hours = meter.interval_s / 3600.0
    given_kw = want.sense * (meter.grid_kw - baseline_kw)
    allowed_kw = tolerance * want.size_kw
    under_kw = np.where(want.inside, want.least_kw - allowed_kw - given_kw, 0.0)
    over_kw = np.where(want.inside, given_kw - want.most_kw - allowed_kw, 0.0)
    if event.target is not None and event.target.import_limit_kw is not None:
        over_kw = np.zeros_like(over_kw)  # a limit may be kept by any margin
    outside_kw = np.maximum(np.maximum(under_kw, over_kw), 0.0)
    inside_s = float(want.inside.sum()) * meter.interval_s
    since_s = meter.time_s - want.start_s
    after = (since_s >= want.end_s) & (since_s < want.end_s + event.response.recovery_s)
    there = want.inside & (given_kw >= REACHED * want.size_kw)
    asked_kw = want.sense * want.kw
    paid_kw = np.where(want.inside, np.clip(given_kw, 0.0, np.maximum(asked_kw, 0.0)), 0.0)
    numbers = EventNumbers(
        baseline_kw=float(baseline_kw[want.inside].mean()),
        asked_kwh=float(asked_kw[want.inside].sum()) * hours,
        delivered_kwh=float(given_kw[want.inside].sum()) * hours,
        paid_kwh=float(paid_kw.sum()) * hours,
        missing_kwh=float(np.maximum(under_kw, 0.0).sum()) * hours,
        outside_s=float((outside_kw > 1e-9).sum()) * meter.interval_s,
        worst_kw=float(outside_kw.max()),
        reached_s=float(since_s[there][0]) if there.any() and not want.follows else None,
        rebound_kw=float(max((-given_kw[after]).max(initial=0.0), 0.0)),
        unmetered_s=max(event.duration_s - inside_s, 0.0)
        if event.duration_s - inside_s > meter.interval_s
        else 0.0,
    )
    return numbers, want
