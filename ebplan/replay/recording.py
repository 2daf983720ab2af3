"""A recording: what was metered, what came, what was asked, on one time grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ebplan.document import FieldFault
from ebplan.errors import InputError
from ebplan.event import Event, EventType, ResponseShape, Target
from ebplan.planner import Restoration
from ebplan.replay.case import read_case
from ebplan.replay.own import OwnRun, read_own
from ebplan.replay.spec import LOAD, Beginning, ReplaySpec, events_of, map_of, site_of
from ebplan.settlement.extract import extract
from ebplan.settlement.meter_file import read_meter
from ebplan.settlement.series import BATTERY, GRID, FloatArray, MeterSeries
from ebplan.site import Site

SOC = "soc"

FAR = 10.0
"""A draw of so many times the connection's limit is a wrong unit, or another site."""


@dataclass(frozen=True)
class Recording:
    """What was recorded."""

    meter: MeterSeries
    """Powers at the connection point; loads (``load.POOL.CLASS``) and ``soc`` where recorded."""
    metered_at: str
    """Where the meter sits; its readings were carried to the connection point by the losses."""
    events: tuple[Event, ...]
    """What was asked, by start."""
    events_found: bool = False
    """Whether they were found in the series, and not told."""
    notes: tuple[str, ...] = ()
    """What was left out or carried over."""
    beginning: Beginning | None = None
    """How it began, where the recording tells."""
    restoration: Restoration = field(default_factory=Restoration)
    """How the battery was made ready between calls; as is usual where nothing tells."""
    cycles: int = 0
    """States that a run of ebplan planned from."""

    @property
    def loads(self) -> dict[tuple[str, str], FloatArray]:
        """Arrivals by pool and class, requests/s, each of shape (n,)."""
        return {
            _pool_and_class(name): values
            for name, values in self.meter.values.items()
            if name.startswith(LOAD)
        }


def read_recording(spec: ReplaySpec, folder: Path) -> tuple[Site, Recording]:
    """Read what was recorded, and the site that it is replayed on.

    Raises:
        InputError: a file is missing or wrong, or does not fit the site.
    """
    interval_s = spec.recording.interval_s
    if spec.recording.audit is not None:
        return _own(spec, read_own(folder / spec.recording.audit, interval_s), folder)
    if spec.recording.case is not None:
        return _own(spec, read_case(folder / spec.recording.case, interval_s), folder)
    assert spec.recording.meter is not None, "checked by the document"
    site = site_of(spec, folder)
    meter = read_meter(folder / spec.recording.meter, map_of(spec, folder))
    begins, ends = spec.recording.begins, spec.recording.ends
    if begins is not None or ends is not None:
        meter = meter.between(begins or meter.start, ends or meter.end)
    metered_at, notes = meter.measurement_point, list(_notes(meter))
    if metered_at != "connection_point":
        meter, told = _carried(meter, site)
        notes.append(told)
    _check_draw(meter, site)
    _check_loads(meter, site)
    found = spec.events == "found"
    events = [_found(meter)] if found else events_of(spec, folder)
    for event in events:
        _check_inside(event, meter)
    return site, Recording(meter, metered_at, tuple(events), found, tuple(notes))


def _own(spec: ReplaySpec, own: OwnRun, folder: Path) -> tuple[Site, Recording]:
    """Return a run of ebplan as a recording."""
    if spec.recording.begins is not None or spec.recording.ends is not None:
        raise InputError(
            field="recording.begins",
            value="given",
            allowed="none with audit or case",
            remedy="remove begins and ends: what a run decided depends on all that came before",
        )
    site = own.site if spec.site is None else site_of(spec, folder)
    if spec.events:
        raise InputError(
            field="events",
            value="given",
            allowed="none with audit or case",
            remedy="remove them: a run says itself what was asked",
        )
    meter = own.meter
    _check_loads(meter, site)
    notes = (*own.notes, *_notes(meter))
    return site, Recording(
        meter,
        "connection_point",
        own.events,
        notes=notes,
        beginning=own.beginning,
        restoration=own.restoration,
        cycles=own.cycles,
    )


def _notes(meter: MeterSeries) -> list[str]:
    """Say what was left out and what was not measured."""
    told = []
    if meter.excluded:
        first = meter.excluded[0]
        told.append(f"{len(meter.excluded)} row(s) left out, first {first.run}: {first.reason}")
    if meter.gaps_s:
        total_s = sum(to_s - from_s for from_s, to_s in meter.gaps_s)
        told.append(
            f"{len(meter.gaps_s)} gap(s), {total_s:g} s in all: nothing was metered there, the "
            "twin goes on with the load before"
        )
    return told


