"""Delivery: what a meter says of the response to an event.

Every number comes with an interval; ``number`` has the formula. Times are seconds since the start
of the event, powers and energies count in the direction asked: > 0 is delivered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from ebplan.document import Document, Fraction, NonNegative, Positive, Timestamp
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.services.definition import ServiceDefinition
from ebplan.settlement.asked import Asked, asked
from ebplan.settlement.hold import Hold, hold
from ebplan.settlement.number import Number
from ebplan.settlement.rebound import Rebound, rebound
from ebplan.settlement.reference import BEFORE, QUIET_READINGS, Reference, band_kw
from ebplan.settlement.scale import check_scale
from ebplan.settlement.series import SAME_TIME_S, FloatArray, MeterSeries
from ebplan.settlement.split import FEWEST_QUIET, Share, split
from ebplan.settlement.timing import reached, reached_by_meter, spoken
from ebplan.settlement.tracking import Band, Tracking, band, track
from ebplan.settlement.verdict import Criterion, Measured, Verdict, judge, overall
from ebplan.site import MeasurementPoint

NOISE_SPREADS = 3.0
"""A response has begun, and a recovery ended, at this many standard deviations."""
RESPONSE_SHARE = 0.9
"""The response time is that to this share of what is asked."""

LONG_MEMORY = 0.25
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
    """Standard deviation of a reading about the baseline, without an event."""
    errors_from: str = BEFORE
    """What tells these two: readings before the event, or like days where these are too few."""
    confidence: Fraction
    """Share of intervals that hold the truth."""
    initial_delay_s: Number | None
    """When the response leaves the noise band; None where it follows the frequency."""
    response_s: Number | None
    """When it reaches 90 % of what is asked."""
    full_s: Number | None
    """When it reaches the tolerance about the whole response; None where the tolerance is
    unknown."""
    held_s: Number | None
    """How long it is within tolerance from then on, not before it is asked, until that is first
    left; None where the tolerance is unknown, or it follows the frequency."""
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
    check_scale(meter, want, baseline, plan)
    change_kw = meter.grid_kw - baseline.kw
    found = _measured(meter, want, change_kw, baseline, tolerance(service, event, want), service)
    shares = split(meter, want, change_kw, baseline.errors, quiet=baseline.quiet, plan=plan)
    criteria = () if service is None else _judged(service, meter, baseline, found)
    delivered = baseline.errors.energy((want.sense * change_kw)[want.inside], meter.interval_s)
    asked_kwh = float((want.sense * want.kw)[want.inside].sum()) * meter.interval_s / 3600.0
    return Delivery(
        event_id=event.id,
        service=None if service is None else service.id,
        start=event.start,
        direction=_direction(want),
        size_kw=want.size_kw,
        **_about_meter(meter, want, baseline),
        missing_s=found.missing_s,
        initial_delay_s=found.initial_delay_s,
        response_s=found.response_s,
        full_s=found.full_s,
        held_s=None if found.hold is None else found.hold.lasts_s,
        depth_kw=found.depth_kw,
        energy_kwh=delivered,
        asked_kwh=asked_kwh,
        share=delivered.times(1.0 / asked_kwh if asked_kwh > 0.0 else 0.0),
        tracking=found.tracking,
        rebound=_rebound(meter, want, change_kw, baseline),
        shares=shares,
        criteria=criteria,
        verdict=overall(criteria),
        notes=_notes(meter, event, want, baseline, service, shares),
    )


def _measured(
    meter: MeterSeries,
    want: Asked,
    change_kw: FloatArray,
    baseline: Reference,
    shares: tuple[float | None, float | None],
    service: ServiceDefinition | None,
) -> Measured:
    """Return what can be judged; ``shares`` is the tolerance below and above."""
    under, over = shares
    within = None
    if under is not None:
        within = band(
            want,
            change_kw,
            meter.time_s,
            meter.interval_s,
            under=under,
            over=over,
            averaging_s=None if service is None else service.tolerance.averaging_s,
        )
    times = _times(meter, want, change_kw, baseline, under)
    return Measured(
        follows=want.follows,
        size_kw=want.size_kw,
        asked_s=want.end_s - want.full_s,
        event_s=want.end_s,
        missing_s=_missing_s(meter, want),
        initial_delay_s=times.begun,
        response_s=times.most,
        full_s=times.full,
        full_by_meter_s=times.full_by_meter,
        depth_kw=_depth(want, change_kw, baseline),
        hold=_hold(want, within, times, baseline),
        tracking=track(want, change_kw, meter.interval_s, baseline.errors, within),
        band_kw=band_kw(baseline.errors, NOISE_SPREADS),
    )


def _about_meter(meter: MeterSeries, want: Asked, baseline: Reference) -> dict[str, Any]:
    """Return the fields that say what was metered, and against what."""
    return {
        "measurement_point": meter.measurement_point,
        "simulated": meter.simulated,
        "meter_file": meter.file,
        "meter_sha256": meter.sha256,
        "interval_s": meter.interval_s,
        "baseline": baseline.rule,
        "baseline_kw": float(baseline.kw[want.inside].mean()),
        "baseline_error_kw": baseline.errors.lasting_kw,
        "noise_kw": baseline.errors.noise_kw,
        "errors_from": baseline.errors_from,
        "confidence": baseline.errors.confidence,
    }


def _judged(
    service: ServiceDefinition, meter: MeterSeries, baseline: Reference, found: Measured
) -> tuple[Criterion, ...]:
    """Return the criteria; none is certain while the error of the baseline's level is not known."""
    criteria = judge(service, meter, found)
    if not baseline.level_unknown:
        return criteria
    return tuple(c.model_copy(update={"certain": False}) for c in criteria)


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


