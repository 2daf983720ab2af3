"""What a meter series alone tells of an event: level, ramp, hold, way back, dips.

No event document is needed: the series is fitted by ``trapezoid``. Each number has an interval; the
depth counts from the level that the draw had when the ramp began.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ebplan.document import Document, NonNegative, Part, Positive, Timestamp
from ebplan.errors import InputError
from ebplan.models.intervals import student_quantile
from ebplan.settlement.number import Number
from ebplan.settlement.series import FloatArray, MeterSeries
from ebplan.settlement.trapezoid import NAMES, Trapezoid, fit_trapezoid
from ebplan.site import MeasurementPoint

FEWEST = 20
"""With fewer readings there is nothing to fit."""
TELL_SPREADS = 5.0
"""A change smaller than this many standard deviations of a reading is no event; a reading farther
off than this is a dip or a peak."""
SETTLED = 0.05
"""The draw has settled within this share of the depth ..."""
SETTLED_HALVES = 2.0
"""... or, where readings are noisy, within so many half-widths of one ..."""
STAYS = 3
"""... for this many readings in a row."""


class Excursion(Part):
    """A stretch in which the draw leaves the fit: a dip, or a peak."""

    kind: Literal["dip", "peak"]
    """Below or above."""
    during: Literal["before", "ramp", "hold", "return", "after"]
    """In which part of the event it begins."""
    at_s: NonNegative
    """Its beginning, in seconds since the series began."""
    duration_s: Positive
    """How long it lasts."""
    kw: float
    """Farthest from the fit; < 0 below."""
    energy_kwh: float
    """Energy beyond the fit; < 0 below."""


class Extracted(Document):
    """An event as its meter series tells it; times in seconds since the series began."""

    kind: Literal["extracted_event"] = "extracted_event"
    meter_file: str
    """The series."""
    meter_sha256: str
    """Digest of its file."""
    start: Timestamp
    """Time 0."""
    interval_s: Positive
    """Interval of the meter: no time is known better than half of it."""
    measurement_point: MeasurementPoint
    """Where it was metered."""
    simulated: bool
    """Whether a plant of the bench was metered."""
    direction: Literal["release", "absorb"]
    """Which way the draw went."""
    confidence: float
    """Share of intervals that hold the truth."""
    spread_kw: NonNegative
    """Robust standard deviation of a reading about the fit."""
    baseline_kw: Number
    """Mean draw before."""
    baseline_at_start_kw: Number
    """Draw when the ramp begins, from which the depth counts."""
    baseline_kw_per_h: Number
    """How the draw drifts before."""
    ramp_begins_s: Number
    """When the draw begins to move."""
    ramp_s: Number
    """How long until it stands; with a low end of 0 it may be faster than the meter tells."""
    ramp_kw_per_min: Number
    """Mean rate of the ramp; < 0 releases."""
    settled_s: Number
    """When the draw has settled on the hold, in seconds after the ramp begins: three readings in a
    row lie within 5 % of the depth of it, or within twice the half-width of a reading where that is
    more. A ramp is a straight line in the fit only."""
    hold_kw: Number
    """Mean draw during the hold."""
    hold_kw_per_h: Number
    """How it drifts during the hold."""
    hold_s: Number
    """How long it is held."""
    depth_kw: Number
    """Change of the draw, > 0 in its direction."""
    depth_share: Number
    """The same as a share of the draw when the ramp begins."""
    return_begins_s: Number
    """When the way back begins."""
    return_s: Number
    """How long it takes."""
    return_kw_per_min: Number
    """Mean rate of the way back."""
    return_settled_s: Number
    """When it has settled on the level after, in seconds after the way back begins."""
    returned_kw: Number
    """Mean draw after."""
    returned_share: Number
    """How much of the depth has come back at the end of the way back."""
    excursions: tuple[Excursion, ...]
    """Dips and peaks, in the order of time."""
    notes: tuple[str, ...] = ()
    """What one should know about these numbers."""


def extract(
    meter: MeterSeries, *, confidence: float = 0.9, notes: tuple[str, ...] = ()
) -> Extracted:
    """Return the event that a series tells.

    Args:
        meter: the series: one event, with the draw before and after it.
        confidence: of every interval.
        notes: what is known of the series.

    Raises:
        InputError: too few readings, or none that tell an event.
    """
    fit, sign = _fit(meter)
    half_s = 0.5 * meter.interval_s
    wide = student_quantile(confidence, fit.degrees)

    def number(law: Callable[[dict[str, float]], float], hidden: float = 0.0) -> Number:
        """Return a number of the parameters; ``hidden`` is what the meter's interval adds."""

        def of_theta(theta: FloatArray) -> float:
            return law(dict(zip(NAMES, theta.tolist(), strict=True)))

        value, half = of_theta(fit.theta), wide * fit.error(of_theta) + hidden
        return Number(value=value, low=value - half, high=value + half)

    depth_kw = sign * (fit.of("begin") - 0.5 * (fit.of("hold_from") + fit.of("hold_to")))
    settled = (
        _settled(meter, fit, ("t1", "d1"), fit.of("t3"), depth_kw, wide),
        _settled(meter, fit, ("t3", "d3"), meter.end_s, depth_kw, wide),
    )
    return Extracted(
        meter_file=meter.file,
        meter_sha256=meter.sha256,
        start=meter.start,
        interval_s=meter.interval_s,
        measurement_point=meter.measurement_point,
        simulated=meter.simulated,
        direction="release" if sign > 0.0 else "absorb",
        confidence=confidence,
        spread_kw=fit.spread_kw,
        **_levels(number, sign),
        ramp_begins_s=_from_zero(number(lambda p: p["t1"], half_s)),
        ramp_s=_from_zero(number(lambda p: p["d1"], half_s)),
        ramp_kw_per_min=_rate(number, fit, meter, ("d1", "begin", "hold_from")),
        settled_s=settled[0],
        hold_s=_from_zero(number(lambda p: p["t3"] - p["t1"] - p["d1"], half_s)),
        return_begins_s=number(lambda p: p["t3"], half_s),
        return_s=_from_zero(number(lambda p: p["d3"], half_s)),
        return_kw_per_min=_rate(number, fit, meter, ("d3", "hold_to", "back")),
        return_settled_s=settled[1],
        excursions=_excursions(meter, fit, settled),
        notes=(*notes, *_notes(meter, fit)),
    )


