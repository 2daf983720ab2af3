"""Wear of a battery: as a site states it, and in the numbers of a problem.

A site speaks of shares of the life lost, by depth and by state of charge; a problem of money per
kWh taken out and per hour. ``pose/wear.py`` turns the one into the other.
"""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part

# --- of a site ---------------------------------------------------------------------------------


class DepthStress(Part):
    """Life lost in one cycle of depth d, a share of capacity: ``coefficient * d ** exponent``."""

    coefficient: NonNegative
    """Share of the life lost in one full cycle."""
    exponent: float = Field(ge=1.0, le=5.0)
    """1: the same per kWh at any depth; above: the deeper, the dearer."""


class CalendarPoint(Part):
    """Life lost at rest at one state of charge; straight lines lie between the points."""

    soc: Fraction
    """State of charge."""
    loss_per_year: NonNegative
    """Share of the life lost in a year there."""


class Wear(Part):
    """What using and keeping the cells costs: the share of their life lost, at what they cost.

    Depth stress and calendar loss come from a wear model of the library, or are given here.
    """

    replacement_per_kwh: NonNegative | None = None
    """Price of new cells per kWh of ``energy_kwh``; the wear model's where absent."""
    temperature_c: float = Field(ge=-40.0, le=80.0)
    """Temperature of the cells for which the wear holds, in degrees Celsius."""
    model: str | None = None
    """Name of the wear model."""
    depth_stress: DepthStress | None = None
    """Life lost by depth of cycle, where no model is named."""
    calendar: tuple[CalendarPoint, ...] = ()
    """Life lost by state of charge, convex, where no model is named; none: not counted."""
    segments: int | None = Field(default=None, ge=1, le=16)
    """Depth segments; chosen by the horizon where absent (``ebplan/pose/wear.py``)."""

    @model_validator(mode="after")
    def _from_one_source(self) -> Wear:
        if (self.model is None) == (self.depth_stress is None):
            raise FieldFault(
                field="depth_stress",
                value=self.depth_stress,
                allowed="given where no model is named, and only there",
                remedy="name a wear model, or give the depth stress of your cells",
            )
        if self.model is None and self.replacement_per_kwh is None:
            raise FieldFault(
                field="replacement_per_kwh",
                value=None,
                allowed=">= 0, the price of new cells per kWh: no wear model is named to give it",
                remedy="give it",
            )
        if self.model is not None and self.calendar:
            raise FieldFault(
                field="calendar",
                value=f"{len(self.calendar)} points",
                allowed=f"none: the model {self.model!r} gives it",
                remedy="leave it out, or give depth_stress in place of the model",
            )
        return self

    @model_validator(mode="after")
    def _calendar_is_convex(self) -> Wear:
        socs = [point.soc for point in self.calendar]
        slopes = [
            (high.loss_per_year - low.loss_per_year) / (high.soc - low.soc)
            for low, high in pairwise(self.calendar)
            if high.soc > low.soc
        ]
        rising = socs == sorted(set(socs)) and len(socs) != 1
        if not rising or any(b < a - 1e-9 for a, b in pairwise(slopes)):
            raise FieldFault(
                field="calendar",
                value=[(point.soc, point.loss_per_year) for point in self.calendar],
                allowed="two points or more, soc increasing, slope not falling (convex)",
                remedy="sort the points, and leave out those above the line of their neighbours",
            )
        return self


# --- of a problem ------------------------------------------------------------------------------


class DepthSegment(Part):
    """Wear of the energy taken out of one layer of depth, counted from where a discharge began."""

    from_kwh: NonNegative
    """Depth at which the segment begins; it ends where the next one begins, the last one never."""
    price_per_kwh: NonNegative
    """Wear per kWh taken out of the cells from it."""


class CalendarLine(Part):
    """One line of the calendar wear; the highest of the lines is what an hour costs."""

    price_per_kwh_h: float
    """Money per hour for each kWh stored."""
    price_per_h: float
    """Money per hour besides."""
