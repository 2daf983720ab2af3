"""Pass or fail against a product: one criterion after the other, each with what it is held to.

Where the product's definition lacks what a criterion needs, there is no verdict: the field to
supply is named, and the measured number stands all the same.
"""

from __future__ import annotations

from typing import Literal

from ebplan.document import Part
from ebplan.services.definition import ServiceDefinition
from ebplan.settlement.number import Number
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.tracking import Tracking

Verdict = Literal["pass", "fail"]


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


def judge(
    service: ServiceDefinition,
    meter: MeterSeries,
    *,
    follows: bool,
    size_kw: float,
    asked_s: float,
    initial_delay_s: Number | None,
    full_s: Number | None,
    depth_kw: Number | None,
    tracking: Tracking,
    band_kw: float,
) -> tuple[Criterion, ...]:
    """Return the criteria of a product and whether each is met.

    Args:
        service: the product.
        meter: the series that was measured.
        follows: whether the response follows the frequency.
        size_kw: size asked, > 0.
        asked_s: how long the whole response was asked.
        initial_delay_s: when it left the noise.
        full_s: when it came to stand within tolerance.
        depth_kw: mean while the whole response is asked.
        tracking: its errors.
        band_kw: half the noise band, within which no response is told from the baseline.
    """
    under = service.tolerance.under
    found = []
    if not follows:
        assert initial_delay_s is not None, "timed unless it follows"
        assert depth_kw is not None, "has a depth unless it follows"
        hidden_s = _hidden_s(service, meter, band_kw / size_kw)
        found.append(
            _at_most(
                service,
                "initial_delay_s",
                "initial delay",
                initial_delay_s,
                meter,
                hidden_s=hidden_s,
            )
        )
        reached = full_s or Number(value=None, low=None, high=None)
        found.append(
            _at_most(
                service,
                "full_activation_s",
                "full activation",
                reached,
                meter,
                also="tolerance.under",
            )
        )
        depth = depth_kw.times(1.0 / size_kw)
        found.append(_depth(service, depth, under, meter))
        found.append(_sustained(service, asked_s, meter))
    found.append(_outside(service, tracking, meter))
    return tuple(c for c in found if c is not None)


def overall(criteria: tuple[Criterion, ...]) -> Verdict | None:
    """Return the verdict over all: a fail is one, a pass needs every criterion."""
    verdicts = [c.verdict for c in criteria]
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts and None not in verdicts else None


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
        why = f"readings of {meter.interval_s:g} s, where {slowest:g} s are judged"
        return "meter_interval_s", why
    return None


def _at_most(
    service: ServiceDefinition,
    fact: str,
    name: str,
    measured: Number,
    meter: MeterSeries,
    *,
    also: str | None = None,
    hidden_s: float = 0.0,
) -> Criterion | None:
    """Judge a time that may not exceed a fact of the definition, and what the meter hides of it."""
    told = service.facts()[fact]
    limit = None if told is None else told + hidden_s
    if limit is None and not _unknown(service, fact):
        return None  # the product names no such limit
    missing = _supplied(service, meter, (fact,) if also is None else (fact, also))
    if missing is not None or limit is None:
        supply, why = missing or (fact, "the definition does not say")
        return Criterion(
            name=name,
            unit="s",
            measured=measured,
            at_most=limit,
            verdict=None,
            supply=supply,
            why=why,
        )
    late = measured.value is None or measured.value > limit + 1e-6
    certain = (
        measured.low is None or measured.low > limit
        if late
        else measured.high is not None and measured.high <= limit + 1e-6
    )
    return Criterion(
        name=name,
        unit="s",
        measured=measured,
        at_most=limit,
        verdict="fail" if late else "pass",
        certain=certain,
        why=f"{hidden_s:.2g} s of it for what the meter hides" if hidden_s > 0.0 else "",
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


def _depth(
    service: ServiceDefinition, depth: Number, under: float | None, meter: MeterSeries
) -> Criterion:
    """Judge the mean depth as a share of what is asked."""
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


def _sustained(service: ServiceDefinition, asked_s: float, meter: MeterSeries) -> Criterion | None:
    """Judge whether the event asked for the whole response as long as the product does."""
    exact = Number(value=asked_s, low=asked_s, high=asked_s)
    missing = _supplied(service, meter, ("sustain_s",))
    if missing is not None:
        supply, why = missing
        return Criterion(
            name="sustained", unit="s", measured=exact, verdict=None, supply=supply, why=why
        )
    least, short = service.sustain_s or 0.0, asked_s < (service.sustain_s or 0.0) - 1e-6
    return Criterion(
        name="sustained",
        unit="s",
        measured=exact,
        at_least=least,
        verdict=None if short else "pass",
        certain=not short,
        supply="event.duration_s" if short else None,
        why="the event did not ask for it as long as the product does" if short else "",
    )


def _outside(service: ServiceDefinition, tracking: Tracking, meter: MeterSeries) -> Criterion:
    """Judge the share of the time outside tolerance."""
    allowed = service.tolerance.share_outside
    measured = tracking.share_outside or Number(value=None, low=None, high=None)
    missing = _supplied(service, meter, ("tolerance.under", "tolerance.share_outside"))
    if missing is not None or allowed is None or measured.value is None:
        supply, why = missing or ("tolerance.share_outside", "the definition does not say")
        return Criterion(
            name="time outside tolerance",
            unit="share",
            measured=measured,
            at_most=allowed,
            verdict=None,
            supply=supply,
            why=why,
        )
    much = measured.value > allowed + 1e-9
    ends = (measured.low or 0.0, measured.high or 0.0)
    return Criterion(
        name="time outside tolerance",
        unit="share",
        measured=measured,
        at_most=allowed,
        verdict="fail" if much else "pass",
        certain=ends[0] > allowed if much else ends[1] <= allowed + 1e-9,
    )
