"""The promises that are carried out, and how errors come about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ebplan.case import load_case, load_site
from ebplan.offers.errors import errors_of
from ebplan.offers.kept import Sure, surest
from ebplan.offers.question import Question, questions
from ebplan.offers.request import Calls, OfferRequest
from ebplan.offers.tails import LAWS, Law
from ebplan.site import Site

EXAMPLES = Path(__file__).parents[2] / "examples"
CONFIDENCES = (0.5, 0.9, 0.95, 0.99)
LOAD_FORECAST_STD, RESPONSE_STD = 0.02, 0.05
"""Assumed: a good hourly forecast, and caps and consolidation as the tracked twin shows them."""
COOLING_SHARE = 0.25
"""Of the import limit."""


@dataclass(frozen=True)
class Scenario:
    """How errors come about."""

    name: str
    law: Law
    """Of the errors of load and response."""
    models_err: bool = False
    """Whether the plant's power law is off as well; the forecast then errs by its own part."""


NORMAL, HEAVY = LAWS
SCENARIOS = (
    Scenario("normal", NORMAL),
    Scenario("heavy", HEAVY),
    Scenario("models", NORMAL, models_err=True),
)


@dataclass(frozen=True)
class Subject:
    """A promise that is carried out."""

    name: str
    question: Question
    continuous: bool
    """Whether its margin is continuous; if not, a contract limits it."""


@cache
def subjects() -> tuple[Subject, ...]:
    """Return the promises."""
    case = load_case(EXAMPLES / "curtailment_3h.json")
    battery = case.site.battery
    assert battery is not None
    unreserved = case.site.model_copy(
        update={"battery": battery.model_copy(update={"reserve_soc": battery.soc_min})}
    )
    mixed = load_case(EXAMPLES / "mixed_pools.json")
    asked = (
        ("release 30 min", case.site, case.state, "release", 1800.0, True),
        ("release 3 h", case.site, case.state, "release", 10_800.0, True),
        ("release 2 h, no reserve", unreserved, case.state, "release", 7200.0, True),
        ("absorb 3 h", case.site, case.state, "absorb", 10_800.0, True),
        ("release 1 h, two pools", load_site("two-pools"), mixed.state, "release", 3600.0, True),
        ("release 30 min, 4 calls", case.site, case.state, "release", 1800.0, True),
        ("release 5 min", case.site, case.state, "release", 300.0, False),
    )
    found = []
    for name, bare, state, direction, duration_s, continuous in asked:
        site = _with_cooling(bare)
        request = OfferRequest(
            directions=(direction,),
            durations_s=(duration_s,),
            confidences=CONFIDENCES,
            load_forecast_std=LOAD_FORECAST_STD,
            response_std=RESPONSE_STD,
            calls=Calls(per_day=4, rest_s=3600.0) if "calls" in name else Calls(),
        )
        question = next(questions(request, site, state, errors_of(request, site)))
        found.append(Subject(name, question, continuous))
    return tuple(found)


def _with_cooling(site: Site) -> Site:
    """Return a site with more load that is not planned, so that an error can lower it far enough.

    The contract grows by as much.
    """
    point = site.connection_point
    wider = point.model_copy(
        update={
            "other_load_kw": point.other_load_kw + COOLING_SHARE * point.import_limit_kw,
            "import_limit_kw": (1.0 + COOLING_SHARE) * point.import_limit_kw,
        }
    )
    return site.model_copy(update={"connection_point": wider})


@cache
def promised(name: str, confidence: float) -> Sure:
    """Return the promise of a subject at a confidence."""
    subject = next(s for s in subjects() if s.name == name)
    calls = subject.question.request.calls.per_day
    found = surest(subject.question.problem(confidence), confidence, calls=calls)
    if found is None:
        raise ValueError(f"{name} promises nothing at {confidence}")
    return found
