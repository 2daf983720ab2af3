"""The day itself: controller, site and troubles in virtual time."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.day24.calls import (
    HOUR_S,
    Call,
    Trouble,
    make_calls,
    make_troubles,
    share_of_day,
)
from benchmarks.day24.judge import Judge
from benchmarks.day24.site import PlantSite
from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.inbox import Inbox
from ebplan.case import Case
from ebplan.controller import Controller, Status
from ebplan.document import write_atomically
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.twin import FluidPlant, LoadNoise, MeterModel, RequestPlant
from ebplan.twin.disturbances import (
    ConverterReturn,
    ConverterTrip,
    LoadStep,
    OtherLoadStep,
    PoolDrift,
)
from ebplan.twin.virtual_time import LoopClock, run_in_virtual_time

PlantKind = Literal["fluid", "requests"]
PLANTS = {"fluid": FluidPlant, "requests": RequestPlant}
LOAD_ERROR = 0.03


class StandingPlanner(Planner):
    """A planner during whose work the time of the loop stands, and that arms nothing.

    In virtual time there is no spare time to make plans in.
    """

    async def aactivate(self, *given: Any, **named: Any) -> Plan:
        """Return ``activate``."""
        return self.activate(*given, **named)

    async def areplan(self, *given: Any, **named: Any) -> Plan:
        """Return ``replan``."""
        return self.replan(*given, **named)

    def arm(self, *given: Any, **named: Any) -> None:
        """Arm nothing."""


class Day:
    """One day.

    Args:
        case: site and state at the start.
        plant: which plant.
        hours: how long.
        events: calls in it.
        faults: faults in it.
        seed: of everything that is drawn.
        tell: told of progress.
        keep: where the record is kept, after each hour; nowhere if absent.
    """

    def __init__(
        self,
        case: Case,
        *,
        plant: PlantKind = "fluid",
        hours: float = 24.0,
        events: int = 200,
        faults: int = 50,
        seed: int = 1,
        tell: Callable[[str], None] = lambda line: None,
        keep: Path | None = None,
    ) -> None:
        self.case, self.hours, self.seed, self.kind = case, hours, seed, plant
        self._tell, self._keep = tell, keep
        self._planned = {"hours": hours, "events": events, "faults": faults}
        self._rng = np.random.default_rng((seed, 3))
        measured = FluidPlant(case.site, case.state).step((), 1.0)
        assert measured.grid_kw is not None
        self.draw_kw = measured.grid_kw
        self.other_kw = measured.grid_kw - sum(measured.pool_kw.values())
        self.calls = make_calls(case, self.draw_kw, hours=hours, count=events, seed=seed)
        self.troubles = make_troubles(hours=hours, count=faults, seed=seed)
        assert case.site.battery is not None
        battery = case.site.battery
        self.judge = Judge(self.draw_kw, (battery.soc_min, battery.soc_max))
        self.clock = LoopClock()
        self.ahead_s = 0.0
        """How far the wall clock has jumped."""
        self.load_factor = 1.0
        self.memory_mb: list[tuple[float, float]] = []
        self.back: list[dict[str, Any]] = []
        """By fault: how long after its end the site was back to plan."""
        self.wall_s = 0.0
        self.ended = ""
        self.lived_s = 0.0

    def now(self) -> datetime:
        """Return the wall clock."""
        return self.case.state.at + timedelta(seconds=self.clock.now_s() + self.ahead_s)

    def live(self) -> dict[str, Any]:
        """Live through it and return the record."""
        began = time.perf_counter()
        run_in_virtual_time(self._live(began))
        self.wall_s = time.perf_counter() - began
        return self.record()

    async def _live(self, began: float) -> None:
        plant = PLANTS[self.kind](
            self.case.site,
            self.case.state,
            load_noise=LoadNoise(std=LOAD_ERROR) if self.kind == "fluid" else None,
            meter=MeterModel(noise_kw=0.002 * self.draw_kw),
            pool_meter=MeterModel(noise_share=0.005),
            seed=self.seed,
        )
        self.site = PlantSite(self.case.site, plant, self.clock)
        self.inbox = Inbox(now=self.now)
        with StandingPlanner(self.case.site).start(wait_s=30.0) as planner:
            controller = Controller(
                self.case.site,
                self.site.devices,
                planner,
                self.inbox,
                clock=self.clock,
                now=self.now,
                listen=self._listen,
            )
            running = asyncio.create_task(controller.run())
            others = [asyncio.create_task(self._traffic())]
            others += [asyncio.create_task(self._call(call)) for call in self.calls]
            others += [asyncio.create_task(self._trouble(one)) for one in self.troubles]
            hours = asyncio.create_task(self._hours(began))
            await asyncio.wait({running, hours}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                self.ended = repr(running.exception())
            for task in (running, hours, *others):
                task.cancel()
            done = await asyncio.gather(*others, return_exceptions=True)
            await asyncio.gather(running, hours, return_exceptions=True)
            for error in done:
                if isinstance(error, Exception):
                    raise error

    def _listen(self, status: Status) -> None:
        self.status = status
        seen = self.site.touch()
        self.judge.see(status, self.clock.now_s(), seen.registers.grid_kwh, seen.battery_kw)

    async def _hours(self, began: float) -> None:
        end_s = self.hours * HOUR_S
        while (left_s := end_s - self.clock.now_s()) > 1e-3:
            await self.clock.sleep(min(HOUR_S, left_s))
            self.lived_s = self.clock.now_s()
            self.wall_s = time.perf_counter() - began
            gc.collect()
            self.memory_mb.append((self.lived_s / HOUR_S, resident_mb()))
            self._tell(
                f"{self.lived_s / HOUR_S:5.1f} h, {self.lived_s / self.wall_s:4.0f} x real time, "
                f"{self.memory_mb[-1][1]:.0f} MB"
            )
            if self._keep is not None:
                write_atomically(self._keep, json.dumps(self.record()).encode())

    # --- what happens ----------------------------------------------------------------------------

    async def _traffic(self) -> None:
        while True:
            share = share_of_day(self.clock.now_s()) * self.load_factor
            self.site.touch()
            for pool, state in self.case.state.pools.items():
                for name, rate in state.load_req_per_s.items():
                    step = LoadStep(at_s=0.0, pool=pool, request_class=name, req_per_s=rate * share)
                    self.site.plant.happens(step)
            await self.clock.sleep(60.0)

    async def _call(self, call: Call) -> None:
        await self.clock.sleep(call.at_s - call.notice_s)
        event = call.event.model_copy(
            update={"start": self.now() + timedelta(seconds=call.notice_s)}
        )
        message = GridEvent(source="grid", uid=event.id, received=self.now(), events=(event,))
        self.inbox.take(message)
        if call.changed_at_s is not None:
            await self.clock.sleep(max(call.changed_at_s - self.clock.now_s(), 0.0))
            assert event.target is not None
            assert event.target.delta_kw is not None
            more = event.target.model_copy(update={"delta_kw": call.factor * event.target.delta_kw})
            events = (event.model_copy(update={"target": more}),)
            self.inbox.take(message.model_copy(update={"revision": 1, "events": events}))
        if call.cancelled_at_s is not None:
            await self.clock.sleep(max(call.cancelled_at_s - self.clock.now_s(), 0.0))
            self.inbox.take(message.model_copy(update={"revision": 1, "cancelled": True}))

    async def _trouble(self, one: Trouble) -> None:
        await self.clock.sleep(one.at_s)
        self.judge.fault_until_s = max(self.judge.fault_until_s, one.at_s + one.lasts_s)
        undo = self._begin(one)
        await self.clock.sleep(one.lasts_s)
        undo()
        over_s, well = self.clock.now_s(), 0
        while well < 5 and self.clock.now_s() < over_s + 600.0:
            await self.clock.sleep(1.0)
            wrong = [d.name for d in self.status.degradations if d.name != "model_in_doubt"]
            well = 0 if wrong else well + 1
        after_s = self.clock.now_s() - over_s - 5.0
        self.back.append({"what": one.what, "at_s": one.at_s, "back": well >= 5, "s": after_s})

    def _begin(self, one: Trouble) -> Callable[[], None]:
        """Let a fault begin; return what ends it."""
        site, plant = self.site, self.site.plant
        site.touch()
        match one.what:
            case "engine dies":
                living = [n for n, e in site.engines.items() if e.fault is None and e.awake]
                name = living[int(self._rng.integers(len(living)))]
                site.lose(name)
                return lambda: site.bring_back(name)
            case "meter silent":
                site.meter.fault = "deaf"
                return lambda: setattr(site.meter, "fault", None)
            case "meter frozen":
                site.meter.frozen_kw = site.seen.grid_kw
                return lambda: setattr(site.meter, "frozen_kw", None)
            case "converter trips":
                plant.happens(ConverterTrip(at_s=0.0))
                return lambda: plant.happens(ConverterReturn(at_s=0.0))
            case "converter refuses":
                site.battery.fault = "refuse"
                return lambda: setattr(site.battery, "fault", None)
            case "router silent":
                site.router.fault = "deaf"
                return lambda: setattr(site.router, "fault", None)
            case "load steps":
                self.load_factor = 1.0 + 0.25 * one.size
                return lambda: setattr(self, "load_factor", 1.0)
            case "other load steps":
                kw = max(self.other_kw + 0.1 * self.draw_kw * one.size, 0.0)
                plant.happens(OtherLoadStep(at_s=0.0, kw=kw))
                return lambda: plant.happens(OtherLoadStep(at_s=0.0, kw=self.other_kw))
            case "caps take half":
                plant.happens(self._caps(0.5))
                return lambda: plant.happens(self._caps(2.0))
            case "wall clock jumps":
                self.ahead_s += 30.0 * one.size
                return lambda: None

    def _caps(self, factor: float) -> PoolDrift:
        return PoolDrift(at_s=0.0, pool=self.site.pool, number="cap_delivery", factor=factor)

    # --- what is kept ----------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """Return what became of it until now."""
        judge, seen = self.judge, self.site.seen.pools[self.site.pool]
        classes = self.case.site.pools[self.site.pool].classes
        return {
            "plant": self.kind,
            "seed": self.seed,
            "hours": self.lived_s / HOUR_S,
            "planned": self._planned,
            "ended": self.ended,
            "wall_s": self.wall_s,
            "draw_kw": self.draw_kw,
            "soc_start": self.case.state.soc,
            "calls": sum(call.at_s < self.lived_s for call in self.calls),
            "faults": sum(one.at_s < self.lived_s for one in self.troubles),
            "by_kind": {when: asdict(tally) for when, tally in judge.by_kind.items()},
            "between": asdict(judge.between),
            "answered": judge.answered,
            "plans": dict(judge.plans),
            "unchecked": judge.unchecked,
            "cycles": judge.cycles,
            "degraded_s": dict(judge.degraded_s),
            "no_plan": dict(judge.no_plan),
            "soc_out_s": judge.soc_out_s,
            "worst": judge.worst,
            "back": self.back,
            "memory_mb": self.memory_mb,
            "refused": self.site.refused,
            "rejected": {
                name: {"protected": bool(c.protected), "requests": seen.rejected_requests[name]}
                for name, c in classes.items()
            },
            "trace": judge.trace,
        }


def resident_mb() -> float:
    """Return the resident memory of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) / 1024.0
    raise RuntimeError("no VmRSS")
