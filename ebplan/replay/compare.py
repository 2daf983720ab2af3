"""Recorded against ebplan: numbers of both sides, and why they differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ebplan import __version__
from ebplan.event import Event
from ebplan.mechanisms import MECHANISMS
from ebplan.realised import COMPUTE_CAUSES
from ebplan.replay.cost import EventCost
from ebplan.replay.decisions import counted
from ebplan.replay.measures import EventNumbers, numbers_of
from ebplan.replay.results import EventResult, Money, ReplaySummary
from ebplan.replay.run import Replayed, baseline_on, last_minutes
from ebplan.settlement.asked import Asked
from ebplan.settlement.series import FloatArray, MeterSeries

BY_NAME = {mechanism.name: mechanism.words for mechanism in MECHANISMS}
SAME_SHARE = 0.01
"""Numbers closer than this share of what was asked are called the same."""


def summary_of(replayed: Replayed) -> ReplaySummary:
    """Return what a replay found."""
    recording, meter, twin = replayed.recording, replayed.recording.meter, replayed.twin
    pairs = list(zip(recording.events, replayed.baselines_kw, strict=True))
    events = tuple(_event(replayed, twin, event, kw) for event, kw in pairs)
    metered = np.round(meter.time_s / meter.interval_s).astype(int)
    costs = [cost for stretch in replayed.stretches for cost in stretch.costs]
    price = replayed.site.energy_price_per_kwh
    hours = meter.interval_s / 3600.0
    return ReplaySummary(
        name=replayed.spec.name,
        ebplan=__version__,
        inputs=replayed.inputs,
        site=replayed.site.name,
        currency=replayed.site.currency,
        recording_file=meter.file,
        recording_sha256=meter.sha256,
        metered_at=recording.metered_at,
        start=meter.start,
        duration_s=meter.end_s,
        interval_s=meter.interval_s,
        metered_s=len(meter) * meter.interval_s,
        baseline=replayed.spec.baseline,
        load=replayed.loads.rule,
        twin_off_kw=_twin_off_kw(replayed, twin, metered),
        recorded=Money(
            energy=float(meter.grid_kw.sum()) * hours * price,
            compute=None,
            battery=None,
            **_settled([(e, r.recorded) for (e, _), r in zip(pairs, events, strict=True)]),
        ),
        ebplan_money=Money(
            energy=float(twin.grid_kw[metered].sum()) * hours * price,
            compute=_part(costs, compute=True),
            battery=_part(costs, compute=False),
            **_settled([(e, r.ebplan) for (e, _), r in zip(pairs, events, strict=True)]),
        ),
        events=events,
        plans=sum(stretch.plans for stretch in replayed.stretches),
        unchecked=sum(stretch.unchecked for stretch in replayed.stretches),
        decisions=None if replayed.decisions is None else counted(replayed.decisions),
        cannot_tell=tuple(_cannot_tell(replayed, costs)),
        notes=(*replayed.spec.notes, *recording.notes, *_notes(replayed, costs)),
    )


def twin_baseline_kw(
    replayed: Replayed, twin: MeterSeries, event: Event, recorded_kw: FloatArray
) -> FloatArray:
    """Return the baseline of the twin on its own intervals, by the rule of the recording.

    A rule of the last value looks at the twin; others look at days that only the recording has,
    and their baseline holds for both.
    """
    if event.baseline.kw is not None or last_minutes(replayed.spec) is not None:
        # what the battery did before an event is no load
        assert twin.grid_kw is not None
        alone = twin.grid_kw + (0.0 if twin.battery_kw is None else twin.battery_kw)
        quiet = twin.with_columns(grid_kw=alone)
        return baseline_on(quiet, event, replayed.spec)
    meter = replayed.recording.meter
    return np.interp(twin.time_s, meter.time_s, recorded_kw)


def _event(
    replayed: Replayed, twin: MeterSeries, event: Event, recorded_kw: FloatArray
) -> EventResult:
    tolerance = replayed.spec.tolerance
    recorded, want = numbers_of(replayed.recording.meter, event, recorded_kw, tolerance)
    theirs = twin_baseline_kw(replayed, twin, event, recorded_kw)
    ebplan, _ = numbers_of(twin, event, theirs, tolerance)
    costs = [cost for stretch in replayed.stretches for cost in stretch.costs]
    cost = next((cost for cost in costs if cost.event == event.id), None)
    return EventResult(
        event=event.id,
        start=event.start,
        duration_s=event.duration_s,
        direction="both" if want.follows else "release" if want.sense[0] < 0.0 else "absorb",
        size_kw=want.size_kw,
        recorded=recorded,
        ebplan=ebplan,
        cost=cost,
        why=_why(replayed, twin, event, want, recorded, ebplan, cost),
    )


def _why(
    replayed: Replayed,
    twin: MeterSeries,
    event: Event,
    want: Asked,
    recorded: EventNumbers,
    ebplan: EventNumbers,
    cost: EventCost | None,
) -> dict[str, str]:
    """Say why the two sides differ, number by number."""
    told = {"delivered_kwh": _who_delivered(replayed, event)}
    apart_kwh = ebplan.delivered_kwh - recorded.delivered_kwh
    if abs(apart_kwh) <= SAME_SHARE * max(recorded.asked_kwh, 1e-9):
        told["delivered_kwh"] = f"the same; {told['delivered_kwh']}"
    come = [_come(numbers.reached_s) for numbers in (recorded, ebplan)]
    told["reached_s"] = f"90 % was there {come[0]} as recorded, {come[1]} with ebplan"
    told["outside_s"] = (
        f"farthest outside by {recorded.worst_kw:.2f} kW as recorded, "
        f"{ebplan.worst_kw:.2f} kW with ebplan"
    )
    base_kw = ebplan.baseline_kw - recorded.baseline_kw
    told["baseline_kw"] = (
        f"the twin draws {abs(base_kw):.2f} kW {'more' if base_kw > 0.0 else 'less'} with "
        "nothing asked"
    )
    restores = "the battery takes back what it gave" if _restores(replayed, event) else ""
    told["rebound_kw"] = restores or "how compute comes back"
    if cost is not None:
        missing = cost.untouched_served - cost.served_requests
        told["compute"] = (
            f"{max(missing, 0.0):,.0f} of {cost.offered_requests:,.0f} "
            f"requests not served by the end of the recovery, "
            f"{cost.rejected_requests:,.0f} of them turned away"
        )
    return told


def _come(reached_s: float | None) -> str:
    return "never" if reached_s is None else f"after {reached_s:g} s"


def _who_delivered(replayed: Replayed, event: Event) -> str:
    """Say what the plans counted on over the event, the largest first."""
    kwh: dict[str, float] = {}
    for row, inside in _rows_of(replayed, event):
        if inside:
            for name, kw in row.items():
                if name.startswith("ebplan_planned_") and isinstance(kw, float):
                    word = name.removeprefix("ebplan_planned_").removesuffix("_kw")
                    if word not in BY_NAME:
                        continue
                    hours = replayed.recording.meter.interval_s / 3600.0
                    kwh[word] = kwh.get(word, 0.0) + abs(kw) * hours
    some = sorted(((v, k) for k, v in kwh.items() if v > 1e-3), reverse=True)[:4]
    parts = (f"{BY_NAME[name]} {value:.2f} kWh" for value, name in some)
    return "planned: " + (", ".join(parts) or "nothing")


def _restores(replayed: Replayed, event: Event) -> bool:
    """Tell whether the battery charges in the recovery of a release."""
    ends_s = replayed.recording.meter.seconds(event.start) + event.duration_s
    interval_s = replayed.recording.meter.interval_s
    return any(
        row["ebplan_battery_kw"] < -1e-3
        for row, _ in _rows_of(replayed, event)
        if row["slot"] * interval_s >= ends_s
    )


def _rows_of(replayed: Replayed, event: Event) -> Iterator[tuple[dict[str, Any], bool]]:
    """Yield the rows of an event and its recovery, and whether each lies in the event."""
    meter = replayed.recording.meter
    begin_s = meter.seconds(event.start)
    for stretch in replayed.stretches:
        for row in stretch.rows:
            since_s = row["slot"] * meter.interval_s - begin_s
            if -1e-6 <= since_s < event.duration_s + event.response.recovery_s:
                yield row, since_s < event.duration_s - 1e-6


def _settled(pairs: list[tuple[Event, EventNumbers]]) -> dict[str, float]:
    """Return payment and penalty of events, > 0 paid by the site."""
    return {
        "payment": -sum(event.payment_per_kwh * n.paid_kwh for event, n in pairs),
        "penalty": sum(event.penalty_per_kwh * n.missing_kwh for event, n in pairs),
    }


def _part(costs: list[EventCost], *, compute: bool) -> float | None:
    """Return a part of the money of all events; None where one of them was not priced."""
    total = 0.0
    for cost in costs:
        if cost.by_cause is None:
            return None
        total += sum(
            money for of, money in cost.by_cause.items() if (of in COMPUTE_CAUSES) == compute
        )
    return total


def _twin_off_kw(replayed: Replayed, twin: MeterSeries, metered: FloatArray) -> float | None:
    """Return how far the twin lies off the recording where nothing was asked, without batteries."""
    meter = replayed.recording.meter
    quiet = np.ones(len(meter), dtype=bool)
    for event in replayed.recording.events:
        since_s = meter.time_s + meter.interval_s - meter.seconds(event.start)
        over_s = event.duration_s + event.response.recovery_s + meter.interval_s
        quiet &= (since_s <= 0.0) | (since_s >= over_s)
    if not quiet.any():
        return None
    recorded = meter.grid_kw + (0.0 if meter.battery_kw is None else meter.battery_kw)
    drawn = (twin.grid_kw + (0.0 if twin.battery_kw is None else twin.battery_kw))[metered]
    return float(np.sqrt(np.mean((drawn - recorded)[quiet] ** 2)))


def _cannot_tell(replayed: Replayed, costs: list[EventCost]) -> Iterator[str]:
    """Say what the recording cannot tell, whatever is replayed."""
    yield (
        "Whether other requests would have come: the load is what it was, whatever ebplan does; "
        "nobody comes again who was turned away, and nobody stays away who waited."
    )
    yield "What devices would have refused: those of the twin do what they are told."
    yield (
        "What the recorded answer cost in lost or late work: which requests were served is not in "
        "the recording."
    )
    if any(cost.by_cause is None for cost in costs):
        yield (
            "What ebplan's answer costs in compute and battery: a pool's clock may be locked, and "
            "what that takes from answers is not priced from a recording."
        )
    if not replayed.loads.rule.startswith("arrivals"):
        yield (
            "Which requests came: nobody counted them. They are taken to be the usual mix at the "
            "size that draws the recorded power, and in an event its baseline."
        )
    if replayed.recording.events_found:
        yield (
            "What was asked: the event is read off the answer, so the recorded answer meets it by "
            "its making; its speed and payment are not known."
        )
    if replayed.site.battery is not None and replayed.recording.meter.battery_kw is None:
        yield (
            "Whether a battery was there: the recording has none, and ebplan uses the site's. "
            "Without it: without = ['battery']."
        )


def _notes(replayed: Replayed, costs: list[EventCost]) -> Iterator[str]:
    loads = replayed.loads
    if loads.out_of_range and loads.range_kw is not None:
        low, high = loads.range_kw
        yield (
            f"{loads.out_of_range} reading(s) lie outside what the twin draws at any load, "
            f"{low:.3g} to {high:.3g} kW: the nearest is taken"
        )
    ended = {cost.event for cost in costs}
    for event in replayed.recording.events:
        if event.id not in ended:
            yield f"{event.id}: the recording ends before its recovery, so its cost is not told"
