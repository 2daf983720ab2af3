"""The wear of a plan against rainflow counting: never below, and how far above."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.wear_rainflow import (
    STRESSES,
    Compared,
    battery_of,
    compare,
    main,
    overstated,
    planned_wear,
    rainflow_wear,
    together,
)
from ebplan.wear import DepthStress

PLANS = 80
MOST_TOGETHER = {4: 0.15, 8: 0.05}
"""By how much the wear of all plans together may lie above rainflow's, by number of segments."""
PAGE = Path(__file__).parents[2] / "docs" / "wear.md"


def of_sort(compared: list[Compared], sort: str) -> list[Compared]:
    return [c for c in compared if c.sort == sort]


@pytest.mark.parametrize("sort", ["event", "day"])
@pytest.mark.parametrize("stress", STRESSES)
@pytest.mark.parametrize("segments", MOST_TOGETHER)
def test_wear_is_never_below_rainflow_and_not_far_above(
    segments: int, stress: str, sort: str
) -> None:
    compared = of_sort(compare(STRESSES[stress], segments, PLANS), sort)
    assert overstated(compared).min() > -1e-4
    assert 0.0 <= together(compared) < MOST_TOGETHER[segments]


def test_more_segments_come_nearer() -> None:
    stress = STRESSES["steep"]
    apart = [together(of_sort(compare(stress, j, PLANS), "event")) for j in (1, 2, 4, 8, 16)]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 0.01


@pytest.mark.parametrize("segments", [1, 3, 8])
def test_a_cycle_down_to_an_edge_is_what_rainflow_says(segments: int) -> None:
    # 5 to 95 %: from full to empty and back, and the smaller cycle to the first edge inside it.
    stress = DepthStress(coefficient=5e-4, exponent=2.0)
    battery = battery_of(stress, segments, 0.95)
    first = 0.9 / segments
    soc = np.array([0.95, 0.95 - 0.9, 0.05 + first, 0.05, 0.95])
    paid_out, halves = rainflow_wear(stress, soc)
    assert planned_wear(battery, 4.0 * soc) == pytest.approx(4.0 * paid_out)
    assert paid_out == pytest.approx(30_000.0 * 5e-4 * (0.9**2 + first**2))
    assert halves == pytest.approx(paid_out)


def test_the_command_writes_a_page_without_gaps(tmp_path: Path) -> None:
    page = tmp_path / "wear.md"
    result = CliRunner().invoke(main, ["--plans", "10", "--write", str(page)])
    assert result.exit_code == 0, result.output
    assert not re.search(r"\bnan\b|\binf\b", page.read_text(encoding="utf-8"))


def test_the_committed_page_says_that_wear_is_never_too_low() -> None:
    rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    lowest = [float(r[5].strip(" %")) for r in rows if len(r) > 6 and r[3].strip().isdigit()]
    assert len(lowest) == 2 * 2 * 5
    assert min(lowest) >= 0.0
