"""Following a plan: each device is told at its time, and a slow one delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.commands import ArmDroop, Command, HoldConnectionPoint, RestConverter, commands
from ebplan.adapters.roles import Battery, Droop
from ebplan.adapters.site_devices import SiteDevices
from ebplan.disaggregate import Instance, Mode, Switch, Timing, disaggregate
from ebplan.dispatch.connection_point import ConnectionPoint
from ebplan.dispatch.fleet import Fleet, missing
from ebplan.dispatch.notes import Note, Notes
from ebplan.dispatch.wanted import wanted
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
        self._point: ConnectionPoint | None = None
        """One for all plans: what it believes of the load outlives a plan."""

    @property
    def blind(self) -> bool:
        """Whether the battery rests because the meter has been silent for too long."""
        return self._point is not None and self._point.blind

    async def follow(
        self, plan: Plan, pools: Mapping[str, PoolInstances], *, start_s: float | None = None
    ) -> None:
        """Carry a plan out to its end; cancel it to follow another.

        Args:
            plan: what to do.
            pools: the instances of each pool as they are when the plan starts; what they really
                are is read from the devices.
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
        keeping = [asyncio.create_task(fleet.run()) for fleet in self.fleets.values()]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_converter(commands(plan), start, end_s))
                for name, epochs in plan.pools.items():
                    first = {i.id: i.mode for i in pools[name].instances}
                    group.create_task(self._follow_fleet(name, first, epochs, turns[name], start))
                group.create_task(self._until(end_s))
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
        # what the last epoch wants is looked at once more: it may have begun a moment ago
        await asyncio.gather(*(self.fleets[name].settle() for name in plan.pools))

    def _meet(self, pools: Mapping[str, PoolInstances]) -> None:
        """Know the engines of each pool.

        Raises:
            InputError: an instance has no engine.
        """
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
            self.fleets[name] = Fleet(self._devices, modes, self._clock, self.notes, self._cycle_s)

    async def _follow_fleet(
        self,
        pool: str,
        modes: Mapping[str, Mode],
        epochs: Sequence[PoolEpoch],
        turns: Sequence[Sequence[Switch]],
        start_s: float,
    ) -> None:
        """Want of the pool what each epoch wants, at its time."""
        now: dict[str, Mode] = dict(modes)
        for epoch, switches in zip(epochs, turns, strict=True):
            await self._until(start_s + epoch.t_s)
            now.update({switch.id: switch.to_mode for switch in switches})
            self.fleets[pool].want(wanted(epoch, now))

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
        if self._point is None:
            self._point = ConnectionPoint(battery, meter, self._clock)
        point = self._point
        following, to_arm = False, None
        while (now_s := self._clock.now_s()) < end_s:
            while told and start_s + told[0].at_s <= now_s:
                command = told.pop(0)
                if isinstance(command, ArmDroop):
                    to_arm = command.reserve_kw
                    continue
                following = True
                point.asked_kw = (
                    command.grid_kw if isinstance(command, HoldConnectionPoint) else None
                )
            if to_arm is not None and await self._arm(battery, to_arm):
                to_arm = None
            if following:
                self.notes(await point.step())
            next_s = start_s + told[0].at_s if told else end_s
            await self._until(min(self._clock.now_s() + self._cycle_s, max(next_s, now_s), end_s))

    async def _arm(self, battery: Battery, reserve_kw: float) -> bool:
        """Arm the droop with the power that the plan keeps free; return whether that is over."""
        if self._droop is None:
            if reserve_kw > 0.0:
                self.notes(missing("battery", "arm_droop", "no droop was given to arm"))
            return True
        answer = await battery.arm_droop(replace(self._droop, capacity_kw=reserve_kw))
        self.notes(answer)
        return not isinstance(answer, Unreachable)

    async def _until(self, at_s: float) -> None:
        if (left_s := at_s - self._clock.now_s()) > 0.0:
            await self._clock.sleep(left_s)
