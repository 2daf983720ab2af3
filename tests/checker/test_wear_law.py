"""Wear by depth and by the calendar: every way to misstate it, read off the states of charge."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from handmade_problem import STORY, make_battery, make_problem
from planting import Case, Planter, against_battery, broken_laws, handmade, scaled_cost

from ebplan.checker import check_plan
from ebplan.problem import BatteryProblem

SEGMENTS = make_battery().depth_segments
LINES = make_battery().calendar


def with_price(j: int, price: float) -> tuple[Any, ...]:
    """Return the segments with another price of one of them."""
    return tuple(
        s.model_copy(update={"price_per_kwh": price}) if i == j else s
        for i, s in enumerate(SEGMENTS)
    )


def planned_for(**battery: Any) -> Case:
    """Return a handmade plan, consistent in itself, of the problem with another battery."""
    changed: BatteryProblem = make_battery().model_copy(update=battery)
    planter = Planter(make_problem(battery=changed), STORY)
    return planter.case()


@pytest.mark.parametrize("cause", ["wear", "calendar"])
@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_one_percent_of_it_is_found(cause: str, factor: float) -> None:
    assert broken_laws(*scaled_cost(cause, factor)) == {"cost"}


@pytest.mark.parametrize(
    "changes",
    [
        {"depth_segments": with_price(0, 6.0)},
        {"depth_segments": with_price(1, 12.3)},
        {"depth_segments": ()},
        {"calendar": ()},
        {"calendar": LINES[1:]},
    ],
    ids=["shallow price", "deeper price", "no depth", "no calendar", "one line less"],
)
def test_a_plan_of_another_wear_is_found(changes: dict[str, Any]) -> None:
    # 2 % in one price that counts, or a line or a cause left out.
    assert broken_laws(*against_battery(**changes)) == {"cost"}


def test_a_segment_beyond_what_is_reached_does_not_count() -> None:
    assert broken_laws(*against_battery(depth_segments=with_price(2, 80.0))) == set()


@pytest.mark.parametrize("changes", [{"depth_segments": ()}, {"calendar": ()}])
def test_a_plan_without_wear_passes(changes: dict[str, Any]) -> None:
    assert check_plan(*planned_for(**changes)).violations == ()


def test_deep_first_would_cost_more_and_is_found() -> None:
    # All that is taken at the price of the deepest segment.
    problem, plan = handmade()
    stored = [make_battery().start_kwh, *(s.soc * 0.5 for s in plan.steps if s.soc is not None)]
    taken = sum(max(a - b, 0.0) for a, b in pairwise(stored))
    dearest = Planter(problem, STORY).recharged(wear=plan.cost["wear"] + 38.0 * taken)
    assert broken_laws(*dearest) == {"cost"}
