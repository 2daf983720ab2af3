"""The document of a grid product.

Signs: a load **releases** when it draws less and **absorbs** when it draws more. The "up" reserve
of a system operator (more generation) is ``release`` here, its "down" reserve is ``absorb``.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.frequency import ResponseCurve
from ebplan.services.evidence import WITHOUT_VALUE, Confidence, Defined, Evidence
from ebplan.services.market import Market

__all__ = [
    "FACTS",
    "WITHOUT_VALUE",
    "Calls",
    "Confidence",
    "Direction",
    "Evidence",
    "ServiceDefinition",
    "Tolerance",
]

Direction = Literal["release", "absorb"]
Trigger = Literal["local_frequency", "operator_signal", "dispatch"]
BaselineRule = Literal["fixed", "last_value", "high_4_of_5", "regression"]


class Tolerance(Part):
    """How far the delivered power may lie from what the product asks."""

    under: Fraction | None = None
    """Delivered too little, as a share of the bid."""
    over: NonNegative | None = None
    """Delivered too much, as a share of the bid."""
    averaging_s: Positive | None = None
    """The delivered power is averaged over this before it is judged."""
    share_outside: Fraction | None = None
    """Share of the time that may lie outside the tolerance."""


class Calls(Part):
    """How often the product may be called."""

    most_per_day: int | None = Field(default=None, ge=1)
    """Most calls in a day."""
    most_per_year: int | None = Field(default=None, ge=1)
    """Most calls in a year."""
    least_rest_s: NonNegative | None = None
    """Least time between the end of a call and the start of the next."""


class ServiceDefinition(Defined):
    """A product that a grid operator buys."""

    GROUPS: ClassVar[tuple[tuple[str, type[Part]], ...]] = (
        ("tolerance", Tolerance),
        ("calls", Calls),
        ("market", Market),
    )

    kind: Literal["service"] = "service"
    directions: tuple[Direction, ...] = Field(min_length=1, max_length=2)
    """What is paid: ``release`` (draw less; the operator's "up"), ``absorb`` (draw more), both."""
    symmetric: bool | None = None
    """Whether one bid covers both directions."""
    trigger: Trigger
    """What starts a response: the frequency at the site, a signal that is followed, or a call."""
    nominal_hz: tuple[Positive, ...] = Field(min_length=1)
    """Nominal frequencies of the region in Hz."""
    notice_s: NonNegative | None = None
    """The call is known this long before its start; the times below count from the start."""
    initial_delay_s: NonNegative | None = None
    """The response must have begun by then."""
    full_activation_s: NonNegative | None = None
    """The whole response must be there by then."""
    sustain_s: Positive | None = None
    """The whole response must be held for this long."""
    curve: ResponseCurve | None = None
    """Share of the bid against the deviation of the frequency, where the product follows it."""

    block_s: Positive | None = None
    """Length of the time that one bid covers."""
    min_bid_kw: Positive | None = None
    """Least bid."""
    step_kw: Positive | None = None
    """A bid is a whole number of these."""
    max_bid_kw: Positive | None = None
    """Largest bid; none where no limit is known."""

    tolerance: Tolerance = Tolerance()
    """How far the delivered power may be off."""
    meter_interval_s: Positive | None = None
    """Interval of the readings that are judged."""
    calls: Calls = Calls()
    """How often it may be called."""
    recovery: str | None = None
    """The rule on getting ready again after a call."""
    recovery_s: Positive | None = None
    """Ready again within this after the end of a call."""
    baseline: BaselineRule | None = None
    """How the draw without the call is found at settlement."""

    market: Market = Market()
    """When it is traded, what is paid, what it excludes."""

    @model_validator(mode="after")
    def _ordered(self) -> ServiceDefinition:
        for low, high in (
            ("initial_delay_s", "full_activation_s"),
            ("min_bid_kw", "max_bid_kw"),
            ("step_kw", "max_bid_kw"),
        ):
            first, last = getattr(self, low), getattr(self, high)
            if first is not None and last is not None and first > last:
                raise FieldFault(
                    field=low,
                    value=first,
                    allowed=f"<= {high} = {last:g}",
                    remedy="correct one of the two",
                )
        if len(set(self.directions)) < len(self.directions):
            raise FieldFault(
                field="directions",
                value=list(self.directions),
                allowed="each direction once",
                remedy="remove the repeated one",
            )
        return self


FACTS = ServiceDefinition.fact_names()
"""Dotted names of all facts, in the order of the document."""
