"""Delivery: what a meter says of the response to an event.

Every number comes with an interval; ``number`` has the formula. Times are seconds since the start
of the event, powers and energies count in the direction asked: > 0 is delivered.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ebplan.document import Document, Fraction, NonNegative, Positive, Timestamp
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.services.definition import ServiceDefinition
from ebplan.settlement.asked import Asked, asked
from ebplan.settlement.number import Number
from ebplan.settlement.rebound import Rebound, rebound
from ebplan.settlement.reference import Reference, band_kw
from ebplan.settlement.series import SAME_TIME_S, FloatArray, MeterSeries
from ebplan.settlement.split import Share, split
from ebplan.settlement.timing import reached
from ebplan.settlement.tracking import Tracking, track
from ebplan.settlement.verdict import Criterion, Verdict, judge, overall
from ebplan.site import MeasurementPoint

NOISE_SPREADS = 3.0
"""A response has begun, and a recovery ended, at this many standard deviations."""
RESPONSE_SHARE = 0.9
"""The response time is that to this share of what is asked."""

LONG_MEMORY = 0.1
"""Readings before the event that resemble one another for longer than this share of them tell
too little of their noise."""


class Delivery(Document):
    """What was delivered in one event."""

    kind: Literal["delivery"] = "delivery"
    event_id: str
    """The event."""
    service: str | None
    """The product it is judged by; None where none is named."""
    start: Timestamp
    """Start of the event."""
    direction: Literal["release", "absorb", "both"]
    """What was asked; ``both`` follows the frequency."""
    size_kw: Positive
    """Size asked; shares count from it."""
    measurement_point: MeasurementPoint
    """Where it was metered."""
    simulated: bool
    """Whether a plant of the bench was metered, and no real one."""
    meter_file: str
    """The series."""
    meter_sha256: str
    """Digest of its file; empty where there is none."""
    interval_s: Positive
    """Interval of the meter."""
    missing_s: NonNegative
    """Time of the event that was not metered."""
    baseline: str
    """How the baseline was found."""
    baseline_kw: float
    """Its mean over the event."""
    baseline_error_kw: NonNegative
    """Standard error of its level, the same throughout the event."""
    noise_kw: NonNegative
    """Standard deviation of a reading about the baseline, before the event."""
    confidence: Fraction
    """Share of intervals that hold the truth."""
    initial_delay_s: Number | None
    """When the response leaves the noise band; None where it follows the frequency."""
    response_s: Number | None
    """When it reaches 90 % of what is asked."""
    full_s: Number | None
    """When it reaches the tolerance about the whole response; None where the tolerance is
    unknown."""
    depth_kw: Number | None
    """Mean while the whole response is asked."""
    energy_kwh: Number
    """Delivered inside the event, in the direction asked."""
    asked_kwh: float
    """Asked."""
    share: Number
    """Delivered as a share of what is asked."""
    tracking: Tracking
    """Errors against the curve."""
    rebound: Rebound | None
    """After the end; None where the series ends with the event, or it follows the frequency."""
    shares: tuple[Share, ...]
    """Who delivered."""
    criteria: tuple[Criterion, ...]
    """What the product asks, each judged apart; empty without a product."""
    verdict: Verdict | None
    """Over all criteria; None where one cannot be told and none failed."""
    notes: tuple[str, ...]
    """What one should know about these numbers."""


def measure_delivery(
    meter: MeterSeries,
    event: Event,
    baseline: Reference,
    *,
    service: ServiceDefinition | None = None,
    plan: Plan | None = None,
) -> Delivery:
    """Return what a series says of the response to an event.

    Args:
        meter: the series, from before the event on.
        event: what was asked.
        baseline: what would have been drawn, on the intervals of the series.
        service: the product whose tolerance judges it.
        plan: whose contributions tell mechanisms apart.

    Raises:
        InputError: the event asks for nothing, or series, event and plan do not fit.
    """
    late_s = 0.0 if service is None else service.full_activation_s or 0.0
    want = asked(meter, event, baseline.kw, late_s=late_s)
    change_kw = meter.grid_kw - baseline.kw
    under, over = tolerance(service, event, want)
    tracking = track(
        want,
        change_kw,
        meter.interval_s,
        baseline.errors,
        under=under,
        over=over,
        averaging_s=None if service is None else service.tolerance.averaging_s,
    )
    times = _times(meter, want, change_kw, baseline, under)
    depth = _depth(want, change_kw, baseline)
    criteria: tuple[Criterion, ...] = ()
    if service is not None:
        criteria = judge(
            service,
            meter,
            follows=want.follows,
            size_kw=want.size_kw,
            asked_s=want.end_s - want.full_s,
            initial_delay_s=times[0],
            full_s=times[2],
            depth_kw=depth,
            tracking=tracking,
            band_kw=band_kw(baseline.errors, NOISE_SPREADS),
        )
    inside = want.inside
    shares = split(meter, want, change_kw, baseline.errors, quiet=baseline.quiet, plan=plan)
    delivered = baseline.errors.energy((want.sense * change_kw)[inside], meter.interval_s)
    asked_kwh = float((want.sense * want.kw)[inside].sum()) * meter.interval_s / 3600.0
    return Delivery(
        event_id=event.id,
        service=None if service is None else service.id,
        start=event.start,
        direction=_direction(want),
        size_kw=want.size_kw,
        measurement_point=meter.measurement_point,
        simulated=meter.simulated,
        meter_file=meter.file,
        meter_sha256=meter.sha256,
        interval_s=meter.interval_s,
        missing_s=_missing_s(meter, want),
        baseline=baseline.rule,
        baseline_kw=float(baseline.kw[inside].mean()),
        baseline_error_kw=baseline.errors.lasting_kw,
        noise_kw=baseline.errors.noise_kw,
        confidence=baseline.errors.confidence,
        initial_delay_s=times[0],
        response_s=times[1],
        full_s=times[2],
        depth_kw=depth,
        energy_kwh=delivered,
        asked_kwh=asked_kwh,
        share=delivered.times(1.0 / asked_kwh) if asked_kwh > 0.0 else delivered.times(0.0),
        tracking=tracking,
        rebound=_rebound(meter, want, change_kw, baseline),
        shares=shares,
        criteria=criteria,
        verdict=overall(criteria),
        notes=_notes(meter, event, want, baseline, service, shares),
    )


def tolerance(
    service: ServiceDefinition | None, event: Event, want: Asked
) -> tuple[float | None, float | None]:
    """Return the tolerance below and above as shares of the size; None where it is unknown.

    Args:
        service: the product; what it does not say, an event that follows the frequency may.
        event: the event.
        want: what it asks.
    """
    under = over = None
    if service is not None:
        under, over = service.tolerance.under, service.tolerance.over
    response = None if event.target is None else event.target.frequency
    if under is None and response is not None and response.tolerance_kw > 0.0:
        under = over = response.tolerance_kw / want.size_kw
    return under, over


def _direction(want: Asked) -> Literal["release", "absorb", "both"]:
    if want.follows:
        return "both"
    return "release" if want.sense[0] < 0.0 else "absorb"


def _times(
    meter: MeterSeries,
    want: Asked,
    change_kw: FloatArray,
    baseline: Reference,
    under: float | None,
) -> tuple[Number | None, Number | None, Number | None]:
    """Return initial delay, time to 90 %, and time to the tolerance."""
    if want.follows:
        return None, None, None
    since_s, errors = meter.time_s - want.start_s, baseline.errors
    # until the end: a recovery is no failure to hold
    during = since_s + meter.interval_s <= want.end_s + SAME_TIME_S
    since_s, kw = since_s[during], (want.sense * change_kw)[during]

    def at(level_kw: float) -> Number:
        return reached(since_s, kw, level_kw, meter.interval_s, errors)

    band = min(band_kw(errors, NOISE_SPREADS), RESPONSE_SHARE * want.size_kw)
    # the least that is no rounding, where a meter has no noise at all
    begun = at(max(band, 1e-3 * want.size_kw))
    full = None if under is None else at((1.0 - under) * want.size_kw - 1e-9 * want.size_kw)
    return begun, at(RESPONSE_SHARE * want.size_kw), full


def _depth(want: Asked, change_kw: FloatArray, baseline: Reference) -> Number | None:
    if want.follows:
        return None
    return baseline.errors.mean((want.sense * change_kw)[want.sustained])


def _rebound(
    meter: MeterSeries, want: Asked, change_kw: FloatArray, baseline: Reference
) -> Rebound | None:
    if want.follows:
        return None
    after_s = meter.time_s - want.start_s - want.end_s
    after = after_s >= -SAME_TIME_S
    return rebound(
        after_s[after],
        -(want.sense * change_kw)[after],
        meter.interval_s,
        baseline.errors,
        NOISE_SPREADS,
    )


def _missing_s(meter: MeterSeries, want: Asked) -> float:
    metered_s = float(want.inside.sum()) * meter.interval_s
    return max(want.end_s - metered_s, 0.0)


def _notes(
    meter: MeterSeries,
    event: Event,
    want: Asked,
    baseline: Reference,
    service: ServiceDefinition | None,
    shares: tuple[Share, ...],
) -> tuple[str, ...]:
    """Say what one should know about the numbers."""
    notes = []
    if meter.simulated:
        notes.append("Simulated: a plant of the bench was metered, no real site.")
    if meter.measurement_point != "connection_point":
        notes.append(
            f"Metered at {meter.measurement_point}: losses on the way to the connection point are "
            "not in it, so there is no verdict."
        )
    if not want.follows and meter.interval_s > max(want.full_s, 1.0):
        notes.append(
            f"Readings of {meter.interval_s:g} s cannot tell whether a response that is asked "
            f"within {want.full_s:g} s came in time."
        )
    if any(share.how == "attributed" for share in shares):
        notes.append(
            "Mechanisms of compute are attributed by the plan's shares, not metered; their "
            "intervals hold the errors of the meters alone."
        )
    if meter.battery_kw is None:
        notes.append(
            "The battery has no meter of its own here: battery and compute are not told "
            "apart by measurement."
        )
    if meter.excluded:
        notes.append(
            f"{len(meter.excluded)} rows were left out, the first {meter.excluded[0].run}: "
            f"{meter.excluded[0].reason}."
        )
    if np.isclose(baseline.errors.noise_kw, 0.0):
        notes.append("The draw before the event did not move at all: intervals are of no width.")
    quiet, alike = int(baseline.quiet.sum()), baseline.errors.correlation
    if alike > LONG_MEMORY * quiet:
        notes.append(
            f"The draw before the event remembers for {alike * meter.interval_s:.0f} s, long "
            f"against the {quiet * meter.interval_s:.0f} s that tell its noise: intervals may be "
            "too narrow."
        )
    response = None if event.target is None else event.target.frequency
    if service is not None and response is not None and response.curve != service.curve:
        notes.append("Judged by the event's own curve, which is not that of the product.")
    if service is None:
        notes.append("No product is named: nothing is judged.")
    return tuple(notes)
