"""Leases are renewed in time, each on its own, and only by a loop that is alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ebplan.adapters.answers import Answer, Applied, Range, Unreachable
from ebplan.adapters.fake import FakeBattery, FakeRouter, ManualClock
from ebplan.adapters.health import BackOff
from ebplan.adapters.lease import Lease, LeaseKeeper


@asynccontextmanager
async def kept(keeper: LeaseKeeper) -> AsyncIterator[None]:
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def battery(clock: ManualClock, timeout_s: float = 0.2) -> FakeBattery:
    return FakeBattery(Range(-7.0, 7.0, "kW"), clock=clock, timeout_s=timeout_s)


def test_a_lease_is_due_after_a_third_of_its_term() -> None:
    lease = Lease(3.0, renewed_s=10.0)
    assert (lease.due_s, lease.ends_s) == (11.0, 13.0)
    assert lease.holds(12.99)
    assert not lease.holds(13.0)


def test_a_lease_without_a_term_is_no_lease() -> None:
    with pytest.raises(ValueError, match="term"):
        LeaseKeeper({}, 0.0)


async def test_a_lease_holds_as_long_as_the_loop_beats() -> None:
    clock = ManualClock()
    device = battery(clock)
    keeper = LeaseKeeper({"battery": device}, 3.0, clock)
    async with kept(keeper):
        for _ in range(60):
            keeper.beat()
            await clock.advance(0.5)
            assert device.leased
            assert keeper.usable() == {"battery"}


async def test_a_loop_that_hangs_lets_it_lapse() -> None:
    clock = ManualClock()
    device = battery(clock)
    keeper = LeaseKeeper({"battery": device}, 3.0, clock)
    async with kept(keeper):
        await clock.advance(1.0)
        assert device.leased
        # no beat any more: what was renewed last ends a term later, two terms after the last beat
        await clock.advance(5.1)
        assert not device.leased
        keeper.beat()
        await clock.advance(0.5)
        assert device.leased


async def test_two_renewals_may_be_lost() -> None:
    clock = ManualClock()
    device = battery(clock, timeout_s=0.1)
    keeper = LeaseKeeper({"battery": device}, 3.0, clock, BackOff(first_s=0.9, longest_s=0.9))
    async with kept(keeper):
        await clock.advance(0.9)
        device.fault = "deaf"
        keeper.beat()
        await clock.advance(1.9)
        device.fault = None
        keeper.beat()
        assert device.leased
        await clock.advance(1.0)
        assert device.leased


async def test_a_slow_device_delays_no_other() -> None:
    clock = ManualClock()
    quick, slow = battery(clock), FakeRouter(("a",), clock=clock, timeout_s=100.0)
    slow.fault = "silent"
    keeper = LeaseKeeper({"battery": quick, "router": slow}, 3.0, clock)
    async with kept(keeper):
        for _ in range(40):
            keeper.beat()
            await clock.advance(0.5)
            assert quick.leased
    assert keeper.usable() == {"battery"}


async def test_a_device_that_cannot_be_reached_is_set_aside_and_comes_back() -> None:
    clock = ManualClock()
    device = battery(clock)
    device.fault = "deaf"
    keeper = LeaseKeeper({"battery": device}, 3.0, clock, BackOff(longest_s=1.0, steady_s=5.0))
    async with kept(keeper):
        for _ in range(20):
            keeper.beat()
            await clock.advance(0.5)
        assert isinstance(keeper.last["battery"], Unreachable)
        assert keeper.usable() == frozenset()
        device.fault = None
        for _ in range(20):
            keeper.beat()
            await clock.advance(0.5)
        assert keeper.usable() == {"battery"}


async def test_released_devices_are_safe_at_once() -> None:
    clock = ManualClock()
    device = battery(clock)
    keeper = LeaseKeeper({"battery": device}, 3.0, clock)
    await keeper.renew("battery")
    await device.hold(2.0)
    answers: dict[str, Answer] = await keeper.release()
    assert isinstance(answers["battery"], Applied)
    assert device.battery_kw == 0.0
    assert not keeper.holds("battery")
