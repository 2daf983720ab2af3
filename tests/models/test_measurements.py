"""The door of the fits: each fault is an error or a named exclusion, nothing passes in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ebplan.errors import InputError
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.reading import Column, read_measurements

RUNS = {
    "power": Column("p_w", "W"),
    "throughput": Column("x"),
    "concurrency": Column("c"),
    "workload": Column("w"),
}
SERIES = {"time": Column("t"), "power": Column("p_w", "W")}
LINES = [f"chat,{c},{400 + c},{10 * c}" for c in (1, 2, 4, 8, 16, 32, 64, 128)]


def runs(tmp_path: Path, lines: list[str], columns: dict[str, Column] = RUNS) -> Measurements:
    path = tmp_path / "runs.csv"
    path.write_text("w,c,p_w,x\n" + "\n".join(lines) + "\n")
    return read_measurements(path, columns, source="us", measurement_point="gpu")


def series(tmp_path: Path, rows: list[tuple[object, object]]) -> Measurements:
    path = tmp_path / "series.csv"
    path.write_text("t,p_w\n" + "".join(f"{t},{p}\n" for t, p in rows))
    return read_measurements(path, SERIES, source="us", measurement_point="gpu")


def test_units_are_turned_into_ours(tmp_path: Path) -> None:
    data = runs(tmp_path, LINES)
    assert data.quantity("power")[0] == pytest.approx(0.401)
    assert data.label("workload")[0] == "chat"
    assert data.lines[0] == 2
    assert data.excluded == ()
    assert data.dataset().rows == len(LINES)


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    data = runs(tmp_path, LINES)
    cells = [line.split(",") for line in LINES]
    table = pyarrow.table(
        {
            "w": [c[0] for c in cells],
            "c": [int(c[1]) for c in cells],
            "p_w": [float(c[2]) for c in cells],
            "x": [float(c[3]) for c in cells],
        }
    )
    parquet.write_table(table, tmp_path / "runs.parquet")
    same = read_measurements(tmp_path / "runs.parquet", RUNS, source="us", measurement_point="gpu")
    for name, value in data.values.items():
        np.testing.assert_allclose(same.values[name], value)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("nan", "power is no number"),
        ("", "power is no number"),
        ("-400", "power cannot be: allowed is > 0 kW"),
        ("404000", "about 1,000 times off"),
        ("0.404", "about 1,000 times off"),
    ],
)
def test_a_bad_row_is_left_out_by_line_and_reason(tmp_path: Path, cell: str, reason: str) -> None:
    lines = list(LINES)
    lines[2] = f"chat,4,{cell},40"
    data = runs(tmp_path, lines)
    assert len(data) == len(LINES) - 1
    assert data.excluded[0].run == "line 4"
    assert reason in data.excluded[0].reason


def test_two_kinds_of_bad_rows_in_one_column_are_both_named(tmp_path: Path) -> None:
    lines = [*LINES, "chat,256,700,2560"]
    lines[2], lines[5] = "chat,4,nan,40", "chat,32,-1,320"
    data = runs(tmp_path, lines)
    assert [e.run for e in data.excluded] == ["line 4", "line 7"]
    assert len(data) == len(lines) - 2


def test_too_many_bad_rows_refuse_the_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 of 8 left out"):
        runs(tmp_path, [*LINES[:5], "chat,32,nan,1", "chat,64,nan,1", "chat,128,nan,1"])


def test_a_stuck_column_of_steady_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the sensor is stuck"):
        runs(tmp_path, [f"chat,{c},400,{c}" for c in (1, 2, 4, 8)])


def test_an_unknown_unit_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"columns\.power\.unit: got 'BTU'; allowed: mW, W, kW, MW"
    ):
        runs(tmp_path, LINES, {**RUNS, "power": Column("p_w", "BTU")})


def test_an_unmapped_quantity_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"columns\.itl.*add  itl = "):
        runs(tmp_path, LINES).quantity("itl")


def test_time_that_runs_backwards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 4\.time: got '0.5 s before the line above'"):
        series(tmp_path, [(0, 400), (1, 401), (0.5, 402), (2, 403)])


def test_a_repeated_row_is_left_out_and_a_contradiction_refused(tmp_path: Path) -> None:
    rows = [(i, 400 + i) for i in range(8)]
    assert len(series(tmp_path, [*rows[:4], rows[3], *rows[4:]]).excluded) == 1
    with pytest.raises(InputError, match="one reading at a time"):
        series(tmp_path, [*rows[:4], (3, 999), *rows[4:]])


def test_a_stuck_sensor_is_left_out_of_a_series(tmp_path: Path) -> None:
    moving: list[tuple[object, object]] = [(i, 400 + i % 7) for i in range(300)]
    stuck: list[tuple[object, object]] = [(300 + i, 410) for i in range(40)]
    data = series(tmp_path, [*moving, *stuck])
    assert len(data.excluded) == 39
    assert "stuck sensor" in data.excluded[0].reason


def test_time_stamps_are_seconds_from_the_first(tmp_path: Path) -> None:
    rows: list[tuple[object, object]] = [
        (f"2026-06-01T00:00:0{i}+00:00", 400 + i) for i in range(5)
    ]
    assert series(tmp_path, rows).quantity("time").tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    with pytest.raises(InputError, match="with and without an offset"):
        series(tmp_path, [*rows, ("2026-06-01T00:00:09", 410)])


def test_a_table_with_semicolons_says_which_delimiter_it_has(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("w;c;p_w;x\n" + "".join(f"{line.replace(',', ';')}\n" for line in LINES))
    with pytest.raises(InputError, match='add  delimiter = ";"  to the spec'):
        read_measurements(path, RUNS, source="us", measurement_point="gpu")
    data = read_measurements(path, RUNS, source="us", measurement_point="gpu", delimiter=";")
    assert data.quantity("power").tolist() == runs(tmp_path, LINES).quantity("power").tolist()


def test_a_decimal_comma_is_said(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("c;p_w\n1;0,4\n2;0,5\n")
    columns = {"concurrency": Column("c"), "power": Column("p_w")}
    with pytest.raises(InputError, match="decimal point"):
        read_measurements(path, columns, source="us", measurement_point="gpu", delimiter=";")


@pytest.mark.parametrize(
    ("column", "wanted", "count"),
    [
        ("c", 8, 1),
        ("c", 8.0, 1),
        ("c", "8", 1),
        ("c", "8.0", 0),
        ("w", "chat", 8),
        ("ok", True, 7),
        ("ok", False, 1),
    ],
)
def test_rows_are_chosen_by_text_numbers_and_truth(
    tmp_path: Path, column: str, wanted: str | float | bool, count: int
) -> None:
    path = tmp_path / "runs.csv"
    rows = [f"{line},{'FALSE' if i == 0 else 'True'}\n" for i, line in enumerate(LINES)]
    path.write_text("w,c,p_w,x,ok\n" + "".join(rows))

    def read() -> Measurements:
        only = {column: (wanted,)}
        return read_measurements(path, RUNS, source="us", measurement_point="gpu", only=only)

    if count:
        assert len(read()) == count
    else:
        with pytest.raises(InputError, match=r"where\.c: got '8\.0'; allowed: .*: 1, 2, 4, 8"):
            read()


def test_a_row_that_was_written_twice_is_no_second_run(tmp_path: Path) -> None:
    data = runs(tmp_path, [*LINES, "chat,4,404.0,40", LINES[0]])
    assert len(data) == len(LINES)
    assert [e.run for e in data.excluded] == ["line 10", "line 11"]
    assert data.excluded[0].reason.startswith("the same as line 4 in every column")
    # a whole table twice is no bad table; bad rows are counted among the others
    twice = runs(tmp_path, [*LINES, *LINES])
    assert len(twice) == len(LINES)
    assert twice.dataset().rows == 2 * len(LINES)
    with pytest.raises(InputError, match="3 of 11 left out"):
        runs(tmp_path, [*LINES, *LINES, *(f"chat,{c},nan,1" for c in (5, 6, 7))])


def test_runs_that_agree_but_for_a_column_that_is_not_mapped_are_two(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("w,c,p_w,x,run\n" + "".join(f"{LINES[0]},{n}\n" for n in (1, 2)))
    assert len(read_measurements(path, RUNS, source="us", measurement_point="gpu")) == 2


def test_readings_that_repeat_stay(tmp_path: Path) -> None:
    path = tmp_path / "idle.csv"
    path.write_text("mode,p_w\n" + "idle,100\n" * 8)
    columns = {"mode": Column("mode"), "power": Column("p_w", "W")}
    assert len(read_measurements(path, columns, source="us", measurement_point="gpu")) == 8


@pytest.mark.parametrize(
    ("name", "right", "wrong"), [("cap", "W", "kW"), ("cap", "W", "mW"), ("clock", "MHz", "GHz")]
)
def test_settings_of_a_gpu_in_another_unit_are_refused(
    tmp_path: Path, name: str, right: str, wrong: str
) -> None:
    path = tmp_path / "settings.csv"
    path.write_text("x\n300\n400\n500\n")

    def read(unit: str) -> Measurements:
        columns = {name: Column("x", unit)}
        return read_measurements(path, columns, source="us", measurement_point="gpu")

    assert len(read(right)) == 3
    with pytest.raises(InputError, match=rf"columns\.{name}: .*correct the column, its unit"):
        read(wrong)
