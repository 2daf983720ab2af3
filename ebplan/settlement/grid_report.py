"""What a site tells the grid: baseline, what it can give, what it gave, what is stored.

A document of intervals on the clock. What was metered, what is planned and what is missing is
flagged in each; how it is sent (OpenADR reports, telemetry) is left to adapters. Signs: changes of
the draw are < 0 for a release, powers that are available are sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import (
    Document,
    FieldFault,
    Fraction,
    NonNegative,
    Part,
    Positive,
    Timestamp,
    require_ordered,
)
from ebplan.errors import InputError
from ebplan.plan import Plan
from ebplan.settlement.reference import Curve
from ebplan.settlement.series import SAME_TIME_S, FloatArray, MeterSeries
from ebplan.site import MeasurementPoint
from ebplan.state import State

Flag = Literal["metered", "partly_metered", "missing", "planned", "simulated", "rows_left_out"]
"""How an interval came about. ``partly_metered``: means of what was metered of it; ``missing``:
nothing was; ``simulated``: by a plant of the bench; ``rows_left_out``: readings were refused."""


class Available(Part):
    """Power that can be promised in one direction."""

    direction: Literal["release", "absorb"]
    """Draw less, or more."""
    kw: NonNegative
    """How much."""
    duration_s: Positive
    """For how long it can be held."""
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)]
    """Probability with which it is kept."""
    start: Timestamp | None = None
    """From when on; from the time of the report where absent."""
    end: Timestamp | None = None
    """A call may begin until then; without limit where absent."""

    @model_validator(mode="after")
    def _in_order(self) -> Available:
        if self.start is not None and self.end is not None:
            require_ordered(self, ("start", "end"))
        return self


class ReportInterval(Part):
    """One interval; powers are means over it."""

    start: Timestamp
    """Its beginning."""
    baseline_kw: float | None
    """What would be drawn without an event; None where it is not known."""
    grid_kw: float | None
    """Drawn, or planned to be."""
    delivered_kw: float | None
    """Change of the draw against the baseline that was metered, < 0 releases; None where it was
    not metered."""
    planned_kw: float | None
    """The same as planned; None where nothing is planned."""
    available: tuple[Available, ...] = ()
    """What can be promised for a call that begins in it."""
    energy_kwh: NonNegative | None = None
    """Stored at its end."""
    soc: Fraction | None = None
    """State of charge at its end."""
    flags: tuple[Flag, ...]
    """How it came about."""


class GridReport(Document):
    """A report of a site to the grid."""

    kind: Literal["grid_report"] = "grid_report"
    resource: str = Field(min_length=1)
    """What is reported on, as the grid knows it."""
    at: Timestamp
    """When it was made; what is available counts from then on."""
    interval_s: Positive
    """Length of an interval."""
    measurement_point: MeasurementPoint
    """Where powers are seen."""
    baseline_rule: str
    """How the baseline is found."""
    energy_capacity_kwh: NonNegative | None = None
    """What the battery can store; None without one."""
    available: tuple[Available, ...] = ()
    """What can be promised from ``at`` on, whether or not an interval below reaches that far."""
    intervals: tuple[ReportInterval, ...] = Field(min_length=1)
    """In the order of time, without a gap."""
    assumed: tuple[str, ...] = ()
    """What was assumed."""

    @model_validator(mode="after")
    def _without_a_gap(self) -> GridReport:
        for i, one in enumerate(self.intervals):
            wanted = self.intervals[0].start + timedelta(seconds=i * self.interval_s)
            if abs((one.start - wanted).total_seconds()) > SAME_TIME_S:
                raise FieldFault(
                    field=f"intervals.{i}.start",
                    value=one.start.isoformat(),
                    allowed=f"{wanted.isoformat()}: intervals of {self.interval_s:g} s",
                    remedy="give one interval for each, flagged missing where nothing is known",
                )
        return self


def build_report(
    *,
    resource: str,
    at: datetime,
    interval_s: float,
    meter: MeterSeries | None = None,
    baseline: Curve | None = None,
    plan: Plan | None = None,
    state: State | None = None,
    available: Sequence[Available] = (),
    capacity_kwh: float | None = None,
    assumed: Iterable[str] = (),
) -> GridReport:
    """Return the report of what was metered and of what is planned.

    Args:
        resource: what is reported on.
        at: when it is made.
        interval_s: length of an interval; intervals begin at whole multiples since midnight.
        meter: what was drawn.
        baseline: what would have been drawn, on the intervals of ``meter``.
        plan: what is planned.
        state: a measured state of charge.
        available: what can be promised, with duration and confidence.
        capacity_kwh: what the battery can store.
        assumed: what else was assumed.

    Raises:
        InputError: neither meter nor plan, a meter without its baseline, or powers of another
            measurement point.
    """
    if (meter is None and plan is None) or (meter is None) != (baseline is None):
        raise InputError(
            field="meter",
            value=None,
            allowed="a meter series with its baseline, a plan, or both",
            remedy="give one of them",
        )
    known = _Known(at, interval_s, meter, baseline, plan, state, tuple(available), capacity_kwh)
    starts_s, first = _grid(meter, plan, interval_s)
    return GridReport(
        resource=resource,
        at=at,
        interval_s=interval_s,
        measurement_point=_one_point(meter, plan),
        baseline_rule="as planned" if baseline is None else baseline.rule,
        energy_capacity_kwh=capacity_kwh,
        available=known.available,
        intervals=tuple(
            _interval(first + timedelta(seconds=since_s), known) for since_s in starts_s.tolist()
        ),
        assumed=(*assumed, *_assumed(known)),
    )


@dataclass(frozen=True)
class _Known:
    """What a report is made of; see ``build_report``."""

    at: datetime
    interval_s: float
    meter: MeterSeries | None
    baseline: Curve | None
    plan: Plan | None
    state: State | None
    available: tuple[Available, ...]
    capacity_kwh: float | None


def _assumed(known: _Known) -> Iterator[str]:
    """Say what the report had to assume."""
    if known.state is not None and known.capacity_kwh is None and known.state.soc is not None:
        yield "The battery's energy capacity was not given: no energy in kWh."
    if known.meter is not None and known.plan is not None:
        yield "Where an interval was metered and planned, what was metered is told."


def _one_point(meter: MeterSeries | None, plan: Plan | None) -> MeasurementPoint:
    points = {one.measurement_point for one in (meter, plan) if one is not None}
    if len(points) > 1:
        raise InputError(
            field="measurement_point",
            value=" and ".join(sorted(points)),
            allowed="one for meter and plan",
            remedy="powers of different measurement points are not mixed",
        )
    return points.pop()


def _grid(
    meter: MeterSeries | None, plan: Plan | None, interval_s: float
) -> tuple[FloatArray, datetime]:
    """Return the beginnings of the intervals, shape (m,), in seconds since the first of them."""
    begins = [one.start for one in (meter, plan) if one is not None]
    ends = [] if meter is None else [meter.end]
    if plan is not None:
        last = plan.steps[-1]
        ends.append(plan.start + timedelta(seconds=last.t_s + last.duration_s))
    begin = min(begins)
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    since_s = (begin - midnight).total_seconds()
    first = midnight + timedelta(seconds=interval_s * np.floor(since_s / interval_s + 1e-9))
    count = np.ceil((max(ends) - first).total_seconds() / interval_s - 1e-9)
    return interval_s * np.arange(max(count, 1.0)), first


def _interval(start: datetime, known: _Known) -> ReportInterval:
    """Return what is known of the interval that begins at a time."""
    end = start + timedelta(seconds=known.interval_s)
    flags: list[Flag] = []
    base_kw = grid_kw = delivered_kw = planned_kw = None
    if known.meter is not None and known.baseline is not None:
        base_kw, grid_kw = _metered(known.meter, known.baseline, start, known.interval_s, flags)
        delivered_kw = None if grid_kw is None or base_kw is None else grid_kw - base_kw
    soc = _soc_at(end, known.plan, known.state)
    if known.plan is not None:
        told = _planned(known.plan, start, known.interval_s)
        if told is not None:
            planned_kw = told[1] - told[0]
            if grid_kw is None:
                base_kw, grid_kw = told
                flags = ["planned"]
    stored_kwh = None if soc is None or known.capacity_kwh is None else soc * known.capacity_kwh
    return ReportInterval(
        start=start,
        baseline_kw=base_kw,
        grid_kw=grid_kw,
        delivered_kw=delivered_kw,
        planned_kw=planned_kw,
        available=tuple(one for one in known.available if _callable(one, start, end, known.at)),
        energy_kwh=stored_kwh,
        soc=soc,
        flags=tuple(flags) or ("missing",),
    )


def _callable(one: Available, start: datetime, end: datetime, at: datetime) -> bool:
    """Whether a call that begins in an interval can count on it."""
    begin = max(at, one.start or at)
    return end > begin and (one.end is None or start < one.end)


def _metered(
    meter: MeterSeries,
    baseline: Curve,
    start: datetime,
    interval_s: float,
    flags: list[Flag],
) -> tuple[float | None, float | None]:
    """Return baseline and draw of an interval, and flag how much of it was metered."""
    since_s = meter.seconds(start)
    low = np.maximum(meter.time_s, since_s)
    high = np.minimum(meter.time_s + meter.interval_s, since_s + interval_s)
    weight = np.maximum(high - low, 0.0)
    if weight.sum() <= SAME_TIME_S:
        return None, None
    whole = weight.sum() > interval_s * (1.0 - 1e-6)
    flags.append("metered" if whole else "partly_metered")
    if meter.simulated:
        flags.append("simulated")
    if meter.excluded and not whole:
        flags.append("rows_left_out")
    share = weight / weight.sum()
    return float(share @ baseline.kw), float(share @ meter.grid_kw)


def _planned(plan: Plan, start: datetime, interval_s: float) -> tuple[float, float] | None:
    """Return baseline and draw of an interval as planned; None where the plan does not fill it."""
    edges_s = np.array([*(s.t_s for s in plan.steps), 0.0])
    edges_s[-1] = edges_s[-2] + plan.steps[-1].duration_s
    since_s = (start - plan.start).total_seconds()
    ends_s = np.array([since_s, since_s + interval_s])
    if ends_s[0] < -SAME_TIME_S or ends_s[1] > edges_s[-1] + SAME_TIME_S:
        return None

    def mean(kw: list[float]) -> float:
        summed = np.r_[0.0, np.cumsum(np.array(kw) * np.diff(edges_s))]
        return float(np.diff(np.interp(ends_s, edges_s, summed))[0] / interval_s)

    return mean([s.baseline_kw for s in plan.steps]), mean([s.grid_kw for s in plan.steps])


def _soc_at(moment: datetime, plan: Plan | None, state: State | None) -> float | None:
    """Return the state of charge at a time: as planned, else as measured at the time itself."""
    if plan is not None:
        since_s = (moment - plan.start).total_seconds()
        ends_s = [s.t_s + s.duration_s for s in plan.steps]
        socs = [s.soc for s in plan.steps]
        if 0.0 < since_s <= ends_s[-1] + SAME_TIME_S and None not in socs:
            known = [soc for soc in socs if soc is not None]
            return float(np.interp(since_s, ends_s, known))
    if state is not None and abs((state.at - moment).total_seconds()) <= 1.0:
        return state.soc
    return None
