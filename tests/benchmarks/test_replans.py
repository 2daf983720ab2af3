"""Counters keep a plan where rates over seconds throw it away."""

from __future__ import annotations

import pytest

from benchmarks.replans import cause_of, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", ["fluid", "counters"])
def test_nothing_changes_and_no_plan_is_made_anew(kind: str) -> None:
    assert run(kind, 0.2, seed=3).plans == 0


def test_rates_alone_make_plans_anew() -> None:
    told = run("rates", 0.1, seed=3)
    assert told.plans > 3
    assert told.causes["load"] > 3


def test_causes() -> None:
    assert cause_of("pool a, batch: 3.10 req/s, planned 2.00") == "load"
    assert cause_of("the plan between events has expired") is None
