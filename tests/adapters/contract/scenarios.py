"""What every device of a role does, whoever made it: said in readings and answers only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf, nan
from typing import Any

import pytest

from ebplan.adapters import Applied, AppliedInPart, Refused
from ebplan.adapters.roles import Droop, NodePowerReading
from ebplan.frequency import ResponseCurve

DROOP = ResponseCurve(shape="droop", dead_band_hz=0.01, full_hz=0.2)
KNEE = ResponseCurve(shape="knee", dead_band_hz=0.015, knee_hz=0.2, knee_fraction=0.05, full_hz=0.5)


@dataclass
class Rig:
    """A device, how to let time pass for it, and the term of its leases."""

    device: Any
    wait: Callable[[float], Awaitable[None]]
    ttl_s: float
    settle_s: float = 0.0
    parts: tuple[Any, ...] = ()
    busy: Callable[[bool], Awaitable[None]] | None = None

    async def lease(self) -> None:
        answer = await self.device.renew(self.ttl_s)
        assert isinstance(answer, Applied | AppliedInPart), answer
        assert 0.0 < answer.confirmed <= self.ttl_s

    async def lapse(self) -> None:
        """Let the lease run out; devices count in steps of at most a second."""
        await self.wait(self.ttl_s + 1.2 + self.settle_s)


async def a_battery_holds_what_it_is_told_both_ways(rig: Rig) -> None:
    for kw in (1.0, -1.5):
        await rig.lease()
        answer = await rig.device.hold(kw, confirm_s=rig.settle_s)
        assert isinstance(answer, Applied), answer
        assert answer.confirmed == pytest.approx(kw, abs=0.01)
        await rig.wait(rig.settle_s)
        reading = await rig.device.read()
        assert reading.battery_kw == pytest.approx(kw, abs=0.05)
        assert reading.available


async def a_battery_takes_no_more_than_it_can(rig: Rig) -> None:
    await rig.lease()
    feasible = (await rig.device.read()).feasible
    assert feasible.low < 0.0 < feasible.high
    for asked, limit in ((feasible.high + 1e3, feasible.high), (feasible.low - 1e3, feasible.low)):
        answer = await rig.device.hold(asked)
        assert isinstance(answer, AppliedInPart), answer
        assert answer.confirmed == pytest.approx(limit, abs=0.01)
        assert answer.feasible is not None
        assert answer.feasible.high == pytest.approx(feasible.high)


async def a_battery_is_never_told_what_is_no_number(rig: Rig) -> None:
    await rig.lease()
    await rig.device.hold(0.5, confirm_s=rig.settle_s)
    for asked in (nan, inf, -inf):
        answer = await rig.device.hold(asked)
        assert isinstance(answer, Refused), answer
        assert answer.feasible is not None
    assert (await rig.device.read()).battery_kw == pytest.approx(0.5, abs=0.05)


async def a_battery_rests_when_its_lease_lapses(rig: Rig) -> None:
    await rig.lease()
    assert isinstance(await rig.device.hold(1.0, confirm_s=rig.settle_s), Applied)
    await rig.lapse()
    assert (await rig.device.read()).battery_kw == pytest.approx(0.0, abs=0.05)


async def a_battery_rests_when_it_is_released(rig: Rig) -> None:
    await rig.lease()
    await rig.device.hold(1.0, confirm_s=rig.settle_s)
    assert isinstance(await rig.device.release(), Applied)
    await rig.wait(rig.settle_s)
    assert (await rig.device.read()).battery_kw == pytest.approx(0.0, abs=0.05)


async def a_battery_arms_a_straight_droop_and_no_other(rig: Rig) -> None:
    await rig.lease()
    answer = await rig.device.arm_droop(Droop(0.5, DROOP, 50.0))
    assert isinstance(answer, Applied), answer
    assert answer.confirmed == pytest.approx(0.5, abs=0.01)
    assert (await rig.device.read()).droop_kw == pytest.approx(0.5, abs=0.01)
    assert isinstance(await rig.device.arm_droop(Droop(0.5, KNEE, 50.0)), Refused)


async def a_lease_has_a_term(rig: Rig) -> None:
    for term in (nan, 0.0, -1.0):
        assert isinstance(await rig.device.renew(term), Refused)


async def gpus_take_caps_one_by_one(rig: Rig) -> None:
    first, second, *_ = rig.parts
    await rig.lease()
    before = await rig.device.read()
    low = before[first].cap_range.low
    answers = await rig.device.cap({first: low + 50.0}, confirm_s=rig.settle_s)
    assert isinstance(answers[first], Applied), answers
    assert answers[first].confirmed == low + 50.0
    after = await rig.device.read()
    assert after[first].enforced_w == low + 50.0
    assert after[second].enforced_w == before[second].enforced_w


async def gpus_take_no_cap_outside_their_range(rig: Rig) -> None:
    gpu = rig.parts[0]
    await rig.lease()
    feasible = (await rig.device.read())[gpu].cap_range
    answer = (await rig.device.cap({gpu: feasible.low - 100.0}))[gpu]
    assert isinstance(answer, AppliedInPart), answer
    assert answer.confirmed == feasible.low
    assert isinstance((await rig.device.cap({gpu: nan}))[gpu], Refused)
    assert isinstance((await rig.device.cap({999: 300.0}))[999], Refused)
    assert (await rig.device.read())[gpu].cap_w == feasible.low


async def gpus_give_back_the_cap_that_was_before(rig: Rig) -> None:
    gpu = rig.parts[0]
    await rig.lease()
    before = (await rig.device.read())[gpu].cap_w
    await rig.device.cap({gpu: before - 100.0})
    answer = (await rig.device.cap({gpu: None}))[gpu]
    assert isinstance(answer, Applied), answer
    assert (await rig.device.read())[gpu].cap_w == before


async def gpus_are_uncapped_when_the_lease_lapses(rig: Rig) -> None:
    gpu = rig.parts[0]
    await rig.lease()
    before = (await rig.device.read())[gpu].cap_w
    await rig.device.cap({gpu: before - 100.0})
    await rig.lapse()
    assert (await rig.device.read())[gpu].cap_w == before


async def gpus_are_uncapped_when_released(rig: Rig) -> None:
    gpu = rig.parts[0]
    await rig.lease()
    before = (await rig.device.read())[gpu].cap_w
    await rig.device.cap({gpu: before - 100.0})
    assert isinstance(await rig.device.release(), Applied)
    await rig.wait(rig.settle_s)
    assert (await rig.device.read())[gpu].cap_w == before


async def a_router_drains_and_takes_back(rig: Rig) -> None:
    server, other, *_ = rig.parts
    await rig.lease()
    assert isinstance((await rig.device.route({server: 0.0}))[server], Applied)
    reading = await rig.device.read()
    assert reading.leased
    assert reading.servers[server].state == "drained"
    assert reading.servers[server].weight == 0.0
    assert reading.servers[other].state == "up"
    answer = (await rig.device.route({server: 0.5}))[server]
    assert isinstance(answer, Applied), answer
    assert (await rig.device.read()).servers[server].weight == pytest.approx(0.5, abs=0.01)


async def a_router_knows_its_servers_and_classes(rig: Rig) -> None:
    server = rig.parts[0]
    await rig.lease()
    assert isinstance((await rig.device.route({"nobody": 1.0}))["nobody"], Refused)
    assert isinstance((await rig.device.admit({"nobody": 1.0}))["nobody"], Refused)
    assert isinstance((await rig.device.lower({"nobody": 1.0}))["nobody"], Refused)
    assert isinstance((await rig.device.route({server: nan}))[server], Refused)
    answer = (await rig.device.route({server: 7.0}))[server]
    assert isinstance(answer, AppliedInPart), answer
    assert answer.confirmed == 1.0


async def a_router_limits_and_lifts(rig: Rig) -> None:
    await rig.lease()
    assert isinstance((await rig.device.admit({"batch": 5.0}))["batch"], Applied)
    assert (await rig.device.read()).admitted_per_s["batch"] == pytest.approx(5.0)
    assert isinstance((await rig.device.admit({"batch": None}))["batch"], Applied)
    assert (await rig.device.read()).admitted_per_s["batch"] is None
    assert isinstance((await rig.device.lower({"batch": 0.25}))["batch"], Applied)
    assert (await rig.device.read()).lower_share["batch"] == pytest.approx(0.25, abs=0.01)


async def a_router_goes_its_own_way_when_the_lease_lapses(rig: Rig) -> None:
    server = rig.parts[0]
    await rig.lease()
    await rig.device.route({server: 0.0})
    await rig.lapse()
    assert not (await rig.device.read()).leased


async def an_engine_sleeps_and_wakes(rig: Rig) -> None:
    await rig.lease()
    assert isinstance(await rig.device.sleep(), Applied)
    assert not (await rig.device.read()).awake
    assert isinstance(await rig.device.warm(["a prompt"]), Refused)
    assert isinstance(await rig.device.wake(), Applied)
    assert (await rig.device.read()).awake
    answer = await rig.device.warm(["a prompt that is long enough to fill a block or two " * 8])
    assert isinstance(answer, Applied), answer
    assert answer.confirmed == 1.0


async def an_engine_does_not_sleep_at_work(rig: Rig) -> None:
    assert rig.busy is not None
    await rig.lease()
    await rig.busy(True)
    answer = await rig.device.sleep()
    await rig.busy(False)
    assert isinstance(answer, Refused), answer
    assert (await rig.device.read()).awake


async def an_engine_wakes_when_the_lease_lapses(rig: Rig) -> None:
    await rig.lease()
    assert isinstance(await rig.device.sleep(), Applied)
    await rig.lapse()
    assert (await rig.device.read()).awake


async def a_meter_shows_what_is_drawn(rig: Rig) -> None:
    reading = await rig.device.read()
    assert reading.grid_kw > 0.0
    assert reading.frequency_hz is None or 45.0 < reading.frequency_hz < 65.0


async def a_node_says_what_it_draws_and_where(rig: Rig) -> None:
    reading = await rig.device.read()
    assert isinstance(reading, NodePowerReading)
    assert reading.power_kw > 0.0
    assert (reading.covers == "node") == (reading.measurement_point is not None)
    assert reading.age_s >= 0.0


LEASE = (a_lease_has_a_term,)
BATTERY = (
    *LEASE,
    a_battery_holds_what_it_is_told_both_ways,
    a_battery_takes_no_more_than_it_can,
    a_battery_is_never_told_what_is_no_number,
    a_battery_rests_when_its_lease_lapses,
    a_battery_rests_when_it_is_released,
    a_battery_arms_a_straight_droop_and_no_other,
)
GPUS = (
    *LEASE,
    gpus_take_caps_one_by_one,
    gpus_take_no_cap_outside_their_range,
    gpus_give_back_the_cap_that_was_before,
    gpus_are_uncapped_when_the_lease_lapses,
    gpus_are_uncapped_when_released,
)
ROUTER = (
    *LEASE,
    a_router_drains_and_takes_back,
    a_router_knows_its_servers_and_classes,
    a_router_limits_and_lifts,
    a_router_goes_its_own_way_when_the_lease_lapses,
)
SERVING = (
    *LEASE,
    an_engine_sleeps_and_wakes,
    an_engine_does_not_sleep_at_work,
    an_engine_wakes_when_the_lease_lapses,
)
METER = (a_meter_shows_what_is_drawn,)
NODE_POWER = (a_node_says_what_it_draws_and_where,)
