"""The fault matrix runs, and a page keeps the sections of its other benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import matrix
from benchmarks.faults.page import section
from benchmarks.faults.subjects import SUBJECTS
from benchmarks.sections import write_section


@pytest.mark.parametrize("fault_name", ["refuse", "wrong identity", "restart"])
async def test_a_battery_behind_a_bad_line(
    fault_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "BAD_S", 0.6)
    fault = dict(matrix.FAULTS)[fault_name]
    outcome = await matrix.run_one(SUBJECTS["SunSpec battery"], fault_name, fault)
    assert outcome.is_good, outcome
    assert outcome.reading == "unreachable"
    assert outcome.longest_s < 0.5
    assert f"| {fault_name} |" in section([outcome])


def test_sections_are_replaced_and_others_kept(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\nWords.\n")
    write_section(page, "one", "## One\n\nfirst")
    write_section(page, "two", "## Two")
    write_section(page, "one", "## One\n\n\\1 second")
    text = page.read_text()
    assert text.startswith("# Title\n\nWords.\n")
    assert "first" not in text
    assert text.index("\\1 second") < text.index("## Two")
    assert text.count("<!-- one -->") == 1
