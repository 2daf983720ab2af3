"""One promise to find: what is asked of which site, as a posed problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from ebplan.errors import InputError
from ebplan.event import Event, ResponseShape, Target
from ebplan.offers.offer_document import Errors
from ebplan.offers.request import (
    DAY_S,
    Direction,
    OfferRequest,
    Speed,
    StartForecast,
    state_at,
)
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.services import ServiceDefinition, needed
from ebplan.site import Site, Uncertainty
from ebplan.state import State

RECOVERY_S = 600.0
"""Seconds after a promise called once that are planned."""
LONGEST_REST_S = 4.0 * 3600.0
"""No more of a rest is planned: what a battery takes back later is not counted on."""
ASKED_KW = 1.0
"""Size of the event that is posed; the promise is found whatever it is."""


@dataclass(frozen=True)
class Question:
    """One promise to find: direction, start, duration; the confidences are asked for in turn."""

    site: Site
    state: State
    """Expected when it begins, notice included."""
    direction: Direction
    duration_s: float
    request: OfferRequest
    errors: Errors
    speed: Speed
    service: ServiceDefinition | None = None
    """The product that it is made for."""

    def problem(self, confidence: float, *, notice_s: float = 0.0) -> Problem:
        """Return the posed problem of a promise, of 1 kW.

        Raises:
            InputError: site and state contradict each other.
        """
        request, rest_s = self.request, self.request.rest_s(self.duration_s)
        recovery_s = RECOVERY_S if rest_s is None else min(rest_s, LONGEST_REST_S)
        notice_s = request.notice_s + notice_s
        sign = -1.0 if self.direction == "release" else 1.0
        event = Event(
            id=f"offer-{self.direction}-{self.duration_s:g}s",
            type="demand_response",
            start=self.state.at + timedelta(seconds=notice_s),
            duration_s=self.duration_s,
            target=Target(delta_kw=sign * ASKED_KW),
            response=ResponseShape(
                initial_delay_s=self.speed.initial_delay_s,
                full_activation_s=self.speed.full_activation_s,
                recovery_s=recovery_s,
                rebound_limit_kw=request.rebound_limit_kw,
            ),
            handoff=request.handoff,
        )
        planning = self.site.planning.model_copy(
            update={
                "max_horizon_s": DAY_S,
                "uncertainty": Uncertainty.parse(
                    {
                        "confidence": confidence,
                        "load_std": self.errors.load_std,
                        "response_std": self.errors.response_std,
                    }
                ),
            }
        )
        return pose(event, self.site.model_copy(update={"planning": planning}), self.state)


def questions(
    request: OfferRequest,
    site: Site,
    state: State,
    errors: Errors,
    services: Sequence[ServiceDefinition] = (),
) -> Iterator[Question]:
    """Yield each promise to find, in the order of the offer.

    Raises:
        InputError: a product does not say how fast or how long it is called, or a start lies
            before the state.
    """
    starts = request.starts or (StartForecast(at=state.at, soc=state.soc),)
    early = [start.at for start in request.starts if start.at < state.at]
    if early:
        raise InputError(
            field="starts.at",
            value=early[0].isoformat(),
            allowed=f"from state.at = {state.at.isoformat()} on",
            remedy="give a later start, or the state as it was before it",
        )
    for direction in request.directions:
        for start in starts:
            then = state if not request.starts else state_at(state, start, site)
            for duration_s in request.durations_s:
                yield Question(site, then, direction, duration_s, request, errors, request.speed)
            for service in services:
                if direction in service.directions:
                    speed, duration_s = _call_of(service)
                    request.rest_s(duration_s)
                    yield Question(
                        site, then, direction, duration_s, request, errors, speed, service
                    )


def _call_of(service: ServiceDefinition) -> tuple[Speed, float]:
    """Return the speed of a product and how long a call of it lasts, activation included.

    Where a product has no latest beginning, its response is taken to begin after a second.
    """
    full_s, delay_s = needed(service, "full_activation_s"), service.initial_delay_s
    delay_s = min(Speed().initial_delay_s, full_s) if delay_s is None else delay_s
    speed = Speed(initial_delay_s=delay_s, full_activation_s=full_s)
    return speed, full_s + needed(service, "sustain_s")
