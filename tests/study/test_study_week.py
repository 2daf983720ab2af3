"""The example of one week, from file to tables."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from ebplan.cli import main

EXAMPLE = Path(__file__).parents[2] / "examples" / "study" / "week.toml"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "week"
    run = CliRunner().invoke(main, ["study", str(EXAMPLE), "-o", str(folder), "--json"])
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


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text().split("[services.penalty_per_kwh]")
    rest = lines[1].split("[services.award_probability]")[1]
    file = tmp_path / "study.toml"
    file.write_text(lines[0] + "[services.award_probability]" + rest)
    run = CliRunner().invoke(main, ["study", str(file)])
    assert run.exit_code == 2
    assert "services.0.penalty_per_kwh" in run.output
