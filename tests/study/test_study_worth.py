"""Ranges and economics, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ebplan.study.corners import assumptions, at_value, corners
from ebplan.study.economics import Investment, cash_flows, internal_rate, present_value, worth
from ebplan.study.life import life_taken
from ebplan.study.run import load_study

EXAMPLE = Path(__file__).parents[2] / "examples" / "study_week.toml"


def test_present_value_and_rate() -> None:
    # 100 now, 110 after a year: 10 % inside, 110 / 1.05 - 100 at 5 %
    flows = np.array([-100.0, 110.0])
    assert internal_rate(flows) == pytest.approx(0.1)
    assert present_value(flows, 0.05) == pytest.approx(110 / 1.05 - 100)


def test_cells_are_bought_anew_but_not_in_the_last_year() -> None:
    investment = Investment(100.0, 5.0, 40.0, 0.0, 6)
    assert cash_flows(investment, 25.0, 3.9).tolist() == [-100, 20, 20, -20, 20, 20, 20]
    assert worth(investment, 25.0, 3.9).payback_years == pytest.approx(5.0)
    assert worth(investment, 5.0, 3.9).payback_years == float("inf")


def test_no_rate_where_nothing_comes_back() -> None:
    assert np.isnan(internal_rate(np.array([-1.0, -1.0])))


def test_life_of_one_deep_cycle_a_day() -> None:
    soc = np.tile([0.1, 0.9], 365)
    taken = life_taken(soc, 12.0, model="lfp-sony-us26650", temperature_c=25.0, c_rate=0.5)
    # 364.5 cycles of depth 0.8, at 6.58e-5 d^1.52 (docs/wear.md)
    assert taken.by_cycling == pytest.approx(364.5 * 6.58e-5 * 0.8**1.52, rel=5e-3)
    assert taken.years == pytest.approx(729 * 12 / 8766)


def test_each_range_has_two_ends() -> None:
    spec = load_study(EXAMPLE)
    found = dict(corners(spec))
    wide = [one for one in assumptions(spec) if one["low"] < one["high"]]
    assert set(found) >= {f"{one['field']}:high" for one in wide}
    moved = found["services.0.price_per_kw:low"]
    assert moved.services[0].price_per_kw == 0.9
    assert at_value(spec, "seed", 4).seed == 4
