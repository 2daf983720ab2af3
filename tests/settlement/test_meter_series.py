"""Meter series: what is read, what is refused, and that energy is kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.errors import InputError
from ebplan.settlement.meter_file import MeterColumn, MeterMap, read_map, read_meter
from ebplan.settlement.series import MeterSeries

START = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)


def series(kw: list[float] | np.ndarray, interval_s: float = 60.0) -> MeterSeries:
    values = {"grid_kw": np.asarray(kw, dtype=float)}
    return MeterSeries(
        start=START,
        interval_s=interval_s,
        time_s=interval_s * np.arange(len(kw)),
        values=values,
    )


def written(folder: Path, *lines: str) -> Path:
    path = folder / "meter.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def minutes(*kw: object, stamp: str = "begins_at") -> list[str]:
    stamps = [(START + timedelta(minutes=i)).isoformat() for i in range(len(kw))]
    return [f"{stamp},grid_kw", *(f"{s},{v}" for s, v in zip(stamps, kw, strict=True))]


def test_a_file_with_our_header_is_read_without_a_map(tmp_path: Path) -> None:
    read = read_meter(written(tmp_path, *minutes(10.0, 12.0, 11.0)))
    assert read.start == START
    assert read.interval_s == 60.0
    assert read.grid_kw.tolist() == [10.0, 12.0, 11.0]
    assert read.energy_kwh() == pytest.approx(33.0 / 60.0)


def test_a_stamp_at_the_end_names_the_interval_before(tmp_path: Path) -> None:
    read = read_meter(written(tmp_path, *minutes(10.0, 12.0, stamp="ends_at")))
    assert read.start == START - timedelta(minutes=1)
    assert read.end == START + timedelta(minutes=1)


def test_units_signs_and_further_columns_are_mapped(tmp_path: Path) -> None:
    path = written(
        tmp_path, "t,p,b,q,load", "0,10000,1,0.002,3", "1,11000,-2,0.002,4", "2,12000,0,0.002,5"
    )
    (tmp_path / "map.toml").write_text(
        'time = "t"\nstamp = "beginning"\ntime_unit = "min"\nstart = "2026-06-01T12:00:00+09:00"\n'
        '[columns]\ngrid_kw = { column = "p", unit = "W" }\n'
        'battery_kw = { column = "b", unit = "kW", reversed = true }\n'
        '"pool.a" = { column = "q", unit = "MW" }\nload = { column = "load" }\n'
    )
    read = read_meter(path, read_map(tmp_path / "map.toml"))
    assert read.start == START
    assert read.grid_kw.tolist() == [10.0, 11.0, 12.0]
    assert read.battery_kw is not None
    assert read.battery_kw.tolist() == [-1.0, 2.0, 0.0]
    assert read.pools_kw["a"].tolist() == [2.0] * 3
    assert read.column("load").tolist() == [3.0, 4.0, 5.0]


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    stamps = [(START + timedelta(minutes=i)).isoformat() for i in range(3)]
    table = pa.table({"begins_at": stamps, "grid_kw": [1.0, 2.0, 3.0]})
    parquet.write_table(table, tmp_path / "meter.parquet")
    assert read_meter(tmp_path / "meter.parquet").grid_kw.tolist() == [1.0, 2.0, 3.0]


def test_the_hour_that_a_clock_has_twice_is_two_hours(tmp_path: Path) -> None:
    """The clock of Los Angeles goes back at 2:00 on 1 November 2026."""
    zone = ZoneInfo("America/Los_Angeles")
    moments = [datetime(2026, 11, 1, 7, tzinfo=UTC) + timedelta(minutes=30 * i) for i in range(8)]
    rows = [f"{m.astimezone(zone).isoformat()},5.0" for m in moments]
    read = read_meter(written(tmp_path, "begins_at,grid_kw", *rows))
    assert len(read) == 8
    assert read.gaps_s == ()
    assert read.energy_kwh() == pytest.approx(20.0)
    zoned = MeterSeries(
        start=datetime(2026, 11, 1, 0, tzinfo=zone),
        interval_s=1800.0,
        time_s=read.time_s,
        values=read.values,
    )
    assert zoned.end == moments[-1] + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["begins_at,grid_kw", "2026-06-01T12:00:00,1", "2026-06-01T12:01:00,1"], "offset"),
        (["begins_at,grid_kw", "noon,1", "later,2"], "ISO 8601"),
        (["when,grid_kw", "1,1", "2,2"], "--map"),
        (["begins_s,grid_kw", "1,1", "2,2"], "--start"),
        ([*minutes(1, 2, 3)[:1], *reversed(minutes(1, 2, 3)[1:])], "sort the rows"),
        ([*minutes(1, 2, 3), minutes(1, 2, 9)[-1]], "one reading at a time"),
        (minutes(1, "", "", 4), "2 of 4 left out"),
        (
            ["begins_at,grid_kw", *(f"2026-06-01T12:00:{s:02d}+09:00,1" for s in (0, 10, 20, 33))],
            "whole intervals of 10 s",
        ),
        (minutes(1), "interval"),
    ],
)
def test_what_is_no_series_is_refused_in_one_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=r"meter\.csv") as caught:
        read_meter(written(tmp_path, *lines))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_without_a_usable_number_become_gaps_by_name(tmp_path: Path) -> None:
    kw: list[object] = [10.0] * 20
    kw[4], kw[7], kw[9] = "nan", 10_000.0, 0.01
    lines = minutes(*kw)
    read = read_meter(written(tmp_path, *lines, lines[-1]))
    assert [(e.run, e.reason.split(":")[0]) for e in read.excluded] == [
        ("line 6", "grid_kw is no number"),
        ("line 9", "grid_kw is 1,000 times off its median, 10 kW"),
        ("line 11", "grid_kw is 1,000 times off its median, 10 kW"),
        ("line 22", "repeats the line above"),
    ]
    assert read.gaps_s == ((240.0, 300.0), (420.0, 480.0), (540.0, 600.0))
    assert read.energy_kwh() == pytest.approx(17 * 10.0 / 60.0)


def test_a_draw_that_does_go_near_zero_is_left_alone(tmp_path: Path) -> None:
    read = read_meter(written(tmp_path, *minutes(10.0, 10.0, 10.0, 0.5, 0.01, 0.3, 10.0)))
    assert read.excluded == ()


def test_a_column_that_is_no_power_has_no_unit() -> None:
    columns = {"grid_kw": {"column": "p"}, "load": {"column": "l", "unit": "kW"}}
    with pytest.raises(InputError, match=r"columns\.load\.unit"):
        MeterMap.parse({"time": "t", "stamp": "end", "columns": columns})
    with pytest.raises(InputError, match=r"columns\.grid_kw"):
        MeterMap.parse({"time": "t", "stamp": "end", "columns": {}})
    assert MeterColumn(column="p").unit is None


def test_a_series_is_cut_by_its_clock() -> None:
    cut = series(range(10)).between(START + timedelta(minutes=2), START + timedelta(minutes=5))
    assert cut.start == START + timedelta(minutes=2)
    assert cut.grid_kw.tolist() == [2.0, 3.0, 4.0]
    with pytest.raises(InputError, match="no interval"):
        cut.between(START, START + timedelta(minutes=1))


def test_longer_intervals_begin_on_the_clock_and_a_gap_empties_its_own() -> None:
    whole = series(np.arange(100.0))  # from 3:00
    late = whole.between(START + timedelta(minutes=7), whole.end)
    half_hours = late.resampled(1800.0)
    assert half_hours.start == START + timedelta(minutes=30)
    assert half_hours.grid_kw.tolist() == [44.5, 74.5]
    keep = np.arange(100) != 40
    gap = MeterSeries(
        start=START,
        interval_s=60.0,
        time_s=whole.time_s[keep],
        values={"grid_kw": whole.grid_kw[keep]},
    )
    assert gap.resampled(1800.0).gaps_s == ((1800.0, 3600.0),)
    with pytest.raises(InputError, match="measured throughout"):
        series([1.0, 2.0]).resampled(1800.0)


@given(
    st.lists(st.floats(-50.0, 500.0), min_size=60, max_size=180), st.sampled_from([2, 5, 15, 30])
)
def test_resampling_keeps_the_energy(kw: list[float], many: int) -> None:
    kw = kw[: len(kw) - len(kw) % many]
    if kw:
        short = series(kw)
        assert short.resampled(60.0 * many).energy_kwh() == pytest.approx(
            short.energy_kwh(), abs=1e-8
        )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    whole = series(np.array([1.0, 1.0 / 3.0, 2.0])).with_columns(load=np.array([1.0, 2.0, 3.0]))
    (tmp_path / "back.csv").write_text(whole.to_csv())
    back = read_meter(tmp_path / "back.csv")
    assert back.start == whole.start
    assert back.grid_kw.tolist() == whole.grid_kw.tolist()
    assert back.column("load").tolist() == [1.0, 2.0, 3.0]


def test_a_column_that_was_not_measured_is_named() -> None:
    with pytest.raises(InputError, match="load: got nothing"):
        series([1.0, 2.0]).column("load")
    with pytest.raises(InputError, match="add the UTC offset"):
        MeterSeries(
            start=datetime(2026, 6, 1),
            interval_s=1.0,
            time_s=np.zeros(1),
            values={"grid_kw": np.ones(1)},
        )
