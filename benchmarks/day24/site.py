"""A site's devices in memory, with a plant behind them: what they are told, it carries out.

The devices are the fakes of the adapters, leases, faults and all. Before each reading and each
set-point the plant is brought to now with what held since the last; so the controller, its
dispatcher, leases and degradations meet a site that answers as physics does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebplan.adapters.answers import Answer, Range, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.commands import CapPower, Command, LimitAdmission, Route, Sleep, Wake
from ebplan.adapters.fake.battery import FakeBattery
from ebplan.adapters.fake.gpu import FakeGpus
from ebplan.adapters.fake.meter import FakeMeter
from ebplan.adapters.fake.router import FakeRouter
from ebplan.adapters.fake.serving import FakeServing
from ebplan.adapters.roles import BatteryReading, GpuReading, MeterReading
from ebplan.adapters.site_devices import Place, SiteDevices
from ebplan.models import library
from ebplan.site import Site
from ebplan.twin.disturbances import InstanceLost, InstanceReturned
from ebplan.twin.plant import Measurements
from ebplan.twin.site_plant import SitePlant

SAME_TIME_S = 1e-6
METER_AGE_S = 1.0
"""The meter shows the mean over a second."""


class PlantBattery(FakeBattery):
    """A converter whose power and cells are the plant's."""

    site: PlantSite

    async def read(self) -> BatteryReading | Unreachable:
        """Return what the plant's converter does."""
        seen = self.site.touch()
        if broken := await self._unreadable():
            return broken
        return BatteryReading(
            battery_kw=seen.battery_kw,
            soc=seen.soc,
            feasible=self.feasible,
            available=seen.converter == "available",
            frequency_hz=seen.frequency_hz,
            droop_kw=0.0,
        )

    async def hold(self, battery_kw: float, *, confirm_s: float = 0.0) -> Answer:
        """Hold this power from now on."""
        self.site.touch()
        return await super().hold(battery_kw, confirm_s=confirm_s)

    def _count(self) -> None:
        """The plant counts the energy."""

    @property
    def set_kw(self) -> float:
        """What it was told, while it is leased."""
        return self._held_kw if self.leased else 0.0


class PlantMeter(FakeMeter):
    """The plant's meter; it can be frozen."""

    site: PlantSite
    frozen_kw: float | None = None

    async def read(self) -> MeterReading | Unreachable:
        """Return what the plant's meter shows."""
        seen = self.site.touch()
        broken = await self._unreadable()
        if broken is not None or seen.grid_kw is None:
            why = "it is silent"
            return broken or Unreachable(
                device=self.name, command="read", asked=None, why=why, executed=False
            )
        kw = seen.grid_kw if self.frozen_kw is None else self.frozen_kw
        return MeterReading(kw, seen.frequency_hz, METER_AGE_S)


class PlantGpus(FakeGpus):
    """GPUs that share what their pool draws evenly."""

    site: PlantSite

    async def read(self) -> Mapping[int, GpuReading] | Unreachable:
        """Return every GPU."""
        kw = self.site.gpu_kw()
        self.demand_w = dict.fromkeys(self.demand_w, 1000.0 * kw)
        return await super().read()

    def power_w(self, gpu: int) -> float:
        """Return what a GPU really draws: the plant knows what its cap leaves."""
        return self.demand_w[gpu]


class PlantEngine(FakeServing):
    """An engine that takes the pool's times to wake and to fall asleep."""

    site: PlantSite
    busy_until_s = 0.0

    @property
    def awake(self) -> bool:
        """Whether it answers requests now: not before it has woken."""
        return super().awake and self._clock.now_s() >= self.busy_until_s

    async def sleep(self) -> Answer:
        """Put it to sleep, and return once it sleeps."""
        return await self._take(await super().sleep(), self.site.sleep_s, self.asleep)

    async def wake(self) -> Answer:
        """Wake it, and return once it answers."""
        was = self.asleep
        answer = await super().wake()
        if was and not self.asleep:
            self.busy_until_s = self._clock.now_s() + self.site.wake_s
        return await self._take(answer, self.site.wake_s, was and not self.asleep)

    @property
    def asleep(self) -> bool:
        """Whether it sleeps or falls asleep."""
        return self._asleep and self.leased

    async def _take(self, answer: Answer, seconds: float, turned: bool) -> Answer:
        self.site.touch()
        if turned:
            await self._clock.sleep(seconds)
        return answer

    def restart(self) -> None:
        """Come back awake, as a process that was started anew."""
        self._asleep, self.fault = False, None


