"""A plan reaches the devices: at its time, in a safe order, and a slow device delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ebplan import Plan, Planner, load_case
from ebplan.adapters.answers import Applied, Range, Refused, Unreachable
from ebplan.adapters.fake import (
    FakeBattery,
    FakeGpus,
    FakeMeter,
    FakeRouter,
    FakeServing,
    ManualClock,
)
from ebplan.adapters.lease import LeaseKeeper
from ebplan.adapters.roles import Droop
from ebplan.adapters.site_devices import Place, SiteDevices
from ebplan.disaggregate import Instance
from ebplan.dispatch import Dispatcher, PoolInstances, follow_leased
from ebplan.errors import InputError
from ebplan.frequency import ResponseCurve

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = tuple(f"llama-{i}" for i in range(4))
BUSY_W, IDLE_W, OTHER_KW = 550.0, 130.0, 0.55
DROOP = Droop(0.0, ResponseCurve(shape="droop", dead_band_hz=0.01, full_hz=0.2), 50.0)


@dataclass
class Bench:
    """Four engines on eight GPUs whose draw follows the router, a battery and a meter."""

    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.gpus = FakeGpus(dict.fromkeys(range(8), BUSY_W), clock=self.clock)
        self.router = FakeRouter(NAMES, clock=self.clock)
        self.battery = FakeBattery(Range(-7.0, 7.0, "kW"), clock=self.clock)
        self.engines = {name: FakeServing(name=name, clock=self.clock) for name in NAMES}
        self.meter = FakeMeter(self.grid_kw, clock=self.clock)
        self.devices = SiteDevices(
            battery=self.battery,
            meter=self.meter,
            router=self.router,
            nodes={"node": self.gpus},
            engines=self.engines,
            places={
                name: Place("llama70b", name, "node", (2 * i, 2 * i + 1))
                for i, name in enumerate(NAMES)
            },
        )

    def grid_kw(self) -> float:
        for i, name in enumerate(NAMES):
            busy = self.router.weight(name) > 0.0
            self.gpus.demand_w[2 * i] = self.gpus.demand_w[2 * i + 1] = BUSY_W if busy else IDLE_W
        compute_kw = sum(self.gpus.power_w(g) for g in range(8)) / 1000.0
        return OTHER_KW + compute_kw - self.battery.battery_kw

    @asynccontextmanager
    async def leased(self) -> AsyncIterator[LeaseKeeper]:
        keeper = LeaseKeeper(self.devices.actuators(), 3.0, self.clock)
        await asyncio.gather(*(keeper.renew(name) for name in self.devices.actuators()))
        task = asyncio.create_task(keeper.run())
        yield keeper
        task.cancel()
        await asyncio.wait([task])


def instances(mode: str = "active") -> dict[str, PoolInstances]:
    return {"llama70b": PoolInstances([Instance(name, mode) for name in NAMES])}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plan() -> Plan:
    case = load_case(EXAMPLES / "under_frequency.json")
    return Planner(case.site).plan(case.event, case.state)


async def test_a_plan_is_carried_out_and_taken_back(plan: Plan) -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.devices, droop=DROOP, clock=bench.clock)
    asked = {step.t_s: step for step in plan.steps if step.target_kw}
    async with bench.leased() as keeper:
        following = asyncio.create_task(dispatcher.follow(plan, instances()))
        drained, caps, seen_kw = set(), set(), []
        while not following.done():
            keeper.beat()
            await bench.clock.advance(0.5)
            now_s = bench.clock.now_s()
            drained.add(sum(bench.router.weight(name) == 0.0 for name in NAMES))
            caps.add(min(bench.gpus.cap_w(g) for g in range(8)))
            if 2.0 < now_s < 290.0:
                seen_kw.append(bench.grid_kw())
        await following
    want_kw = next(iter(asked.values())).grid_kw
    # the meter moves the battery within a cycle of any move of the fleet
    off = sorted(abs(kw - want_kw) for kw in seen_kw)
    assert off[int(0.95 * len(off))] < 0.02
    assert drained == {4 - e.active for e in plan.pools["llama70b"]}
    planned = {e.cap_w_per_gpu for e in plan.pools["llama70b"]}
    assert planned - {None} <= caps
    # at the end nothing is left behind
    assert [bench.router.weight(name) for name in NAMES] == [1.0] * 4
    assert {bench.gpus.cap_w(g) for g in range(8)} == {600.0}
    assert bench.battery.battery_kw == pytest.approx(0.0, abs=0.02)
    assert all(isinstance(note.answer, Applied) for note in dispatcher.notes.last)


async def test_a_node_that_hangs_delays_neither_router_nor_battery(plan: Plan) -> None:
    bench = Bench()
    bench.gpus._timeout_s = 3.0
    dispatcher = Dispatcher(bench.devices, clock=bench.clock)
    async with bench.leased() as keeper:
        bench.gpus.fault = "silent"
        following = asyncio.create_task(dispatcher.follow(plan, instances()))
        while bench.clock.now_s() < 60.0:
            keeper.beat()
            await bench.clock.advance(0.5)
        assert sum(bench.router.weight(name) == 0.0 for name in NAMES) == 1
        assert bench.grid_kw() == pytest.approx(plan.steps[40].grid_kw, abs=0.02)
        following.cancel()
        await asyncio.wait([following])
    lost = [n.answer for n in dispatcher.notes.last if isinstance(n.answer, Unreachable)]
    assert lost
    assert all(answer.executed for answer in lost)


async def test_what_was_not_applied_is_told_again_with_the_next_epoch(plan: Plan) -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.devices, clock=bench.clock)
    epoch = plan.pools["llama70b"][0].model_copy(update={"cap_w_per_gpu": 450.0})
    async with bench.leased():
        dispatcher._meet(instances())
        bench.gpus.fault = "refuse"
        await dispatcher.fleets["llama70b"].carry_out(epoch, [])
        assert {bench.gpus.cap_w(g) for g in range(8)} == {600.0}
        bench.gpus.fault = None
        await dispatcher.fleets["llama70b"].carry_out(epoch, [])
        assert {bench.gpus.cap_w(g) for g in range(8)} == {450.0}


async def test_an_engine_sleeps_only_once_it_is_empty(plan: Plan) -> None:
    from ebplan.disaggregate import Switch

    bench = Bench()
    dispatcher = Dispatcher(bench.devices, clock=bench.clock)
    epoch = plan.pools["llama70b"][0]
    async with bench.leased() as keeper:
        dispatcher._meet(instances())
        fleet = dispatcher.fleets["llama70b"]
        await fleet.carry_out(epoch, [Switch("llama-0", "active", "drained")])
        bench.router.in_flight["llama-0"] = 2
        turning = asyncio.create_task(
            fleet.carry_out(epoch, [Switch("llama-0", "drained", "to_asleep")])
        )
        for _ in range(10):
            keeper.beat()
            await bench.clock.advance(1.0)
        assert bench.engines["llama-0"].awake
        bench.router.in_flight["llama-0"] = 0
        await bench.clock.advance(0.2)
        await turning
        assert not bench.engines["llama-0"].awake


async def test_traffic_returns_only_to_an_engine_that_answers(plan: Plan) -> None:
    from ebplan.disaggregate import Switch

    bench = Bench()
    dispatcher = Dispatcher(bench.devices, clock=bench.clock)
    epoch = plan.pools["llama70b"][0]
    async with bench.leased() as keeper:
        dispatcher._meet(instances())
        fleet = dispatcher.fleets["llama70b"]
        for steps in (("active", "drained"), ("drained", "to_asleep")):
            turning = asyncio.create_task(fleet.carry_out(epoch, [Switch("llama-0", *steps)]))  # type: ignore[arg-type]
            await bench.clock.advance(0.5)
            await turning
        bench.engines["llama-0"].fault = "refuse"
        await fleet.carry_out(epoch, [Switch("llama-0", "asleep", "to_awake")])
        keeper.beat()
        await fleet.carry_out(epoch, [Switch("llama-0", "to_awake", "active")])
        assert bench.router.weight("llama-0") == 0.0
        bench.engines["llama-0"].fault = None
        await fleet.carry_out(epoch, [Switch("llama-0", "asleep", "to_awake")])
        await fleet.carry_out(epoch, [Switch("llama-0", "to_awake", "active")])
        assert bench.router.weight("llama-0") == 1.0


async def test_a_site_without_a_device_says_so(plan: Plan) -> None:
    bench = Bench()
    bare = SiteDevices(places=bench.devices.places)
    dispatcher = Dispatcher(bare, clock=bench.clock)
    following = asyncio.create_task(dispatcher.follow(plan, instances()))
    while not following.done():
        await bench.clock.advance(30.0)
    await following
    said = {str(note.answer) for note in dispatcher.notes.last}
    assert all(isinstance(note.answer, Refused) for note in dispatcher.notes.last)
    assert any("the site has no battery" in line for line in said)
    assert any("the site has no router" in line for line in said)


async def test_an_instance_without_an_engine_is_refused(plan: Plan) -> None:
    bench = Bench()
    dispatcher = Dispatcher(bench.devices, clock=bench.clock)
    strangers = {"llama70b": PoolInstances([Instance(f"x{i}", "active") for i in range(4)])}
    with pytest.raises(InputError, match="name the instances as the engines"):
        await dispatcher.follow(plan, strangers)


@pytest.mark.parametrize("cut_s", [None, 40.0])
async def test_the_site_is_handed_back_at_the_end_or_when_cut(
    plan: Plan, cut_s: float | None
) -> None:
    bench = Bench()
    held: list[LeaseKeeper] = []
    following = asyncio.create_task(
        follow_leased(
            plan,
            instances(),
            bench.devices,
            lease_s=3.0,
            clock=bench.clock,
            ready=held.append,
        )
    )
    while not following.done():
        await bench.clock.advance(0.5)
        now_s = bench.clock.now_s()
        if now_s == cut_s:
            following.cancel()
    assert held
    if cut_s is None:
        assert all(isinstance(answer, Applied) for answer in following.result().values())
    assert not any(device.leased for device in (bench.gpus, bench.router, bench.battery))
    assert {bench.gpus.cap_w(g) for g in range(8)} == {600.0}
    assert [bench.router.weight(name) for name in NAMES] == [1.0] * 4
    assert bench.battery.battery_kw == 0.0
