"""The example of one week, from file to tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from study_recheck import recheck

from ebplan.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "study_week.toml"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "week"
    run = CliRunner().invoke(main, ["study", str(EXAMPLE), "-o", str(folder), "--no-ranges"])
    assert run.exit_code == 0, run.output
    return folder


def test_tables_agree_with_each_other(results: Path) -> None:
    kpis = pq.read_table(results / "kpi.parquet").to_pylist()
    profit = {row["policy"]: row["value"] for row in kpis if row["kpi"] == "profit"}
    for policy, value in profit.items():
        mine = pc.field("policy") == policy
        steps = pq.read_table(results / "steps.parquet", filters=mine)
        ledger = pq.read_table(results / "ledger.parquet", filters=mine)
        assert steps.num_rows == 7 * 48
        assert sum(steps["money"].to_pylist()) == pytest.approx(value, abs=1.0)
        assert sum(ledger["money"].to_pylist()) == pytest.approx(value, abs=1.0)
        assert str(steps["start"].type) == "timestamp[us, tz=Asia/Tokyo]"
    assert profit["myopic"] <= profit["receding"] <= profit["perfect_foresight"]


def test_foresight_leaves_no_imbalance(results: Path) -> None:
    mine = pc.field("policy") == "perfect_foresight"
    steps = pq.read_table(results / "steps.parquet", filters=mine)
    assert max(map(abs, steps["imbalance_kwh"].to_pylist())) < 1e-3


def test_manifest_says_what_the_results_were_made_from(results: Path) -> None:
    manifest = json.loads((results / "manifest.json").read_text())
    assert manifest["kind"] == "study_result"
    assert set(manifest["inputs"]) >= {"study", "service jp_fcr"}
    assert manifest["versions"]["highspy"]


def test_a_study_that_was_interrupted_goes_on(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (results / "kpi.parquet").read_bytes()
    (results / "kpi.parquet").unlink()

    def never(*_: object) -> None:
        raise AssertionError("a finished run is not run again")

    monkeypatch.setattr("ebplan.study.run._track", never)
    run = CliRunner().invoke(
        main, ["study", str(EXAMPLE), "-o", str(results), "--no-ranges"], catch_exceptions=False
    )
    assert run.exit_code == 0
    assert (results / "kpi.parquet").read_bytes() == before


def test_books_balance_by_the_tables_alone(results: Path) -> None:
    assert recheck(results) == []


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("steps", "money_arbitrage"),
        ("steps", "grid_kw"),
        ("groups", "energy_kwh"),
        ("awards", "money_capacity"),
        ("holdings", "battery_kw"),
        ("slices", "planned_kw"),
    ],
)
def test_what_is_changed_in_a_table_is_found(
    results: Path, tmp_path: Path, table: str, column: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(results, folder)
    whole = pq.read_table(folder / f"{table}.parquet")
    values = np.array(whole[column]).copy()
    values[100] += 1_000.0
    at = whole.column_names.index(column)
    pq.write_table(whole.set_column(at, column, pa.array(values)), folder / f"{table}.parquet")
    assert recheck(folder)


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text().split("[services.penalty_per_kwh]")
    rest = lines[1].split("[services.award_probability]")[1]
    file = tmp_path / "study.toml"
    file.write_text(lines[0] + "[services.award_probability]" + rest)
    run = CliRunner().invoke(main, ["study", str(file)])
    assert run.exit_code == 2
    assert "services.0.penalty_per_kwh" in run.output
