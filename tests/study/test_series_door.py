"""Series at the door: what is handled is counted, what is wrong is one line."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan.errors import InputError
from ebplan.services import load_service
from ebplan.solvers.program import FloatArray
from ebplan.study.series.declared import SyntheticSeries, TimedFile
from ebplan.study.series.made import read_synthetic
from ebplan.study.series.read import read_series, resampled
from ebplan.study.series.report import SeriesReport
from ebplan.study.series.wanted import Grid, Wanted, wanted_of
from ebplan.study.spec import Market

BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")
SPOT = Wanted("market.spot_per_kwh", "price_per_kwh", "EUR")


def grid(day: str = "2026-06-01", days: int = 1, step_s: int = 1800, zone: Any = UTC) -> Grid:
    start = datetime.combine(date.fromisoformat(day), datetime.min.time(), zone)
    end = datetime.combine(
        date.fromisoformat(day) + timedelta(days=days), datetime.min.time(), zone
    )
    return Grid(start, round((end.timestamp() - start.timestamp()) / step_s), step_s)


def stamps(on: Grid, step_s: int = 3600) -> list[str]:
    count = on.steps * on.step_s // step_s
    first = on.start.astimezone(UTC)
    return [(first + timedelta(seconds=i * step_s)).isoformat() for i in range(count)]


def rows(times: Sequence[str], values: Sequence[object], head: str = "t,p") -> str:
    return "\n".join([head, *(f"{t},{v}" for t, v in zip(times, values, strict=True))]) + "\n"


def read(
    tmp_path: Path,
    text: str,
    on: Grid,
    wanted: Wanted = SPOT,
    **declared: Any,
) -> tuple[FloatArray, SeriesReport]:
    (tmp_path / "s.csv").write_text(text)
    about = {
        "file": "s.csv",
        "column": "p",
        "unit": "EUR/MWh",
        "time": "t",
        "time_zone": "UTC",
        "step_s": 3600,
    }
    return read_series(TimedFile.parse({**about, **declared}), tmp_path, on, wanted)


def refused(tmp_path: Path, text: str, on: Grid, wanted: Wanted = SPOT, **declared: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, on, wanted, **declared)
    return str(caught.value)


def test_hours_in_euro_per_mwh_become_half_hours_in_euro_per_kwh(tmp_path: Path) -> None:
    on = grid()
    prices = [50.0 + i for i in range(24)]
    values, report = read(tmp_path, rows(stamps(on), prices), on)
    assert values.tolist() == pytest.approx(np.repeat(prices, 2) / 1000.0)
    assert (report.rows, report.used, report.filled, report.negative) == (24, 24, 0, 0)
    assert report.factor == 0.001
    assert report.mean == pytest.approx(0.0615)
    assert report.sha256 == hashlib.sha256((tmp_path / "s.csv").read_bytes()).hexdigest()


@pytest.mark.parametrize("ending", ["csv.gz", "parquet"])
def test_other_kinds_of_files_hold_the_same(tmp_path: Path, ending: str) -> None:
    on = grid()
    prices = [50.0 + i for i in range(24)]
    if ending == "parquet":
        pq.write_table(pa.table({"t": stamps(on), "p": prices}), tmp_path / "s.parquet")
    else:
        (tmp_path / "s.csv.gz").write_bytes(gzip.compress(rows(stamps(on), prices).encode()))
    values, _ = read(tmp_path, rows(stamps(on), prices), on, file=f"s.{ending}")
    assert values[0] == pytest.approx(0.05)
    assert values[-1] == pytest.approx(0.073)


def test_a_block_of_four_hours_pays_each_half_hour_its_share(tmp_path: Path) -> None:
    on = grid(zone=BERLIN)
    wanted = Wanted("services.ce_fcr.price_per_kw", "price_per_kw", "EUR")
    text = rows(stamps(on, 14_400), [46.0] * 6)
    values, _ = read(tmp_path, text, on, wanted, unit="EUR/MW/4h", step_s=14_400)
    # 46 EUR for a MW and 4 h are 0.00575 EUR for a kW and half an hour
    assert values.tolist() == pytest.approx([0.00575] * 48)


def test_an_end_stamp_names_the_step_before_it(tmp_path: Path) -> None:
    on = grid()
    ends = [(datetime.fromisoformat(t) + timedelta(hours=1)).isoformat() for t in stamps(on)]
    values, _ = read(tmp_path, rows(ends, range(40, 64)), on, stamp="end")
    assert values[0] == pytest.approx(0.04)


def test_japanese_slots_count_from_midnight(tmp_path: Path) -> None:
    on = grid(days=2, zone=TOKYO)
    lines = [f"2026/06/0{d},{n},{10 * d + n / 100}" for d in (1, 2) for n in range(1, 49)]
    text = "t,n,p\n" + "\n".join(lines)
    jpy = Wanted("market.spot_per_kwh", "price_per_kwh", "JPY")
    about = {"slot": "n", "time_zone": "Asia/Tokyo", "step_s": 1800, "unit": "JPY/kWh"}
    values, _ = read(tmp_path, text, on, jpy, **about)
    assert values[0] == pytest.approx(10.01)
    assert values[48] == pytest.approx(20.01)
    line = refused(tmp_path, text.replace("01,48,", "01,49,"), on, jpy, **about)
    assert "1 to 48 on 2026-06-01" in line


@pytest.mark.parametrize(
    ("day", "hours", "ambiguous", "odd"),
    [("2026-03-29", 23, 0, (1, 0)), ("2026-10-25", 25, 2, (0, 1)), ("2026-06-01", 24, 0, (0, 0))],
)
def test_wall_clocks_on_days_of_23_and_25_hours(
    tmp_path: Path, day: str, hours: int, ambiguous: int, odd: tuple[int, int]
) -> None:
    on = grid(day, zone=BERLIN)
    assert on.steps == 2 * hours
    walls = [
        datetime.fromisoformat(t).astimezone(BERLIN).replace(tzinfo=None).isoformat()
        for t in stamps(on)
    ]
    text = rows(walls, [40 + i for i in range(hours)])
    values, report = read(tmp_path, text, on, time_zone="Europe/Berlin")
    assert values.tolist() == pytest.approx(np.repeat(np.arange(40, 40 + hours), 2) / 1000.0)
    assert (report.ambiguous, report.short_days, report.long_days) == (ambiguous, *odd)


def test_an_hour_that_no_clock_shows_is_refused(tmp_path: Path) -> None:
    on = grid("2026-03-29", zone=BERLIN)
    walls = [f"2026-03-29T{h:02}:00" for h in range(24)]
    line = refused(tmp_path, rows(walls, [50] * 24), on, time_zone="Europe/Berlin")
    assert "line 4.t" in line
    assert "put forward over it" in line


def test_a_lost_hour_of_a_long_day_is_a_gap(tmp_path: Path) -> None:
    on = grid("2026-10-25", zone=BERLIN)
    walls = [f"2026-10-25T{h:02}:00" for h in range(24)]
    line = refused(tmp_path, rows(walls, [50] * 24), on, time_zone="Europe/Berlin")
    assert "1 of 25 steps missing, the first at 2026-10-25T01:00:00+00:00" in line


def test_gaps_are_refused_or_filled_by_the_declared_rule_and_counted(tmp_path: Path) -> None:
    on = grid(days=10)
    values: list[object] = [50.0] * 240
    values[5], values[7] = "", 54.0
    values[6] = "NaN"
    text = rows(stamps(on), values)
    assert "2 of 240 steps missing, the first at 2026-06-01T05:00:00+00:00" in refused(
        tmp_path, text, on
    )
    held, report = read(tmp_path, text, on, gaps="hold")
    assert held[10:14].tolist() == pytest.approx([0.05] * 4)
    assert (report.filled, report.not_numbers, report.gap_rule) == (2, 2, "hold")
    line, _ = read(tmp_path, text, on, gaps="linear")
    assert line[10:14:2].tolist() == pytest.approx([(50 + 4 / 3) / 1000, (50 + 8 / 3) / 1000])
    assert "raise most_gaps" in refused(tmp_path, text, on, gaps="hold", most_gaps=0.001)


def test_a_row_that_repeats_another_is_left_out_and_one_that_contradicts_refused(
    tmp_path: Path,
) -> None:
    on = grid()
    times = stamps(on)
    times.insert(3, times[2])
    _, report = read(tmp_path, rows(times, [50] * 25), on)
    assert report.repeated == 1
    line = refused(tmp_path, rows(times, range(40, 65)), on)
    assert "line 5.t" in line
    assert "one value a step" in line


def test_rows_out_of_order_and_off_the_step_are_refused(tmp_path: Path) -> None:
    on = grid()
    times = stamps(on)
    times[4], times[5] = times[5], times[4]
    assert "times that rise" in refused(tmp_path, rows(times, [50] * 24), on)
    times = stamps(on)
    times[4] = times[4].replace(":00:00+", ":10:00+")
    assert "whole steps of 3600 s" in refused(tmp_path, rows(times, [50] * 24), on)


def test_another_year_and_a_missing_leap_day_are_told(tmp_path: Path) -> None:
    text = rows(stamps(grid("2025-06-01")), [50] * 24)
    line = refused(tmp_path, text, grid("2026-06-01"))
    assert "bring the file of these years" in line
    assert "2025-06-01" in line
    on = grid("2028-02-27", 4)
    times = [t for t in stamps(on) if not t.startswith("2028-02-29")]
    line = refused(tmp_path, rows(times, [50] * 72), on)
    assert "24 of 96 steps missing" in line
    assert "29 February is missing" in line


def test_a_period_that_runs_out_of_the_file_is_a_gap(tmp_path: Path) -> None:
    text = rows(stamps(grid("2026-06-01")), [50] * 24)
    line = refused(tmp_path, text, grid("2026-06-01", 2))
    assert "24 of 48 steps missing, the first at 2026-06-02" in line


@pytest.mark.parametrize("cell", ["12,5x", "inf", "¥12", "1.2.3"])
def test_text_that_is_no_number_is_refused_by_line(tmp_path: Path, cell: str) -> None:
    on = grid()
    values: list[object] = [50] * 24
    values[2] = cell.replace(",", ".")
    assert "line 4.p" in refused(tmp_path, rows(stamps(on), values), on)


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        ("EUR/kWh", "is it a price per MWh"),
        ("JPY/MWh", "a price in EUR, the currency of the study"),
        ("EUR/MW/h", "a price of energy"),
        ("MWh", "e.g. JPY/kWh"),
    ],
)
def test_units_a_thousand_times_off_or_of_another_kind_are_refused(
    tmp_path: Path, unit: str, told: str
) -> None:
    on = grid()
    assert told in refused(tmp_path, rows(stamps(on), [50] * 24), on, unit=unit)


def test_kw_for_mw_is_seen_by_the_size_of_the_site(tmp_path: Path) -> None:
    on, site = grid(), Wanted("load", "power_kw", scale_kw=2000.0)
    text = rows(stamps(on), [1800] * 24)
    values, _ = read(tmp_path, text, on, site, unit="kW")
    assert values.tolist() == pytest.approx([1800.0] * 48)
    assert "is the file in kW, or in MW?" in refused(tmp_path, text, on, site, unit="MW")
    small = rows(stamps(on), [1.8] * 24)
    assert "is the file in kW, or in MW?" in refused(tmp_path, small, on, site, unit="kW")
    assert "W, kW, MW, GW" in refused(tmp_path, text, on, site, unit="kWh")


def fcr(currency: str = "JPY") -> Wanted:
    return wanted_of("services.jp_fcr.price_per_kw", currency, [load_service("jp_fcr")])


def test_a_price_above_the_cap_of_its_day_is_refused_or_clipped_and_counted(
    tmp_path: Path,
) -> None:
    on = grid("2026-08-31", 2, zone=TOKYO)
    text = rows(stamps(on, 1800), [14.0] * 96)
    about = {"unit": "JPY/kW/30min", "step_s": 1800}
    line = refused(tmp_path, text, on, fcr(), **about)
    assert "48 prices above the cap, the first 14 at 2026-09-01T00:00:00+09:00" in line
    assert "per hour" in line
    values, report = read(tmp_path, text, on, fcr(), above_cap="clip", **about)
    assert values.tolist() == [14.0] * 48 + [10.0] * 48
    assert report.clipped == 48
    per_hour, report = read(tmp_path, text, on, fcr(), unit="JPY/kW/h", step_s=1800)
    assert per_hour.tolist() == [7.0] * 96
    assert report.clipped == 0
    assert "a price of capacity with its time" in refused(
        tmp_path, text, on, fcr(), unit="JPY/kWh", step_s=1800
    )


def test_prices_below_zero_are_counted_or_refused(tmp_path: Path) -> None:
    on = grid()
    text = rows(stamps(on), [-20.0] * 3 + [60.0] * 21)
    values, report = read(tmp_path, text, on)
    assert report.negative == 6
    assert values.min() == pytest.approx(-0.02)
    assert ">= 0, as declared" in refused(tmp_path, text, on, negative="refuse")


@pytest.mark.parametrize("content", [b"", b"t,p\n", b"\xff\xfe\x00", b"t,q\n2026-06-01,1\n"])
def test_files_that_are_none_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.csv").write_bytes(content)
    about = {"file": "s.csv", "column": "p", "unit": "EUR/MWh", "time": "t"}
    declared = TimedFile.parse({**about, "time_zone": "UTC", "step_s": 3600})
    with pytest.raises(InputError):
        read_series(declared, tmp_path, grid(), SPOT)
    (tmp_path / "s.csv.gz").write_bytes(b"no gzip")
    gone = TimedFile.parse({**about, "file": "s.csv.gz", "time_zone": "UTC", "step_s": 3600})
    with pytest.raises(InputError):
        read_series(gone, tmp_path, grid(), SPOT)


@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=24, max_size=24),
    step_s=st.sampled_from([900, 1800, 3600, 7200]),
    to_s=st.sampled_from([1800, 3600]),
)
def test_energy_is_conserved_onto_longer_and_shorter_steps(
    values: list[float], step_s: int, to_s: int
) -> None:
    steps = 24 * step_s // to_s
    on = Grid(datetime(2026, 6, 1, tzinfo=UTC), steps, to_s)
    found = resampled(np.array(values), on.start.timestamp(), step_s, on)
    assert found.sum() * to_s == pytest.approx(sum(values) * step_s, abs=1e-3)
    assert found.min() >= min(values) - 1e-6
    assert found.max() <= max(values) + 1e-6


@settings(max_examples=30, deadline=None)
@given(
    day=st.dates(date(2020, 1, 2), date(2035, 12, 30)),
    zone=st.sampled_from(["Europe/Berlin", "Europe/London", "America/Chicago", "Asia/Tokyo"]),
    step_s=st.sampled_from([900, 1800, 3600]),
)
def test_wall_clocks_in_order_are_read_as_the_time_they_were(
    tmp_path_factory: pytest.TempPathFactory, day: date, zone: str, step_s: int
) -> None:
    on = grid(day.isoformat(), 2, 3600, ZoneInfo(zone))
    walls = [
        datetime.fromisoformat(t).astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat()
        for t in stamps(on, step_s)
    ]
    numbers = np.arange(len(walls), dtype=float) + 40.0
    folder = tmp_path_factory.mktemp("walls")
    values, report = read(
        folder, rows(walls, numbers.tolist()), on, time_zone=zone, step_s=step_s, unit="EUR/MWh"
    )
    assert values.sum() * 3600 == pytest.approx(numbers.sum() / 1000 * step_s)
    assert report.filled == 0


def test_a_made_up_series_comes_with_a_report_and_by_its_field() -> None:
    on = grid("2026-10-05", 7, 1800, TOKYO)
    declared = SyntheticSeries(source="synthetic:tokyo-fy2025")
    values, report = read_synthetic(declared, on, wanted_of("market.spot_per_kwh", "JPY"))
    assert len(values) == 7 * 48
    assert report.column == "spot"
    assert report.highest == values.max()
    hourly, _ = read_synthetic(
        declared, grid("2026-10-05", 7, 3600, TOKYO), wanted_of("market.spot_per_kwh", "JPY")
    )
    assert hourly.tolist() == pytest.approx(values.reshape(-1, 2).mean(axis=1))
    with pytest.raises(InputError, match="currency"):
        read_synthetic(declared, on, wanted_of("market.spot_per_kwh", "EUR"))
    with pytest.raises(InputError, match="name the series"):
        read_synthetic(declared, on, wanted_of("services.own.price_per_kw", "JPY"))


@pytest.mark.parametrize(
    ("spot", "told"),
    [
        (
            {
                "file": "x.csv",
                "column": "p",
                "unit": "JPY/kWh",
                "time": "t",
                "time_zone": "Asia/Tokio",
                "step_s": 1800,
            },
            "time_zone: got 'Asia/Tokio'",
        ),
        ({"source": "synthetic:osaka"}, "source: got 'synthetic:osaka'"),
        ({"by_hour": [1.0]}, "by_hour"),
        ({"value": 1.0, "low": 2.0, "high": 3.0, "why": "assumed"}, "between low"),
        ("high", "a number"),
    ],
)
def test_a_wrong_series_is_told_in_the_words_of_its_own_form(spot: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Market.parse(
            {"spot_per_kwh": spot, "imbalance_per_kwh": "spot", "intraday_spread_per_kwh": 1.0}
        )
    assert told in str(caught.value)
