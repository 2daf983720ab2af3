"""The handmade site where its battery may work either way.

It follows a target that goes up and down, and rests inside the band; or nothing is asked, and the
battery does what it is told.
"""

from __future__ import annotations

from collections.abc import Mapping

from handmade import make_plan
from handmade_problem import EDGES_S, STORY, make_battery, make_problem
from planting import Case, Planter

from ebplan.problem import Problem

ASKED_KW = {5.0: -0.6, 7.0: 0.7, 12.0: -0.2, 40.0: 0.4, 65.0: -0.9, 111.0: 0.1}
"""Target from a second on, until the next."""
ROOMY = make_battery(energy_kwh=0.5, start_kwh=0.3, charge_limit_kw=1.5)


def make_tracking_problem(**changes: object) -> Problem:
    target, kw = [], 0.0
    for t in EDGES_S[:-1]:
        kw = ASKED_KW.get(t, kw)
        target.append(kw if 5.0 <= t < 185.0 else 0.0)
    numbers: dict[str, object] = {
        "event_id": "handmade_tracking",
        "asks": "both_ways",
        "target_kw": tuple(target),
        "tolerance_kw": 0.05,
        "handoff_from_s": None,
        "handoff_kw": 0.0,
        "battery": ROOMY,
    }
    return make_problem(**{**numbers, **changes})


def make_priced_problem(**changes: object) -> Problem:
    """Nothing is asked; energy is dear from second 5 on, and cheap again from second 185 on."""
    prices = make_problem().prices
    energy = tuple(30.0 if 5.0 <= t < 185.0 else 18.0 for t in EDGES_S[:-1])
    numbers: dict[str, object] = {
        "event_id": "handmade_priced",
        "asks": "nothing",
        "target_kw": (0.0,) * len(EDGES_S[:-1]),
        "handoff_from_s": None,
        "handoff_kw": 0.0,
        "battery": ROOMY,
        "prices": prices.model_copy(update={"energy_per_kwh": energy}),
    }
    return make_problem(**{**numbers, **changes})


TRACKING = Planter(make_tracking_problem(), STORY)


def priced_plan(battery_kws: Mapping[float, float], **changes: object) -> Case:
    """Return a plan in which the battery does this, by step start, and rests otherwise."""
    problem = make_priced_problem(**changes)
    return problem, make_plan(problem, {"chat": STORY}, battery_kws=battery_kws)


def turns_round_for_nothing() -> Case:
    """Charge and discharge while energy costs the same: what the round trip loses is burnt."""
    return priced_plan({65.0: -0.5, 80.0: 0.2})