class PlantSite:
    """A plant of one pool, and devices for it.

    Args:
        site: the site; its one pool lies on one node.
        plant: the plant.
        clock: what time it is; its 0 is the plant's.
    """

    def __init__(self, site: Site, plant: SitePlant, clock: Clock) -> None:
        (self.pool, pool), battery = next(iter(site.pools.items())), site.battery
        assert battery is not None
        self.plant, self.clock = plant, clock
        self.sleep_s, self.wake_s = pool.sleep.sleep_s, pool.sleep.wake_s
        fleet = library.load_fleet(pool.fleet_model)
        self._factor, _ = site.loss_to_connection_point(fleet.measurement_point)
        self._each = fleet.gpus_per_instance
        names = [f"{self.pool}-{n}" for n in range(pool.instances)]
        self._gpus_of = {
            name: tuple(range(n * self._each, (n + 1) * self._each)) for n, name in enumerate(names)
        }
        limits = Range(-battery.charge_limit_kw, battery.discharge_limit_kw, "kW")
        self.battery = PlantBattery(limits, clock=clock)
        self.meter = PlantMeter(lambda: 0.0, clock=clock)
        self.router = FakeRouter(names, tuple(pool.classes), clock=clock)
        self.gpus = PlantGpus(dict.fromkeys(range(self._each * len(names)), 0.0), clock=clock)
        self.engines = {name: PlantEngine(name=name, clock=clock) for name in names}
        self.battery.site = self.meter.site = self.gpus.site = self
        for engine in self.engines.values():
            engine.site = self
        self.devices = SiteDevices(
            battery=self.battery,
            meter=self.meter,
            router=self.router,
            nodes={"node": self.gpus},
            engines=self.engines,
            places={n: Place(self.pool, n, "node", g) for n, g in self._gpus_of.items()},
        )
        self._told: dict[str, Any] = {}
        self._asleep = dict.fromkeys(names, False)
        self._lost: dict[str, bool] = {}
        self._set_kw: float | None = None
        self.refused = 0
        """Commands that the plant could not carry out in full."""
        self.seen: Measurements = plant.step((), 1e-3)
        """What was measured last."""

    def touch(self) -> Measurements:
        """Bring the plant to now with what holds since it was last looked at."""
        seconds = self.clock.now_s() - self.plant.now_s
        if seconds > SAME_TIME_S:
            told = self._commands()
            if (kw := self.battery.set_kw) != self._set_kw:
                self._set_kw = kw
                self.plant.hold_power(kw)
            before = self.seen
            self.seen = self.plant.step(told, seconds)
            self.refused += len(self.seen.refused)
            if not before.pools[self.pool].arrived_requests:
                for name, rate in self.seen.pools[self.pool].load_req_per_s.items():
                    self.router.arrived[name] += rate * seconds
        arrived = self.seen.pools[self.pool].arrived_requests
        if arrived:
            self.router.arrived.update(arrived)
        return self.seen

    def gpu_kw(self) -> float:
        """Return what one GPU draws, at its own meter."""
        pool_kw = self.touch().pool_kw[self.pool]
        return max(pool_kw / self._factor / (self._each * len(self.engines)), 0.0)

    def lose(self, name: str) -> None:
        """Let an engine die."""
        self.touch()
        mode = "asleep" if self._asleep[name] else "active"
        self.plant.happens(InstanceLost(at_s=0.0, pool=self.pool, mode=mode))
        self.engines[name].fault = "deaf"
        self.router.down.add(name)
        self._lost[name] = True
        self._asleep[name] = False
        self._told.pop("route", None)

    def bring_back(self, name: str) -> None:
        """Let an engine that died come back, awake."""
        self.touch()
        self.plant.happens(InstanceReturned(at_s=0.0, pool=self.pool))
        self.engines[name].restart()
        self.router.down.discard(name)
        self._lost.pop(name, None)
        self._told.pop("route", None)

    # --- what the devices hold, as commands ------------------------------------------------------

    def _commands(self) -> Sequence[Command]:
        there = {n: e for n, e in self.engines.items() if n not in self._lost}
        working = [n for n, e in there.items() if not e.asleep and self.router.weight(n) > 0.0]
        listed: list[Command] = []
        woken = [n for n, e in there.items() if self._asleep[n] and not e.asleep]
        fallen = [n for n, e in there.items() if e.asleep and not self._asleep[n]]
        if woken:
            listed.append(Wake(at_s=0.0, pool=self.pool, count=len(woken)))
        route = (len(working), len(there) - len(working))
        if self._news("route", route):
            listed.append(
                Route(at_s=0.0, pool=self.pool, active=route[0], drained=max(route[1], 0))
            )
        for name in self.router.arrived:
            rate = self.router._admit.get(name) if self.router.leased else None
            if self._news(f"admit {name}", rate):
                listed.append(
                    LimitAdmission(at_s=0.0, pool=self.pool, request_class=name, req_per_s=rate)
                )
        cap_w = self._cap_w(working)
        if self._news("cap", cap_w):
            listed.append(CapPower(at_s=0.0, pool=self.pool, w_per_gpu=cap_w))
        if fallen:
            listed.append(Sleep(at_s=0.0, pool=self.pool, count=len(fallen)))
        self._asleep.update({name: engine.asleep for name, engine in there.items()})
        return listed

    def _cap_w(self, working: Sequence[str]) -> float | None:
        """Return the mean limit of the GPUs that work; None where it is that of before."""
        caps = [self.gpus.cap_w(gpu) for name in working for gpu in self._gpus_of[name]]
        mean_w = sum(caps) / len(caps) if caps else self.gpus.cap_range.high
        return None if mean_w >= self.gpus.cap_range.high - 0.5 else mean_w

    def _news(self, what: str, value: object) -> bool:
        if what in self._told and self._told[what] == value:
            return False
        self._told[what] = value
        return True
