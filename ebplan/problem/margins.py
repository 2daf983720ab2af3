"""Margins against load and response that differ from the plan."""

from __future__ import annotations

from pydantic import Field

from ebplan.document import Fraction, NonNegative, Part


class Margins(Part):
    """What is held back beyond the plan: ``z (load_kw + response_share * moved)`` in each step."""

    confidence: float = Field(ge=0.5, lt=1.0)
    """Probability with which the margins suffice, where they are held."""
    z: NonNegative
    """Standard deviations covered of each error."""
    load_kw: NonNegative
    """Standard deviation of the load's draw."""
    response_share: Fraction
    """Standard deviation of what compute moves, as a share of it."""
    power_per_kwh: NonNegative
    """Surcharge for power not held, per kW and hour."""
    energy_per_kwh: NonNegative
    """Surcharge for energy not held behind the power."""
