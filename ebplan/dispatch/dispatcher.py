"""Following a plan: each device is told at its time, and a slow one delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.commands import ArmDroop, Command, HoldConnectionPoint, RestConverter, commands
from ebplan.adapters.roles import Battery, Droop
from ebplan.adapters.site_devices import SiteDevices
from ebplan.disaggregate import Instance, Switch, Timing, disaggregate
from ebplan.dispatch.connection_point import ConnectionPoint
from ebplan.dispatch.fleet import Fleet, missing
from ebplan.dispatch.notes import Note, Notes
from ebplan.errors import InputError
from ebplan.plan import Plan, PoolEpoch


@dataclass(frozen=True)
class PoolInstances:
    """The instances of a pool by the names of their engines, and how long they take."""

    instances: Sequence[Instance]
    timing: Timing = field(default_factory=Timing)


class Dispatcher:
    """Carries plans out on a site's devices.

    Args:
        devices: the site's devices.
        droop: shape of the droop that ``arm_droop`` arms; its capacity comes from the plan.
        clock: what time it is.
        cycle_s: between two corrections of the converter.
        listen: called with each answer.
    """

    def __init__(
        self,
        devices: SiteDevices,
        *,
        droop: Droop | None = None,
        clock: Clock | None = None,
        cycle_s: float = 1.0,
        listen: Callable[[Note], None] | None = None,
    ) -> None:
        self._devices, self._droop, self._cycle_s = devices, droop, cycle_s
        self._clock = clock or MonotonicClock()
        self.notes = Notes(self._clock.now_s, listen)
        """What was answered."""
        self.fleets: dict[str, Fleet] = {}
        """Engines by pool, as the plan that is followed has them."""

    async def follow(
        self, plan: Plan, pools: Mapping[str, PoolInstances], *, start_s: float | None = None
    ) -> None:
        """Carry a plan out to its end; cancel it to follow another.

        Args:
            plan: what to do.
            pools: the instances of each pool as they are when the plan starts.
            start_s: the clock's seconds at the plan's 0; now if absent.

        Raises:
            InputError: the plan's counts do not follow from the instances, or one has no engine.
        """
        start = self._clock.now_s() if start_s is None else start_s
        turns = {
            name: disaggregate(epochs, pools[name].instances, pools[name].timing)
            for name, epochs in plan.pools.items()
        }
        self._meet(pools)
        end_s = start + plan.steps[-1].t_s + plan.steps[-1].duration_s
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_converter(commands(plan), start, end_s))
            for name, epochs in plan.pools.items():
                for epoch, switches in zip(epochs, turns[name], strict=True):
                    group.create_task(self._follow_fleet(name, epoch, switches, start))

    def _meet(self, pools: Mapping[str, PoolInstances]) -> None:
        """Know the engines of each pool; those met before keep what they were told."""
        for name, pool in pools.items():
            for instance in pool.instances:
                if instance.id not in self._devices.places:
                    raise InputError(
                        field=f"pools.{name}",
                        value=instance.id,
                        allowed=", ".join(self._devices.places) or "an engine; there is none",
                        remedy="name the instances as the engines of the devices file",
                    )
            modes = {instance.id: instance.mode for instance in pool.instances}
            known = self.fleets.get(name)
            if known is None or set(known.modes) != set(modes):
                self.fleets[name] = Fleet(self._devices, modes, self._clock, self.notes)
            else:
                known.modes.update(modes)

    async def _follow_fleet(
        self, pool: str, epoch: PoolEpoch, switches: Sequence[Switch], start_s: float
    ) -> None:
        await self._until(start_s + epoch.t_s)
        await self.fleets[pool].carry_out(epoch, switches)

    async def _follow_converter(
        self, listed: Sequence[Command], start_s: float, end_s: float
    ) -> None:
        """Tell the converter what holds now: each cycle, and when the plan says another thing."""
        told = [c for c in listed if isinstance(c, ArmDroop | HoldConnectionPoint | RestConverter)]
        if not told:
            return
        battery, meter = self._devices.battery, self._devices.meter
        if battery is None or meter is None:
            lacking = "battery" if battery is None else "meter"
            self.notes(missing(lacking, "hold", f"the site has no {lacking}"))
            return
        point = ConnectionPoint(battery, meter)
        following = False
        while (now_s := self._clock.now_s()) < end_s:
            while told and start_s + told[0].at_s <= now_s:
                command = told.pop(0)
                if isinstance(command, ArmDroop):
                    await self._arm(battery, command.reserve_kw)
                    continue
                following = True
                point.asked_kw = (
                    command.grid_kw if isinstance(command, HoldConnectionPoint) else None
                )
            if following:
                self.notes(await point.step())
            next_s = start_s + told[0].at_s if told else end_s
            await self._until(min(self._clock.now_s() + self._cycle_s, max(next_s, now_s), end_s))

    async def _arm(self, battery: Battery, reserve_kw: float) -> None:
        """Arm the droop with the power that the plan keeps free for it."""
        if self._droop is not None:
            self.notes(await battery.arm_droop(replace(self._droop, capacity_kw=reserve_kw)))
        elif reserve_kw > 0.0:
            self.notes(missing("battery", "arm_droop", "the devices file declares no droop"))

    async def _until(self, at_s: float) -> None:
        if (left_s := at_s - self._clock.now_s()) > 0.0:
            await self._clock.sleep(left_s)
