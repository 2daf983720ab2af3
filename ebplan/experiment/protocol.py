"""What an experiment varies and how long its steps take: ``protocol.toml``.

The whitepaper's protocol (section 3) has six steps; a case is a request shape, a concurrency, a
grid event, a set of mechanisms and a seed; the matrix is their product without what is excluded.
Durations and limits that the whitepaper does not give are assumed, and are fields here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from ebplan.case import with_trace
from ebplan.document import (
    Document,
    FieldFault,
    Fraction,
    NonNegative,
    Part,
    Positive,
    read_data,
)
from ebplan.errors import InputError
from ebplan.event import EventType, HandOff, ResponseShape, Target
from ebplan.mechanisms import MECHANISMS, least_impact_first

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,40}$")]
"""Names of events are parts of folder names."""
Direction = Literal["release", "absorb", "both"]
COMPUTE = tuple(m.name for m in MECHANISMS if m.name != "battery")
"""Mechanisms that a set may name; the battery bridges in every case."""


class Excursion(Part):
    """How the frequency leaves and comes back: straight lines, assumed."""

    deviation_hz: float
    """At its extreme; < 0 after the loss of a large unit."""
    fall_s: Positive = 4.0
    """From the injection to the extreme."""
    recovery_s: Positive = 60.0
    """Back to the nominal frequency, from the end of the response on."""


class GridEvent(Part):
    """What the programmable grid does, and what it asks."""

    name: Label
    """Its name in folders and tables."""
    type: EventType
    """Kind of event."""
    duration_s: Positive
    """How long the response is sustained, from the trigger on."""
    target: Target
    """Size of the response, or the frequency that it follows."""
    response: ResponseShape = ResponseShape(recovery_s=120.0)
    """Delay, activation, recovery."""
    handoff: HandOff | None = None
    """When the battery is to be free again, from the trigger on; ``handoff_s`` after the mechanisms
    start where this is absent."""
    excursion: Excursion | None = None
    """The frequency; 0.5 Hz down or up where this is absent and the target follows no trace."""
    payment_per_kwh: NonNegative = 0.0
    """Paid for each kWh delivered, in the site's currency."""
    penalty_per_kwh: NonNegative = 100.0
    """Charged for each kWh not delivered; assumed."""

    @property
    def direction(self) -> Direction:
        """Which way it asks; ``both`` where it follows the frequency."""
        if self.target.frequency is not None:
            return "both"
        asked = self.target.delta_kw
        if asked is None:
            asked = self.target.fraction_of_baseline
        return "absorb" if asked is not None and asked > 0.0 else "release"

    @model_validator(mode="after")
    def _frequency_moves_as_the_target_asks(self) -> GridEvent:
        if self.excursion is None:
            return self
        sign = {"release": -1.0, "absorb": 1.0, "both": 0.0}[self.direction]
        if self.excursion.deviation_hz * sign <= 0.0:
            raise FieldFault(
                field="excursion.deviation_hz",
                value=self.excursion.deviation_hz,
                allowed="< 0 to release, > 0 to absorb, none where the target follows a trace",
                remedy="correct the sign, or leave the excursion out",
            )
        return self


class Settling(Part):
    """When a baseline counts as settled: the means of two windows on end differ by less."""

    window_s: Positive = 30.0
    """Length of a window."""
    most_s: Positive = 300.0
    """The event is injected at the latest then, and the case says that it had not settled."""
    power: Positive = 0.01
    """As a share of the power."""
    throughput: Positive = 0.05
    """As a share of the requests per second: chance moves a minute's by some 2 %."""
    latency: Positive = 0.05
    """As a share of the median time to the last token."""


class Posture(Part):
    """How the fleet stands before events of a direction."""

    drained: int = Field(default=0, ge=0)
    """Instances awake without load: what an event that absorbs can put to work."""
    queued_requests: dict[str, NonNegative] = Field(default_factory=dict)
    """Requests queued for later, by class: what can be served ahead."""


class Postures(Part):
    """By direction."""

    release: Posture = Posture()
    """Before events that release."""
    absorb: Posture = Posture()
    """Before events that absorb."""
    both: Posture = Posture()
    """Before events that follow the frequency."""


class Sampling(Part):
    """How often is measured."""

    coarse_s: Positive = 1.0
    """Usually."""
    fine_s: Positive = 0.1
    """After the trigger, after the mechanisms start and after the response ends."""
    fine_for_s: NonNegative = 30.0
    """For so long."""


class Exclude(Part):
    """Cases left out: those that match every list given."""

    shapes: tuple[str, ...] = ()
    concurrencies: tuple[int, ...] = ()
    events: tuple[str, ...] = ()
    mechanisms: tuple[tuple[str, ...], ...] = ()
    seeds: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Exclude:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise FieldFault(
                field="",
                value=None,
                allowed="at least one list",
                remedy="say what is left out, or remove the entry",
            )
        return self


