"""Margins posed: kW from shares, a quantile from a confidence, and their place in the order."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan import Case, InputError, load_case
from ebplan.pose import pose
from ebplan.problem import Margins, Problem
from ebplan.site import Uncertainty

EXAMPLES = Path(__file__).parents[2] / "examples"


def posed(name: str = "under_frequency", **uncertainty: float) -> Problem:
    data = load_case(EXAMPLES / f"{name}.json").model_dump(mode="json")
    said = {"confidence": 0.9, "load_std": 0.03, "response_std": 0.1} | uncertainty
    data["site"]["planning"]["uncertainty"] = said
    case = Case.parse(data)
    return pose(case.event, case.site, case.state)


def margins_of(problem: Problem) -> Margins:
    assert problem.margins is not None
    return problem.margins


def quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(confidence)


def test_shares_become_kilowatts() -> None:
    problem = posed()
    margins = margins_of(problem)
    assert margins.load_kw == pytest.approx(0.03 * problem.pools[0].power_at_start_kw())
    assert (margins.response_share, margins.confidence) == (0.1, 0.9)
    assert quantile(0.9) < margins.z < quantile(0.9**0.5)


def test_one_error_alone_takes_the_quantile_of_the_confidence() -> None:
    assert margins_of(posed(load_std=0.0)).z == pytest.approx(quantile(0.9))
    assert margins_of(posed(response_std=0.0)).z == pytest.approx(quantile(0.9))


def test_nothing_uncertain_poses_the_same_problem() -> None:
    case = load_case(EXAMPLES / "under_frequency.json")
    plain = pose(case.event, case.site, case.state)
    assert posed(load_std=0.0, response_std=0.0) == plain
    assert posed(load_std=0.0, response_std=0.0).digest() == plain.digest()


def test_a_problem_without_margins_does_not_mention_them() -> None:
    case = load_case(EXAMPLES / "under_frequency.json")
    plain = pose(case.event, case.site, case.state)
    assert "margins" not in json.loads(plain.to_json())
    assert Problem.parse(plain.to_json().encode()) == plain
    uncertain = posed()
    assert Problem.parse(uncertain.to_json().encode()) == uncertain
    assert uncertain.digest() != plain.digest()


@pytest.mark.parametrize("name", ["fcr_tracking", "price_window"])
def test_an_event_that_asks_no_direction_says_that_nothing_is_held(name: str) -> None:
    problem = posed(name)
    assert problem.margins is None
    assert any("the stated confidence is not kept" in caveat for caveat in problem.caveats)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    confidence=st.floats(0.55, 0.999),
    load_std=st.floats(0.0, 0.2),
    response_std=st.floats(0.001, 0.14),
    penalty=st.floats(0.0, 1e4),
)
def test_margins_lie_between_the_mechanisms_and_the_reserve(
    confidence: float, load_std: float, response_std: float, penalty: float
) -> None:
    data = load_case(EXAMPLES / "under_frequency.json").model_dump(mode="json")
    data["event"]["penalty_per_kwh"] = penalty
    plain = Case.parse(data)
    dearest = pose(plain.event, plain.site, plain.state).prices.reserve_per_kwh / 1.1
    data["site"]["planning"]["uncertainty"] = {
        "confidence": confidence,
        "load_std": load_std,
        "response_std": response_std,
    }
    case = Case.parse(data)
    problem = pose(case.event, case.site, case.state)
    margins, prices, battery = margins_of(problem), problem.prices, problem.battery
    assert battery is not None
    rated = battery.loss_linear + 2.0 * battery.loss_quadratic
    delivered = battery.cell_efficiency / (1.0 + rated)
    counts = 1.0 - margins.z * margins.response_share
    # a kWh moved frees a kWh of power less its own margin, and as much more energy as losses take
    assert margins.power_per_kwh * counts > dearest
    assert margins.energy_per_kwh * counts > dearest
    # energy is given up before power, and both before the reserve
    assert margins.power_per_kwh * delivered > margins.energy_per_kwh
    assert prices.reserve_per_kwh > margins.power_per_kwh
    # a kWh missing frees power, and energy of the reserve
    shortfall = prices.shortfall_per_kwh + prices.firmness_per_kwh
    assert shortfall > margins.power_per_kwh + prices.reserve_per_kwh / delivered


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("confidence", 0.4, ">= 0.5"),
        ("confidence", 1.0, "< 1"),
        ("load_std", -0.1, ">= 0"),
        ("response_std", 0.4, "half of what compute moves"),
        ("std", 0.1, "remove the field"),
    ],
)
def test_what_makes_no_sense_is_refused(field: str, value: float, words: str) -> None:
    with pytest.raises(InputError) as refused:
        posed(**{field: value})
    assert f"uncertainty.{field}" in str(refused.value)
    assert words in str(refused.value)


def test_margins_of_a_problem_that_asks_no_direction_are_refused() -> None:
    data: dict[str, Any] = json.loads(posed("fcr_tracking").to_json())
    data["margins"] = margins_of(posed()).model_dump(mode="json")
    with pytest.raises(InputError, match="margins: got 'given'"):
        Problem.parse(data)


def test_a_lower_confidence_may_err_more() -> None:
    said = Uncertainty(confidence=0.6, load_std=0.0, response_std=0.4)
    assert said.covered(0.0, 1.0) == pytest.approx(quantile(0.6))
