"""The battery's part of the validation page, where its published data are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.validation import battery_simulated
from benchmarks.validation.battery import SECTIONS, WIDE_GOAL, interval_excess, plot
from benchmarks.validation.battery_calendar import Trial, lies_within
from benchmarks.validation.line import Line, Section
from ebplan.models.estimate import Estimate

pytestmark = pytest.mark.slow

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


def test_intervals_that_are_too_wide_are_seen() -> None:
    said = np.linspace(0.99, 0.9, 5)

    def trial(error: float, half: float) -> Trial:
        told = Estimate(mean=said, low=said - half, high=said + half, confidence=0.9)
        return Trial("a", 25.0, 0.5, np.arange(5.0), said - error, told, within=True)

    narrow = [trial(error, 0.0165) for error in (0.01, -0.01)]
    assert interval_excess(narrow) == pytest.approx(1.0, abs=0.01)
    assert interval_excess([trial(error, 0.05) for error in (0.01, -0.01)]) > WIDE_GOAL


@pytest.mark.parametrize(("share", "reached"), [(0.8, False), (0.9, True), (1.0, False)])
def test_too_many_intervals_that_hold_miss_the_goal_too(share: float, reached: bool) -> None:
    held = [i < share * 200 for i in range(200)]
    assert battery_simulated._line("a fit", held).reached is reached


def test_within_means_a_mean_of_others() -> None:
    corners = [(0.0, 0.0), (40.0, 0.0), (0.0, 1.0)]
    assert lies_within((10.0, 0.25), corners)
    assert lies_within((20.0, 0.0), corners)
    assert not lies_within((30.0, 0.9), corners)
    assert not lies_within((41.0, 0.0), corners)
