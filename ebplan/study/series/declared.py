"""How a series is declared in a study's file."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, Part

GapRule = Literal["refuse", "hold", "linear"]


class TimedFile(Part):
    """A column of a file with times: CSV, CSV.gz or Parquet.

    Times with an offset are taken as they are. Without one they are wall clocks of ``time_zone``:
    an hour that comes twice when the clocks are put back is told apart by its order.
    """

    file: str
    """Path, relative to the study."""
    column: str
    """Name of the column with the values."""
    unit: str
    """Unit of the values: ``JPY/kWh``, ``EUR/MW/4h``, ``kW``, ``MW``, ``1``, ``%``, ..."""
    time: str
    """Name of the column with the times, ISO 8601; a day, where ``slot`` is given."""
    slot: str | None = None
    """Name of the column with the number of the step within the day, from 1 on."""
    time_zone: str
    """Name in the IANA database."""
    stamp: Literal["beginning", "end"] = "beginning"
    """Which end of its step a time names."""
    step_s: int = Field(ge=1, le=86_400)
    """Length of the file's steps in seconds."""
    gaps: GapRule = "refuse"
    """What is done where steps are missing: nothing, the last value held, or a line between."""
    most_gaps: Fraction = 0.01
    """Share of the steps that may be filled."""
    negative: Literal["allow", "refuse"] = "allow"
    """Whether values below zero are right."""
    above_cap: Literal["refuse", "clip"] = "refuse"
    """What is done with prices above the cap of their market."""
    encoding: Literal["utf-8", "cp932"] = "utf-8"
    """Encoding of a CSV file."""

    @model_validator(mode="after")
    def _zone_is_known(self) -> TimedFile:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise FieldFault(
                field="time_zone",
                value=self.time_zone,
                allowed="a name in the IANA time zone database, e.g. 'Asia/Tokyo'",
                remedy="correct the name",
            ) from None
        return self


class SyntheticSeries(Part):
    """A series of a made-up year (``ebplan.study.synthetic``)."""

    source: str = Field(pattern=r"^synthetic:[a-z]+-fy\d{4}$")
    """``synthetic:AREA-fyYEAR``, e.g. ``synthetic:tokyo-fy2025``: whose statistics it has."""
    series: str | None = None
    """Name of the series, e.g. ``fcr``; by the field where absent."""
    seed: int = Field(default=1, ge=0)
    """What chance begins with."""
