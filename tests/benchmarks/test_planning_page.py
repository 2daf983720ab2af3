"""The table of what planning is to reach is made of real runs; no time is asserted."""

from __future__ import annotations

import pytest

from benchmarks.planning import armed_rows, plan_all, rows_table, search_rows
from benchmarks.subjects import example
from benchmarks.variants import variants
from ebplan.plan import OPTIMAL_GAP


def test_a_case_is_planned_to_the_end_beside_highs() -> None:
    planned = plan_all(variants(example("under_frequency"), 2), limit_s=20.0)
    for p in planned:
        assert p.first.check.ok
        assert p.last.check.ok
        assert p.last.gap is not None
        assert p.last.gap <= OPTIMAL_GAP
        assert p.first_s <= p.done_s
        assert p.highs.proven
        assert p.last.objective == pytest.approx(p.highs.objective, rel=3 * OPTIMAL_GAP)
        assert p.over(p.first) >= p.over(p.last) >= 0.0
    rows = list(search_rows("4", "5 min, 4", planned))
    assert [row.n for row in rows] == [2] * len(rows)
    assert len(rows_table(rows)) == 2 + len(rows)


def test_an_armed_plan_is_found() -> None:
    assert [row.n for row in armed_rows(times=5)] == [5, 5]
