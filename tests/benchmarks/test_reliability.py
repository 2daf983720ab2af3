"""Promises carried out on the plant: kept as often as stated, and the test that says so."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from benchmarks.reliability.calls import is_kept
from benchmarks.reliability.outcomes import Outcome, at_most, together
from benchmarks.reliability.page import page
from benchmarks.reliability.promises import CONFIDENCES, SCENARIOS, promised, subjects
from benchmarks.reliability.simulation import simulate

pytestmark = pytest.mark.slow

CALLS = 60
NAMES = [s.name for s in subjects()]


def test_the_binomial_is_that_of_the_books() -> None:
    for kept, calls, confidence in ((55, 60, 0.9), (60, 60, 0.99), (20, 60, 0.5)):
        assert at_most(kept, calls, confidence) == pytest.approx(binom.cdf(kept, calls, confidence))


@pytest.mark.parametrize("name", [n for n in NAMES if "two pools" not in n])
@pytest.mark.parametrize("scenario", [s.name for s in SCENARIOS])
def test_a_promise_is_kept_at_least_as_often_as_stated(name: str, scenario: str) -> None:
    outcome = simulate(name, 0.9, scenario, CALLS, seed=7)
    # 15 promises are tested, and all pass in 99 of 100 runs where each is as sure as stated
    assert outcome.is_often_enough(15)
    assert outcome.kept < CALLS or outcome.computed > 0.98


def test_a_promise_breaks_where_errors_are_large_and_not_where_there_are_none() -> None:
    subject = next(s for s in subjects() if s.name == "release 3 h")
    sure = promised("release 3 h", 0.9)
    assert is_kept(subject, sure, 0.0, 0.0)
    assert is_kept(subject, sure, -0.05, 0.0)
    assert not is_kept(subject, sure, 0.1, 0.0)
    assert not is_kept(subject, sure, 0.0, 0.4)
    assert not is_kept(subject, sure, 0.0, 0.0, 0.85)


def test_too_few_kept_is_found() -> None:
    seldom = Outcome("a", 0.9, "normal", 500, 425, 0.9, 1.0, True)
    assert not seldom.is_often_enough(24)
    assert seldom.excess_points == pytest.approx(-5.0)
    assert Outcome("a", 0.9, "normal", 500, 445, 0.9, 1.0, True).is_often_enough(24)


def test_the_page_says_what_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [
        Outcome(
            name, confidence, scenario.name, 100, round(100 * confidence), confidence, 1.0, True
        )
        for scenario in SCENARIOS
        for name in NAMES[:2]
        for confidence in CONFIDENCES
    ]
    text = page(outcomes)
    assert text.count("### Errors: ") == len(SCENARIOS)
    assert "| normal, 90 % | 180 of 200 | yes | +0.00 | <= 2 | yes |" in text


def test_a_deficit_of_all_promises_together_is_found() -> None:
    """Four points too seldom: no promise of some hundred calls shows it alone."""
    outcomes = [
        Outcome(name, 0.9, "normal", 417, round(0.86 * 417), 0.9, 1.0, True) for name in NAMES
    ]
    assert all(o.is_often_enough(24) for o in outcomes)
    pooled = next(t for t in together(outcomes) if (t.scenario, t.confidence) == ("normal", 0.9))
    assert not pooled.is_often_enough
