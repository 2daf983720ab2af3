"""The benchmark of the deadlines runs and counts; no time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.deadlines import Sized, deadlines_table, measure, warnings_lines
from benchmarks.deadlines_figure import draw
from benchmarks.subjects import example
from benchmarks.variants import variants

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sized() -> Sized:
    return measure(4, (0.1, 0.3), calls=6, limit_s=0.0, cases=2, longest_s=1.0)


def test_every_call_is_counted_and_checked(sized: Sized) -> None:
    for cell in sized.cells:
        assert cell.n == cell.checked == sum(cell.rungs.values()) == 6


def test_nothing_is_cheaper_than_the_best_known(sized: Sized) -> None:
    for cell in sized.cells:
        assert min(cell.over(sized.best)) >= 0.0
    assert min(sized.rule_over()) >= 0.0


def test_tables_and_figure_are_drawn(sized: Sized, tmp_path: Path) -> None:
    lines = deadlines_table([sized])
    assert len(lines) == 2 + 2 + 1
    assert "processes killed" in warnings_lines([sized])[0]
    draw([sized], tmp_path / "deadlines.png")
    assert (tmp_path / "deadlines.png").read_bytes().startswith(b"\x89PNG")


def test_variants_differ_and_are_the_same_for_the_same_seed() -> None:
    case = example("under_frequency")
    some = variants(case, 3, seed=7)
    assert some == variants(case, 3, seed=7)
    assert len({varied.state.soc for varied in some}) == 3
    assert len({varied.event.target.delta_kw for varied in some}) == 3
