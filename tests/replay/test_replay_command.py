"""``ebplan replay``: the example of the page, its folder, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from replays import rows, spec, write_csv

from ebplan import cli
from ebplan.replay.results import ReplaySummary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")


def refresh() -> ModuleType:
    found = importlib.util.spec_from_file_location("refresh_docs", ROOT / "docs" / "refresh.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_shows_what_the_example_prints(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    parquet = pytest.importorskip("pyarrow.parquet")
    module = refresh()
    printed = module.printed_replay(str(tmp_path / "report"))
    page = (ROOT / "docs" / "replay.md").read_text(encoding="utf-8")
    shown = module.PLAN_BLOCK.search(page)
    assert shown is not None
    assert NUMBER.sub("#", shown.group()) == NUMBER.sub("#", printed)
    told = ReplaySummary.parse((tmp_path / "report" / "summary.json").read_bytes())
    assert told.unchecked == 0
    table = parquet.read_table(tmp_path / "report" / "intervals.parquet")
    assert table.num_rows == told.duration_s / told.interval_s
    assert parquet.read_table(tmp_path / "report" / "epochs.parquet").num_rows > 0
    assert (tmp_path / "report" / "replay.png").stat().st_size > 0
    assert os.listdir(tmp_path) == ["report"]  # what it was made in is gone


def write(folder: Path, **more: object) -> Path:
    write_csv(folder / "recording.csv", rows())
    file = folder / "replay.json"
    file.write_text(spec(**more).to_json(), "utf-8")  # type: ignore[arg-type]
    return file


def test_what_stands_there_is_not_written_over(tmp_path: Path) -> None:
    file = write(tmp_path)
    other = tmp_path / "mine"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work", "utf-8")
    done = CliRunner().invoke(cli.main, ["replay", str(file), "-o", str(other), "--no-figure"])
    assert done.exit_code == 2
    assert "choose another with --output" in done.stderr
    assert os.listdir(other) == ["thesis.txt"]


def test_bad_input_is_one_line_with_its_file(tmp_path: Path) -> None:
    file = write(tmp_path, baseline="yesterday")
    done = CliRunner().invoke(cli.main, ["replay", str(file)])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


def test_an_interruption_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path)

    def interrupt(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ebplan.replay.run.TwinRun.run", interrupt)
    done = CliRunner().invoke(cli.main, ["replay", str(file), "-o", str(tmp_path / "report")])
    assert done.exit_code == 130
    assert "the same command goes on" in done.stderr
    assert not (tmp_path / "report").exists()


def test_the_schema_is_there() -> None:
    done = CliRunner().invoke(cli.main, ["schema", "replay"])
    assert json.loads(done.output)["properties"]["kind"]["const"] == "replay"


def test_a_plan_and_a_recording_are_told_apart(tmp_path: Path) -> None:
    file = write(tmp_path)
    done = CliRunner().invoke(cli.main, ["replay", str(file), "--hot-from", str(file)])
    assert done.exit_code == 2
    assert "PLAN PROBLEM" in done.stderr
