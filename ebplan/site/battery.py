"""The battery of the site behind its converter; powers at the converter's AC side."""

from __future__ import annotations

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.wear import Wear


class TerminalValue(Part):
    """Value of energy left in the battery, segment by segment from empty to full."""

    up_to_soc: Fraction
    """Upper end of the segment."""
    price_per_kwh: NonNegative
    """Value of a kWh within it."""


class Battery(Part):
    """Battery behind a bidirectional isolated converter. ``battery_kw > 0`` is discharge."""

    energy_kwh: Positive
    """Usable energy between SoC 0 and 1."""
    discharge_limit_kw: NonNegative
    """Largest discharge at the converter's AC side."""
    charge_limit_kw: NonNegative
    """Largest charge at the converter's AC side."""
    converter_rated_kw: Positive
    """Rated power that the loss curve refers to."""
    converter_loss_linear: Fraction
    """Loss growing with power, as a share of it."""
    converter_loss_quadratic: Fraction
    """Loss growing with power squared, as a share of rated power at rated power."""
    cell_efficiency: float = Field(gt=0.5, le=1.0)
    """One-way efficiency of the cells."""
    converter_delay_s: NonNegative
    """From the frequency or set-point change until the converter's power has followed."""
    soc_min: Fraction
    """Lowest SoC, a physical limit."""
    soc_max: Fraction
    """Highest SoC, a physical limit."""
    reserve_soc: Fraction
    """SoC kept for repeated events and for compute that delivers less than planned."""
    droop_reserve_kw: NonNegative
    """Converter power kept free, both ways, for the droop armed in the converter."""
    wear_per_kwh: NonNegative | None = None
    """Cycle wear per kWh taken out of the cells, however deep; the short form of ``wear``."""
    wear: Wear | None = None
    """Cycle wear by depth, and calendar wear."""
    terminal_value: tuple[TerminalValue, ...] = Field(min_length=1)
    """Value of the energy left at the end, falling with SoC (concave)."""

    @property
    def highest_efficiency(self) -> float:
        """One-way efficiency of the cells above which a measurement is not believed.

        They lose at least half of what the site says: cells grow old, never lossless.
        """
        return 1.0 - 0.5 * (1.0 - self.cell_efficiency)

    @model_validator(mode="after")
    def _reserve_lies_within(self) -> Battery:
        if not self.soc_min <= self.reserve_soc <= self.soc_max:
            raise FieldFault(
                field="reserve_soc",
                value=self.reserve_soc,
                allowed=f"soc_min = {self.soc_min} to soc_max = {self.soc_max}",
                remedy="correct the SoC limits",
            )
        return self

    @model_validator(mode="after")
    def _wear_is_said_once(self) -> Battery:
        if (self.wear_per_kwh is None) == (self.wear is None):
            raise FieldFault(
                field="wear_per_kwh",
                value=self.wear_per_kwh,
                allowed="one of wear_per_kwh (flat) and wear (by depth, and calendar)",
                remedy="give one of the two",
            )
        points = self.wear.calendar if self.wear else ()
        if points and not points[0].soc <= self.soc_min <= self.soc_max <= points[-1].soc:
            raise FieldFault(
                field="wear.calendar",
                value=f"soc {points[0].soc:g} to {points[-1].soc:g}",
                allowed=f"points from soc_min = {self.soc_min} to soc_max = {self.soc_max}",
                remedy="add the points at the ends",
            )
        return self

    @model_validator(mode="after")
    def _rated_for_its_limits(self) -> Battery:
        most = max(self.discharge_limit_kw, self.charge_limit_kw)
        if most > self.converter_rated_kw:
            raise FieldFault(
                field="converter_rated_kw",
                value=self.converter_rated_kw,
                allowed=f">= the converter's limits, {most:g}",
                remedy="raise the rating or lower the limits",
            )
        limit = min(self.discharge_limit_kw, self.charge_limit_kw)
        if self.droop_reserve_kw > limit:
            raise FieldFault(
                field="droop_reserve_kw",
                value=self.droop_reserve_kw,
                allowed=f"<= the smaller converter limit, {limit}",
                remedy="lower the reserve",
            )
        return self

    @model_validator(mode="after")
    def _value_is_concave(self) -> Battery:
        ends = [segment.up_to_soc for segment in self.terminal_value]
        prices = [segment.price_per_kwh for segment in self.terminal_value]
        if ends != sorted(set(ends)) or ends[-1] < self.soc_max:
            raise FieldFault(
                field="terminal_value",
                value=ends,
                allowed=f"up_to_soc increasing, the last >= soc_max = {self.soc_max}",
                remedy="sort the segments and cover the whole range",
            )
        if prices != sorted(prices, reverse=True):
            raise FieldFault(
                field="terminal_value",
                value=prices,
                allowed="price_per_kwh not rising with SoC",
                remedy="give the first kWh the highest value",
            )
        return self
