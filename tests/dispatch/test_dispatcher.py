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
    Fault,
    ManualClock,
)
from ebplan.adapters.lease import LeaseKeeper
from ebplan.adapters.roles import Droop, MeterReading
from ebplan.adapters.site_devices import Place, SiteDevices
from ebplan.disaggregate import Instance, Mode
from ebplan.dispatch import Dispatcher, Notes, PoolInstances, follow_leased
from ebplan.dispatch.connection_point import BLIND_S, ConnectionPoint
from ebplan.dispatch.fleet import SAME_W, Fleet
from ebplan.dispatch.wanted import Wanted
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
    keeper: LeaseKeeper = field(init=False)
    notes: Notes = field(init=False)

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

    async def go_on(self, seconds: float) -> None:
        """Let time pass, with a loop that is alive."""
        for _ in range(round(seconds / 0.1)):
            self.keeper.beat()
            await self.clock.advance(0.1)

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
    for epoch in plan.pools["llama70b"]:
        assert any(abs((epoch.cap_w_per_gpu or 600.0) - cap_w) < SAME_W for cap_w in caps)
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
    assert {answer.device for answer in lost} == {"node"}


@asynccontextmanager
async def fleet_of(bench: Bench) -> AsyncIterator[Fleet]:
    """Run a fleet under leases while the clock goes on."""
    notes = Notes(bench.clock.now_s)
    fleet = Fleet(bench.devices, dict.fromkeys(NAMES), bench.clock, notes, 1.0)
    async with bench.leased() as keeper:
        bench.keeper = keeper
        running = asyncio.create_task(fleet.run())
        yield fleet
        running.cancel()
        await asyncio.wait([running])
    bench.notes = notes


def asked(*, cap_w: float | None = None, **modes: str) -> Wanted:
    """Want every engine at work, but for those named."""
    wanted: dict[str, Mode] = dict.fromkeys(NAMES, "active")
    wanted.update({name.replace("_", "-"): mode for name, mode in modes.items()})  # type: ignore[misc]
    return Wanted(modes=wanted, cap_w=dict.fromkeys(NAMES, cap_w))


def caps_of(bench: Bench) -> set[float]:
    return {bench.gpus.cap_w(g) for g in range(8)}


@pytest.mark.parametrize("fault", ["refuse", "deaf", "ignore"])
async def test_what_was_not_applied_is_told_again_within_the_epoch(fault: Fault) -> None:
    bench = Bench()
    async with fleet_of(bench) as fleet:
        bench.gpus.fault = fault
        fleet.want(asked(cap_w=450.0))
        await bench.go_on(2.0)
        assert caps_of(bench) == {600.0}
        bench.gpus.fault = None
        await bench.go_on(3.0)
        assert caps_of(bench) == {450.0}
    failed = [n for n in bench.notes.last if not isinstance(n.answer, Applied)]
    assert len(failed) <= 10  # said once for each GPU and the reading, not each second


async def test_a_cap_that_was_executed_without_an_answer_is_taken_back() -> None:
    bench = Bench()
    async with fleet_of(bench) as fleet:
        await bench.go_on(0.5)
        bench.gpus.fault = "silent"
        capping = asyncio.create_task(bench.gpus.cap({0: 400.0}))
        await bench.go_on(0.5)
        assert isinstance((await capping)[0], Unreachable)
        bench.gpus.fault = None
        fleet.want(asked())
        await bench.go_on(2.0)
        assert caps_of(bench) == {600.0}


async def test_what_a_lapsed_lease_took_away_is_told_again() -> None:
    bench = Bench()
    async with fleet_of(bench) as fleet:
        fleet.want(asked(cap_w=450.0, llama_0="drained"))
        await bench.go_on(2.0)
        assert caps_of(bench) == {450.0}
        for device in (bench.gpus, bench.router):
            await device.release()  # as a lapse does
        await bench.go_on(3.0)
        assert caps_of(bench) == {450.0}
        assert bench.router.weight("llama-0") == 0.0


