"""A replay from its file to its numbers."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ebplan import __version__
from ebplan.document import write_atomically
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.replay.case import case_again
from ebplan.replay.cost import EventCost
from ebplan.replay.decisions import decide_again
from ebplan.replay.loads import Loads, loads_from_power, recorded_loads, times
from ebplan.replay.recording import SOC, Recording, read_recording
from ebplan.replay.spec import Beginning, ReplaySpec
from ebplan.replay.stretches import Stretch, stretches
from ebplan.replay.twin import StretchResult, TwinRun
from ebplan.settlement.by_rule import curve_of
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.series import BATTERY, GRID, FloatArray, MeterSeries
from ebplan.site import Site
from ebplan.state import State

Told = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much is."""


TWIN = "twin"


@dataclass(frozen=True)
class Replayed:
    """A replay that is finished."""

    spec: ReplaySpec
    site: Site
    recording: Recording
    loads: Loads
    baselines_kw: tuple[FloatArray, ...]
    """Of each event, on the readings of the recording."""
    stretches: tuple[StretchResult, ...]
    inputs: str
    """Digest of everything that it depends on."""
    decisions: tuple[dict[str, Any], ...] | None = None
    """Those of a run of ebplan, made again: rows of a table."""

    @property
    def twin(self) -> MeterSeries:
        """What the twin drew, on the recording's intervals, gaps filled."""
        rows = [row for stretch in self.stretches for row in stretch.rows]
        meter = self.recording.meter
        values = {GRID: np.array([row["ebplan_grid_kw"] for row in rows])}
        if self.site.battery is not None:
            values[BATTERY] = np.array([row["ebplan_battery_kw"] for row in rows])
        return MeterSeries(
            start=meter.start,
            interval_s=meter.interval_s,
            time_s=np.asarray(meter.interval_s * np.arange(len(rows)), dtype=np.float64),
            values=values,
            file="fluid plant",
            simulated=True,
        )


def replay_recording(
    spec: ReplaySpec, folder: Path, *, kept: Path | None = None, told: Told | None = None
) -> Replayed:
    """Replay a recording.

    Args:
        spec: the replay.
        folder: where its paths count from.
        kept: where finished stretches are kept; nowhere if absent.
        told: told of progress.

    Raises:
        InputError: a file is missing or wrong, or recording, site and events do not fit.
        NoPlanError: no plan passed the check.
    """
    site, recording = read_recording(spec, folder)
    if spec.restoration is None:
        spec = spec.model_copy(update={"restoration": recording.restoration})
    beginning = _beginning(spec, site, recording)
    baselines = tuple(baseline_on(recording.meter, event, spec) for event in recording.events)
    loads = _loads(spec, site, recording, beginning, baselines)
    inputs = _digest(spec, site, recording, loads)
    state = _first_state(site, recording, beginning, loads)
    decisions = None
    if spec.recording.meter is None:
        decisions = _decisions(spec, folder, recording, inputs, kept, told)
    results: list[StretchResult] = []
    parts = stretches(recording, spec.stretch_s)
    drawn: list[float] = []
    for part in parts:
        key = hashlib.sha256(f"{inputs} {part.number} {state.to_json()}".encode()).hexdigest()[:24]
        file = None if kept is None else kept / f"{part.number:04d}-{key}.json.gz"
        result = None if file is None else read_stretch(file)
        if result is None:
            run = TwinRun(
                spec,
                site,
                loads,
                part,
                state,
                recording.meter.interval_s,
                _planned_baseline(spec, recording, baselines),
                list(drawn),
            )
            result = run.run(_tell(told, part, parts[-1].end))
            if file is not None:
                write_stretch(file, result)
        elif told is not None:
            told(TWIN, part.end, parts[-1].end)
        drawn += [row["ebplan_grid_kw"] + row["ebplan_battery_kw"] for row in result.rows]
        state = result.state
        results.append(result)
    return Replayed(
        spec, site, recording, loads, baselines, tuple(results), inputs, decisions=decisions
    )


def baseline_on(meter: MeterSeries, event: Event, spec: ReplaySpec) -> FloatArray:
    """Return the baseline of an event on the readings of a series, shape (n,).

    Raises:
        InputError: the rule has none.
    """
    given = None if event.baseline.kw is not None else spec.baseline
    days = DayCalendar.of_event(event.start, event.duration_s)
    try:
        return np.asarray(curve_of(meter, meter, event, given, calendar=days).kw)
    except InputError as error:
        field = "baseline" if error.field.startswith("--") else f"baseline of {event.id}"
        raise InputError(
            field=field,
            value=error.value,
            allowed=error.allowed,
            remedy=error.remedy,
            file=error.file,
        ) from None


def last_minutes(spec: ReplaySpec) -> float | None:
    """Return how many minutes a baseline of the last value takes; None for another rule."""
    name, _, minutes = spec.baseline.partition(":")
    return (float(minutes) if minutes else 30.0) if name == "last_value" else None


def _planned_baseline(
    spec: ReplaySpec, recording: Recording, baselines: tuple[FloatArray, ...]
) -> Callable[[Event, Iterable[float]], float | None]:
    """Return what tells the baseline that the planner is given when an event begins."""
    minutes = last_minutes(spec)
    meter = recording.meter
    means = {
        event.id: float(kw[_inside(meter, event)].mean())
        for event, kw in zip(recording.events, baselines, strict=True)
    }

    def baseline_kw(event: Event, drawn: Iterable[float]) -> float | None:
        if minutes is None:
            return means[event.id]
        last = [*drawn][-max(round(60.0 * minutes / meter.interval_s), 1) :]
        return float(np.mean(last)) if last else None

    return baseline_kw


