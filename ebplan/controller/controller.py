"""The loop of a site: what is read becomes a plan that is carried out, and everything is recorded.

Each cycle: read all devices at once; see which call of the grid stands; let the planner keep its
plan or make another by the deadline; carry another plan out from where the devices are; write down
what was seen, decided, told and answered. The converter's droop and the leases act below this loop:
where it hangs or dies, the site goes to its safe state by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ebplan.adapters.answers import Applied, AppliedInPart
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.commands import commands
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.lease import LeaseKeeper
from ebplan.adapters.roles import Droop
from ebplan.adapters.site_devices import SiteDevices
from ebplan.audit.journal import Journal, Window
from ebplan.controller.calls import Calls, Turn
from ebplan.controller.degradations import Degradation, Degradations, Name
from ebplan.controller.models_used import models_used
from ebplan.controller.sensing import Sensed, Senses
from ebplan.disaggregate import disaggregate
from ebplan.dispatch import Dispatcher, PoolInstances
from ebplan.dispatch.notes import Note
from ebplan.errors import EbplanError, InputError
from ebplan.event import Event
from ebplan.plan import Plan, Step
from ebplan.planner import Planner
from ebplan.site import Site

log = logging.getLogger("ebplan.controller")

ARM_EVERY_S = 60.0
"""Between two rounds of plans that are made in advance."""
AHEAD = timedelta(hours=1)
"""Calls that begin within this are armed."""


@dataclass
class Status:
    """What the controller is doing: for a screen, a page, a metrics endpoint."""

    cycles: int = 0
    """Since it began."""
    sensed: Sensed | None = None
    """What was read last."""
    plan: Plan | None = None
    """What is being carried out."""
    step: Step | None = None
    """Where in it the site should be now."""
    event: Event | None = None
    """What is being answered."""
    why: tuple[str, ...] = ()
    """Why the plan was made."""
    planning_s: float = 0.0
    """Time of the last planning."""
    degradations: tuple[Degradation, ...] = ()
    """What is not as it should be."""
    leased: Mapping[str, bool] = field(default_factory=dict)
    """Whether each actuator obeys."""
    armed: int = 0
    """Plans that are ready in advance."""


class Controller:
    """Runs a site until it is cancelled; then hands it back.

    Args:
        site: the site.
        devices: its devices, open.
        planner: its planner; started and closed by the caller.
        inbox: calls of the grid as they stand.
        lease_s: term of the leases.
        journal: where everything is recorded; nowhere if absent.
        droop: shape of the droop that plans arm.
        cycle_s: length of a cycle.
        deadline_s: time for a plan.
        dry_run: read and plan, and tell nobody anything.
        clock: what time it is, never set back.
        now: the wall clock.
        listen: told the status after each cycle.

    Raises:
        InputError: the devices are not those of the site.
    """

    def __init__(
        self,
        site: Site,
        devices: SiteDevices,
        planner: Planner,
        inbox: Inbox,
        *,
        lease_s: float = 3.0,
        journal: Journal | None = None,
        droop: Droop | None = None,
        cycle_s: float = 1.0,
        deadline_s: float = 0.2,
        dry_run: bool = False,
        clock: Clock | None = None,
        now: Callable[[], datetime] | None = None,
        listen: Callable[[Status], None] | None = None,
    ) -> None:
        _require_devices_of(site, devices)
        self._site, self._devices, self._planner, self._inbox = site, devices, planner, inbox
        self._journal, self._cycle_s, self._deadline_s = journal, cycle_s, deadline_s
        self._dry_run, self._listen = dry_run, listen
        self._clock = clock or MonotonicClock()
        self._now: Callable[[], datetime] = now or (lambda: datetime.now(UTC))
        self._senses = Senses(site, devices, self._clock, self._now)
        self._keeper = LeaseKeeper({} if dry_run else devices.actuators(), lease_s, self._clock)
        self._dispatcher = Dispatcher(
            devices,
            droop=droop,
            clock=self._clock,
            cycle_s=min(cycle_s, 1.0),
            listen=self._answered,
        )
        self._calls, self._degradations = Calls(), Degradations()
        self._following: asyncio.Task[None] | None = None
        self._armed_at_s: float | None = None
        self._tracked = ""
        """Digest of what tracking knew when that was recorded last."""
        self.status = Status()
        """What it is doing."""

    async def run(self) -> None:
        """Run until cancelled, then hand every device back.

        Raises:
            asyncio.CancelledError: it was cancelled; the devices have been handed back.
        """
        working: list[asyncio.Task[None]] = []
        self._record_models()
        try:
            await asyncio.gather(*(self._keeper.renew(name) for name in self._keeper.health))
            working = [asyncio.create_task(self._loop())]
            if self._keeper.health:
                working.append(asyncio.create_task(self._keeper.run()))
            # leases that nobody keeps any more, or a loop that fails, end the run: loudly
            done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            await self._stop_following()
            released = await asyncio.shield(self._keeper.release())
            if self._journal is not None:
                for answer in released.values():
                    self._journal.answer(answer)

    # --- the cycle -------------------------------------------------------------------------------

    async def _loop(self) -> None:
        next_s = self._clock.now_s()
        while True:
            await self._cycle()
            self._keeper.beat()
            next_s = max(next_s + self._cycle_s, self._clock.now_s())
            await self._clock.sleep(next_s - self._clock.now_s())

    async def _cycle(self) -> None:
        began_s = self._clock.now_s()
        sensed = await self._senses.read()
        found = self._wrong_with(sensed)
        self.status.sensed, self.status.cycles = sensed, self.status.cycles + 1
        if self._senses.knows_the_load:
            await self._plan(sensed, found)
            self._arm()
        if (took_s := self._clock.now_s() - began_s) > self._cycle_s:
            found["slow_cycle", ""] = f"a cycle took {took_s:.2f} s of {self._cycle_s:g} s"
        self._tell_degradations(found)
        self._write_window(sensed)
        if self._listen is not None:
            self._listen(self.status)

    async def _plan(self, sensed: Sensed, found: dict[tuple[Name, str], str]) -> None:
        """Keep the plan or make another, and carry it out."""
        self._look_after_following(found)
        turn = self._calls.turn(self._inbox.events(), sensed.state.at)
        began_s = self._clock.now_s()
        try:
            plan, why = await self._planned(turn, sensed)
        except EbplanError as error:
            found["no_plan", ""] = str(error)
            return
        self.status.planning_s = self._clock.now_s() - began_s
        for doubt in self._planner.doubts:
            found["model_in_doubt", doubt] = doubt
        self.status.event = self._calls.running
        if plan is not self.status.plan:
            self.status.why = why
            await self._follow(plan, why, found)
        since_s = (sensed.state.at - plan.start).total_seconds()
        self.status.plan, self.status.step = plan, _step_at(plan, since_s)

    async def _planned(self, turn: Turn, sensed: Sensed) -> tuple[Plan, tuple[str, ...]]:
        for event in turn.passed_over:
            self._note("passed over: a later call is answered", event=event.id)
        if turn.begins is not None:
            plan = await self._planner.aactivate(
                turn.begins, sensed.state, deadline_s=self._deadline_s
            )
            return plan, (f"event {turn.begins.id}",)
        if turn.taken_back is not None:
            self._planner.take_back()
        plan = await self._planner.areplan(sensed.state, deadline_s=self._deadline_s)
        return plan, self._planner.why or ("a better plan was found",)

    async def _follow(
        self, plan: Plan, why: tuple[str, ...], found: dict[tuple[Name, str], str]
    ) -> None:
        """Carry a plan out from now on, from what each engine does now."""
        if self._journal is not None:
            self._journal.decision(plan, at=self._now(), why="; ".join(why))
            for command in commands(plan):
                self._journal.command(command)
        if self._dry_run:
            return
        start_s = self._clock.now_s() + (plan.start - self._now()).total_seconds()
        pools = {
            name: PoolInstances(engines.instances(start_s), engines.timing)
            for name, engines in self._senses.pools.items()
        }
        try:
            for name, epochs in plan.pools.items():
                turns = disaggregate(epochs, pools[name].instances, pools[name].timing)
                self._senses.pools[name].told(start_s, epochs, turns)
        except InputError as error:
            found["no_plan", plan.event_id] = f"it does not fit the engines: {error}"
            return
        await self._stop_following()
        self._following = asyncio.create_task(
            self._dispatcher.follow(plan, pools, start_s=start_s), name="following"
        )

    def _look_after_following(self, found: dict[tuple[Name, str], str]) -> None:
        """Say where a plan could not be carried out; it is begun anew in this cycle."""
        following = self._following
        if following is None or not following.done() or following.cancelled():
            return
        if (error := following.exception()) is not None:
            self._following, self.status.plan = None, None
            found["no_plan", "following"] = f"{type(error).__name__}: {error}"

    async def _stop_following(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            for result in await asyncio.gather(following, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("a plan could not be carried out: %s", result)

    def _arm(self) -> None:
        """Let plans be made in spare time for what may come."""
        now_s = self._clock.now_s()
        self.status.armed = len(self._planner.armed)
        if self._armed_at_s is not None and now_s - self._armed_at_s < ARM_EVERY_S:
            return
        self._armed_at_s = now_s
        self._record_tracking()
        now = self._now()
        coming = [e for e in self._inbox.events() if now < e.start <= now + AHEAD]
        self._planner.arm(coming or None)

    # --- what is wrong ---------------------------------------------------------------------------

    def _wrong_with(self, sensed: Sensed) -> dict[tuple[Name, str], str]:
        found: dict[tuple[Name, str], str] = {
            ("device_lost", name): why for name, why in sensed.silent.items()
        }
        for name in self._keeper.health:
            last = self._keeper.last.get(name)
            if not self._keeper.holds(name) and not isinstance(last, Applied | AppliedInPart):
                found["not_leased", name] = str(last)
        if "meter" in sensed.silent:
            found["stale_telemetry", "meter"] = "the draw at the connection point is not known"
        if "router" in sensed.silent:
            found["stale_telemetry", "router"] = "the load is that of the last reading"
        if jump_s := self._degradations.clock_jump_s(self._now(), self._clock.now_s()):
            found["clock_jump", ""] = f"the wall clock jumped by {jump_s:+.1f} s"
        self.status.leased = {name: self._keeper.holds(name) for name in self._keeper.health}
        return found

    def _tell_degradations(self, found: dict[tuple[Name, str], str]) -> None:
        began, over = self._degradations.update(found)
        self.status.degradations = tuple(self._degradations.now.values())
        for one in began:
            log.warning("%s", one)
            if self._journal is not None:
                self._journal.alarm(one.name, of=one.of, why=one.why, state="began")
        for one in over:
            log.info("over: %s", one)
            if self._journal is not None:
                self._journal.alarm(one.name, of=one.of, why=one.why, state="over")

    # --- what is written -------------------------------------------------------------------------

    def _record_models(self) -> None:
        """Keep what is planned with from here on."""
        if self._journal is not None:
            for name, content in models_used(self._site).items():
                self._journal.model(name, content, why="the controller starts with it")

    def _record_tracking(self) -> None:
        """Keep what tracking found of the models, where that has changed."""
        if self._journal is None:
            return
        known = self._planner.known
        if (digest := known.digest()) != self._tracked:
            self._tracked = digest
            self._journal.model(
                "tracking", known.to_json().encode(), why="plans are corrected by it"
            )

    def _answered(self, note: Note) -> None:
        if self._journal is not None:
            self._journal.answer(note.answer)

    def _note(self, what: str, **more: object) -> None:
        if self._journal is not None:
            self._journal.note(what, **more)

    def _write_window(self, sensed: Sensed) -> None:
        if self._journal is None:
            return
        state, step = sensed.state, self.status.step
        asked = step is not None and step.target_kw != 0.0
        self._journal.window(
            Window(
                start=state.at - timedelta(seconds=self._cycle_s),
                duration_s=self._cycle_s,
                samples=int(state.grid is not None),
                grid_kw=None if state.grid is None else state.grid.kw,
                target_kw=step.target_kw if asked and step is not None else None,
                baseline_kw=step.baseline_kw if asked and step is not None else None,
                battery_kw=state.battery_kw,
                soc=state.soc,
                frequency_hz=sensed.frequency_hz,
                pool_kw={n: p.power_kw for n, p in state.pools.items() if p.power_kw is not None},
            )
        )


def _require_devices_of(site: Site, devices: SiteDevices) -> None:
    """Refuse devices that are not those of the site.

    Raises:
        InputError: there is no router, or a pool has another number of engines.
    """
    if devices.router is None:
        raise InputError(
            field="router",
            value=None,
            allowed="the router: the load is counted there",
            remedy="add [router] to the devices file",
        )
    for name, pool in site.pools.items():
        engines = [n for n, place in devices.places.items() if place.pool == name]
        if len(engines) != pool.instances:
            raise InputError(
                field="engines",
                value=f"{len(engines)} engines of pool {name}",
                allowed=f"{pool.instances}, as the site says",
                remedy="name each instance of the pool in the devices file, or correct the site",
            )


def _step_at(plan: Plan, since_s: float) -> Step | None:
    """Return the step of a plan at some second of it."""
    for step in plan.steps:
        if step.t_s <= since_s < step.t_s + step.duration_s:
            return step
    return None
