"""The market's clock, and how finely a policy plans by it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ebplan.document import NonNegative, Part


class Clock(Part):
    """What of the market's clock no definition says; gates and results stand in those."""

    closure_h: NonNegative = 1.0
    """Intraday trading ends so long before a step (JEPX, trading rules: one hour)."""


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
