"""What the grid asks: direction, size, shape in time, price.

Signs: ``delta_kw < 0`` releases (draw less than the baseline), ``> 0`` absorbs.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive, Timestamp
from ebplan.frequency import FrequencyResponse

EventType = Literal[
    "under_frequency",
    "over_frequency",
    "congestion_curtailment",
    "renewable_surplus",
    "demand_response",
    "import_limit",
    "price_window",
    "frequency_response",
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
    """Draw that may not be exceeded; above what the site draws it binds only what comes on top."""
    frequency: FrequencyResponse | None = None
    """A capacity that follows the frequency, both ways."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Target:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
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
                allowed=f"exactly one of {', '.join(type(self).model_fields)}",
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
    restore_soc: Fraction | None = None
    """State of charge that the battery should have again at the end of the recovery."""
    restore_limit_kw: NonNegative | None = None
    """Most that the battery may add to the draw after the event, and throughout where nothing is
    asked; its converter alone limits it if absent. Limits of the draw hold besides."""
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
    target: Target | None = None
    """Size of the response; none where a price window leaves it to the money."""
    price_per_kwh: float | None = None
    """Price of energy drawn inside a price window; < 0 pays for drawing."""
    price_steps: tuple[tuple[NonNegative, float], ...] = ()
    """The same where it changes, as (seconds from the start of the event, price), from 0 on."""
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

    @property
    def prices(self) -> tuple[tuple[float, float], ...]:
        """Prices inside the window as (seconds from the start of the event, price per kWh)."""
        return self.price_steps if self.price_per_kwh is None else ((0.0, self.price_per_kwh),)

    @model_validator(mode="after")
    def _asks_something(self) -> Event:
        priced = self.price_per_kwh is not None or bool(self.price_steps)
        both = self.price_per_kwh is not None and bool(self.price_steps)
        if priced and (self.type != "price_window" or self.target is not None or both):
            raise FieldFault(
                field="price_per_kwh" if self.price_per_kwh is not None else "price_steps",
                value=self.price_per_kwh if self.price_per_kwh is not None else self.price_steps,
                allowed="price_per_kwh or price_steps, with type price_window and no target",
                remedy="keep one of them, and leave the others out",
            )
        if self.target is None and not priced:
            raise FieldFault(
                field="target",
                value=None,
                allowed="a target, or prices in a price window",
                remedy="add the field",
            )
        at_s = [from_s for from_s, _ in self.price_steps]
        if at_s and (at_s[0] != 0.0 or at_s != sorted(set(at_s)) or at_s[-1] >= self.duration_s):
            raise FieldFault(
                field="price_steps",
                value=at_s,
                allowed=f"times rising from 0, below duration_s = {self.duration_s:g}",
                remedy="sort the steps, let the first begin at 0 s",
            )
        return self

    @model_validator(mode="after")
    def _follows_the_frequency(self) -> Event:
        response = None if self.target is None else self.target.frequency
        if (self.type == "frequency_response") != (response is not None):
            raise FieldFault(
                field="target.frequency",
                value=None if response is None else f"with type {self.type}",
                allowed="a target.frequency with type frequency_response, and only there",
                remedy="correct the type or the target",
            )
        if response is not None and response.trace:
            first_s, last_s = response.trace[0][0], response.trace[-1][0]
            if first_s > 0.0 or last_s < self.duration_s:
                raise FieldFault(
                    field="target.frequency.trace",
                    value=f"{first_s:g} s to {last_s:g} s",
                    allowed=f"a trace from 0 s to duration_s = {self.duration_s:g} s at least",
                    remedy="lengthen the trace or shorten the event",
                )
        return self

    @model_validator(mode="after")
    def _shape_only_where_a_change_is_asked(self) -> Event:
        if self.target is not None and self.target.frequency is None:
            return self
        for field in ("initial_delay_s", "full_activation_s"):
            if value := getattr(self.response, field):
                raise FieldFault(
                    field=f"response.{field}",
                    value=value,
                    allowed=f"0 for {self.type}: the curve or the price says when",
                    remedy="remove the field",
                )
        for field in ("payment_per_kwh", "penalty_per_kwh") if self.target is None else ():
            if value := getattr(self, field):
                raise FieldFault(
                    field=field,
                    value=value,
                    allowed=f"0 for {self.type}: nothing is asked that could be delivered",
                    remedy="remove the field; the price of energy is price_per_kwh or price_steps",
                )
        if self.handoff is not None:
            raise FieldFault(
                field="handoff",
                value=self.handoff.by_s,
                allowed=f"none for {self.type}: there is no one response to hand over",
                remedy="remove the field",
            )
        return self

    @model_validator(mode="after")
    def _asks_in_its_direction(self) -> Event:
        if self.target is None or self.target.frequency is not None:
            return self
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