def _inside(meter: MeterSeries, event: Event) -> FloatArray:
    since_s = meter.time_s - meter.seconds(event.start)
    return np.asarray((since_s > -meter.interval_s) & (since_s < event.duration_s))


def _beginning(spec: ReplaySpec, site: Site, recording: Recording) -> Beginning:
    told = spec.beginning or recording.beginning
    if told is None:
        raise InputError(
            field="beginning",
            value=None,
            allowed="how many instances do what, and the usual load of each class",
            remedy="add [beginning.pools.NAME]",
        )
    if SOC in recording.meter.values and recording.beginning is None:
        return told.model_copy(update={"soc": float(recording.meter.values[SOC][0])})
    return told


def _loads(
    spec: ReplaySpec,
    site: Site,
    recording: Recording,
    beginning: Beginning,
    baselines: tuple[FloatArray, ...],
) -> Loads:
    there = bool(recording.loads)
    if spec.load == "recorded" and not there:
        raise InputError(
            field="load",
            value=spec.load,
            allowed="columns load.POOL.CLASS in the recording",
            remedy="map them, or say load = 'from_power'",
            file=recording.meter.file,
        )
    if there and spec.load != "from_power":
        return recorded_loads(recording)
    # where events follow one another the baseline of each counts in its own time
    together = recording.meter.grid_kw.copy()
    for event, kw in zip(recording.events, baselines, strict=True):
        since_s = recording.meter.time_s - recording.meter.seconds(event.start)
        over_s = event.duration_s + event.response.recovery_s
        near = (since_s > -recording.meter.interval_s) & (since_s < over_s)
        together = np.where(near, kw, together)
    return loads_from_power(recording, site, beginning, together)


def _first_state(site: Site, recording: Recording, beginning: Beginning, loads: Loads) -> State:
    pools = times(beginning.pools, 1.0)
    for (name, key), rates in loads.by_class.items():
        told = {**pools[name].load_req_per_s, key: float(rates[0])}
        pools[name] = pools[name].model_copy(update={"load_req_per_s": told})
    return State(
        at=recording.meter.start,
        soc=None if site.battery is None else beginning.soc,
        pools=pools,
    )


def _tell(told: Told | None, part: Stretch, whole: int) -> Callable[[int], None]:
    def tell(done: int) -> None:
        if told is not None:
            told(TWIN, part.begin + done, whole)

    return tell


def _decisions(
    spec: ReplaySpec,
    folder: Path,
    recording: Recording,
    inputs: str,
    kept: Path | None,
    told: Told | None,
) -> tuple[dict[str, Any], ...]:
    """Make the decisions of a run again, or return those that were kept."""
    file = None if kept is None else kept / f"decisions-{inputs[:24]}.json.gz"
    rows = None if file is None else _read_kept(file)
    if rows is None:

        def tell(done: int) -> None:
            if told is not None:
                told("decisions", done, recording.cycles)

        if spec.recording.audit is not None:
            made = decide_again(folder / spec.recording.audit, tell)
        else:
            made = case_again(folder / str(spec.recording.case))
        rows = [one.row() for one in made]
        if file is not None:
            _write_kept(file, rows)
    return tuple(rows)


def _write_kept(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, gzip.compress(json.dumps(content).encode(), mtime=0))


def _read_kept(file: Path) -> Any:
    """Return what was kept; None where nothing was, or nothing whole."""
    if not file.exists():
        return None
    try:
        return json.loads(gzip.decompress(file.read_bytes()))
    except (OSError, ValueError, EOFError):
        return None  # somebody else wrote there: it is made again


def _digest(spec: ReplaySpec, site: Site, recording: Recording, loads: Loads) -> str:
    found = hashlib.sha256(f"{__version__} {spec.to_json()} {site.to_json()}".encode())
    for event in recording.events:
        found.update(event.model_dump_json().encode())
    for (pool, key), rates in sorted(loads.by_class.items()):
        found.update(f"{pool} {key}".encode())
        found.update(np.ascontiguousarray(rates).tobytes())
    found.update(recording.meter.sha256.encode())
    return found.hexdigest()


def write_stretch(file: Path, result: StretchResult) -> None:
    """Keep a finished stretch, whole or not at all."""
    told = {
        "rows": result.rows,
        "epochs": result.epochs,
        "costs": [cost.model_dump(mode="json") for cost in result.costs],
        "plans": result.plans,
        "unchecked": result.unchecked,
        "state": result.state.model_dump(mode="json"),
    }
    _write_kept(file, told)


def read_stretch(file: Path) -> StretchResult | None:
    """Return a stretch that was kept; None where there is none, or no whole one."""
    told = _read_kept(file)
    if told is None:
        return None
    return StretchResult(
        rows=told["rows"],
        epochs=told["epochs"],
        costs=[EventCost.parse(cost) for cost in told["costs"]],
        plans=told["plans"],
        unchecked=told["unchecked"],
        state=State.parse(told["state"]),
    )


__all__ = ["Replayed", "baseline_on", "last_minutes", "replay_recording"]
