"""The laws of a battery that may work either way, on handmade plans."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from handmade_either_way import ROOMY, TRACKING, make_tracking_problem, priced_plan
from planting import Case, broken_laws

from ebplan.checker import check_plan


def test_plan_by_hand_that_follows_passes() -> None:
    assert check_plan(*TRACKING.case()).violations == ()


def test_it_shows_what_it_is_for() -> None:
    problem, plan = TRACKING.case()
    inside = [s for s in plan.steps if 5.0 <= s.t_s < 185.0]
    assert max(s.battery_kw for s in inside) > 0.1
    assert min(s.battery_kw for s in inside) < -0.1
    assert any(s.battery_kw == 0.0 for s in inside)
    assert any(s.shortfall_kw > 0.0 for s in inside)
    assert plan.handoff.complete_s is None
    assert problem.tolerance_kw == 0.05


def tighter_band() -> Case:
    return TRACKING.against(tolerance_kw=0.04)


def converter_too_small_to_take() -> Case:
    most_kw = max(-step.battery_kw for step in TRACKING.plan.steps)
    return TRACKING.against_battery(charge_limit_kw=most_kw + 1e-4)


def converter_too_small_to_give() -> Case:
    most_kw = max(step.battery_kw for step in TRACKING.plan.steps)
    return TRACKING.against_battery(discharge_limit_kw=most_kw + 1e-4)


PLANTED: dict[str, tuple[Callable[[], Case], set[str], set[str]]] = {
    "a tighter band is missed on either side": (tighter_band, {"target", "shortfall"}, set()),
    "too little converter above": (converter_too_small_to_give, {"target"}, {"battery_energy"}),
    "too little converter below": (converter_too_small_to_take, {"target"}, {"battery_energy"}),
    "answers before it can": (
        lambda: TRACKING.against_battery(delay_s=0.3),
        {"battery_direction", "identity"},
        {"battery_energy", "target"},
    ),
    "a shortfall hidden": (
        lambda: TRACKING.scaled_step(5.0, "shortfall_kw", 0.5),
        set(),
        {"shortfall", "shortfall_intervals", "cost"},
    ),
    "a hand-off claimed": (
        lambda: TRACKING.altered(handoff=TRACKING.handed_over_at(60.0)),
        {"handoff"},
        set(),
    ),
    "energy that is not there": (
        lambda: TRACKING.scaled_step(65.0, "soc"),
        {"battery_energy"},
        {"cost"},  # wear is read off the states of charge
    ),
    "takes 1 % more": (
        lambda: TRACKING.scaled_step(7.0, "battery_kw"),
        {"balance"},
        {"battery_energy"},
    ),
}


@pytest.mark.parametrize("breach", PLANTED)
def test_planted_breach_is_found(breach: str) -> None:
    plant, wanted, with_it = PLANTED[breach]
    found = broken_laws(*plant())
    assert wanted <= found
    assert found <= wanted | with_it


@pytest.mark.parametrize("cause", ["energy", "wear", "stored_energy", "shortfall", "firmness"])
def test_one_percent_of_a_cause_is_found(cause: str) -> None:
    assert broken_laws(*TRACKING.scaled_cost(cause, 1.01)) == {"cost"}


# --- a battery that turns round ---------------------------------------------------------------


@pytest.mark.parametrize(
    "battery_kws",
    [
        {65.0: -0.5, 80.0: 0.2},
        {65.0: 0.5, 80.0: -0.3},
        {40.0: -0.5, 80.0: 0.2},
        # dear energy put in, given when it is cheap
        {145.0: -0.5, 190.0: 0.8},
    ],
    ids=["takes, then gives", "gives, then takes", "rests in between", "the wrong way round"],
)
def test_turning_round_for_nothing_is_found(battery_kws: dict[float, float]) -> None:
    assert broken_laws(*priced_plan(battery_kws)) == {"alternation"}


@pytest.mark.parametrize(
    "battery_kws",
    [{65.0: -0.5, 80.0: -0.2}, {2.0: -0.8, 65.0: 0.3}, {145.0: 0.3, 190.0: -0.6}],
    ids=["one way only", "from cheap to dear", "given dear, taken cheap"],
)
def test_turning_round_for_a_reason_is_none(battery_kws: dict[float, float]) -> None:
    assert broken_laws(*priced_plan(battery_kws)) == set()


def test_turning_round_at_a_limit_is_none() -> None:
    # Full: it gives to make room, which nothing asks for at one price. With a limit on the draw
    # that it keeps by giving, something does.
    case = priced_plan({65.0: -0.5, 80.0: 0.2})
    given = next(s for s in case[1].steps if s.t_s == 80.0)
    limits = [
        given.grid_kw if s.t_s == 80.0 else kw
        for s, kw in zip(case[1].steps, case[0].import_limit_kw, strict=True)
    ]
    assert (
        broken_laws(*priced_plan({65.0: -0.5, 80.0: 0.2}, import_limit_kw=tuple(limits))) == set()
    )


def test_a_battery_without_losses_burns_nothing() -> None:
    ideal = ROOMY.model_copy(
        update={"cell_efficiency": 1.0, "loss_linear": 0.0, "loss_quadratic": 0.0}
    )
    assert broken_laws(*priced_plan({65.0: -0.5, 80.0: 0.2}, battery=ideal)) == set()


def test_a_target_asks_for_turning_round() -> None:
    steps = TRACKING.plan.steps
    turns = sum(a.battery_kw * b.battery_kw < 0.0 for a, b in pairwise(steps))
    assert turns >= 1
    assert "alternation" not in broken_laws(*TRACKING.against(make_tracking_problem()))
