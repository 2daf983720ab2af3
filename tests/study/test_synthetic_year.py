"""Made-up years: the published statistics, the same numbers again, and sane physics."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from ebplan.errors import InputError
from ebplan.frequency import ResponseCurve
from ebplan.services import load_service, with_values
from ebplan.study.activation import (
    activation,
    activation_of,
    read_frequency,
    synthetic_frequency,
)
from ebplan.study.series.declared import SyntheticSeries, TimedFile
from ebplan.study.synthetic import ABOUT, AREAS, synthetic_year
from ebplan.study.synthetic.compare import compare
from ebplan.study.synthetic.year import _year

PAGE = Path(__file__).parents[2] / "docs" / "series.md"
FREQUENCY = Path(__file__).parents[3] / "shared" / "data" / "grid_frequency"


@pytest.mark.parametrize("area", sorted(AREAS))
def test_a_fiscal_year_has_the_published_statistics(area: str) -> None:
    for one in compare(2025, 7, area):
        # of FCR the slot means of one month are only roughly met; intraday prices end at 0.01,
        # which lifts their mean where spot prices are often at their floor
        rough = {"fcr": 0.2, "intraday": 0.06}
        off = rough.get(one.series, 0.02)
        assert one.made == pytest.approx(one.published, rel=off, abs=0.02), one


def test_the_same_seed_gives_the_same_year_and_another_one_another() -> None:
    first, last = date(2026, 3, 1), date(2026, 5, 1)
    one = synthetic_year(first, last, 3)
    _year.cache_clear()
    again = synthetic_year(first, date(2026, 4, 1), 3)
    other = synthetic_year(date(2026, 4, 1), last, 4)
    assert set(one.series) == set(ABOUT)
    for name, values in one.series.items():
        assert len(values) == 61 * 48
        assert np.isfinite(values).all()
        assert np.array_equal(values[: 31 * 48], again.series[name])
    assert not np.array_equal(one.series["spot"][31 * 48 :], other.series["spot"])
    assert one.start == datetime(2026, 2, 28, 15, tzinfo=UTC)


def test_a_week_is_a_week_of_its_year() -> None:
    year = synthetic_year(date(2026, 4, 1), date(2027, 4, 1), 1).series["spot"]
    week = synthetic_year(date(2026, 10, 5), date(2026, 10, 12), 1).series["spot"]
    skip = 48 * (date(2026, 10, 5) - date(2026, 4, 1)).days
    assert np.array_equal(week, year[skip : skip + 7 * 48])


def test_a_leap_year_has_its_day() -> None:
    assert len(synthetic_year(date(2027, 4, 1), date(2028, 4, 1), 1).series["spot"]) == 366 * 48


def test_the_cap_of_its_day_holds_and_calls_are_twelve_times_three_hours_on_weekdays() -> None:
    series = synthetic_year(date(2026, 4, 1), date(2027, 4, 1), 1).series
    days = series["capacity_call"].reshape(-1, 48)
    assert sorted(set(days.sum(axis=1))) == [0.0, 6.0]
    assert (days.sum(axis=1) > 0).sum() == 12
    assert days[:, :18].sum() == days[:, 40:].sum() == 0.0
    called = [
        date.fromordinal(date(2026, 4, 1).toordinal() + int(i))
        for i in np.flatnonzero(days.any(axis=1))
    ]
    assert all(day.weekday() < 5 for day in called)
    assert series["fcr"][48 * 153 :].max() <= 10.0
    assert series["pv"].reshape(-1, 48)[:, :6].max() == 0.0
    evening = series["spot"].reshape(-1, 48)[:, 34:40].mean()
    noon = series["spot"].reshape(-1, 48)[:, 22:28].mean()
    assert evening > noon


@pytest.mark.parametrize(
    ("first", "last", "area", "told"),
    [
        (date(2026, 4, 2), date(2026, 4, 2), "tokyo", "the day after the last one"),
        (date(2026, 4, 1), date(2026, 4, 2), "osaka", "tokyo-fy2025"),
    ],
)
def test_what_cannot_be_made_is_refused(first: date, last: date, area: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        synthetic_year(first, last, 1, area)


def test_energy_called_by_a_step_in_frequency_is_that_of_the_curve() -> None:
    curve = ResponseCurve(shape="droop", dead_band_hz=0.0, full_hz=0.2)
    t_s = np.array([0.0, 1800.0, 1800.001, 3600.0])
    hz = np.array([49.9, 49.9, 50.05, 50.05])
    found = activation(curve, t_s, hz, 50.0, 1800.0)
    # half of the award for half an hour, then a quarter of it the other way
    assert found.release_kwh_per_kw == pytest.approx([0.25, 0.0], abs=1e-6)
    assert found.absorb_kwh_per_kw == pytest.approx([0.0, 0.125], abs=1e-6)
    assert found.release_share(1800.0) == pytest.approx([0.5, 0.0], abs=1e-6)


def test_what_a_product_does_not_sell_is_not_called_and_an_unknown_curve_is_asked_for() -> None:
    t_s, hz = synthetic_frequency(7200, 1)
    low = activation_of(load_service("gb_dr_low"), t_s, hz, 50.0, 1800.0)
    assert low.release_kwh_per_kw.sum() > 0.0
    assert low.absorb_kwh_per_kw.sum() == 0.0
    both = activation_of(load_service("ce_fcr"), t_s, hz, 50.0, 1800.0)
    assert both.absorb_kwh_per_kw.sum() > 0.0
    fcr = load_service("jp_fcr")
    with pytest.raises(InputError, match="--set curve"):
        activation_of(fcr, t_s, hz, 50.0, 1800.0)
    known = with_values(fcr, {"curve": {"shape": "droop", "dead_band_hz": 0.01, "full_hz": 0.2}})
    assert activation_of(known, t_s, hz, 50.0, 1800.0).release_kwh_per_kw.min() >= 0.0


def test_a_trace_of_another_grid_or_too_short_is_refused() -> None:
    curve = ResponseCurve(shape="droop", full_hz=0.2)
    t_s, hz = synthetic_frequency(3600, 1)
    with pytest.raises(InputError, match="nominal"):
        activation(curve, t_s, hz, 60.0, 1800.0)
    with pytest.raises(InputError, match="longer trace"):
        activation(curve, t_s[:10], hz[:10], 50.0, 1800.0)


def test_a_made_up_frequency_has_its_assumed_deviation() -> None:
    _, hz = synthetic_frequency(86_400, 5)
    assert (hz - 50.0).std() == pytest.approx(0.02, rel=0.1)


@pytest.mark.skipif(not FREQUENCY.exists(), reason="needs the public frequency day")
def test_a_public_day_at_60_hz_calls_little_of_an_award() -> None:
    t_s, hz = read_frequency(FREQUENCY / "us60hz_day_1s.csv.gz")
    curve = ResponseCurve(shape="droop", dead_band_hz=0.012, full_hz=0.2)
    found = activation(curve, t_s, hz, 60.0, 1800.0)
    assert len(found.release_kwh_per_kw) >= 47
    share = found.release_share(1800.0)
    assert 0.0 < share.mean() < 0.05
    assert share.max() < 0.25


def test_the_page_shows_what_works() -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["toml", "python", "python"]
    declared = tomllib.loads(blocks[0][1])
    TimedFile.parse(declared["spot_per_kwh"])
    SyntheticSeries.parse(declared["price_per_kw"])
    for kind, code in blocks:
        if kind == "python":
            exec(code, {})
    for name in ABOUT:
        assert f"`{name}`" in page
