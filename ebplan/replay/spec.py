"""What ``ebplan replay`` replays: which recording, on which site, against which events."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from ebplan.case import CaseFile, load_site
from ebplan.document import (
    Document,
    FieldFault,
    Fraction,
    NonNegative,
    Part,
    Positive,
    Timestamp,
    read_data,
)
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.planner import Restoration
from ebplan.settlement.meter_file import MeterMap, read_map
from ebplan.site import Site
from ebplan.state import PoolState

LOAD = "load."
"""Beginning of the name of a column that holds arrivals: ``load.POOL.CLASS``, in requests/s."""


class RecordingSpec(Part):
    """Where the recording lies. Paths count from the replay file."""

    meter: str | None = None
    """A CSV or Parquet series; ``map`` says what stands where."""
    audit: str | None = None
    """The audit log of a run of ebplan (a folder), in place of a series."""
    case: str | None = None
    """A case of `ebplan twin experiment` (its folder), in place of a series."""
    interval_s: Positive = 10.0
    """Interval over which the readings of an audit log or a case are averaged."""
    map: MeterMap | str | None = None
    """Its map, in place or as a file; absent where the file has ebplan's own header."""
    begins: Timestamp | None = None
    """Only from then on."""
    ends: Timestamp | None = None
    """Only until then."""

    @model_validator(mode="after")
    def _one_source(self) -> RecordingSpec:
        given = [name for name in ("meter", "audit", "case") if getattr(self, name) is not None]
        if len(given) != 1:
            raise FieldFault(
                field="meter",
                value=given or None,
                allowed="one of meter, audit and case",
                remedy="name a series, the audit log of a run, or a case of an experiment",
            )
        if self.meter is None and self.map is not None:
            raise FieldFault(
                field="map",
                value="given",
                allowed="none with audit or case",
                remedy="remove it: they say themselves what they hold",
            )
        return self


class Beginning(Part):
    """How the site began, where the recording does not tell."""

    soc: Fraction | None = None
    """State of charge; that of the recording where it has a ``soc``."""
    pools: dict[str, PoolState]
    """Each pool: how many instances do what, and the usual load. Where the load is found from the
    power, it is this one times a factor."""


class ReplaySpec(Document):
    """A replay."""

    kind: Literal["replay"] = "replay"
    name: str = "replay"
    """What it is called in tables and figures."""
    site: str | None = None
    """Site file, or the name of a built-in site; that of the log where a run of ebplan is
    replayed, if absent."""
    recording: RecordingSpec
    """What was recorded."""
    beginning: Beginning | None = None
    """How the site began."""
    events: tuple[Event | str, ...] | Literal["found"] = ()
    """What the grid asked: in place, or files of events; ``found``: what the series alone tells,
    and what was given then counts as what was asked."""
    baseline: str = "last_value:30"
    """Rule of the baseline (``ebplan settle baseline``), for the recording and the twin alike."""
    load: Literal["recorded", "from_power"] | None = None
    """``recorded``: columns ``load.POOL.CLASS`` hold arrivals; ``from_power``: the load that would
    draw what was metered, and in an event what would draw the baseline. The first where there are
    such columns, if absent."""
    tolerance: NonNegative = Field(default=0.05, le=1.0)
    """Share of the size asked that the draw may lie outside what was asked."""
    cycle_s: Positive = 1.0
    """How often the planner is asked."""
    stretch_s: Positive = 21_600.0
    """A long recording is replayed in stretches of about this length, each kept when finished."""
    restoration: Restoration | None = None
    """How the battery is made ready between events; that of the run where one of ebplan is
    replayed, if absent, else the usual."""
    without: tuple[str, ...] = ()
    """Mechanisms that ebplan may not use."""
    notes: tuple[str, ...] = ()
    """What one should know of the recording; shown beside the results."""


def read_spec(path: Path) -> ReplaySpec:
    """Read a replay file.

    Raises:
        InputError: the file cannot be read, or says what no replay says.
    """
    return ReplaySpec.parse(read_data(path), file=str(path))


def site_of(spec: ReplaySpec, folder: Path) -> Site:
    """Return the site that is named.

    Raises:
        InputError: there is none.
    """
    if spec.site is None:
        raise InputError(
            field="site",
            value=None,
            allowed="a site file, or the name of a built-in site",
            remedy="add it: a series does not say what stands behind its meter",
        )
    return load_site(spec.site, folder=folder)


def map_of(spec: ReplaySpec, folder: Path) -> MeterMap | None:
    """Return the map of the series; None where it has ebplan's own header.

    Raises:
        InputError: its file cannot be read.
    """
    told = spec.recording.map
    return read_map(folder / told) if isinstance(told, str) else told


def events_of(spec: ReplaySpec, folder: Path) -> list[Event]:
    """Return the events that are named, by start.

    Raises:
        InputError: a file cannot be read, two events overlap, or one asks for nothing metered.
    """
    events = [
        _read_event(folder / told) if isinstance(told, str) else told
        for told in (() if spec.events == "found" else spec.events)
    ]
    events.sort(key=lambda event: event.start)
    for before, event in pairwise(events):
        gap_s = (event.start - before.start).total_seconds() - before.duration_s
        if gap_s < before.response.recovery_s:
            raise InputError(
                field=f"events.{event.id}.start",
                value=event.start.isoformat(),
                allowed=f"a start after {before.id} and its recovery",
                remedy="replay overlapping events one by one",
            )
    for event in events:
        if event.target is None:
            raise InputError(
                field=f"events.{event.id}.target",
                value=None,
                allowed="a change, a share, a limit or a frequency response",
                remedy="a price window leaves the size to the money: there is nothing to hold a "
                "recording against",
            )
    return events


def _read_event(path: Path) -> Event:
    data = read_data(path)
    if data.get("kind") == "event":
        return CaseFile.parse(data, file=str(path)).event
    return Event.parse(data, file=str(path))
