"""The errors of a rule on its own history: known noise gives known errors, honestly."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from made_histories import days, levels, on, without

from ebplan.errors import InputError
from ebplan.settlement.backtest import Backtest, backtest, best, compare, like_windows
from ebplan.settlement.baseline_report import BaselineReport, settle_baseline
from ebplan.settlement.baselines import Fixed, LastValue
from ebplan.settlement.day_calendar import DayCalendar
from ebplan.settlement.high_of import HighOf
from ebplan.settlement.meter_file import read_meter
from ebplan.settlement.rules import every_rule
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.window import Window

DATA = Path(__file__).parents[3] / "shared" / "data" / "dc_load"
SIGMA_KW = 10.0


def noisy(count: int = 400, seed: int = 5) -> MeterSeries:
    """Return a constant draw of 500 kW with independent noise in each half-hour."""
    rng = np.random.default_rng(seed)
    return days(count, lambda day, hour: 500.0 + rng.normal(0.0, SIGMA_KW, len(hour)))


def test_errors_by_hand() -> None:
    """Draws of 90, 110 and 130 kW against 100 kW: errors 10, -10, -30."""
    history = levels(90.0, 110.0, 130.0)
    windows = [Window(on(day), 3600.0) for day in range(3)]
    found = backtest(history, Fixed(100.0), windows)
    assert found.errors_kw.tolist() == [10.0, 10.0, -10.0, -10.0, -30.0, -30.0]
    assert found.level_errors_kw.tolist() == [10.0, -10.0, -30.0]
    assert found.bias_kw == pytest.approx(-10.0)
    assert found.mae_kw == pytest.approx(50.0 / 3.0)
    assert found.rmse_kw == pytest.approx(math.sqrt(1100.0 / 3.0))
    assert found.cv_rmse == pytest.approx(math.sqrt(1100.0 / 3.0) / 110.0)
    assert found.half_width_kw == 30.0


def test_known_noise_gives_known_errors() -> None:
    """Independent noise s: a fixed baseline is off by s, a mean of two by s sqrt(1 + 1/2)."""
    history = noisy()
    windows = like_windows(history, Window(on(200), 7200.0))
    assert len(windows) == 285
    fixed = backtest(history, Fixed(500.0), windows)
    last = backtest(history, LastValue(60.0), windows)
    assert fixed.rmse_kw == pytest.approx(SIGMA_KW, rel=0.06)
    assert fixed.half_width_kw == pytest.approx(1.645 * SIGMA_KW, rel=0.08)
    assert fixed.level_rmse_kw == pytest.approx(SIGMA_KW / 2.0, rel=0.12)
    assert last.rmse_kw == pytest.approx(SIGMA_KW * math.sqrt(1.5), rel=0.06)


def test_four_of_five_by_height_credits_a_little_too_much() -> None:
    """The mean of the four highest of five is s 0.29 above the mean, for means of four slots.

    The least of five normal deviates is -1.163 on average, so that the other four have the mean
    1.163 / 4.
    """
    history = noisy()
    windows = like_windows(history, Window(on(200), 7200.0))
    found = backtest(history, HighOf(adjusted=False), windows)
    assert found.bias_kw == pytest.approx(1.163 / 4.0 * SIGMA_KW / 2.0, abs=0.6)


def test_windows_are_those_of_like_days_without_event() -> None:
    history = levels(*[1.0] * 14)
    calendar = DayCalendar(
        holidays=frozenset([date(2026, 6, 3)]), left_out=frozenset([date(2026, 6, 4)])
    )
    found = like_windows(history, Window(on(8), 3600.0, notice=on(8, 14.0)), calendar)
    assert [w.start.day for w in found] == [1, 2, 5, 8, 10, 11, 12]
    assert all((w.start - w.known_at).total_seconds() == 3 * 3600.0 for w in found)
    weekend = like_windows(history, Window(on(13), 3600.0), calendar)
    assert [w.start.day for w in weekend] == [3, 6, 7, 13]


def test_a_day_that_cannot_be_settled_is_named() -> None:
    history = without(levels(*[100.0] * 12), on(8, 17.5), on(8, 18.0))
    windows = like_windows(history, Window(on(11), 7200.0))
    found = backtest(history, HighOf(), windows)
    assert found.days == (date(2026, 6, 8), date(2026, 6, 10), date(2026, 6, 11))
    reasons = {out.day.day: out.reason for out in found.left_out}
    assert "0 like day(s) before 2026-06-01" in reasons[1]
    assert "a gap" in reasons[9]
    with pytest.raises(InputError, match="5 of the kind working day"):
        backtest(history, HighOf(), windows[:4])
    with pytest.raises(InputError, match="a longer history"):
        backtest(history, HighOf(), [])


def test_rules_are_compared_on_the_same_days() -> None:
    history = noisy(30)
    window = Window(on(29), 7200.0)
    rules = [Fixed(500.0), HighOf(), LastValue(10.0)]
    fixed, high, last = compare(history, rules, like_windows(history, window))
    assert isinstance(fixed, Backtest)
    assert isinstance(high, Backtest)
    assert isinstance(last, InputError)
    assert fixed.days == high.days
    assert fixed.left_out[0].reason == "another rule has no baseline for this day"
    assert best([fixed, high, last]) is fixed
    assert best([last]) is None


def test_a_report_has_the_nearest_rule_and_reads_back(tmp_path: Path) -> None:
    history = noisy(30)
    window = Window(on(29), 7200.0)
    rules = [HighOf(), Fixed(500.0)]
    report = settle_baseline(history, window, rules, like_windows(history, window))
    assert report.best == report.rule == "fixed:500"
    assert report.baseline_kw == (500.0,)
    assert BaselineReport.parse(report.to_json().encode()) == report
    assert report.baseline().mean_kw(window.start, window.end) == 500.0
    one = settle_baseline(history, window, [HighOf()], like_windows(history, window))
    assert one.rule == "high_4_of_5"
    assert len(one.days) == 4


def test_a_single_rule_needs_no_like_day() -> None:
    report = settle_baseline(levels(*[100.0] * 8), Window(on(7), 3600.0), [HighOf()], [])
    assert report.best is None
    assert report.result().errors is None
    assert "one day or more like that of the event" in (report.result().not_tested or "")
    with pytest.raises(InputError, match="5 of the kind"):
        settle_baseline(levels(1.0, 1.0), Window(on(1), 3600.0), [HighOf()], [])


@pytest.mark.skipif(not DATA.exists(), reason="the shared data/dc_load is not there")
def test_a_flat_data_centre_is_settled_within_a_few_percent(tmp_path: Path) -> None:
    """A simulated building of 10 MW, hour by hour over a year."""
    import gzip

    packed = (DATA / "snl_datacenter_virginia_10mw_hourly.csv.gz").read_bytes()
    rows = gzip.decompress(packed).decode().splitlines()
    kw = [row.split(",")[1] for row in rows[1:]]
    assert len(kw) > 8000
    file = tmp_path / "year.csv"
    lines = (f"{3600 * i},{value}" for i, value in enumerate(kw[:2160]))
    file.write_text("begins_s,grid_kw\n" + "\n".join(lines) + "\n")
    start = on(0, 0.0).replace(month=1, day=1)
    history = read_meter(file, start=start)
    window = Window(start.replace(month=3, day=18, hour=17), 7200.0)
    found = compare(history, every_rule(history), like_windows(history, window))
    for one in found:
        assert isinstance(one, Backtest)
        assert one.cv_rmse is not None
        assert one.cv_rmse < 0.05
        assert len(one.days) > 30
