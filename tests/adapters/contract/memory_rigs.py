"""Fakes, and recordings of them: devices that need nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from scenarios import Rig

from ebplan.adapters.answers import Range
from ebplan.adapters.fake import (
    FakeBattery,
    FakeGpus,
    FakeMeter,
    FakeNodePower,
    FakeRouter,
    FakeServing,
    ManualClock,
)


def battery(clock: ManualClock) -> Rig:
    return Rig(FakeBattery(Range(-7.0, 7.0, "kW"), clock=clock), clock.advance, 3.0)


def gpus(clock: ManualClock) -> Rig:
    device = FakeGpus({0: 500.0, 1: 300.0}, clock=clock)
    return Rig(device, clock.advance, 3.0, parts=(0, 1))


def router(clock: ManualClock) -> Rig:
    return Rig(FakeRouter(("a", "b"), clock=clock), clock.advance, 3.0, parts=("a", "b"))


def serving(clock: ManualClock) -> Rig:
    device = FakeServing(clock=clock)

    async def busy(at_work: bool) -> None:
        device.running = int(at_work)

    return Rig(device, clock.advance, 3.0, busy=busy)


def meter(clock: ManualClock) -> Rig:
    return Rig(FakeMeter(lambda: 4.95, clock=clock), clock.advance, 3.0)


def node_power(clock: ManualClock) -> Rig:
    return Rig(FakeNodePower(lambda: 6.2, clock=clock), clock.advance, 3.0)


def started(make: Callable[[ManualClock], Rig]) -> Callable[[], Any]:
    """Return a rig as a context manager, as those of real devices are."""

    @asynccontextmanager
    async def rig() -> AsyncIterator[Rig]:
        yield make(ManualClock())

    return rig


async def no_time(seconds: float) -> None:
    """Let no time pass: a recording has none."""


async def nobody(at_work: bool) -> None:
    """Leave a recording as it is."""


Scenario = Callable[[Rig], Awaitable[None]]