class Protocol(Document):
    """An experiment."""

    kind: Literal["protocol"] = "protocol"
    name: Label
    """Its name."""
    site: str = "powerd-lab-full-catalogue"
    """A built-in site, or a file: of one pool."""
    shapes: tuple[str, ...] = Field(min_length=1)
    """Request shapes: labels of the fleet model's workloads."""
    concurrencies: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    """Requests at once. Those of protected classes come from users who each send the next when the
    last is answered; the others at random, at the rate that has as many of them at once on average:
    work that is put off or turned away sends nothing anew."""
    events: tuple[GridEvent, ...] = Field(min_length=1)
    """What the grid does."""
    mechanisms: tuple[tuple[str, ...], ...] = Field(min_length=1)
    """Sets of compute mechanisms; an empty one is the battery alone."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = (0,)
    """Of every chance."""
    exclude: tuple[Exclude, ...] = ()
    """Cases left out."""
    interactive_share: Fraction = 0.6
    """Share of the concurrency whose requests are of protected classes; assumed."""
    soc: Fraction = 0.6
    """State of charge at the beginning."""
    settling: Settling = Settling()
    """Step 2."""
    trigger_hz: Positive = 0.2
    """Step 3: deviation at which the response begins; a followed trace begins at once."""
    bridge_s: Positive = 10.0
    """Step 4: how long the battery alone carries the response."""
    handoff_s: Positive = 30.0
    """Step 5: the battery is to be free so long after the mechanisms start."""
    single_handoff_price_per_kwh: Positive | None = None
    """Price of a battery that is not free in time, where a set is one mechanism: so dear that its
    depth is seen whatever it costs. The site's where absent."""
    posture: Postures = Postures()
    """How the fleet stands before."""
    sampling: Sampling = Sampling()
    """How often is measured."""
    clock: Literal["work", "seconds"] = "work"
    """What limits the planner's search: work, the same on every machine, or seconds."""
    deadline_s: Positive = 0.2
    """Time for each plan, with the clock of seconds."""
    load_tolerance: Positive = 0.2
    """A load further off than this share makes another plan: counted rates waver."""
    noise_hz: NonNegative = 0.01
    """Standard deviation of the frequency at rest."""
    telemetry: Literal["parquet", "csv"] = "parquet"
    """Format of the tables; csv is written as .csv.gz."""
    folder: str | None = None
    """Where the report goes, from the protocol's file; ``<name>-report`` beside it if absent."""

    @model_validator(mode="after")
    def _each_once(self) -> Protocol:
        lists: dict[str, list[Any]] = {
            "shapes": list(self.shapes),
            "concurrencies": list(self.concurrencies),
            "events": [event.name for event in self.events],
            "mechanisms": [tuple(sorted(names)) for names in self.mechanisms],
            "seeds": list(self.seeds),
        }
        for field, values in lists.items():
            if twice := [v for i, v in enumerate(values) if v in values[:i]]:
                raise FieldFault(
                    field=field,
                    value=twice[0],
                    allowed="each once",
                    remedy="remove the second",
                )
        return self

    @model_validator(mode="after")
    def _mechanisms_exist(self) -> Protocol:
        for i, names in enumerate(self.mechanisms):
            for name in names:
                if name not in COMPUTE:
                    raise FieldFault(
                        field=f"mechanisms.{i}",
                        value=name,
                        allowed=", ".join(COMPUTE),
                        remedy="the battery bridges in every case and is not listed"
                        if name == "battery"
                        else "correct the name",
                    )
        return self

    @model_validator(mode="after")
    def _the_bridge_ends_in_the_event(self) -> Protocol:
        for event in self.events:
            if event.duration_s <= self.bridge_s:
                raise FieldFault(
                    field="bridge_s",
                    value=self.bridge_s,
                    allowed=f"< duration_s of every event: {event.name} lasts "
                    f"{event.duration_s:g} s",
                    remedy="shorten the bridge, or lengthen the event",
                )
        return self


def set_name(mechanisms: tuple[str, ...]) -> str:
    """Return the name of a set of mechanisms."""
    return "+".join(least_impact_first(mechanisms)) or "battery_alone"


def short_set_name(name: str) -> str:
    """Return the name of a set in words, a long one by its first mechanism."""
    words = name.replace("_", " ").split("+")
    return " + ".join(words) if len(words) < 4 else f"{words[0]} and {len(words) - 1} more"


def read_protocol(path: Path) -> Protocol:
    """Read a protocol (TOML or JSON); events may be taken from example files.

    An event with ``file`` takes type, duration, target, response, hand-off and prices from the
    event of that case, relative to the protocol; what is written beside it goes first.

    Raises:
        InputError: a file is missing or wrong; the message names file and field.
    """
    data = dict(read_data(path))
    if isinstance(data.get("events"), list):
        try:
            data["events"] = [_event(event, path.parent) for event in data["events"]]
        except InputError as error:
            raise error.in_file(str(path)) from None
    return Protocol.parse(data, file=str(path))


_TAKEN = (
    "type",
    "duration_s",
    "target",
    "response",
    "handoff",
    "payment_per_kwh",
    "penalty_per_kwh",
)


def _event(given: Any, folder: Path) -> Any:
    if not isinstance(given, dict):
        return given
    given = dict(given)
    if isinstance(name := given.pop("file", None), str):
        path = folder / name
        whole = read_data(path)
        if whole.get("kind") != "event" or not isinstance(whole.get("event"), dict):
            raise InputError(
                field="kind",
                value=whole.get("kind"),
                allowed="a case with an event",
                remedy='name a file with {"kind": "event", "event": {...}}',
                file=str(path),
            )
        event = with_trace(whole["event"], path.parent)
        given = {**{k: event[k] for k in _TAKEN if k in event}, **given}
    return with_trace(given, folder)
