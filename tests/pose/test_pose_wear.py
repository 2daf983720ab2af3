"""From a site's wear to prices: segments, their number, calendar lines, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ebplan import InputError, load_case
from ebplan.case import Case
from ebplan.checker import check_plan
from ebplan.models.library import load_wear
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.pose.wear import HOURS_PER_YEAR, pose_wear, reachable_depth, segment_count
from ebplan.problem import Problem
from ebplan.site import Battery
from ebplan.wear import CalendarPoint, DepthStress, Wear

EXAMPLES = Path(__file__).parents[2] / "examples"
MODEL = "lfp-sony-us26650"
OWN = {
    "replacement_per_kwh": 30_000.0,
    "temperature_c": 25.0,
    "depth_stress": {"coefficient": 5.24e-4, "exponent": 2.03},
    "calendar": [
        {"soc": 0.0, "loss_per_year": 0.02},
        {"soc": 0.5, "loss_per_year": 0.04},
        {"soc": 1.0, "loss_per_year": 0.10},
    ],
}


def battery(wear: dict[str, Any] | None, **changes: Any) -> Battery:
    numbers = {
        "energy_kwh": 4.0,
        "discharge_limit_kw": 2.0,
        "charge_limit_kw": 2.0,
        "converter_rated_kw": 2.0,
        "converter_loss_linear": 0.0,
        "converter_loss_quadratic": 0.0,
        "cell_efficiency": 1.0,
        "converter_delay_s": 0.1,
        "soc_min": 0.1,
        "soc_max": 0.9,
        "reserve_soc": 0.2,
        "droop_reserve_kw": 0.0,
        "wear": wear,
        "terminal_value": ({"up_to_soc": 1.0, "price_per_kwh": 0.0},),
    } | changes
    return Battery.parse(numbers)


def posed(name: str, wear: dict[str, Any]) -> Problem:
    """Pose an example whose site has this wear in place of its flat price."""
    data = load_case(EXAMPLES / f"{name}.json").model_dump(mode="json")
    data["site"]["battery"] |= {"wear_per_kwh": None, "wear": wear}
    data["site"]["assumptions"] = []
    case = Case.parse(data)
    return pose(case.event, case.site, case.state)


def test_a_cycle_down_to_an_edge_costs_its_share_of_the_life() -> None:
    cells = battery(OWN)
    for horizon_s, count in ((3 * 3600.0, 8), (3600.0, 4)):
        terms = pose_wear(cells, horizon_s)
        assert len(terms.depth_segments) == count
        deepest = reachable_depth(cells, horizon_s)
        begins = np.array([s.from_kwh for s in terms.depth_segments])
        prices = np.array([s.price_per_kwh for s in terms.depth_segments])
        assert begins == pytest.approx(4.0 * deepest * np.arange(count) / count)
        cost = float(prices @ np.diff(np.r_[begins, 4.0 * deepest]))
        assert cost == pytest.approx(30_000.0 * 4.0 * 5.24e-4 * deepest**2.03)


def test_one_segment_is_the_lowest_flat_price_that_is_never_too_little() -> None:
    # 5 min at 2 kW are 1/6 kWh of 4: depth 1/24. R Phi(D) / D.
    terms = pose_wear(battery(OWN), 300.0)
    assert terms.depth_segments == ()
    assert terms.wear_per_kwh == pytest.approx(30_000.0 * 5.24e-4 * (1 / 24) ** 1.03)


@pytest.mark.parametrize(
    ("horizon_s", "changes", "count"),
    [
        (300.0, {}, 1),
        (1800.0, {}, 1),
        (1801.0, {}, 4),
        (7201.0, {}, 8),
        (300.0, {"segments": 6}, 6),
        (14_400.0, {"segments": 1}, 1),
        (14_400.0, {"depth_stress": {"coefficient": 1e-4, "exponent": 1.0}}, 1),
    ],
)
def test_the_horizon_decides_the_segments_and_the_site_goes_first(
    horizon_s: float, changes: dict[str, Any], count: int
) -> None:
    wear = Wear.parse(OWN | changes)
    assert wear.depth_stress is not None
    assert segment_count(wear, wear.depth_stress, horizon_s) == count


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    exponent=st.floats(1.0, 4.0),
    count=st.integers(1, 16),
    horizon_s=st.floats(60.0, 14_400.0),
)
def test_a_deeper_kwh_is_never_cheaper(exponent: float, count: int, horizon_s: float) -> None:
    stress = {"coefficient": 5e-4, "exponent": exponent}
    terms = pose_wear(battery(OWN | {"depth_stress": stress, "segments": count}), horizon_s)
    prices = [s.price_per_kwh for s in terms.depth_segments]
    assert prices == sorted(prices)


def test_the_calendar_is_the_line_through_its_points() -> None:
    terms = pose_wear(battery(OWN), 3600.0)
    for soc, lost in ((0.0, 0.02), (0.25, 0.03), (0.5, 0.04), (0.75, 0.07), (1.0, 0.10)):
        rate = max(a.price_per_kwh_h * 4.0 * soc + a.price_per_h for a in terms.calendar)
        assert rate * HOURS_PER_YEAR == pytest.approx(30_000.0 * 4.0 * lost)


def test_a_model_of_the_library_gives_both() -> None:
    named = {"replacement_per_kwh": 30_000.0, "temperature_c": 25.0, "model": MODEL}
    terms = pose_wear(battery(named), 3 * 3600.0)
    model = load_wear(MODEL)
    coefficient, exponent = model.depth_stress(0.5)
    deepest = terms.depth_segments[1].from_kwh / 4.0
    first = 30_000.0 * coefficient * deepest ** (exponent - 1.0)
    assert terms.depth_segments[0].price_per_kwh == pytest.approx(first)
    full = max(a.price_per_kwh_h * 4.0 + a.price_per_h for a in terms.calendar)
    points = dict(model.calendar_points(25.0))
    assert full * HOURS_PER_YEAR == pytest.approx(120_000.0 * points[1.0])


@pytest.mark.parametrize(
    ("wear", "changes", "said"),
    [
        ({"model": "no-such-cell"}, {}, r"site\.battery\.wear\.model.*lfp-sony"),
        ({"model": MODEL, "temperature_c": 5.0}, {}, r"wear\.temperature_c.*20 to 40"),
        ({"model": MODEL}, {"energy_kwh": 1.5}, r"charge_limit_kw over energy_kwh.*0 to 1 C"),
    ],
)
def test_what_no_model_covers_is_refused_in_one_line(
    wear: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    base = {"replacement_per_kwh": 30_000.0, "temperature_c": 25.0}
    with pytest.raises(InputError, match=said) as caught:
        pose_wear(battery(base | wear, **changes), 3600.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wear", "changes", "said"),
    [
        (OWN, {"wear_per_kwh": 8.0}, "wear_per_kwh.*one of"),
        (None, {}, "wear_per_kwh.*one of"),
        (OWN | {"model": MODEL}, {}, "depth_stress"),
        ({k: v for k, v in OWN.items() if k != "depth_stress"}, {}, "depth_stress"),
        (OWN | {"depth_stress": {"coefficient": 1.0, "exponent": 0.5}}, {}, "exponent"),
        (OWN | {"calendar": OWN["calendar"][:2]}, {}, "soc_min"),
        (OWN | {"calendar": OWN["calendar"][::-1]}, {}, "soc increasing"),
        (OWN | {"replacement_per_kwh": float("nan")}, {}, "replacement_per_kwh"),
        (OWN | {"segments": 0}, {}, "segments"),
    ],
)
def test_a_wear_that_contradicts_itself_is_refused(
    wear: dict[str, Any] | None, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        battery(wear, **changes)


def test_a_calendar_that_bends_down_is_refused() -> None:
    points = [CalendarPoint(soc=s, loss_per_year=v) for s, v in ((0, 0.0), (0.5, 0.9), (1, 1.0))]
    stress = DepthStress(coefficient=1e-4, exponent=2.0)
    with pytest.raises(ValidationError, match="convex"):
        Wear(
            replacement_per_kwh=1.0, temperature_c=25.0, depth_stress=stress, calendar=tuple(points)
        )


@pytest.mark.parametrize("name", ["under_frequency", "curtailment_3h", "surplus_absorb"])
def test_examples_with_wear_are_planned_and_checked(name: str) -> None:
    problem = posed(name, OWN)
    plan = solve_problem(problem)
    assert plan.status == "optimal"
    assert check_plan(problem, plan).violations == ()
    assert "calendar" in plan.cost


def test_the_deepest_kwh_is_cheaper_than_a_shortfall() -> None:
    dear = OWN | {"replacement_per_kwh": 3e8}
    problem = posed("curtailment_3h", dear)
    assert problem.battery is not None
    prices = problem.prices
    deepest = problem.battery.depth_segments[-1].price_per_kwh
    assert deepest < prices.reserve_per_kwh
    assert prices.reserve_per_kwh < prices.firmness_per_kwh + prices.shortfall_per_kwh
