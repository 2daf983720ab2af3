"""Wear by depth and by the calendar, against arithmetic on paper.

Battery of 2 kWh and 2 kW without losses; energy has no price and no value unless named.
"""

from __future__ import annotations

from typing import Any

import pytest
import small_problems as small
from hypothesis import given, settings
from random_problems import problems
from test_hand_optima import approx, cost
from test_monotone import assert_not_dearer, with_battery

from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers.formulation import formulate
from ebplan.wear import CalendarLine, DepthSegment

reproducible = settings(max_examples=40, deadline=None, derandomize=True)


def segments(*pairs: tuple[float, float]) -> tuple[DepthSegment, ...]:
    """Return depth segments from pairs (from_kwh, price_per_kwh)."""
    return tuple(DepthSegment(from_kwh=begin, price_per_kwh=price) for begin, price in pairs)


TWO = segments((0.0, 4.0), (0.5, 20.0))


def released(cells: BatteryProblem, *kw: float, **changes: Any) -> Problem:
    """Return hours in each of which so much is to be released."""
    edges = tuple(3600.0 * t for t in range(len(kw) + 1))
    prices = small.prices(shortfall_per_kwh=changes.pop("missing", 100.0))
    return small.problem(edges_s=edges, release_kw=kw, battery=cells, prices=prices, **changes)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        # 0.5 kWh from the shallow layer at 4, 0.7 from the deep one at 20
        (100.0, {"wear": 16.0}),
        # the deep one costs more than what is missing is worth: 0.7 kWh at 15
        (15.0, {"wear": 2.0, "shortfall": 10.5}),
    ],
)
def test_deep_energy_is_dearer(missing: float, expected: dict[str, float]) -> None:
    cells = small.battery(depth_segments=TWO)
    assert cost(released(cells, 1.2, missing=missing)) == approx(**expected)


def test_depth_goes_on_from_step_to_step() -> None:
    # 0.8 kWh out: 0.5 at 4 and 0.3 at 20 = 8. The next 0.5 all lie deep: 10.
    cells = small.battery(depth_segments=TWO)
    assert cost(released(cells, 0.8, 0.5)) == approx(wear=18.0)


def test_what_is_put_back_is_shallow_again() -> None:
    # To absorb 0.4 kW for an hour the full battery needs room: it gives 0.4 kWh in the hour before,
    # shallow, at 4, and takes it back. Afterwards energy is asked for again, by its price: 0.5 kWh
    # are shallow once more, at 4; deep ones at 20 are not worth 10.
    cells = small.battery(charge_limit_kw=2.0, depth_segments=TWO)
    problem = small.problem(
        edges_s=(0.0, 3600.0, 7200.0, 10800.0),
        absorb_kw=(0.0, 0.4, 0.0),
        event_start_s=3600.0,
        event_end_s=7200.0,
        battery=cells,
        prices=small.prices(shortfall_per_kwh=100.0, energy_per_kwh=10.0),
    )
    # before: 0.5 kWh at 4 (and 10 saved); in the event 0.4 taken back, at 10 (more is not worth
    # it); after: 0.4 kWh more at 4.
    assert cost(problem) == approx(wear=3.6, energy=-5.0)


def test_a_battery_that_is_not_full_starts_at_the_top_too() -> None:
    # 0.9 kWh stored: depth counts from there, 0.5 kWh at 4 and 0.4 at 20.
    cells = small.battery(start_kwh=0.9, depth_segments=TWO)
    assert cost(released(cells, 0.9)) == approx(wear=10.0)


def test_hours_at_a_high_state_of_charge_cost() -> None:
    # Rate max(0, 6 (e - 1)): 6 per hour at 2 kWh. 1.5 kWh go out evenly in the first hour, to 0.5:
    # the ends of the step count, (6 + 0) / 2 = 3, then nothing. Resting would cost 12.
    cells = small.battery(
        calendar=(
            CalendarLine(price_per_kwh_h=0.0, price_per_h=0.0),
            CalendarLine(price_per_kwh_h=6.0, price_per_h=-6.0),
        )
    )
    problem = released(cells, 1.5, 0.0, event_end_s=3600.0)
    assert cost(problem) == approx(calendar=-9.0)


def test_one_segment_is_the_flat_price() -> None:
    by_depth = small.battery(depth_segments=segments((0.0, 7.0)), loss_linear=0.05)
    flat = small.battery(wear_per_kwh=7.0, loss_linear=0.05)
    for kw in (0.3, 1.0, 1.9):
        assert cost(released(by_depth, kw)) == pytest.approx(cost(released(flat, kw)), abs=1e-6)


def test_without_wear_by_depth_there_is_nothing_of_it_in_the_program() -> None:
    program = formulate(released(small.battery(wear_per_kwh=7.0), 1.0)).program
    names = {group.name for group in (*program.columns, *program.rows)}
    assert not {name for name in names if name.startswith(("depth", "calendar"))}
    assert "calendar" not in program.cost_of


@reproducible
@given(problems)
def test_dearer_depth_never_costs_less(problem: Problem) -> None:
    dearer = with_battery(problem, depth_segments=segments((0.0, 5.0), (0.1, 30.0)))
    cheaper = with_battery(problem, depth_segments=segments((0.0, 5.0), (0.1, 10.0)))
    assert_not_dearer(cheaper, dearer)


@pytest.mark.parametrize("start_kwh", [1.0, 2.0])
def test_a_deeper_plan_is_never_cheaper_per_kwh(start_kwh: float) -> None:
    three = segments((0.0, 1.0), (0.3, 4.0), (0.6, 9.0))
    cells = small.battery(start_kwh=start_kwh, depth_segments=three)
    depths = [0.1, 0.3, 0.4, 0.6, 0.7, 1.0]
    each = [cost(released(cells, kw))["wear"] / kw for kw in depths]
    assert each == sorted(each)
    assert each[-1] > each[0]
