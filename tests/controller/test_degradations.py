"""What is wrong is said when it begins and when it is over, and no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ebplan.controller.degradations import Degradations

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def test_each_is_said_once() -> None:
    known = Degradations()
    began, over = known.update({("device_lost", "meter"): "no answer"})
    assert [str(one) for one in began] == ["device_lost meter: no answer"]
    assert over == []
    assert known.update({("device_lost", "meter"): "no answer yet"}) == ([], [])
    began, over = known.update({("device_lost", "router"): "gone"})
    assert [one.of for one in began] == ["router"]
    assert [one.of for one in over] == ["meter"]


@pytest.mark.parametrize("jump_s", [-3600.0, -1.5, 2.0, 86_400.0])
def test_a_clock_that_jumps_is_seen_once(jump_s: float) -> None:
    known = Degradations()
    assert known.clock_jump_s(NOON, 100.0) == 0.0
    assert known.clock_jump_s(NOON + timedelta(seconds=1.01), 101.0) == 0.0
    jumped = NOON + timedelta(seconds=2.0 + jump_s)
    assert known.clock_jump_s(jumped, 102.0) == pytest.approx(jump_s, abs=0.02)
    assert known.clock_jump_s(jumped + timedelta(seconds=1.0), 103.0) == 0.0
