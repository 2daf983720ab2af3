"""The page of baselines shows what the command prints."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

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