def _carried(meter: MeterSeries, site: Site) -> tuple[MeterSeries, str]:
    """Return powers metered further inside as they are at the connection point."""
    try:
        factor, offset_kw = site.loss_to_connection_point(meter.measurement_point)
    except FieldFault as fault:
        raise InputError(
            field=f"site.{fault.field}",
            value=fault.value,
            allowed=fault.allowed,
            remedy=fault.remedy,
        ) from None
    values: Mapping[str, FloatArray] = {
        name: factor * value + (offset_kw if name == GRID else 0.0)
        if name == GRID or name.startswith("pool.")
        else value
        for name, value in meter.values.items()
    }
    told = (
        f"metered at {meter.measurement_point}, carried to the connection point by the site's "
        f"losses: {factor:g} x + {offset_kw:g} kW"
    )
    return replace(meter, values=values, measurement_point="connection_point"), told


def _check_draw(meter: MeterSeries, site: Site) -> None:
    """Refuse a draw that no such site has: W read as kW is a thousand times too much."""
    usual_kw = float(np.nanmedian(meter.values[GRID]))
    limit_kw = site.connection_point.import_limit_kw
    if not abs(usual_kw) <= FAR * limit_kw:
        raise InputError(
            field=f"recording.map.columns.{GRID}.unit",
            value=f"{usual_kw:,.0f} kW at the median",
            allowed=f"up to {FAR:g} times the {limit_kw:g} kW that the connection allows",
            remedy="correct the unit, or name the site that was recorded",
        )


def _check_loads(meter: MeterSeries, site: Site) -> None:
    """Refuse loads of no pool, of some classes only, or below zero."""
    wanted = {f"{LOAD}{p}.{c}" for p, pool in site.pools.items() for c in pool.classes}
    given = {name for name in meter.values if name.startswith(LOAD)}
    if given and given != wanted:
        wrong = sorted(given - wanted) or sorted(wanted - given)
        raise InputError(
            field="recording.map.columns",
            value=wrong[0],
            allowed=", ".join(sorted(wanted)),
            remedy="map every class of every pool, or none and let load = 'from_power'",
            file=meter.file,
        )
    for name in sorted(given):
        if (meter.values[name] < 0.0).any():
            raise InputError(
                field=name,
                value=float(meter.values[name].min()),
                allowed=">= 0 requests/s",
                remedy="map a rate of arrivals, not a change of a counter that was reset",
                file=meter.file,
            )


def _check_inside(event: Event, meter: MeterSeries) -> None:
    """Refuse an event before which nothing was metered, or that the series does not hold."""
    since_s = meter.seconds(event.start)
    if since_s < meter.interval_s or since_s + event.duration_s > meter.end_s + meter.interval_s:
        raise InputError(
            field=f"events.{event.id}.start",
            value=event.start.isoformat(),
            allowed=f"between {meter.start.isoformat()} and {meter.end.isoformat()}, with a "
            "reading before and to its end",
            remedy="give the recording of the event",
            file=meter.file,
        )


def _found(meter: MeterSeries) -> Event:
    """Return an event that asks for what was given: what the series alone tells of it."""
    told = extract(meter)
    sign = -1.0 if told.direction == "release" else 1.0
    begins_s, ends_s = told.ramp_begins_s.value or 0.0, told.return_begins_s.value or 0.0
    ramp_s = told.ramp_s.value or 0.0
    kind: EventType = "demand_response"
    return Event(
        id="found",
        type=kind,
        start=meter.moment(round(begins_s)),
        duration_s=float(round(ends_s - begins_s)),
        target=Target(delta_kw=sign * round(told.depth_kw.value or 0.0, 3)),
        response=ResponseShape(
            full_activation_s=float(round(ramp_s)),
            recovery_s=max(float(round(told.return_settled_s.value or 0.0)), 600.0),
            rebound_limit_kw=max(0.02 * (told.baseline_kw.value or 0.0), 0.5),
        ),
    )


def _pool_and_class(name: str) -> tuple[str, str]:
    pool, _, request_class = name.removeprefix(LOAD).rpartition(".")
    return pool, request_class


__all__ = ["BATTERY", "GRID", "SOC", "Recording", "read_recording"]