async def test_another_plan_takes_back_what_the_one_before_did() -> None:
    bench = Bench()
    async with fleet_of(bench) as fleet:
        fleet.want(asked(cap_w=400.0, llama_3="drained"))
        await bench.go_on(2.0)
    async with fleet_of(bench) as fleet:  # it knows nothing of the one before
        fleet.want(asked())
        await bench.go_on(2.0)
        assert caps_of(bench) == {600.0}
        assert [bench.router.weight(name) for name in NAMES] == [1.0] * 4


async def test_an_engine_sleeps_only_once_it_is_empty() -> None:
    bench = Bench()
    async with fleet_of(bench) as fleet:
        fleet.want(asked(llama_0="drained"))
        await bench.go_on(2.0)
        bench.router.in_flight["llama-0"] = 2
        fleet.want(asked(llama_0="to_asleep"))
        await bench.go_on(10.0)
        assert bench.engines["llama-0"].awake
        bench.router.in_flight["llama-0"] = 0
        await bench.go_on(2.0)
        assert not bench.engines["llama-0"].awake


async def test_an_engine_wanted_again_while_it_falls_asleep_is_woken_first() -> None:
    bench = Bench()
    async with fleet_of(bench) as fleet:
        fleet.want(asked(llama_0="to_asleep"))
        seen: list[tuple[bool, float]] = []
        for step in range(80):
            if step == 20:
                fleet.want(asked())
            await bench.go_on(0.1)
            seen.append((bench.engines["llama-0"].awake, bench.router.weight("llama-0")))
        assert (False, 0.0) in seen
        assert seen[-1] == (True, 1.0)
        assert (False, 1.0) not in seen


async def test_traffic_returns_only_to_an_engine_that_answers() -> None:
    bench = Bench()
    async with fleet_of(bench) as fleet:
        fleet.want(asked(llama_0="asleep"))
        await bench.go_on(3.0)
        assert not bench.engines["llama-0"].awake
        bench.engines["llama-0"].fault = "refuse"
        fleet.want(asked())
        await bench.go_on(1.5)  # before its lease ends, for then an agent wakes it
        assert bench.router.weight("llama-0") == 0.0
        bench.engines["llama-0"].fault = None
        await bench.go_on(3.0)
        assert bench.router.weight("llama-0") == 1.0


async def test_an_engine_that_really_sleeps_is_not_believed_to_work() -> None:
    bench = Bench()
    async with fleet_of(bench) as fleet:
        await bench.engines["llama-2"].sleep()
        bench.engines["llama-2"].fault = "refuse"
        fleet.want(asked())
        await bench.go_on(2.0)
        assert bench.router.weight("llama-2") == 0.0


async def test_an_adapter_that_raises_takes_nobody_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()

    async def broken() -> None:
        raise TypeError("int(None)")

    monkeypatch.setattr(bench.router, "read", broken)
    async with fleet_of(bench) as fleet:
        fleet.want(asked(cap_w=450.0))
        await bench.go_on(3.0)
        assert caps_of(bench) == {450.0}
    assert any("TypeError" in str(note.answer) for note in bench.notes.last)


@pytest.mark.parametrize("cycle_s", [0.2, 1.0])
@pytest.mark.parametrize(
    ("age_s", "declared_s"),
    [
        (0.0, 0.0),
        (0.5, 0.5),
        (1.0, 1.0),
        (3.0, 3.0),
        (0.0, 1.0),
        (0.3, 1.0),
        (0.9, 2.0),
        (0.0, 3.0),
    ],
)
async def test_an_old_meter_does_not_make_the_battery_swing(
    age_s: float, declared_s: float, cycle_s: float
) -> None:
    """Whatever its age is within the one declared: 1 s where none was there made it swing."""
    clock = ManualClock()
    battery = FakeBattery(Range(-7.0, 7.0, "kW"), clock=clock)
    shown: list[tuple[float, float]] = []
    load_kw = 10.0

    class OldMeter(FakeMeter):
        async def read(self) -> MeterReading:
            now_s = clock.now_s()
            then = [kw for t_s, kw in shown if t_s <= now_s - age_s] or [load_kw]
            return MeterReading(then[-1], 50.0, declared_s)

    await battery.renew(1000.0)
    point = ConnectionPoint(battery, OldMeter(lambda: 0.0, clock=clock), clock)
    point.asked_kw = 9.0
    half = round(20.0 / cycle_s)
    for cycle in range(2 * half):
        load_kw = 10.0 if cycle < half else 12.0
        shown.append((clock.now_s(), load_kw - battery.battery_kw))
        await point.step()
        shown.append((clock.now_s(), load_kw - battery.battery_kw))
        await clock.advance(cycle_s)
        if cycle in (half - 1, 2 * half - 1):
            assert load_kw - battery.battery_kw == pytest.approx(9.0, abs=1e-6)
    drawn = [kw for t_s, kw in shown if t_s < 19.9]
    assert min(drawn) > 8.9
    assert max(drawn) < 10.1
    assert min(kw for t_s, kw in shown if t_s >= 19.9) > 6.9


