"""What a trader asks of a site: how much can be promised, when, for how long, how surely."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import Field, model_validator

from ebplan.document import (
    Document,
    FieldFault,
    Fraction,
    NonNegative,
    Part,
    Positive,
    Timestamp,
)
from ebplan.event import HandOff
from ebplan.site import Site
from ebplan.state import PoolState, State

Direction = Literal["release", "absorb"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
DAY_S = 86_400.0
SHORTEST_S, LONGEST_S = 1.0, 6.0 * 3600.0


class Speed(Part):
    """How fast the response comes: nothing until the delay, then linear to the whole."""

    initial_delay_s: NonNegative = 1.0
    """Nothing is asked before this; a second is what a converter needs to be told over a network
    (assumed)."""
    full_activation_s: NonNegative = 5.0
    """The whole is asked from here on (assumed; a service has its own)."""


class Calls(Part):
    """How often the promise may be called."""

    per_day: int = Field(default=1, ge=1, le=48)
    """Calls within 24 hours."""
    rest_s: Positive | None = None
    """Least time between the end of one and the start of the next; spread evenly over the day if
    absent."""


class StartForecast(Part):
    """What is expected where the promise begins at another time than the state's."""

    at: Timestamp
    """When it begins."""
    load_factor: Positive = 1.0
    """Load of every class, as a multiple of the state's."""
    soc: Fraction | None = None
    """State of charge then; the state's if absent."""


class OfferRequest(Document):
    """A question for ``ebplan offer``; site and state stand in its file as in an event's."""

    kind: Literal["offer_request"] = "offer_request"
    directions: tuple[Direction, ...] = Field(default=("release",), min_length=1)
    """To draw less, to draw more, or both, each for itself."""
    durations_s: tuple[Positive, ...] = Field(
        default=(10.0, 300.0, 1800.0, 10_800.0, 14_400.0), min_length=1
    )
    """How long each promise is to hold."""
    confidences: tuple[float, ...] = Field(default=(0.5, 0.9, 0.95, 0.99), min_length=1)
    """Probabilities with which each call is to be kept."""
    curve_at: float = Field(default=0.9, ge=0.5, lt=1.0)
    """The confidence for which costs and levers are worked out; one of ``confidences``."""
    in_detail: bool = True
    """Whether costs, limits and levers are worked out as well."""
    levels: int = Field(default=6, ge=2, le=50)
    """Points of each cost curve."""
    notice_s: NonNegative = 0.0
    """Time between the call and its start."""
    speed: Speed = Speed()
    """How fast the response comes."""
    calls: Calls = Calls()
    """How often it may be called."""
    rebound_limit_kw: NonNegative = 0.5
    """How far above the baseline the site may draw after a call: what a battery takes back in a
    rest is held to it (as ``ResponseShape.rebound_limit_kw``)."""
    handoff: HandOff | None = None
    """When compute should have taken over; none where the battery may carry the whole."""
    starts: tuple[StartForecast, ...] = ()
    """When promises begin, with what is expected then; at the state's own time if empty."""
    load_forecast_std: Fraction | None = None
    """Standard deviation of the pools' draw against its forecast, as a share; the site's
    ``planning.uncertainty`` if absent."""
    response_std: Fraction | None = None
    """Standard deviation of what compute moves, as a share; the site's, or the fitted models'
    spread, if absent."""
    services: tuple[str, ...] = ()
    """Grid products that bids are sized for: names, or paths of files. Each is promised at its own
    speed and duration, in the directions asked for that it buys."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> OfferRequest:
        for field, low, high in (
            ("durations_s", SHORTEST_S, LONGEST_S),
            ("confidences", 0.5, 0.999),
        ):
            values = getattr(self, field)
            if len(set(values)) < len(values) or not all(low <= v <= high for v in values):
                raise FieldFault(
                    field=field,
                    value=values,
                    allowed=f"numbers from {low:g} to {high:g}, each once",
                    remedy="correct or remove them",
                )
        if self.curve_at not in self.confidences:
            raise FieldFault(
                field="curve_at",
                value=self.curve_at,
                allowed=f"one of confidences: {', '.join(map(str, self.confidences))}",
                remedy="add it to confidences, or choose one of them",
            )
        if self.speed.initial_delay_s > self.speed.full_activation_s:
            raise FieldFault(
                field="speed.full_activation_s",
                value=self.speed.full_activation_s,
                allowed=f">= initial_delay_s = {self.speed.initial_delay_s:g}",
                remedy="correct one of the two",
            )
        if self.speed.full_activation_s >= min(self.durations_s):
            raise FieldFault(
                field="durations_s",
                value=min(self.durations_s),
                allowed=f"> speed.full_activation_s = {self.speed.full_activation_s:g} s",
                remedy="ask for longer promises, or for a faster response",
            )
        if self.handoff is not None and self.handoff.by_s > min(self.durations_s):
            raise FieldFault(
                field="handoff.by_s",
                value=self.handoff.by_s,
                allowed=f"<= the shortest of durations_s = {min(self.durations_s):g}",
                remedy="hand off within every promise, or leave handoff out",
            )
        for duration_s in self.durations_s:
            self.rest_s(duration_s)
        return self

    def rest_s(self, duration_s: float) -> float | None:
        """Return the rest between two calls of a duration; None where there is one call a day.

        Raises:
            FieldFault: a day has no room for the calls.
        """
        calls = self.calls.per_day
        if calls == 1:
            return None
        left_s = DAY_S / calls - duration_s
        rest_s = left_s if self.calls.rest_s is None else self.calls.rest_s
        if rest_s > left_s or left_s <= 0.0:
            fits = math.floor(DAY_S / (duration_s + (self.calls.rest_s or 0.0)))
            raise FieldFault(
                field="calls.per_day",
                value=calls,
                allowed=f"<= {fits}: calls of {duration_s:g} s with their rests in a day",
                remedy="ask for fewer calls, shorter ones, or a shorter rest",
            )
        return rest_s


def state_at(state: State, start: StartForecast, site: Site) -> State:
    """Return the state expected at a start: its loads and state of charge, nothing on its way."""
    pools = {name: _scaled(pool, start.load_factor) for name, pool in state.pools.items()}
    update: dict[str, object] = {"at": start.at, "pools": pools, "grid": None}
    if start.soc is not None and site.battery is not None:
        update["soc"] = start.soc
    return state.model_copy(update=update)


def _scaled(pool: PoolState, factor: float) -> PoolState:
    loads = {name: factor * load for name, load in pool.load_req_per_s.items()}
    return pool.model_copy(update={"load_req_per_s": loads, "power_kw": None, "settling": ()})
