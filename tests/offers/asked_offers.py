"""Questions to a small site, quick to answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ebplan.case import load_case
from ebplan.event import Event, ResponseShape, Target
from ebplan.offers.offer_document import Errors
from ebplan.offers.question import Question
from ebplan.offers.request import Calls, OfferRequest, Speed
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.site import Site
from ebplan.solvers.leave_out import available, leave_out
from ebplan.state import State

EXAMPLES = Path(__file__).parents[2] / "examples"
CASE = load_case(EXAMPLES / "curtailment_3h.json")
SITE, STATE = CASE.site, CASE.state
NO_ERRORS = Errors(load_std=0.0, response_std=0.0, sources=())
ERRORS = Errors(load_std=0.02, response_std=0.05, sources=("made up",))


def asked(
    duration_s: float,
    direction: str = "release",
    *,
    site: Site = SITE,
    state: State = STATE,
    errors: Errors = ERRORS,
    calls: Calls | None = None,
    **request: Any,
) -> Question:
    """Return a question."""
    wanted = OfferRequest(
        directions=(direction,),
        durations_s=(duration_s,),
        calls=calls or Calls(),
        load_forecast_std=0.0,
        **request,
    )
    return Question(site, state, direction, duration_s, wanted, errors, Speed())


def battery_alone(question: Question, confidence: float = 0.9) -> Problem:
    """Return the problem of a question in which nothing but the battery may answer."""
    problem = question.problem(confidence)
    return leave_out(problem, [name for name in available(problem) if name != "battery"])


def lossless(**battery: float) -> Site:
    """Return the site with a converter without loss."""
    return with_battery(converter_loss_linear=0.0, converter_loss_quadratic=0.0, **battery)


def with_battery(site: Site = SITE, **battery: float) -> Site:
    """Return the site with another battery."""
    assert site.battery is not None
    return site.model_copy(update={"battery": site.battery.model_copy(update=battery)})


def event_problem(question: Question, kw: float) -> Problem:
    """Return an event of this size as the planner would meet it, without margins."""
    sign = -1.0 if question.direction == "release" else 1.0
    event = Event(
        id="as large",
        type="demand_response",
        start=question.state.at + timedelta(seconds=question.request.notice_s),
        duration_s=question.duration_s,
        target=Target(delta_kw=sign * kw),
        response=ResponseShape(
            initial_delay_s=question.speed.initial_delay_s,
            full_activation_s=question.speed.full_activation_s,
            recovery_s=600.0,
        ),
    )
    return pose(event, question.site, question.state)


def faster(question: Question, **speed: float) -> Question:
    """Return a question with another speed."""
    return replace(question, speed=Speed(**speed))