async def test_another_plan_each_second_does_not_make_the_battery_swing(plan: Plan) -> None:
    """What is known of the load outlives a plan: with a meter 3 s old, forgetting it diverges."""
    clock = ManualClock()
    battery = FakeBattery(Range(-7.0, 7.0, "kW"), clock=clock)
    asked_kw = next(step.grid_kw for step in plan.steps if step.target_kw)
    load_kw = asked_kw + 1.0
    shown: list[tuple[float, float]] = []

    class OldMeter(FakeMeter):
        async def read(self) -> MeterReading:
            then = [kw for t_s, kw in shown if t_s <= clock.now_s() - 3.0] or [load_kw]
            return MeterReading(then[-1], 50.0, 3.0)

    await battery.renew(1000.0)
    devices = SiteDevices(battery=battery, meter=OldMeter(lambda: 0.0, clock=clock))
    dispatcher = Dispatcher(devices, clock=clock)
    steps = [s for s in plan.steps if s.target_kw]
    held = plan.model_copy(update={"pools": {}, "steps": tuple(steps)})
    for cycle in range(40):
        following = asyncio.create_task(dispatcher.follow(held, {}, start_s=-steps[0].t_s))
        for _ in range(10):
            await clock.advance(0.1)
            shown.append((clock.now_s(), load_kw - battery.battery_kw))
            if cycle > 0:
                assert shown[-1][1] == pytest.approx(asked_kw, abs=0.01)
        following.cancel()
        await asyncio.wait([following])


async def test_a_battery_rests_once_the_meter_has_been_silent_for_too_long() -> None:
    """Its lease is renewed meanwhile, so that nothing else would end the set-point."""
    clock = ManualClock()
    battery = FakeBattery(Range(-7.0, 7.0, "kW"), clock=clock)
    meter = FakeMeter(lambda: 10.0 - battery.battery_kw, clock=clock, timeout_s=0.0)
    await battery.renew(1000.0)
    point = ConnectionPoint(battery, meter, clock)
    point.asked_kw = 9.0

    async def step() -> None:
        stepping = asyncio.create_task(point.step())
        await clock.advance(0.0)
        await stepping
        await clock.advance(1.0)

    await step()
    meter.fault = "silent"
    for _ in range(round(BLIND_S) + 1):
        await step()
        assert (battery.battery_kw, point.blind) == (pytest.approx(1.0), False)
    await step()
    assert (battery.battery_kw, point.blind) == (0.0, True)
    meter.fault = None
    await step()
    assert (battery.battery_kw, point.blind) == (pytest.approx(1.0), False)


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


async def test_cancelled_again_and_again_the_site_is_still_handed_back(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    real, releasing, may_end = bench.battery.release, asyncio.Event(), asyncio.Event()

    async def slow() -> Applied | Refused | Unreachable:
        releasing.set()
        await may_end.wait()
        return await real()

    monkeypatch.setattr(bench.battery, "release", slow)
    following = asyncio.create_task(
        follow_leased(plan, instances(), bench.devices, lease_s=3.0, clock=bench.clock)
    )
    await bench.clock.advance(10.0)
    assert bench.battery.leased
    following.cancel()
    await asyncio.sleep(0)
    following.cancel()
    async with asyncio.timeout(10.0):
        await releasing.wait()
    following.cancel()
    await asyncio.sleep(0)
    assert not following.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert not any(device.leased for device in (bench.gpus, bench.router, bench.battery))
