"""The battery's part of the validation page, where its published data are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.validation.battery import SECTIONS, plot
from benchmarks.validation.battery_calendar import lies_within
from benchmarks.validation.line import Line, Section

DATA = Path(__file__).parents[3] / "shared" / "data"
"""Published tables that are not part of the project."""
MEASURED = [section for section in SECTIONS if section.files]


def skip_where_missing(section: Section) -> None:
    for file in section.files:
        if not (DATA / file).is_file():
            pytest.skip(f"{file} is not at hand: published data are not part of this repository")


@pytest.mark.parametrize("section", MEASURED, ids=lambda section: section.title)
def test_every_goal_is_reached(section: Section) -> None:
    skip_where_missing(section)
    lines = [line for line in section.run(DATA) if isinstance(line, Line)]
    assert lines
    assert [line.what for line in lines if line.reached is False] == []
    assert all((line.reached is None) == (line.goal == "") for line in lines)


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    skip_where_missing(SECTIONS[0])
    plot(DATA, tmp_path / "rest.png")
    assert (tmp_path / "rest.png").read_bytes().startswith(b"\x89PNG")


def test_within_means_a_mean_of_others() -> None:
    corners = [(0.0, 0.0), (40.0, 0.0), (0.0, 1.0)]
    assert lies_within((10.0, 0.25), corners)
    assert lies_within((20.0, 0.0), corners)
    assert not lies_within((30.0, 0.9), corners)
    assert not lies_within((41.0, 0.0), corners)
