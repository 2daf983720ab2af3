"""The battery and its converter: energies in kWh above SoC 0, powers at the converter's AC side."""

from __future__ import annotations

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.wear import CalendarLine, DepthSegment


class ValueSegment(Part):
    """Value of the energy left, one segment of it."""

    width_kwh: NonNegative
    """Energy in the segment."""
    price_per_kwh: NonNegative
    """Value of a kWh in it."""


class BatteryProblem(Part):
    """Battery and converter; powers at the converter's AC side."""

    energy_kwh: Positive
    """Energy between SoC 0 and 1."""
    start_kwh: NonNegative
    """Energy above SoC 0 when the plan starts."""
    min_kwh: NonNegative
    """Lowest energy, a physical limit."""
    max_kwh: Positive
    """Highest energy, a physical limit."""
    reserve_kwh: NonNegative
    """Energy to keep; going below, or further below, is priced."""
    discharge_limit_kw: NonNegative
    """Converter limit less the droop reserve."""
    charge_limit_kw: NonNegative
    """Converter limit less the droop reserve."""
    droop_reserve_kw: NonNegative
    """Converter power kept free, both ways, for the armed droop."""
    rated_kw: Positive
    """Rated power that the loss curve refers to."""
    loss_linear: Fraction
    """Loss growing with power, as a share of it."""
    loss_quadratic: Fraction
    """Loss growing with power squared, as a share of rated power at rated power."""
    cell_efficiency: float = Field(gt=0.5, le=1.0)
    """One-way efficiency of the cells."""
    delay_s: NonNegative
    """Response time of the converter."""
    wear_per_kwh: NonNegative
    """Cycle wear per kWh taken out of the cells, however deep."""
    depth_segments: tuple[DepthSegment, ...] = ()
    """Cycle wear by depth, besides; from shallow to deep, prices not falling."""
    calendar: tuple[CalendarLine, ...] = ()
    """Calendar wear against the energy stored: the highest of the lines."""
    terminal: tuple[ValueSegment, ...] = Field(min_length=1)
    """Segments from empty upwards, prices not rising."""

    @property
    def kept_kwh(self) -> float:
        """Energy below which a dip is priced: the reserve, or what there is of it."""
        return min(self.reserve_kwh, self.start_kwh)

    @model_validator(mode="after")
    def _rated_for_its_limits(self) -> BatteryProblem:
        most = max(self.discharge_limit_kw, self.charge_limit_kw)
        if most > self.rated_kw:
            raise FieldFault(
                field="rated_kw",
                value=self.rated_kw,
                allowed=f">= the converter's limits, {most:g}",
                remedy="raise the rating or lower the limits",
            )
        return self

    @model_validator(mode="after")
    def _deeper_wears_no_less(self) -> BatteryProblem:
        begins = [segment.from_kwh for segment in self.depth_segments]
        prices = [segment.price_per_kwh for segment in self.depth_segments]
        if begins != sorted({0.0, *begins} if begins else ()) or prices != sorted(prices):
            raise FieldFault(
                field="depth_segments",
                value=f"prices {prices} from {begins} kWh",
                allowed="the first from 0 kWh, each from deeper than the last, prices not falling",
                remedy="sort the segments; a price that falls with depth is no convex wear",
            )
        return self

    @model_validator(mode="after")
    def _value_is_concave(self) -> BatteryProblem:
        prices = [segment.price_per_kwh for segment in self.terminal]
        covered = sum(segment.width_kwh for segment in self.terminal)
        if prices != sorted(prices, reverse=True) or covered < self.max_kwh - 1e-9:
            raise FieldFault(
                field="terminal",
                value=f"prices {prices} over {covered:g} kWh",
                allowed=f"prices not rising, segments covering max_kwh = {self.max_kwh:g}",
                remedy="give the first kWh the highest value, and cover the whole battery",
            )
        return self

    @model_validator(mode="after")
    def _within_limits(self) -> BatteryProblem:
        if not self.min_kwh <= self.start_kwh <= self.max_kwh:
            raise FieldFault(
                field="start_kwh",
                value=self.start_kwh,
                allowed=f"{self.min_kwh} to {self.max_kwh} kWh (soc_min to soc_max)",
                remedy="correct state.soc or the SoC limits of the site",
            )
        return self
