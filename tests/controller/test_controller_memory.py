"""The controller on devices in memory: what fails is named, and everything else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

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
from ebplan.audit.log import AuditHealth
from ebplan.controller import Controller, Status
from ebplan.controller import controller as controller_module
from ebplan.controller.numbers import numbers
from ebplan.errors import EbplanError, InputError

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
    async def running(
        self, planner: Planner, cycle_s: float = 0.1, **more: Any
    ) -> AsyncIterator[Controller]:
        controller = Controller(
            CASE.site,
            self.devices,
            planner,
            self.inbox,
            cycle_s=cycle_s,
            listen=self.listen,
            **more,
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


@pytest.mark.parametrize(
    ("error", "said"), [(EbplanError("no"), "no"), (ValueError("no"), "ValueError: no")]
)
async def test_a_call_that_cannot_be_planned_is_tried_again(
    planner, monkeypatch, error: Exception, said: str
) -> None:
    bench, real, failures = Bench(), planner.aactivate, iter((True, True, True))

    async def aactivate(*given, **named):
        if next(failures, False):
            assert bench.status.event is None
            raise error
        return await real(*given, **named)

    monkeypatch.setattr(planner, "aactivate", aactivate)
    async with bench.running(planner):
        bench.ask(-1.0)
        await bench.until(lambda s: s.event is not None)
        assert next(failures, None) is None
        assert f"no_plan call: {said}" in bench.seen
        await bench.until(lambda s: not s.degradations)


async def test_a_planner_that_breaks_does_not_end_the_run(planner, monkeypatch) -> None:
    bench, real, failures = Bench(), planner.areplan, iter((True, True))

    async def areplan(*given, **named):
        if next(failures, False):
            raise KeyError("x")
        return await real(*given, **named)

    async with bench.running(planner):
        monkeypatch.setattr(planner, "areplan", areplan)
        await bench.until(lambda s: any(d.name == "no_plan" for d in s.degradations))
        await bench.until(lambda s: not s.degradations)
        assert "no_plan: KeyError: 'x'" in bench.seen


async def test_a_plan_that_does_not_fit_leaves_the_one_there_is(planner, monkeypatch) -> None:
    bench = Bench()
    async with bench.running(planner) as controller:
        real, failures = controller_module.disaggregate, iter((True, True))
        before, following = bench.status.plan, controller._following

        def disaggregate(*given):
            if next(failures, False):
                assert bench.status.plan is before
                assert controller._following is following
                assert not following.done()
                raise InputError(field="active", value=3, allowed="2", remedy="none")
            return real(*given)

        monkeypatch.setattr(controller_module, "disaggregate", disaggregate)
        bench.ask(-1.0)
        await bench.until(lambda s: any("does not fit" in d.why for d in s.degradations))
        assert bench.status.plan is before
        assert bench.status.event is None
        await bench.until(lambda s: s.event is not None)
        assert bench.status.why[0] == "the plan does not fit the engines"
        assert next(failures, None) is None


async def test_a_call_is_answered_at_once_however_long_a_cycle_is(planner) -> None:
    bench = Bench()
    controller = Controller(
        CASE.site,
        bench.devices,
        planner,
        bench.inbox,
        cycle_s=30.0,
        lease_s=90.0,
        listen=bench.listen,
    )
    running = asyncio.create_task(controller.run())
    async with asyncio.timeout(20.0):
        await bench.until(lambda s: s.cycles == 1)
        bench.ask(-1.0)
        await bench.until(lambda s: s.event is not None)
        assert bench.status.cycles == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    bench.ask(-1.0)  # nobody listens any more
    assert bench.inbox._subscribed == []


class Notebook:
    """A journal in memory, which may fail."""

    def __init__(self) -> None:
        self.said: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.health = AuditHealth(0, 0, 0, 0, 0.0, None)
        self.fails = False

    def __getattr__(self, kind: str) -> Any:
        def write(*given: Any, **named: Any) -> None:
            if self.fails:
                raise ValueError("no")
            self.said.append((kind, given, named))

        return write

    def of(self, kind: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(given, named) for what, given, named in self.said if what == kind]


async def test_a_dry_run_writes_no_command_and_says_what_it_is(planner) -> None:
    told: dict[bool, Notebook] = {dry_run: Notebook() for dry_run in (True, False)}
    for dry_run, notebook in told.items():
        async with Bench().running(planner, journal=notebook, dry_run=dry_run):
            pass
        assert [named["dry_run"] for _, named in notebook.of("decision")] == [dry_run]
    assert told[False].of("command")
    assert not told[True].of("command")


async def test_a_journal_that_fails_does_not_end_the_run(planner) -> None:
    bench, notebook = Bench(), Notebook()
    async with bench.running(planner, journal=notebook):
        notebook.fails = True
        await bench.until(lambda s: any(d.name == "audit_behind" for d in s.degradations))
        await bench.cycles(2)
        assert "audit_behind: not written: ValueError: no" in bench.seen


@pytest.mark.parametrize(
    ("health", "said"),
    [
        (AuditHealth(9, 9, 0, 0, 0.0, "no space left"), "no space left"),
        (AuditHealth(9, 9, 0, 3, 0.0, None), "3 records were lost"),
        (AuditHealth(9, 8, 1, 0, 2.5, None), "no signature for more than 2 s"),
    ],
)
async def test_a_log_that_is_behind_is_named(planner, health: AuditHealth, said: str) -> None:
    bench, notebook = Bench(), Notebook()
    async with bench.running(planner, journal=notebook):
        well, notebook.health = notebook.health, health
        await bench.until(lambda s: any(d.why == said for d in s.degradations))
        assert numbers(bench.status)["audit_lost"] == {(): float(health.lost)}
        assert numbers(bench.status)["audit_unsigned_s"] == {(): health.unsigned_s}
        notebook.health = well
        await bench.until(lambda s: not s.degradations)


async def test_cancelled_again_and_again_the_controller_hands_the_site_back(
    planner, monkeypatch
) -> None:
    bench = Bench()
    real, releasing, may_end = bench.battery.release, asyncio.Event(), asyncio.Event()

    async def slow():
        releasing.set()
        await may_end.wait()
        return await real()

    monkeypatch.setattr(bench.battery, "release", slow)
    controller = Controller(
        CASE.site, bench.devices, planner, bench.inbox, cycle_s=0.1, listen=bench.listen
    )
    running = asyncio.create_task(controller.run())
    await bench.until(lambda s: s.plan is not None)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(10.0):
        await releasing.wait()
    running.cancel()
    await asyncio.sleep(0)
    assert not running.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not any(device.leased for device in (bench.gpus, bench.router, bench.battery))


async def test_devices_of_another_site_are_refused(planner) -> None:
    bench = Bench()
    for devices, said in (
        (SiteDevices(places=bench.devices.places), "router"),
        (SiteDevices(router=bench.router), "0 engines of pool llama70b"),
    ):
        with pytest.raises(InputError, match=said):
            Controller(CASE.site, devices, planner, bench.inbox)
