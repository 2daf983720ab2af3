"""The market's clock, and how finely a policy plans by it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ebplan.document import FieldFault, NonNegative, Part


class Clock(Part):
    """When what is fixed, in hours of the day before delivery; defaults are those of Japan.

    Day-ahead energy closes at 10:00; bids for balancing products at 14:00, and their awards come at
    15:00 (EPRX, requirements and schedule of trading, 6th edition, March 2026). Intraday trading
    closes an hour before delivery (JEPX, trading rules).
    """

    spot_gate_h: float = Field(default=10.0, ge=0.0, lt=24.0)
    """Energy for the next day is bought until then."""
    bid_gate_h: float = Field(default=14.0, ge=0.0, lt=24.0)
    """Products for the next day are offered until then; the day-ahead price is known."""
    award_h: float = Field(default=15.0, ge=0.0, lt=24.0)
    """Awards for the next day are known from then on."""
    closure_h: NonNegative = 1.0
    """Intraday trading ends so long before a step."""

    @model_validator(mode="after")
    def _in_this_order(self) -> Clock:
        if not self.spot_gate_h <= self.bid_gate_h <= self.award_h:
            raise FieldFault(
                field="bid_gate_h",
                value=self.bid_gate_h,
                allowed=f"from spot_gate_h = {self.spot_gate_h:g} to award_h = {self.award_h:g}",
                remedy="put the gates in the order of the market",
            )
        return self


class Planning(Part):
    """How a policy plans: shorter is faster, longer sees more."""

    forecast: Literal["days_before", "perfect"] = "days_before"
    """``days_before``: see ``ebplan/study/forecast.py``."""
    lookahead: tuple[int, ...] = (4,) * 12
    """Steps after the day that is decided, by how many steps of the study each holds."""
    repair_every: int = Field(default=6, ge=1, le=48)
    """Steps between two repairs of the plan by what has come."""
    repair_steps: int = Field(default=48, ge=2, le=336)
    """Steps that a repair looks ahead."""
    whole_bids: bool = True
    """Whether bids are whole steps of a product, and none below its least bid."""
    peak_floor: float = Field(default=1.0, ge=0.0, le=1.5)
    """Highest draw that each month is expected to have anyway, as a share of its highest baseline:
    below it nothing is paid to keep the draw low."""
