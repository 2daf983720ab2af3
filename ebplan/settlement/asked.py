"""What an event asks, on the intervals of a meter: the product's curve, and what meets it.

A response that must grow over minutes may also be there at once: between the curve and the whole
response nothing is too much. A response that follows the frequency may be as late as the product
allows: what meets it lies between the least and the most that was asked in the time before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.settlement.series import SAME_TIME_S, FloatArray, MeterSeries


@dataclass(frozen=True)
class Asked:
    """What is asked in each interval; changes of the draw, < 0 releases."""

    kw: FloatArray
    """The product's curve: mean change asked, shape (n,)."""
    least_kw: FloatArray
    """Least change that meets it, in the direction of ``sense``, shape (n,)."""
    most_kw: FloatArray
    """Most change that meets it, in the direction of ``sense``, shape (n,)."""
    sense: FloatArray
    """Direction asked, shape (n,): -1 releases, 1 absorbs, 0 where nothing is asked."""
    size_kw: float
    """Size of the response: what shares and tolerances count from, > 0."""
    inside: NDArray[np.bool_]
    """Intervals inside the event, shape (n,)."""
    sustained: NDArray[np.bool_]
    """Intervals in which the whole response is asked, shape (n,); none where it follows the
    frequency."""
    start_s: float
    """Start of the event in seconds of the series."""
    begin_s: float
    """The response is asked from here on, in seconds since the start of the event."""
    full_s: float
    """The whole response is asked from here on."""
    end_s: float
    """The end of the event."""

    @property
    def follows(self) -> bool:
        """Whether it follows the frequency."""
        return not self.sustained.any()


def asked(
    meter: MeterSeries, event: Event, baseline_kw: FloatArray, *, late_s: float = 0.0
) -> Asked:
    """Return what an event asks on the intervals of a series.

    Args:
        meter: the series.
        event: the event.
        baseline_kw: the baseline in each interval, shape (n,).
        late_s: how late a response that follows the frequency may be.

    Raises:
        InputError: it asks for nothing, or the series does not hold it.
    """
    target, start_s = event.target, meter.seconds(event.start)
    since_s = meter.time_s - start_s
    ends_s = since_s + meter.interval_s
    inside = (since_s >= -SAME_TIME_S) & (ends_s <= event.duration_s + SAME_TIME_S)
    _check_inside(meter, event, inside)
    if target is None:
        raise _asks_nothing("event.target", None)
    if target.frequency is not None:
        return _following(meter, event, inside, late_s)
    level_kw = np.full(len(meter), target.delta_kw or 0.0)
    if target.fraction_of_baseline is not None:
        level_kw = target.fraction_of_baseline * baseline_kw
    if target.import_limit_kw is not None:
        level_kw = np.minimum(target.import_limit_kw - baseline_kw, 0.0)
    mean_kw = float(level_kw[inside].mean())
    if mean_kw == 0.0:
        raise _asks_nothing("event.target", "a change of 0 kW")
    sign, shape = float(np.sign(mean_kw)), event.response
    share = np.where(inside, _risen(since_s, ends_s, shape.initial_delay_s, _full_s(event)), 0.0)
    sustained = inside & (since_s >= _full_s(event) - SAME_TIME_S)
    if not sustained.any():
        raise InputError(
            field="event.response.full_activation_s",
            value=shape.full_activation_s,
            allowed=f"one interval of {meter.interval_s:g} s or more before the end of the event",
            remedy="give readings at a shorter interval",
            file=meter.file,
        )
    most_kw = np.where(inside, np.maximum(sign * level_kw, 0.0), 0.0)
    return Asked(
        kw=share * level_kw,
        least_kw=share * most_kw,
        most_kw=most_kw,
        sense=np.full(len(meter), sign),
        size_kw=abs(float(level_kw[sustained].mean())),
        inside=inside,
        sustained=sustained,
        start_s=start_s,
        begin_s=shape.initial_delay_s,
        full_s=_full_s(event),
        end_s=event.duration_s,
    )


def _full_s(event: Event) -> float:
    return max(event.response.full_activation_s, event.response.initial_delay_s)


def _risen(since_s: FloatArray, ends_s: FloatArray, begin_s: float, full_s: float) -> FloatArray:
    """Return the mean share of the response asked in each interval, shape (n,)."""

    def until(at_s: FloatArray) -> FloatArray:
        """Integral of the share from the start to a time."""
        rise_s = full_s - begin_s
        rising = np.clip(at_s - begin_s, 0.0, rise_s)
        ramp = rising**2 / (2.0 * rise_s) if rise_s > 0.0 else np.zeros_like(at_s)
        return np.asarray(ramp + np.maximum(at_s - full_s, 0.0))

    return np.asarray((until(ends_s) - until(since_s)) / (ends_s - since_s))


def _following(meter: MeterSeries, event: Event, inside: NDArray[np.bool_], late_s: float) -> Asked:
    """Return what a response that follows the frequency is asked."""
    response = None if event.target is None else event.target.frequency
    assert response is not None, "called only where there is one"
    if not response.trace:
        raise InputError(
            field="event.target.frequency.trace_file",
            value=response.trace_file,
            allowed="a trace that has been read",
            remedy="give the trace in place, or read the event with load_case",
        )
    start_s = meter.seconds(event.start)
    since_s = meter.time_s - start_s
    slots = np.round((since_s - since_s[inside][0]) / meter.interval_s).astype(int)
    edges_s = since_s[inside][0] + meter.interval_s * np.arange(slots[inside][-1] + 2)
    kw = np.zeros(len(meter))
    kw[inside] = response.target_kw(edges_s)[slots[inside]]
    least, most = kw.copy(), kw.copy()
    for back in range(1, int(np.ceil(late_s / meter.interval_s - 1e-9)) + 1):
        before = np.r_[np.full(back, 0.0), kw[:-back]] if back < len(kw) else np.zeros_like(kw)
        least, most = np.minimum(least, before), np.maximum(most, before)
    sense = np.sign(kw)
    return Asked(
        kw=kw,
        least_kw=np.where(inside, np.where(sense < 0.0, -most, least), 0.0),
        most_kw=np.where(inside, np.where(sense < 0.0, -least, most), 0.0),
        sense=sense,
        size_kw=max(response.release_capacity_kw, response.absorb_capacity_kw),
        inside=inside,
        sustained=np.zeros(len(meter), dtype=bool),
        start_s=start_s,
        begin_s=0.0,
        full_s=late_s,
        end_s=event.duration_s,
    )


def _check_inside(meter: MeterSeries, event: Event, inside: NDArray[np.bool_]) -> None:
    """Refuse a series that leaves out more than a quarter of the event."""
    wanted = event.duration_s / meter.interval_s
    if inside.sum() < max(0.75 * wanted - 1.0, 1.0):
        raise InputError(
            field="event.start",
            value=f"{int(inside.sum())} of {wanted:.0f} intervals of {meter.interval_s:g} s",
            allowed=f"an event between {meter.start.isoformat()} and {meter.end.isoformat()}, "
            "three quarters of it measured",
            remedy="give the series of the event",
            file=meter.file,
        )


def _asks_nothing(field: str, value: object) -> InputError:
    return InputError(
        field=field,
        value=value,
        allowed="a change of the draw, or a frequency to follow",
        remedy="an event that only names prices, or a limit above the draw, delivers nothing",
    )
