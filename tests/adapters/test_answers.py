"""Answers: what a person reads of them, and the nearest feasible value."""

from __future__ import annotations

import asyncio
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters import Applied, AppliedInPart, Range, Refused, Unreachable, Unverified
from ebplan.adapters.answers import clamped
from ebplan.adapters.confirm import wait_for_power
from ebplan.adapters.fake import ManualClock

KW = Range(-7.0, 5.0, "kW")
FINITE = st.floats(allow_nan=False)


@given(FINITE)
def test_the_nearest_feasible_value_lies_within_and_is_the_nearest(asked: float) -> None:
    value, cut = clamped(asked, KW)
    assert value in KW
    assert cut == (asked not in KW)
    assert abs(value - asked) <= min(abs(asked - KW.low), abs(asked - KW.high))


def test_no_number_has_no_nearest_value() -> None:
    with pytest.raises(ValueError, match="NaN"):
        KW.clamp(nan)


def test_what_a_person_reads() -> None:
    who = {"device": "battery", "command": "hold"}
    for answer, words in (
        (Applied(**who, asked=3.0, confirmed=3.0, measured_kw=2.99), "applied, 2.99 kW measured"),
        (
            AppliedInPart(**who, asked=9.0, confirmed=5.0, feasible=KW, why="outside its range"),
            "battery: hold 9: applied in part, 5 (outside its range)",
        ),
        (
            Refused(**who, asked=nan, why="no number", feasible=KW),
            "refused (no number; it takes -7 to 5 kW)",
        ),
        (
            Unreachable(**who, asked=3.0, why="no answer in 0.2 s", executed=True),
            "it may have been executed",
        ),
        (Unverified(**who, asked=None, why="0 kW measured"), "battery: hold: unverified"),
        (
            Refused(device="gpu0", command="cap", asked=None, why="no lease"),
            "gpu0: cap what was before: refused",
        ),
    ):
        assert words in str(answer)


class Rising:
    """A power that grows by 1 kW/s, with a reading missing now and then."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.readings = 0

    async def read_kw(self) -> float | None:
        self.readings += 1
        return None if self.readings % 3 == 0 else self.clock.now_s()


@pytest.mark.parametrize(("within_s", "reached"), [(0.0, False), (1.0, False), (2.5, True)])
async def test_a_power_is_waited_for_and_no_longer_than_said(
    within_s: float, reached: bool
) -> None:
    rising = Rising()
    waiting = asyncio.create_task(
        wait_for_power(rising.read_kw, lambda kw: kw >= 2.0, within_s=within_s, clock=rising.clock)
    )
    while not waiting.done():
        await rising.clock.advance(0.01)
    assert (await waiting).reached is reached
    assert rising.clock.now_s() == pytest.approx(min(within_s, 2.0), abs=0.05)
