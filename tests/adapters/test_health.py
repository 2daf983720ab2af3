"""Back-off and set-aside: laws of pure functions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.health import (
    BackOff,
    Health,
    after_failure,
    after_success,
    may_try,
    retry_at_s,
    set_aside,
)

POLICY = BackOff(first_s=0.2, longest_s=30.0, aside_after=3, steady_s=10.0)
EVENTS = st.lists(
    st.tuples(st.floats(0.0, 20.0), st.booleans()), min_size=1, max_size=60
)  # seconds since the one before, and whether the device answered


def test_waits_double_up_to_the_longest() -> None:
    assert [POLICY.wait_s(n) for n in range(5)] == [0.0, 0.2, 0.4, 0.8, 1.6]
    assert POLICY.wait_s(10_000) == 30.0


def test_a_device_is_left_alone_and_then_asked_again() -> None:
    sick = after_failure(after_failure(Health(), 100.0, "no answer"), 101.0, "no answer")
    assert not may_try(sick, 101.3, POLICY)
    assert may_try(sick, 101.4, POLICY)


def test_one_that_answers_every_other_time_is_set_aside_all_the_same() -> None:
    health, now_s = Health(), 0.0
    for _ in range(3):
        health = after_failure(health, now_s, "closed")
        health = after_success(health, now_s + 0.5, POLICY)
        now_s += 1.0
    assert set_aside(health, POLICY)
    for later in range(1, 11):
        health = after_success(health, now_s + later, POLICY)
    assert not set_aside(health, POLICY)


@given(EVENTS)
def test_failures_are_forgotten_only_after_steady_answers(
    events: list[tuple[float, bool]],
) -> None:
    health, now_s = Health(), 0.0
    answered_since, failures = None, 0
    for gap_s, answered in events:
        now_s += gap_s
        if answered:
            health = after_success(health, now_s, POLICY)
            answered_since = now_s if answered_since is None else answered_since
            if now_s - answered_since >= POLICY.steady_s:
                failures = 0
        else:
            health = after_failure(health, now_s, "x")
            answered_since, failures = None, failures + 1
        assert health.failures == failures
        assert may_try(health, now_s, POLICY) == (answered or failures == 0)


@given(st.integers(1, 400), st.floats(0.0, 1e6))
def test_the_wait_is_never_longer_than_said(failures: int, now_s: float) -> None:
    health = Health(failures=failures, failed_s=now_s)
    assert retry_at_s(health, POLICY) <= now_s + POLICY.longest_s
    assert may_try(health, now_s + POLICY.longest_s, POLICY)
