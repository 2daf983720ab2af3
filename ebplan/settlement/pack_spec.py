"""What a prequalification is asked to show: the tests, and where their recordings lie."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

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
from ebplan.services import ServiceDefinition, event_of, load_service, with_values
from ebplan.services.definition import Direction
from ebplan.settlement.day_calendar import DayCalendar, parse_zone, read_days
from ebplan.state import State

TestKind = Literal["ramp", "endurance"]
RAMP_HOLD_S = 60.0
"""A ramp test holds the whole response for this long, where nothing else is said."""


class RecordedRun(Part):
    """One recording of a test; paths count from the file that names them."""

    meter: str
    """The meter series (CSV or Parquet)."""
    start: Timestamp
    """When the response was called."""
    map: str | None = None
    """What stands where in it (TOML)."""
    plan: str | None = None
    """The plan that was carried out: tells mechanisms of compute apart."""


class PackTest(Part):
    """One test of the product."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """Its name, of which files are called."""
    kind: TestKind
    """``ramp``: that the response is there in time; ``endurance``: that it is held."""
    direction: Direction
    """Draw less, or more."""
    kw: Positive
    """Size of the response."""
    hold_s: Positive | None = None
    """How long the whole response is held; as long as the product asks, or a minute for a ramp."""
    baseline: str | None = None
    """Rule or file of the baseline; the mean draw before the call where absent."""
    runs: tuple[RecordedRun, ...] = ()
    """Its recordings; none where it is simulated."""


class SimulatedRuns(Part):
    """How tests are run on the fluid plant."""

    state: State | str
    """The state they begin in, in place or as a file."""
    seed: int = 0
    """Seed of the first run; each further one has the next."""
    load_noise: Fraction = 0.0
    """Standard deviation of the load about its forecast, as a share."""
    noise_kw: NonNegative = 0.0
    """Standard deviation of a reading of the meter."""
    quiet_s: Positive = 120.0
    """The plant is metered for this long before each call."""


class PackSpec(Document):
    """A prequalification: product, size, tests."""

    kind: Literal["prequalification"] = "prequalification"
    resource: str = Field(min_length=1)
    """What is tested, as the grid knows it."""
    service: str
    """The product: a name or a file."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """Facts that its definition lacks, by dotted name, e.g. ``"tolerance.under" = 0.1``."""
    repeats: int = Field(default=1, ge=1)
    """How often the product asks for each test."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1.0)
    """Share of intervals that hold the truth."""
    accuracy: Fraction = 0.0
    """Standard error of the meter's gain, as a share."""
    holidays: str | None = None
    """File of days that count as weekends, one YYYY-MM-DD a line."""
    exclude_days: tuple[date, ...] = ()
    """Days of other events, from which no baseline is made; those of the runs are left out too."""
    zone: str | None = None
    """Whose days are meant: ``Asia/Tokyo`` or ``+09:00``; that of each start where absent."""
    simulate: SimulatedRuns | None = None
    """How tests are run on the bench; needed for ``--simulate``."""
    tests: tuple[PackTest, ...] = Field(min_length=1)
    """The tests."""

    @model_validator(mode="after")
    def _each_name_once(self) -> PackSpec:
        names = [test.name for test in self.tests]
        for i, name in enumerate(names):
            if names.index(name) < i:
                raise FieldFault(
                    field=f"tests.{i}.name",
                    value=name,
                    allowed="each name once",
                    remedy="name it otherwise: files are called by it",
                )
        return self

    def product(self, folder: Path) -> ServiceDefinition:
        """Return the product with the facts that were supplied.

        Raises:
            InputError: there is no such product, or no such fact.
        """
        file = folder / self.service
        name = str(file) if file.is_file() else self.service
        return with_values(load_service(name), self.facts)

    def calendar(self, event: Event, folder: Path) -> DayCalendar:
        """Return the calendar of a run: its own day, those of all other runs, and what is named.

        Args:
            event: the event of the run.
            folder: where paths count from.

        Raises:
            InputError: the holidays cannot be read, or the zone is none.
        """
        zone = parse_zone(self.zone, field="zone") if self.zone else None
        clock = zone or event.start.tzinfo
        runs = [run.start.astimezone(clock).date() for test in self.tests for run in test.runs]
        return DayCalendar.of_event(
            event.start,
            event.duration_s,
            holidays=read_days(folder / self.holidays) if self.holidays else (),
            others=[*self.exclude_days, *runs],
            zone=zone,
        )


def read_spec(path: Path) -> PackSpec:
    """Read a prequalification from a TOML file.

    Raises:
        InputError: the file cannot be read, or says what none says.
    """
    return PackSpec.parse(read_data(path), file=str(path))


def event_of_test(test: PackTest, service: ServiceDefinition, start: datetime) -> Event:
    """Return the event of a test: a full call, held as long as the test asks.

    Raises:
        InputError: the product does not pay for the direction, or does not say how fast or how
            long it is.
    """
    hold_s = test.hold_s
    if hold_s is None and test.kind == "ramp":
        hold_s = RAMP_HOLD_S
    length_s = None
    if hold_s is not None:
        full_s = service.full_activation_s
        if full_s is None:
            raise InputError(
                field="full_activation_s",
                value=None,
                allowed="a value",
                remedy='supply it: facts."full_activation_s" = SECONDS',
                file=service.id,
            )
        length_s = full_s + hold_s
    event = event_of(service, test.direction, test.kw, start, length_s)
    return event.model_copy(update={"id": test.name})