class _Times(NamedTuple):
    """When a response comes; all None where it follows the frequency."""

    begun: Number | None = None
    """It leaves the noise band."""
    most: Number | None = None
    """It reaches 90 % of what is asked."""
    full: Number | None = None
    """It reaches the tolerance; None where that is unknown."""
    full_by_meter: Number | None = None
    """The same with the interval that the meter alone leaves open."""


def _times(
    meter: MeterSeries,
    want: Asked,
    change_kw: FloatArray,
    baseline: Reference,
    under: float | None,
) -> _Times:
    """Return initial delay, time to 90 %, and time to the tolerance."""
    if want.follows:
        return _Times()
    since_s, errors = meter.time_s - want.start_s, baseline.errors
    # until the end: a recovery is no failure to hold
    during = since_s + meter.interval_s <= want.end_s + SAME_TIME_S
    since_s, kw = since_s[during], (want.sense * change_kw)[during]

    def at(level_kw: float) -> Number:
        return reached(since_s, kw, level_kw, meter.interval_s, errors)

    noise_kw = min(band_kw(errors, NOISE_SPREADS), RESPONSE_SHARE * want.size_kw)
    # the least that is no rounding, where a meter has no noise at all
    begun = at(max(noise_kw, 1e-3 * want.size_kw))
    most = at(RESPONSE_SHARE * want.size_kw)
    if under is None:
        return _Times(begun, most)
    level_kw = (1.0 - under) * want.size_kw - 1e-9 * want.size_kw
    by_meter = reached_by_meter(since_s, kw, level_kw, meter.interval_s)
    return _Times(begun, most, at(level_kw), by_meter)


