"""The document of a hosting study: a connection, its contract, a load, batteries, mechanisms."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, Fraction, NonNegative, Part, Positive

HOURS = 24


class Contract(Part):
    """What the grid may ask of a connection that is not firm."""

    hours_per_year: float = Field(ge=0.0, le=8760.0)
    """Hours in which it may curtail, all calls together."""
    call_hours: int = Field(ge=1, le=12)
    """Longest call; it may begin at any hour of the day."""
    rest_hours: int = Field(ge=1, le=168)
    """Shortest time between two calls."""
    depth: Fraction
    """Share of the connection that is then not there."""
    notice_s: NonNegative
    """From the notice to the beginning of a call."""

    @property
    def calls_per_year(self) -> float:
        """Calls of full length."""
        return self.hours_per_year / self.call_hours


class Cells(Part):
    """A battery of the whole connection, of the site's kind."""

    energy_kwh: NonNegative
    """0 is none."""
    power_kw: NonNegative
    """Of its converter, both ways."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Cells:
        if (self.energy_kwh == 0.0) != (self.power_kw == 0.0):
            raise FieldFault(
                field="power_kw",
                value=self.power_kw,
                allowed="energy and power both 0, or neither",
                remedy="give both",
            )
        return self


class MechanismSet(Part):
    """What compute may do in a call."""

    name: str
    """What tables call it."""
    compute: bool = True
    """Whether it does anything at all."""
    without: tuple[str, ...] = ()
    """Mechanisms left out, by their names in a plan."""


class Load(Part):
    """Requests of one site."""

    nominal_req_per_s: dict[str, dict[str, NonNegative]]
    """Requests per second at a share of 1, by pool and class."""
    by_hour: tuple[Positive, ...] = Field(min_length=HOURS, max_length=HOURS)
    """Load as a share of the nominal one, by hour of the day; every day is alike."""


class WhatIf(Part):
    """Other terms of the contract: every combination is worked out, for the last battery."""

    hours_per_year: tuple[NonNegative, ...] = Field(min_length=1)
    depth: tuple[Fraction, ...] = Field(min_length=1)
    notice_s: tuple[NonNegative, ...] = Field(min_length=1)


class HostingSpec(Document):
    """A hosting study."""

    kind: Literal["hosting"] = "hosting"
    name: str
    """Name of the study."""
    connection_kw: Positive
    """What the connection carries when nothing is curtailed."""
    site: str
    """The unit that is multiplied: a built-in site by name, or a site file. Its own battery is
    left out."""
    load: Load
    """Requests of each unit."""
    contract: Contract
    """What the grid may ask."""
    batteries: tuple[Cells, ...] = Field(min_length=1)
    """Batteries that are compared."""
    rest_soc: Fraction = 1.0
    """State of charge between calls; what lies above has to be charged within the notice."""
    mechanisms: tuple[MechanismSet, ...] = Field(min_length=1)
    """Mechanism sets that are compared."""
    most_lost: Fraction
    """Largest share of a year's inference value that calls may cost."""
    what_if: WhatIf | None = None
    """Other terms."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> HostingSpec:
        names = [one.name for one in self.mechanisms]
        if len(set(names)) < len(names):
            raise FieldFault(
                field="mechanisms",
                value=names,
                allowed="each name once",
                remedy="rename or remove the repeated one",
            )
        return self