def _fit(meter: MeterSeries) -> tuple[Trapezoid, float]:
    """Return the fit of a series and the sign of its depth, > 0 for a release.

    Raises:
        InputError: too few readings, or none that tell an event.
    """
    if len(meter) < FEWEST:
        raise _no_event(meter, f"{len(meter)} readings", f"{FEWEST} or more")
    fit = fit_trapezoid(meter.time_s, meter.interval_s, meter.grid_kw)
    depth_kw = fit.of("begin") - 0.5 * (fit.of("hold_from") + fit.of("hold_to"))
    if not abs(depth_kw) > TELL_SPREADS * fit.spread_kw:
        told = f"a change of {abs(depth_kw):.3g} kW where readings spread by {fit.spread_kw:.3g} kW"
        raise _no_event(meter, told, f"a change of {TELL_SPREADS:g} times that")
    return fit, float(np.sign(depth_kw))


def _levels(
    number: Callable[[Callable[[dict[str, float]], float]], Number], sign: float
) -> dict[str, Number]:
    """Return what is told of levels: before, held and after, with the depth between them."""
    return {
        "baseline_kw": number(lambda p: 0.5 * (p["before"] + p["begin"])),
        "baseline_at_start_kw": number(lambda p: p["begin"]),
        "baseline_kw_per_h": number(lambda p: 3600.0 * (p["begin"] - p["before"]) / p["t1"]),
        "hold_kw": number(_hold),
        "hold_kw_per_h": number(
            lambda p: 3600.0 * (p["hold_to"] - p["hold_from"]) / (p["t3"] - p["t1"] - p["d1"])
        ),
        "depth_kw": number(lambda p: sign * (p["begin"] - _hold(p))),
        "depth_share": number(lambda p: sign * (1.0 - _hold(p) / p["begin"])),
        "returned_kw": number(lambda p: 0.5 * (p["back"] + p["after"])),
        "returned_share": number(
            lambda p: (p["back"] - p["hold_to"]) / (p["begin"] - p["hold_to"])
        ),
    }


def fitted_kw(meter: MeterSeries) -> FloatArray:
    """Return what ``extract`` fits to a series, shape (n,)."""
    return fit_trapezoid(meter.time_s, meter.interval_s, meter.grid_kw).fitted_kw


def _hold(p: dict[str, float]) -> float:
    return 0.5 * (p["hold_from"] + p["hold_to"])


def _from_zero(number: Number) -> Number:
    return Number(value=number.value, low=max(number.low or 0.0, 0.0), high=number.high)