def _hold(want: Asked, within: Band | None, times: _Times, baseline: Reference) -> Hold | None:
    if within is None or times.full is None or times.full_by_meter is None:
        return None
    return hold(
        within,
        baseline.errors,
        full_s=times.full,
        full_by_meter_s=times.full_by_meter,
        asked_from_s=want.full_s,
        end_s=want.end_s,
        spreads=NOISE_SPREADS,
    )


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
    """Return how much of the event no reading covers; one across its ends covers a part."""
    begins_s = meter.time_s - want.start_s
    ends_s = np.minimum(begins_s + meter.interval_s, want.end_s)
    missing_s = want.end_s - float(np.maximum(ends_s - np.maximum(begins_s, 0.0), 0.0).sum())
    return missing_s if missing_s > SAME_TIME_S else 0.0


def _notes(
    meter: MeterSeries,
    event: Event,
    want: Asked,
    baseline: Reference,
    service: ServiceDefinition | None,
    shares: tuple[Share, ...],
) -> tuple[str, ...]:
    """Say what one should know about the numbers."""
    notes = [*_meter_notes(meter, want), *_share_notes(meter, baseline, shares)]
    notes += _baseline_notes(meter, baseline)
    response = None if event.target is None else event.target.frequency
    if service is not None and response is not None and response.curve != service.curve:
        notes.append("Judged by the event's own curve, which is not that of the product.")
    if service is None:
        notes.append("No product is named: nothing is judged.")
    return tuple(notes)


def _meter_notes(meter: MeterSeries, want: Asked) -> Iterator[str]:
    if meter.simulated:
        yield "Simulated: a plant of the bench was metered, no real site."
    if meter.measurement_point != "connection_point":
        yield (
            f"Metered at {meter.measurement_point}: losses on the way to the connection point are "
            "not in it, so there is no verdict."
        )
    if not want.follows and meter.interval_s > max(want.full_s, 1.0):
        yield (
            f"Readings of {spoken(meter.interval_s)} cannot tell whether a response that is asked "
            f"{f'within {spoken(want.full_s)}' if want.full_s > 0.0 else 'at once'} came in time."
        )
    if meter.excluded:
        count, first = len(meter.excluded), meter.excluded[0]
        some = "1 row was left out" if count == 1 else f"{count} rows were left out, the first"
        yield f"{some}{',' if count == 1 else ''} {first.run}: {first.reason}."


def _share_notes(
    meter: MeterSeries, baseline: Reference, shares: tuple[Share, ...]
) -> Iterator[str]:
    if any(share.how == "attributed" for share in shares):
        yield (
            "Mechanisms of compute are attributed by the plan's shares, not metered; their "
            "intervals hold the errors of the meters alone."
        )
    if meter.battery_kw is None:
        yield (
            "The battery has no meter of its own here: battery and compute are not told "
            "apart by measurement."
        )
    elif baseline.quiet.sum() < FEWEST_QUIET:
        yield (
            "Too few readings tell what the battery did before the event: battery and compute are "
            "not told apart by measurement."
        )


def _baseline_notes(meter: MeterSeries, baseline: Reference) -> Iterator[str]:
    of_readings = baseline.errors_from == BEFORE
    if baseline.level_unknown:
        yield (
            f"The error of the baseline's level is not known: {baseline.level_unknown}. "
            + (
                "Only the noise before the event is in the intervals, which may be far too narrow, "
                "and no"
                if of_readings
                else "How far like days lay from it in these hours stands for it, and no"
            )
            + " verdict is certain; --baseline-error gives it."
        )
    quiet, alike = int(baseline.quiet.sum()), baseline.errors.correlation
    if not of_readings:
        yield (
            f"The hour before the event has {quiet} reading{'' if quiet == 1 else 's'}, too few "
            f"to tell the noise: it is that of {baseline.errors_from}."
        )
        return
    if np.isclose(baseline.errors.noise_kw, 0.0):
        yield "The draw before the event did not move at all: intervals are of no width."
    if quiet >= QUIET_READINGS and alike > LONG_MEMORY * quiet:
        yield (
            f"The draw before the event remembers for {alike * meter.interval_s:.0f} s, long "
            f"against the {quiet * meter.interval_s:.0f} s that tell its noise: intervals may be "
            "too narrow."
        )
