"""A run of ebplan itself, from the audit log that it wrote.

What each plan was made from stands in the log (``state``), and what was planned (``decision``).
With both, decisions are found again. The log is read as it stands; ``ebplan audit verify`` proves
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.controller.recording import ARMING, RESTORATION
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.planner import Restoration
from ebplan.replay.spec import LOAD, Beginning
from ebplan.settlement.series import BATTERY, GRID, POOL, MeterSeries
from ebplan.site import Site
from ebplan.state import State


@dataclass(frozen=True)
class Starts:
    """A controller starts, with a site."""

    site: Site
    restoration: Restoration


@dataclass(frozen=True)
class Seen:
    """What was planned from, and the calls that stood."""

    state: State
    refused: str
    standing: tuple[Event, ...]
    ranks: Mapping[str, int | None]


@dataclass(frozen=True)
class Made:
    """A plan that was carried out from then on, and why it was made."""

    plan: Plan
    why: str


@dataclass(frozen=True)
class Arms:
    """Plans were made in advance: for these calls, or for what is likely."""

    coming: tuple[str, ...]


Entry = Starts | Seen | Made | Arms


def entries(folder: Path) -> Iterator[Entry]:
    """Yield what the log of a run says of its decisions, in the order in which it was written.

    Raises:
        InputError: there is no log, a line is no record, or a document is gone.
    """
    try:
        from ebplan.audit.folder import segments
        from ebplan.audit.walk import walk
    except ImportError:
        raise InputError(
            field="recording.audit",
            value="not installed",
            allowed="the extra audit",
            remedy="pip install 'ebplan[audit]'",
        ) from None
    calls: dict[str, Any] = {"events": [], "ranks": {}}
    standing: tuple[Event, ...] = ()
    restoration = Restoration()
    found = segments(folder)
    if not found:
        raise _wrong(folder, "no segment", "the folder of an audit log")
    for segment in found:
        for line in walk(segment.path):
            record = line.record
            if record is None:
                raise _wrong(segment.path, f"line {line.number} is no record", "a whole log")
            body, named = record.body, dict(record.body.get("documents", {}))
            if record.kind == "model" and body.get("name") == RESTORATION:
                restoration = Restoration.parse(_document(folder, named["model"]))
            elif record.kind == "model" and body.get("name") == "site":
                yield Starts(Site.parse(_document(folder, named["model"])), restoration)
                standing, calls = (), {"events": [], "ranks": {}}
            elif record.kind == "state":
                if "calls" in named:
                    calls = json.loads(_document(folder, named["calls"]))
                    standing = tuple(Event.parse(e) for e in calls["events"])
                state = State.parse({"kind": "state", **body["state"]}, file=str(segment.path))
                ranks: Mapping[str, int | None] = calls["ranks"]
                yield Seen(state, str(body.get("refused", "")), standing, ranks)
            elif record.kind == "decision" and "plan" in named:
                yield Made(Plan.parse(_document(folder, named["plan"])), str(body.get("why", "")))
            elif record.kind == "note" and body.get("what") == ARMING:
                yield Arms(tuple(body.get("coming", ())))


def _document(folder: Path, digest: str) -> bytes:
    from ebplan.audit.folder import document_path

    try:
        return document_path(folder, digest).read_bytes()
    except OSError:
        raise _wrong(
            folder, f"document {digest[:12]} is gone", "the documents of the log"
        ) from None


def _wrong(path: Path, value: str, allowed: str) -> InputError:
    return InputError(
        field="recording.audit",
        value=value,
        allowed=allowed,
        remedy="copy the whole folder; `ebplan audit verify` says what is wrong with it",
        file=str(path),
    )


@dataclass(frozen=True)
class OwnRun:
    """A run as a recording."""

    site: Site
    restoration: Restoration
    """How its battery was made ready between calls."""
    meter: MeterSeries
    """Draw, battery, state of charge and loads, means over its interval."""
    beginning: Beginning
    """How the run began."""
    events: tuple[Event, ...]
    """What was asked and stood, by start, none of them overlapping another."""
    cycles: int
    """States that were planned from."""
    notes: tuple[str, ...]


def read_own(folder: Path, interval_s: float) -> OwnRun:
    """Read the log of a run as a recording.

    Args:
        folder: the log's.
        interval_s: readings are averaged over this: cycles are not quite of one length.

    Raises:
        InputError: the log cannot be read, or does not say what was planned from.
    """
    first: Starts | None = None
    seen: list[State] = []
    asked: dict[str, tuple[Event, datetime]] = {}
    notes: list[str] = []
    for entry in entries(folder):
        if isinstance(entry, Starts):
            if first is not None and entry != first:
                notes.append("the site changed during the log: that of its beginning is replayed")
            first = first or entry
        elif isinstance(entry, Seen):
            seen.append(entry.state)
            for event in entry.standing:
                asked[event.id] = (event, entry.state.at)
    if first is None or len(seen) < 2:
        raise InputError(
            field="recording.audit",
            value=f"{len(seen)} record(s) of a state",
            allowed="the log of a run that says what it planned from",
            remedy="run with states = true under [audit] of the run file",
            file=str(folder),
        )
    meter = replace(_series(folder, seen, interval_s), sha256=_digest(folder))
    events = _events(asked, meter, notes)
    return OwnRun(
        site=first.site,
        restoration=first.restoration,
        meter=meter,
        beginning=_beginning(seen),
        events=events,
        cycles=len(seen),
        notes=tuple(notes),
    )


def _digest(folder: Path) -> str:
    from ebplan.audit.folder import segments

    found = sha256()
    for segment in segments(folder):
        found.update(segment.path.read_bytes())
    return found.hexdigest()


def _series(folder: Path, seen: list[State], interval_s: float) -> MeterSeries:
    """Return means over intervals; one without a reading of the meter is not there."""
    begin = seen[0].at
    slots: dict[int, list[State]] = {}
    for state in seen:
        if state.grid is not None:
            slot = int((state.at - begin).total_seconds() / interval_s + 1e-6)
            slots.setdefault(slot, []).append(state)
    if not slots:
        raise _wrong(folder, "no reading of the meter", "a run whose meter answered")
    numbers = sorted(slots)
    columns: dict[str, list[float]] = {}
    for number in numbers:
        for name, value in _means(slots[number]).items():
            columns.setdefault(name, []).append(value)
    whole = {n: np.array(v) for n, v in columns.items() if len(v) == len(numbers)}
    return MeterSeries(
        start=begin + timedelta(seconds=interval_s * numbers[0]),
        interval_s=interval_s,
        time_s=interval_s * (np.array(numbers, dtype=float) - numbers[0]),
        values=whole,
        file=folder.name,
    )


def _means(states: list[State]) -> dict[str, float]:
    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    found: dict[str, float | None] = {
        GRID: mean([s.grid.kw if s.grid is not None else None for s in states]),
        "soc": states[-1].soc,
    }
    if any(s.soc is not None for s in states):
        found[BATTERY] = mean([s.battery_kw for s in states])
    for name, pool in states[-1].pools.items():
        found[f"{POOL}{name}"] = mean([s.pools[name].power_kw for s in states if name in s.pools])
        for key in pool.load_req_per_s:
            rates = [s.pools[name].load_req_per_s.get(key) for s in states if name in s.pools]
            found[f"{LOAD}{name}.{key}"] = mean(rates)
    return {name: value for name, value in found.items() if value is not None}


def _beginning(seen: list[State]) -> Beginning:
    """Return how the run began: the first state of charge, every pool as it was."""
    soc = next((state.soc for state in seen if state.soc is not None), None)
    pools = {
        name: pool.model_copy(
            update={
                "power_kw": None,
                "served_req_per_s": {},
                "waiting_requests": {},
                "arrived_requests": {},
            }
        )
        for name, pool in seen[0].pools.items()
    }
    return Beginning(soc=soc, pools=pools)


def _events(
    asked: Mapping[str, tuple[Event, datetime]], meter: MeterSeries, notes: list[str]
) -> tuple[Event, ...]:
    """Return what was asked, as it stood last; what was taken back ends then."""
    found: list[Event] = []
    for event, last in sorted(asked.values(), key=lambda pair: pair[0].start):
        lasted_s = (last - event.start).total_seconds()
        kept = event
        if lasted_s < event.duration_s - 2.0 * meter.interval_s and last < meter.end:
            if lasted_s < meter.interval_s:
                notes.append(f"{event.id} was taken back before it began, or just then: left out")
                continue
            kept = event.model_copy(update={"duration_s": lasted_s})
            notes.append(f"{event.id} was taken back after {lasted_s:.0f} s: it ends there")
        if event.target is None:
            notes.append(f"{event.id} asks by price, and not for a size: left out")
            continue
        before = found[-1] if found else None
        if before is not None and before.start + _whole(before) > kept.start:
            notes.append(f"{event.id} begins before {before.id} is over: left out on the twin")
            continue
        if meter.seconds(kept.start) < meter.interval_s or kept.start + _whole(kept) > meter.end:
            notes.append(f"{event.id} was not recorded whole: left out on the twin")
            continue
        found.append(kept)
    return tuple(found)


def _whole(event: Event) -> timedelta:
    return timedelta(seconds=event.duration_s + event.response.recovery_s)


__all__ = ["Arms", "Entry", "Made", "OwnRun", "Seen", "Starts", "entries", "read_own"]
