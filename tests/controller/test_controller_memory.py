"""The controller on devices in memory: what fails is named, and everything else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from ebplan import Planner, load_case
from ebplan.adapters.answers import Range
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.terms import EventTerms, Interval, events_of
from ebplan.adapters.fake.battery import FakeBattery
from ebplan.adapters.fake.gpu import FakeGpus
from ebplan.adapters.fake.meter import FakeMeter
from ebplan.adapters.fake.router import FakeRouter
from ebplan.adapters.fake.serving import FakeServing
from ebplan.adapters.site_devices import Place, SiteDevices
from ebplan.controller import Controller, Status
from ebplan.errors import InputError

CASE = load_case("examples/under_frequency.json")
ENGINES = tuple(f"llama-{n}" for n in range(4))


class Bench:
    """A site in memory: 30 requests per second come, a busy GPU draws 550 W."""

    def __init__(self) -> None:
        self.router = FakeRouter(ENGINES)
        self.gpus = FakeGpus(dict.fromkeys(range(8), 550.0))
        self.battery = FakeBattery(Range(-7.0, 7.0, "kW"))
        self.meter = FakeMeter(self.grid_kw)
        self.engines = {name: FakeServing(name=name) for name in ENGINES}
        self.inbox = Inbox()
        self.seen: list[str] = []
        self.status = Status()
        self._news = asyncio.Event()
        self.devices = SiteDevices(
            battery=self.battery,
            meter=self.meter,
            router=self.router,
            nodes={"node": self.gpus},
            engines=self.engines,
            places={
                name: Place("llama70b", name, "node", (2 * n, 2 * n + 1))
                for n, name in enumerate(ENGINES)
            },
        )

    def grid_kw(self) -> float:
        compute_w = sum(self.gpus.power_w(gpu) for gpu in range(8))
        return 0.55 + compute_w / 1000.0 - self.battery.battery_kw

    def listen(self, status: Status) -> None:
        self.router.arrived["interactive"] += 2.4
        self.router.arrived["batch"] += 0.6
        self.status = status
        self.seen += [str(one) for one in status.degradations]
        self._news.set()

    async def until(self, true) -> None:
        async with asyncio.timeout(60.0):
            while not true(self.status):
                self._news.clear()
                await self._news.wait()

    async def cycles(self, count: int) -> None:
        end = self.status.cycles + count
        await self.until(lambda s: s.cycles >= end)

    def ask(self, delta_kw: float) -> None:
        now = datetime.now(UTC)
        asked = Interval(now, 60.0, delta_kw)
        events = events_of("call", "delta_kw", [asked], EventTerms())
        self.inbox.take(GridEvent(source="test", uid="call", received=now, events=events))

    @asynccontextmanager
    async def running(self, planner: Planner) -> AsyncIterator[Controller]:
        controller = Controller(
            CASE.site, self.devices, planner, self.inbox, cycle_s=0.1, listen=self.listen
        )
        task = asyncio.create_task(controller.run())
        try:
            await self.until(lambda s: s.plan is not None)
            yield controller
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert self.battery.battery_kw == 0.0
            assert {self.gpus.cap_w(gpu) for gpu in range(8)} == {600.0}
            assert {self.router.weight(name) for name in ENGINES} == {1.0}


@pytest.fixture(scope="module")
def planner():
    with Planner(CASE.site).start(wait_s=10.0, standby=True) as planner:
        yield planner


@pytest.mark.parametrize(
    ("device", "name"), [("meter", "meter"), ("router", "router"), ("battery", "battery")]
)
async def test_a_silent_device_is_named_and_comes_back(planner, device: str, name: str) -> None:
    bench = Bench()
    async with bench.running(planner):
        getattr(bench, device).fault = "silent"
        await bench.until(lambda s: any(d.of == name for d in s.degradations))
        assert {d.name for d in bench.status.degradations if d.of == name} & {
            "device_lost",
            "stale_telemetry",
        }
        await bench.cycles(3)
        getattr(bench, device).fault = None
        await bench.until(lambda s: not s.degradations)


async def test_an_adapter_that_raises_takes_nobody_with_it(planner, monkeypatch) -> None:
    bench = Bench()
    async with bench.running(planner):

        async def broken() -> None:
            raise TypeError("int(None)")

        monkeypatch.setattr(bench.engines["llama-2"], "read", broken)
        await bench.until(lambda s: any("TypeError" in d.why for d in s.degradations))
        await bench.cycles(2)
        assert bench.status.sensed.state.pools["llama70b"].lost == 1
        monkeypatch.undo()
        await bench.until(lambda s: not s.degradations)


async def test_a_plan_that_cannot_be_carried_out_is_begun_anew(planner, monkeypatch) -> None:
    bench = Bench()
    async with bench.running(planner) as controller:
        real, failures = controller._dispatcher.follow, iter((True, True))

        async def follow(*given, **named) -> None:
            if next(failures, False):
                raise RuntimeError("no")
            await real(*given, **named)

        monkeypatch.setattr(controller._dispatcher, "follow", follow)
        before_kw = bench.grid_kw()
        bench.ask(-1.0)
        await bench.until(lambda s: s.event is not None)
        await bench.until(lambda s: abs(bench.grid_kw() - (before_kw - 1.0)) < 0.1)
        assert any("RuntimeError: no" in said for said in bench.seen)
        assert next(failures, None) is None


async def test_devices_of_another_site_are_refused(planner) -> None:
    bench = Bench()
    for devices, said in (
        (SiteDevices(places=bench.devices.places), "router"),
        (SiteDevices(router=bench.router), "0 engines of pool llama70b"),
    ):
        with pytest.raises(InputError, match=said):
            Controller(CASE.site, devices, planner, bench.inbox)
