"""The page of baselines shows what the command prints."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from ebplan import cli
from ebplan.settlement.grid_report import GridReport

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")


def test_the_output_on_the_page_is_the_output(tmp_path: Path) -> None:
    """Word for word; numbers within a few of their last digits."""
    pytest.importorskip("matplotlib")
    spec = importlib.util.spec_from_file_location("refresh_docs", ROOT / "docs" / "refresh.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
    shown = module.PLAN_BLOCK.search(page)
    assert shown is not None
    printed = module.printed_baseline(str(tmp_path / "baseline.png"))
    assert NUMBER.sub("#", shown.group()) == NUMBER.sub("#", printed)
    for was, now in zip(NUMBER.findall(shown.group()), NUMBER.findall(printed), strict=True):
        left, right = float(was.replace(",", "")), float(now.replace(",", ""))
        assert left == pytest.approx(right, rel=1e-3, abs=0.11)
    assert (ROOT / "docs" / "figures" / "baseline.png").exists()
    assert " ".join(module.BASELINE) in page


def test_the_chain_on_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    chain = page.partition("## On to settlement")[2].partition("\n## ")[0]
    commands = [line[2:] for line in chain.splitlines() if line.startswith("$ ebplan ")]
    printed = [CliRunner().invoke(cli.main, shlex.split(line)[1:]) for line in commands]
    assert [done.exit_code for done in printed] == [0, 0, 0]
    assert "160 kW of 150 kW released" in printed[1].output
    assert GridReport.parse(printed[2].stdout.encode()).baseline_rule == "baseline.csv"
