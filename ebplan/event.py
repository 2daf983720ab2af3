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


SMALLEST_KW = 1e-3
"""A smaller change drowns in rounding."""
RELEASING = ("under_frequency", "congestion_curtailment", "import_limit")
"""Kinds that ask for less draw; the others for more."""
EITHER_WAY = ("demand_response", "price_window")
"""Kinds that may ask for either."""


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
        if 0.0 < abs(self.delta_kw or 0.0) < SMALLEST_KW:
            raise FieldFault(
                field="delta_kw",
                value=self.delta_kw,
                allowed=f"{SMALLEST_KW:g} kW or more, either way",
                remedy="ask for a change that a meter can see; kW, not W or MW",
            )
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
    """How far above the baseline the site may draw before the start of a release and after it."""

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
    payment_per_kwh: NonNegative = 0.0
    """Paid for each kWh delivered, in the site's currency."""
    penalty_per_kwh: NonNegative = 0.0
    """Charged for each kWh not delivered."""

    @model_validator(mode="after")
    def _asks_in_its_direction(self) -> Event:
        asked = self.target.delta_kw
        if asked is None:
            asked = self.target.fraction_of_baseline
        releases = self.target.import_limit_kw is not None or (asked is not None and asked < 0.0)
        wanted = "release" if self.type in RELEASING else "absorb"
        either = self.type in EITHER_WAY or asked == 0.0
        if not either and (wanted == "release") != releases:
            raise FieldFault(
                field="type",
                value=self.type,
                allowed=f"a target that fits: {self.type} asks to {wanted}",
                remedy="correct the type, or the sign of the target (< 0 releases, > 0 absorbs)",
            )
        return self

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
