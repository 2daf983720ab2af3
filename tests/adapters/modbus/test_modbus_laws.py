"""Laws of a driven battery on a drive without a wire: what it is told is always allowed."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modbus_cases import GUARDED

from ebplan.adapters.answers import Applied, AppliedInPart, Range, Refused, Unverified
from ebplan.adapters.modbus.connection import Denied, Failure, Lost
from ebplan.adapters.modbus.drive import BatterySettings, Device, Held, Seen
from ebplan.adapters.modbus.driven import DrivenBattery
from ebplan.adapters.roles import BatteryReading

Limit = st.floats(0.0, 1e4)


@dataclass
class Paper:
    """A drive on paper: it takes what it is told, or a share of it, or fails on cue."""

    low: float = -100.0
    high: float = 100.0
    share: float = 1.0
    fails: Failure | None = None
    unread: Failure | None = None
    soc: float | None = None
    told: list[float] = field(default_factory=list)
    kw: float | None = None

    async def ready(self) -> Device | Failure:
        return Device("paper", "P-1", Range(self.low, self.high, "kW"), 1e-6, 3600.0)

    async def same(self) -> None:
        return None

    async def set(self, kw: float, term_s: int) -> Failure | None:
        self.told.append(kw)
        if self.fails is None:
            self.kw = kw * self.share
        return self.fails

    async def extend(self, term_s: int) -> Failure | None:
        return self.fails

    async def stop(self) -> Failure | None:
        self.kw = 0.0
        return self.fails

    async def held(self) -> Held | Failure:
        return self.unread or Held(self.kw, 5.0)

    async def seen(self) -> Seen | Failure:
        return Seen(self.kw or 0.0)

    async def read(self) -> BatteryReading | Failure:
        return BatteryReading(0.0, self.soc, Range(self.low, self.high, "kW"), True, 50.0, 0.0)

    async def close(self) -> None:
        return None


@given(st.floats(), Limit, Limit, st.none() | Limit, st.none() | Limit)
def test_what_is_told_is_always_allowed(
    asked: float, charge: float, discharge: float, less: float | None, more: float | None
) -> None:
    paper = Paper(-charge, discharge)
    settings = BatterySettings(guardian="g", max_charge_kw=less, max_discharge_kw=more)
    answer = asyncio.run(DrivenBattery(paper, settings).hold(asked))
    low = -min(charge, charge if less is None else less)
    high = min(discharge, discharge if more is None else more)
    for told in paper.told:
        assert low <= told <= high
    if asked != asked or abs(asked) == float("inf"):
        assert isinstance(answer, Refused)
        assert not paper.told
    elif low <= asked <= high:
        assert isinstance(answer, Applied)
        assert answer.confirmed == pytest.approx(asked)
    else:
        assert isinstance(answer, AppliedInPart)
        assert answer.feasible == Range(low, high, "kW")
        assert abs(answer.confirmed - asked) == pytest.approx(
            max(low - asked, asked - high), rel=1e-9, abs=1e-6
        )


@given(st.floats(-100, 100), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_window_of_charge_holds_whatever_is_asked(
    asked: float, soc: float, low: float, high: float
) -> None:
    paper = Paper(soc=soc)
    settings = BatterySettings(guardian="g", soc_min=low, soc_max=high)
    battery = DrivenBattery(paper, settings)

    async def run() -> None:
        await battery.read()
        await battery.hold(asked)

    asyncio.run(run())
    for told in paper.told:
        assert soc > low or told <= 0.0
        assert soc < high or told >= 0.0


@given(st.floats(1.0, 100.0), st.floats(-1.5, 1.5))
def test_less_is_in_part_and_anything_else_is_unverified(asked: float, share: float) -> None:
    paper = Paper(share=share)
    answer = asyncio.run(DrivenBattery(paper, GUARDED).hold(asked))
    if abs(share - 1.0) * asked <= 1e-6:
        assert isinstance(answer, Applied)
    elif 0.0 < share < 1.0:
        assert isinstance(answer, AppliedInPart)
        assert answer.confirmed == pytest.approx(asked * share)
    elif share > 1.0 or share < 0.0:
        assert isinstance(answer, Unverified)


@given(st.floats(1.0, 1e5))
def test_a_granted_term_is_never_longer_than_asked(ttl_s: float) -> None:
    answer = asyncio.run(DrivenBattery(Paper(), GUARDED).renew(ttl_s))
    assert isinstance(answer, Applied | AppliedInPart)
    assert isinstance(answer.confirmed, float)
    assert 1.0 <= answer.confirmed <= ttl_s
    assert answer.confirmed == int(answer.confirmed)


@pytest.mark.parametrize("failure", [Lost("gone"), Lost("gone", executed=True), Denied(6, "busy")])
def test_a_failed_write_is_never_tried_again(failure: Failure) -> None:
    paper = Paper(fails=failure)
    answer = asyncio.run(DrivenBattery(paper, GUARDED).hold(5.0))
    assert len(paper.told) == 1
    assert getattr(answer, "executed", None) == getattr(failure, "executed", None)


def test_a_set_point_that_was_refused_leaves_the_one_before_it_watched() -> None:
    paper = Paper()
    battery = DrivenBattery(paper, GUARDED)

    async def run() -> list[object]:
        await battery.hold(5.0)
        paper.fails = Denied(6, "busy")
        refused = await battery.hold(8.0)
        paper.fails = None
        going_on = await battery.renew(5.0)
        paper.kw = 0.0
        return [refused, going_on, await battery.renew(5.0)]

    refused, going_on, lapsed = asyncio.run(run())
    assert isinstance(refused, Refused)
    assert refused.feasible == Range(-100.0, 100.0, "kW")
    assert isinstance(going_on, Applied)
    assert isinstance(lapsed, Unverified)