def _rate(
    number: Callable[[Callable[[dict[str, float]], float]], Number],
    fit: Trapezoid,
    meter: MeterSeries,
    names: tuple[str, str, str],
) -> Number:
    """Return the rate of a ramp; of one as fast as the meter, only that it is at least so fast."""
    length, begin, end = names
    moved_kw = fit.of(end) - fit.of(begin)
    if fit.of(length) < meter.interval_s:
        slowest = 60.0 * moved_kw / meter.interval_s
        up = moved_kw > 0.0
        return Number(value=None, low=slowest if up else None, high=None if up else slowest)
    return number(lambda p: 60.0 * (p[end] - p[begin]) / p[length])


def _settled(
    meter: MeterSeries,
    fit: Trapezoid,
    ramp: tuple[str, str],
    until_s: float,
    depth_kw: float,
    wide: float,
) -> Number:
    """Return when the draw has settled after a ramp, in seconds after the ramp begins."""
    off = np.abs(meter.grid_kw - fit.fitted_kw)
    begin_s, half_s = fit.of(ramp[0]), 0.5 * meter.interval_s
    steep = (meter.time_s >= begin_s + fit.of(ramp[1]) - half_s) & (meter.time_s < until_s)

    def at(within_kw: float) -> float | None:
        near = off <= within_kw
        stays = steep & near
        for ahead in range(1, STAYS):
            stays &= np.r_[near[ahead:], np.ones(ahead, dtype=bool)]
        first = np.flatnonzero(stays)
        return float(meter.time_s[first[0]] - begin_s) if len(first) else None

    near_kw = max(SETTLED * depth_kw, SETTLED_HALVES * wide * fit.spread_kw)
    early, late = (at(near_kw + sign * wide * fit.spread_kw) for sign in (1.0, -1.0))
    return Number(
        value=at(near_kw),
        low=None if early is None else max(early - half_s, 0.0),
        high=None if late is None else late + half_s,
    )


def _excursions(
    meter: MeterSeries, fit: Trapezoid, settled: tuple[Number, Number]
) -> tuple[Excursion, ...]:
    """Return stretches in which readings leave the fit, but for ramps until they have settled."""
    off = meter.grid_kw - fit.fitted_kw
    t1, t3 = fit.of("t1"), fit.of("t3")
    t2 = t1 + max(settled[0].value or 0.0, fit.of("d1"))
    t4 = t3 + max(settled[1].value or 0.0, fit.of("d3"))
    parts: tuple[tuple[float, Literal["before", "ramp", "hold", "return", "after"]], ...] = (
        (t1, "before"),
        (t2, "ramp"),
        (t3, "hold"),
        (t4, "return"),
        (np.inf, "after"),
    )
    far = np.abs(off) > TELL_SPREADS * fit.spread_kw
    begins, ends = meter.time_s, meter.time_s + meter.interval_s
    far &= ~((ends > t1) & (begins < t2)) & ~((ends > t3) & (begins < t4))
    found = []
    for first, last in _runs(far, off, meter):
        stretch = off[first : last + 1]
        worst = float(stretch[np.abs(stretch).argmax()])
        found.append(
            Excursion(
                kind="dip" if worst < 0.0 else "peak",
                during=next(name for until, name in parts if begins[first] < until),
                at_s=float(begins[first]),
                duration_s=float(ends[last] - begins[first]),
                kw=worst,
                energy_kwh=float(stretch.sum()) * meter.interval_s / 3600.0,
            )
        )
    return tuple(found)


def _runs(far: NDArray[np.bool_], off: FloatArray, meter: MeterSeries) -> list[tuple[int, int]]:
    """Return first and last interval of each run on one side of the fit, without a gap."""
    runs: list[tuple[int, int]] = []
    for i in np.flatnonzero(far).tolist():
        if runs and runs[-1][1] == i - 1:
            near = meter.time_s[i] - meter.time_s[i - 1] < 1.5 * meter.interval_s
            if near and off[i] * off[i - 1] > 0.0:
                runs[-1] = (runs[-1][0], i)
                continue
        runs.append((i, i))
    return runs


def _notes(meter: MeterSeries, fit: Trapezoid) -> tuple[str, ...]:
    notes = []
    if meter.measurement_point != "connection_point":
        notes.append(
            f"Metered at {meter.measurement_point}: losses on the way to the connection point are "
            "not in it."
        )
    if fit.of("d1") < meter.interval_s:
        notes.append("The ramp is faster than the meter tells: only a bound of its rate is given.")
    if meter.gaps_s:
        notes.append(f"{len(meter.gaps_s)} gaps in the series.")
    return tuple(notes)


def _no_event(meter: MeterSeries, value: str, allowed: str) -> InputError:
    return InputError(
        field="(event)",
        value=value,
        allowed=f"{allowed}, with the draw before and after the event",
        remedy="give the series of one event, or the event itself: --event",
        file=meter.file,
    )
