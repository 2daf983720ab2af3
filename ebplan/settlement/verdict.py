"""Pass or fail against a product: one criterion after the other, each with what it is held to.

Where the product's definition lacks what a criterion needs, there is no verdict: the field to
supply is named, and the measured number stands all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ebplan.document import Part
from ebplan.services.definition import ServiceDefinition
from ebplan.settlement.hold import Hold
from ebplan.settlement.number import Number
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.timing import spoken
from ebplan.settlement.tracking import Tracking

Verdict = Literal["pass", "fail"]
JUST_S, JUST_SHARE = 1e-6, 1e-9
"""A time, or a share, that exceeds its limit by no more than a rounding does not exceed it."""


class Criterion(Part):
    """One thing that a product asks of a response."""

    name: str
    """What is judged."""
    unit: Literal["s", "share"]
    """Unit of the numbers."""
    measured: Number
    """What was measured."""
    at_least: float | None = None
    """Least that passes."""
    at_most: float | None = None
    """Most that passes."""
    verdict: Verdict | None
    """None where it cannot be told."""
    certain: bool = False
    """Whether the whole interval lies on one side of the limit."""
    supply: str | None = None
    """Field of the definition, or property of the series, that is needed for a verdict."""
    why: str = ""
    """Why there is none, or what is in the limit."""


@dataclass(frozen=True)
class Measured:
    """What is judged of a response."""

    follows: bool
    """Whether it follows the frequency."""
    size_kw: float
    """Size asked, > 0."""
    asked_s: float
    """How long the whole response was asked."""
    event_s: float
    """Length of the event."""
    missing_s: float
    """Time of the event without readings."""
    initial_delay_s: Number | None
    """When it left the noise; None where it follows the frequency."""
    response_s: Number | None
    """When it reached 90 % of what was asked; None where it follows the frequency."""
    full_s: Number | None
    """When it came to stand within tolerance; None where the tolerance is unknown."""
    full_by_meter_s: Number | None
    """The same with the interval that the meter alone leaves open."""
    depth_kw: Number | None
    """Mean while the whole response is asked; None where it follows the frequency."""
    hold: Hold | None
    """How long it was held; None where the tolerance is unknown, or it follows the frequency."""
    tracking: Tracking
    """Its errors."""
    band_kw: float
    """Half the noise band, within which no response is told from the baseline."""


def judge(service: ServiceDefinition, meter: MeterSeries, found: Measured) -> tuple[Criterion, ...]:
    """Return the criteria of a product and whether each is met.

    Args:
        service: the product.
        meter: the series that was measured.
        found: what was measured.
    """
    criteria: list[Criterion | None] = [_outside(service, meter, found)]
    if not found.follows:
        criteria = [
            _initial_delay(service, meter, found),
            _full_activation(service, meter, found),
            _depth(service, meter, found),
            _sustained(service, meter, found),
            *criteria,
        ]
    return tuple(c for c in criteria if c is not None)


def overall(criteria: tuple[Criterion, ...]) -> Verdict | None:
    """Return the verdict over all: a fail is one, a pass needs every criterion."""
    verdicts = [c.verdict for c in criteria]
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts and None not in verdicts else None


def sure(criteria: tuple[Criterion, ...]) -> bool:
    """Whether the verdict over all lies beyond the errors of measurement.

    One sure fail makes a fail sure; a pass needs that every criterion is.
    """
    if overall(criteria) == "fail":
        return any(c.verdict == "fail" and c.certain for c in criteria)
    return all(c.certain for c in criteria)


def _unknown(service: ServiceDefinition, fact: str) -> bool:
    """Whether a fact is not known, where one that does not apply has no evidence at all."""
    evidence = service.evidence_of(fact)
    return service.facts()[fact] is None and (evidence is not None or fact != "initial_delay_s")


def _supplied(
    service: ServiceDefinition, meter: MeterSeries, facts: tuple[str, ...]
) -> tuple[str, str] | None:
    """Return what must be supplied before a verdict, and why; None where nothing is missing."""
    if meter.measurement_point != "connection_point":
        return "measurement_point", f"metered at {meter.measurement_point}, not where it is judged"
    for fact in facts:
        if service.facts()[fact] is None:
            evidence = service.evidence_of(fact)
            note = evidence.note if evidence is not None else None
            return fact, note or "the definition does not say"
    slowest = service.meter_interval_s
    if slowest is not None and meter.interval_s > slowest + 1e-9:
        why = f"readings of {spoken(meter.interval_s)}, where {spoken(slowest)} are judged"
        return "meter_interval_s", why
    return None


def _initial_delay(
    service: ServiceDefinition, meter: MeterSeries, found: Measured
) -> Criterion | None:
    """Judge when the response begins; what hides it is added to the limit."""
    assert found.initial_delay_s is not None, "timed unless it follows"
    hidden_s = _hidden_s(service, meter, found.band_kw / found.size_kw)
    limit_s = service.initial_delay_s
    judged = _at_most(
        service,
        meter,
        "initial delay",
        found.initial_delay_s,
        None if limit_s is None else limit_s + hidden_s,
        facts=("initial_delay_s",),
    )
    if judged is None or judged.verdict is None or limit_s is None:
        return judged
    surely_late = judged.verdict == "fail" and judged.certain
    if meter.interval_s > limit_s + JUST_S and not surely_late:
        why = f"readings of {spoken(meter.interval_s)} do not tell a delay of {spoken(limit_s)}"
        return judged.model_copy(
            update={
                "at_most": limit_s,
                "verdict": None,
                "certain": False,
                "supply": "meter_interval_s",
                "why": why,
            }
        )
    why = (
        f"{limit_s:g} s asked, and {hidden_s:.2g} s more for what readings of "
        f"{spoken(meter.interval_s)} and their noise hide"
    )
    return judged.model_copy(update={"why": why})


def _full_activation(
    service: ServiceDefinition, meter: MeterSeries, found: Measured
) -> Criterion | None:
    """Judge when the whole response is there; no verdict where the meter alone leaves it open."""
    nowhere = Number(value=None, low=None, high=None)
    limit_s = service.full_activation_s
    judged = _at_most(
        service,
        meter,
        "full activation",
        found.full_s or nowhere,
        limit_s,
        facts=("full_activation_s", "tolerance.under"),
    )
    if judged is None or judged.verdict is None or limit_s is None:
        return judged
    by_meter = found.full_by_meter_s or nowhere
    # a mean below the level from the limit on is late: only a limit in between is left open
    if by_meter.low is None or not by_meter.low + JUST_S < limit_s < _ends(by_meter)[2] - JUST_S:
        return judged
    return _left_open(judged, by_meter, meter)


def _left_open(judged: Criterion, by_meter_s: Number, meter: MeterSeries) -> Criterion:
    """Return a judged time without its verdict, which the meter alone leaves open."""
    low_s, _, high_s = _ends(by_meter_s)
    why = (
        f"readings of {spoken(meter.interval_s)} leave it open between {spoken(low_s)} and "
        f"{spoken(high_s)}"
    )
    return judged.model_copy(
        update={"verdict": None, "certain": False, "supply": "meter_interval_s", "why": why}
    )


def _at_most(
    service: ServiceDefinition,
    meter: MeterSeries,
    name: str,
    measured: Number,
    limit_s: float | None,
    *,
    facts: tuple[str, ...],
) -> Criterion | None:
    """Judge a time that may not exceed a limit, which the first of the facts gives."""
    if limit_s is None and not _unknown(service, facts[0]):
        return None  # the product names no such limit
    missing = _supplied(service, meter, facts)
    if missing is not None or limit_s is None:
        supply, why = missing or (facts[0], "the definition does not say")
        return Criterion(
            name=name,
            unit="s",
            measured=measured,
            at_most=limit_s,
            verdict=None,
            supply=supply,
            why=why,
        )
    late = measured.value is None or measured.value > limit_s + JUST_S
    certain = (
        measured.low is None or measured.low > limit_s
        if late
        else measured.high is not None and measured.high <= limit_s + JUST_S
    )
    return Criterion(
        name=name,
        unit="s",
        measured=measured,
        at_most=limit_s,
        verdict="fail" if late else "pass",
        certain=certain,
    )


def _hidden_s(service: ServiceDefinition, meter: MeterSeries, band_share: float) -> float:
    """Return how late a response that begins at the last moment is seen to begin.

    One that then rises as slowly as the product allows leaves the noise band only when it has
    grown to it; and the mean of an interval does not say when within it the power moved.
    """
    if service.initial_delay_s is None or service.full_activation_s is None:
        return 0.5 * meter.interval_s
    rise_s = service.full_activation_s - service.initial_delay_s
    return min(band_share, 1.0) * rise_s + 0.5 * meter.interval_s


def _depth(service: ServiceDefinition, meter: MeterSeries, found: Measured) -> Criterion:
    """Judge the mean depth as a share of what is asked."""
    assert found.depth_kw is not None, "has a depth unless it follows"
    depth, under = found.depth_kw.times(1.0 / found.size_kw), service.tolerance.under
    assert depth.value is not None and depth.low is not None and depth.high is not None  # noqa: PT018
    missing = _supplied(service, meter, ("tolerance.under",))
    if missing is not None or under is None:
        supply, why = missing or ("tolerance.under", "the definition does not say")
        return Criterion(
            name="depth", unit="share", measured=depth, verdict=None, supply=supply, why=why
        )
    over, said = service.tolerance.over, service.evidence_of("tolerance.over")
    if over is None and said is not None and said.confidence == "unknown" and depth.low > 1.0:
        return Criterion(
            name="depth",
            unit="share",
            measured=depth,
            at_least=1.0 - under,
            verdict=None,
            supply="tolerance.over",
            why=f"more than asked; {said.note}",
        )
    least, most = 1.0 - under, None if over is None else 1.0 + over
    short = depth.value < least - 1e-9
    much = most is not None and depth.value > most + 1e-9
    if short:
        certain = depth.high < least
    elif much:
        certain = most is not None and depth.low > most
    else:
        certain = depth.low >= least and (most is None or depth.high <= most)
    return Criterion(
        name="depth",
        unit="share",
        measured=depth,
        at_least=least,
        at_most=most,
        verdict="fail" if short or much else "pass",
        certain=certain,
    )


def _sustained(service: ServiceDefinition, meter: MeterSeries, found: Measured) -> Criterion:
    """Judge how long the whole response was held within tolerance."""
    held, least_s = found.hold, service.sustain_s

    def judged(verdict: Verdict | None, *, certain: bool = False, **more: str) -> Criterion:
        unknown = Number(value=None, low=0.0, high=found.asked_s)
        return Criterion(
            name="sustained",
            unit="s",
            measured=unknown if held is None else held.lasts_s,
            at_least=least_s,
            verdict=verdict,
            certain=certain,
            **more,
        )

    missing = _supplied(service, meter, ("sustain_s", "tolerance.under"))
    if missing is not None or held is None or least_s is None:
        supply, why = missing or ("sustain_s", "the definition does not say")
        return judged(None, supply=supply, why=why)
    low_s, value_s, high_s = _ends(held.lasts_s)
    # a response as late as the product allows must still have the time
    room_s = found.event_s - (service.full_activation_s or 0.0)
    shown_s = found.asked_s if value_s >= least_s - JUST_S else min(found.asked_s, room_s)
    if shown_s < least_s - JUST_S and not held.left:
        needs_s = least_s + (service.full_activation_s or 0.0)
        why = (
            f"the event is {spoken(found.event_s)} long; to show {spoken(least_s)} of the whole "
            f"response it must be {spoken(needs_s)} or longer"
        )
        return judged(None, supply="event.duration_s", why=why)
    if high_s < least_s - JUST_S:
        return judged("fail", certain=True)
    if found.missing_s > 0.0:
        why = f"{spoken(found.missing_s)} of the event were not metered"
        return judged(None, supply="readings", why=why)
    short = value_s < least_s - JUST_S
    told = judged("fail" if short else "pass", certain=low_s >= least_s - JUST_S)
    least_by_meter_s, _, most_by_meter_s = _ends(held.by_meter_s)
    if least_by_meter_s < least_s - JUST_S <= most_by_meter_s:
        return _left_open(told, held.by_meter_s, meter)
    return told


def _ends(number: Number) -> tuple[float, float, float]:
    """Return low end, best guess and high end of a number that is known."""
    assert number.low is not None and number.value is not None and number.high is not None  # noqa: PT018
    return number.low, number.value, number.high


def _outside(service: ServiceDefinition, meter: MeterSeries, found: Measured) -> Criterion:
    """Judge the share of the time outside tolerance; what was not metered may be on either side."""
    allowed, measured = service.tolerance.share_outside, found.tracking.share_outside

    def judged(verdict: Verdict | None, *, certain: bool = False, **more: str) -> Criterion:
        return Criterion(
            name="time outside tolerance",
            unit="share",
            measured=measured or Number(value=None, low=None, high=None),
            at_most=allowed,
            verdict=verdict,
            certain=certain,
            **more,
        )

    missing = _supplied(service, meter, ("tolerance.under", "tolerance.share_outside"))
    if missing is not None or allowed is None or measured is None:
        supply, why = missing or ("tolerance.share_outside", "the definition does not say")
        return judged(None, supply=supply, why=why)
    unmetered = found.missing_s / found.event_s
    low, value, high = ((1.0 - unmetered) * end for end in _ends(measured))
    much = value > allowed + JUST_SHARE
    if not much and value + unmetered > allowed + JUST_SHARE:
        why = f"{spoken(found.missing_s)} of the event were not metered"
        return judged(None, supply="readings", why=why)
    if much:
        return judged("fail", certain=low > allowed)
    return judged("pass", certain=high + unmetered <= allowed + JUST_SHARE)
