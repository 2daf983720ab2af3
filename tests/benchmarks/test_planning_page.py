"""The table of what planning is to reach is made of real runs; no time is asserted."""

from __future__ import annotations

import pytest

from benchmarks.planning import EXACT_GAP, armed_rows, plan_all, rows_table, search_rows
from benchmarks.subjects import example
from benchmarks.variants import variants


def test_a_case_is_planned_to_the_end_beside_highs() -> None:
    planned = plan_all(variants(example("under_frequency"), 2), timely_s=0.1, limit_s=20.0)
    for p in planned:
        assert p.timely.check.ok
        assert p.last.check.ok
        assert p.apart <= EXACT_GAP
        assert p.first_s <= p.done_s
        assert p.highs.proven
        assert p.last.objective == pytest.approx(p.highs.objective, rel=2 * EXACT_GAP)
        assert p.over(p.timely) >= p.over(p.last) >= 0.0
    rows = list(search_rows("64", "5 min, 64", planned))
    assert [row.n for row in rows] == [2] * len(rows)
    assert len(rows_table(rows)) == 2 + len(rows)


def test_an_armed_plan_is_found() -> None:
    assert [row.n for row in armed_rows(times=5)] == [5, 5]
