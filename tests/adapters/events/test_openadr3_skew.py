"""The estimate of another clock from its Date headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.events.openadr3.skew import SkewEstimate

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def see(
    estimate: SkewEstimate, asked_s: float, there_s: float, back_s: float, ahead_s: float
) -> None:
    """Let an answer be stamped ``there_s`` after it was asked for."""
    asked = NOON + timedelta(seconds=asked_s)
    stamped = (asked + timedelta(seconds=there_s + ahead_s)).timestamp()
    date = format_datetime(datetime.fromtimestamp(floor(stamped), UTC), usegmt=True)
    estimate.see(date, asked=asked, answered=asked + timedelta(seconds=there_s + back_s))


answers = st.lists(
    st.tuples(st.floats(0.0, 1e5), st.floats(0.0, 3.0), st.floats(0.0, 3.0)),
    min_size=1,
    max_size=40,
)


@given(answers, st.floats(-1e4, 1e4))
def test_the_true_offset_lies_within_the_uncertainty(
    took: list[tuple[float, float, float]], ahead_s: float
) -> None:
    estimate = SkewEstimate()
    for asked_s, there_s, back_s in took:
        see(estimate, asked_s, there_s, back_s, ahead_s)
    skew = estimate.skew
    assert skew is not None
    assert abs(skew.offset_s - ahead_s) <= skew.uncertainty_s + 1e-5
    assert not skew.exceeds(abs(ahead_s) + 1e-5)
    assert skew.answers == min(len(took), 15)


@given(answers, st.floats(5.0, 1e4), st.sampled_from([-1.0, 1.0]))
def test_an_offset_far_above_what_is_tolerated_is_seen(
    took: list[tuple[float, float, float]], ahead_s: float, side: float
) -> None:
    estimate = SkewEstimate()
    for asked_s, there_s, _ in took:
        see(estimate, asked_s, min(there_s, 0.1), 0.1, side * ahead_s)
    skew = estimate.skew
    assert skew is not None
    assert skew.exceeds(1.0)
    assert ("ahead" in str(skew)) is (side > 0.0)


def test_a_clock_that_was_set_makes_the_estimate_uncertain_until_the_old_answers_are_gone() -> None:
    estimate = SkewEstimate(kept=5)
    for n in range(5):
        see(estimate, float(n), 0.01, 0.01, 0.0)
    for n in range(5, 8):
        see(estimate, float(n), 0.01, 0.01, 60.0)
    skew = estimate.skew
    assert skew is not None
    assert skew.offset_s - skew.uncertainty_s <= 0.0
    assert skew.offset_s + skew.uncertainty_s >= 60.0
    for n in range(8, 10):
        see(estimate, float(n), 0.01, 0.01, 60.0)
    skew = estimate.skew
    assert skew is not None
    assert skew.uncertainty_s <= 1.1


def test_what_is_no_date_says_nothing() -> None:
    estimate = SkewEstimate()
    for date in (None, "", "tomorrow", "Mon, 99 Jun 2026 12:00:00 GMT"):
        estimate.see(date, asked=NOON, answered=NOON)
    estimate.see("Mon, 01 Jun 2026 12:00:00 GMT", asked=NOON, answered=NOON - timedelta(seconds=1))
    assert estimate.skew is None
