"""What the grid asks: direction, size, shape in time, price.

Signs: ``delta_kw < 0`` releases (draw less than the baseline), ``> 0`` absorbs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive, Timestamp

EventType = Literal[
    "under_frequency",
    "over_frequency",
    "congestion_curtailment",
    "renewable_surplus",
    "demand_response",
    "import_limit",
    "price_window",
]


class Target(Part):
    """Size of the response: exactly one of the fields."""

    delta_kw: float | None = None
    """Change of the draw against the baseline in kW; < 0 releases."""
    fraction_of_baseline: float | None = Field(default=None, ge=-2.0, le=2.0)
    """The same as a share of the baseline; < 0 releases."""
    import_limit_kw: NonNegative | None = None
    """Draw that may not be exceeded."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Target:
        given = {name: v for name, v in self.model_dump().items() if v is not None}
        if len(given) != 1:
            raise FieldFault(
                field="",
                value=given,
                allowed="exactly one of delta_kw, fraction_of_baseline, import_limit_kw",
                remedy="keep one",
            )
        return self


class ResponseShape(Part):
    """How fast the response must come, and how long the plan looks past the end."""

    initial_delay_s: NonNegative = 0.0
    """Nothing is asked before this."""
    full_activation_s: NonNegative = 0.0
    """The whole response is asked from here on; in between the target rises linearly."""
    recovery_s: Positive = 60.0
    """Seconds after the end that the plan still covers."""
    rebound_limit_kw: NonNegative = 0.5
    """How far above the baseline the site may draw after the end."""

    @model_validator(mode="after")
    def _ordered(self) -> ResponseShape:
        if self.full_activation_s < self.initial_delay_s:
            raise FieldFault(
                field="full_activation_s",
                value=self.full_activation_s,
                allowed=f">= initial_delay_s = {self.initial_delay_s}",
                remedy="correct one of the two",
            )
        return self


class HandOff(Part):
    """When the battery should be free again."""

    by_s: NonNegative
    """Seconds after the start of the event."""
    battery_fraction: Fraction = 0.1
    """Share of the target the battery may still carry then."""


class Baseline(Part):
    """What the site would have drawn without the event."""

    rule: Literal["fixed", "last_value"] = "last_value"
    """``fixed``: ``kw`` below; ``last_value``: the draw when the state was measured."""
    kw: NonNegative | None = None
    """The agreed baseline, for ``fixed``."""

    @model_validator(mode="after")
    def _kw_where_fixed(self) -> Baseline:
        if (self.rule == "fixed") != (self.kw is not None):
            raise FieldFault(
                field="kw",
                value=self.kw,
                allowed="a value with rule 'fixed', none with 'last_value'",
                remedy="add or remove kw",
            )
        return self


class Event(Part):
    """One request of the grid."""

    id: str
    """Identifier, as the caller knows it."""
    type: EventType
    """Kind of event."""
    start: Timestamp
    """When the event starts."""
    duration_s: Positive
    """How long the response is sustained."""
    target: Target
    """Size of the response."""
    response: ResponseShape = ResponseShape()
    """Speed and recovery."""
    handoff: HandOff | None = None
    """When compute should have taken over; none where the battery may carry the whole."""
    baseline: Baseline = Baseline()
    """How the baseline is found."""
    tolerance: Fraction = 0.0
    """Share of the target by which the response may fall short before settlement counts it."""
    payment_per_kwh: NonNegative = 0.0
    """Paid for each kWh delivered, in the site's currency."""
    penalty_per_kwh: NonNegative = 0.0
    """Charged for each kWh not delivered."""

    @model_validator(mode="after")
    def _shape_fits(self) -> Event:
        if self.response.full_activation_s >= self.duration_s:
            raise FieldFault(
                field="response.full_activation_s",
                value=self.response.full_activation_s,
                allowed=f"< duration_s = {self.duration_s}",
                remedy="lengthen the event or activate faster",
            )
        if self.handoff is not None and self.handoff.by_s > self.duration_s:
            raise FieldFault(
                field="handoff.by_s",
                value=self.handoff.by_s,
                allowed=f"<= duration_s = {self.duration_s}",
                remedy="hand off within the event, or leave handoff out",
            )
        return self
