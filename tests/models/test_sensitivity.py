"""The committed sensitivity table is what the command prints."""

import re
from pathlib import Path

import pytest

from ebplan.models.sensitivity import report

COMMITTED = Path(__file__).parents[2] / "docs" / "models" / "sensitivity.md"
NUMBER = re.compile(r"\d+\.?\d*")


def test_the_committed_table_is_the_printed_one() -> None:
    """Word for word; numbers to 2 %, since a fit's last digits depend on its libraries."""
    committed, printed = COMMITTED.read_text(encoding="utf-8"), report()
    assert NUMBER.sub("#", committed) == NUMBER.sub("#", printed)
    assert [float(n) for n in NUMBER.findall(committed)] == pytest.approx(
        [float(n) for n in NUMBER.findall(printed)], rel=0.02, abs=2e-3
    )


def test_less_idle_power_frees_more_by_consolidation() -> None:
    """The freed instance falls to idle: its watts count one for one."""
    rows = re.findall(r"^\| (\d+) \| (0\.\d+) \|", report().split("## Released")[1], re.MULTILINE)
    released = [float(kw) for _, kw in rows]
    assert len(released) >= 5
    assert released == sorted(released, reverse=True)
