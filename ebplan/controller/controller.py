"""The loop of a site: what is read becomes a plan that is carried out, and everything is recorded.

Each cycle: read all devices at once; see which call of the grid stands; let the planner keep its
plan or make another by the deadline; carry another plan out from where the devices are; write down
what was seen, decided, told and answered. The converter's droop and the leases act below this loop:
where it hangs or dies, the site goes to its safe state by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ebplan.adapters.answers import Answer, Applied, AppliedInPart
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.source import EventSource
from ebplan.adapters.lease import LeaseKeeper
from ebplan.adapters.roles import Droop, NodePowerReading
from ebplan.adapters.site_devices import SiteDevices
from ebplan.audit.journal import Journal
from ebplan.audit.log import AuditHealth
from ebplan.controller.baselines import Baselines
from ebplan.controller.calls import Calls, Turn
from ebplan.controller.degradations import Degradation, Degradations, Name
from ebplan.controller.devices_of import require_devices_of
from ebplan.controller.node_meters import NodeMeters
from ebplan.controller.recording import Recording
from ebplan.controller.reporting import Reporting
from ebplan.controller.sensing import Sensed, Senses
from ebplan.disaggregate import disaggregate
from ebplan.dispatch import Dispatcher, PoolInstances
from ebplan.dispatch.to_the_end import to_the_end
from ebplan.errors import EbplanError, InputError
from ebplan.event import Event
from ebplan.plan import Plan, Step
from ebplan.planner import Planner, Restoring
from ebplan.site import Site

log = logging.getLogger("ebplan.controller")

ARM_EVERY_S = 60.0
"""Between two rounds of plans that are made in advance."""
AHEAD = timedelta(hours=1)
"""Calls that begin within this are armed."""
SOONEST_S = 0.1
"""Least time between two cycles, however many calls come."""


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
    restoring: Restoring | None = None
    """What is left to restore of the battery's charge; None where it is ready or answers a call."""
    armed: int = 0
    """Plans that are ready in advance."""
    audit: AuditHealth | None = None
    """How the audit log is; None without one."""
    nodes: Mapping[str, NodePowerReading] = field(default_factory=dict)
    """What meters of nodes said last, by name; read beside the loop."""


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
        cycle_s: length of a cycle; a call that comes or changes begins the next one at once.
        deadline_s: time for a plan.
        sources: where calls come from, for reports on them; each is run by the caller.
        report_every_s: length of a report's stretches, and time between two reports on a call.
        dry_run: read and plan, and tell nobody anything.
        record_states: whether the journal is told what each plan is made from.
        baselines: of the calls that a controller before this one began.
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
        sources: Iterable[EventSource] = (),
        report_every_s: float = 60.0,
        dry_run: bool = False,
        record_states: bool = True,
        baselines: Baselines | None = None,
        clock: Clock | None = None,
        now: Callable[[], datetime] | None = None,
        listen: Callable[[Status], None] | None = None,
    ) -> None:
        require_devices_of(site, devices)
        self._site, self._devices, self._planner, self._inbox = site, devices, planner, inbox
        self._cycle_s, self._deadline_s = cycle_s, deadline_s
        self._recording = Recording(journal, states=record_states)
        self._dry_run, self._listen = dry_run, listen
        self._clock = clock or MonotonicClock()
        self._now: Callable[[], datetime] = now or (lambda: datetime.now(UTC))
        self._senses = Senses(site, devices, self._clock, self._now)
        self._node_meters = NodeMeters(devices.node_meters(), self._clock)
        self._reporting = Reporting(
            () if dry_run else sources,
            inbox,
            energy_kwh=None if site.battery is None else site.battery.energy_kwh,
            every_s=report_every_s,
            clock=self._clock,
            answered=self._recording.answer,
        )
        self._keeper = LeaseKeeper({} if dry_run else devices.actuators(), lease_s, self._clock)
        self._dispatcher = Dispatcher(
            devices,
            droop=droop,
            clock=self._clock,
            cycle_s=min(cycle_s, 1.0),
            listen=lambda note: self._recording.answer(note.answer),
        )
        self._calls, self._degradations = Calls(), Degradations()
        self._baselines = baselines or Baselines()
        self._following: asyncio.Task[None] | None = None
        self._armed_at_s: float | None = None
        self._read_s: float | None = None
        """When the devices were read last."""
        self._refused = ""
        """Why the planner's plan cannot be carried out, where that is so."""
        self._changed = asyncio.Event()
        """The inbox has changed since the last cycle began."""
        self.released: Mapping[str, Answer] = {}
        """What each device answered when it was handed back."""
        self.status = Status()
        """What it is doing."""

    async def run(self) -> None:
        """Run until cancelled, then hand every device back.

        Raises:
            asyncio.CancelledError: it was cancelled; the devices have been handed back.
        """
        working: list[asyncio.Task[None]] = []
        self._recording.models(self._site, self._planner.restoration)
        unsubscribe = self._inbox.subscribe(self._changed.set)
        try:
            await asyncio.gather(*(self._keeper.renew(name) for name in self._keeper.health))
            working = [asyncio.create_task(self._loop())]
            if self._keeper.health:
                working.append(asyncio.create_task(self._keeper.run()))
            if self._devices.node_power:
                working.append(asyncio.create_task(self._node_meters.run()))
            # leases that nobody keeps any more, or a loop that fails, end the run: loudly
            done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            unsubscribe()
            await to_the_end(self._hand_back(working))

    async def _hand_back(self, working: list[asyncio.Task[None]]) -> None:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await self._stop_following()
        await self._reporting.close()
        self.released = await self._keeper.release()
        for answer in self.released.values():
            self._recording.answer(answer)

    # --- the cycle -------------------------------------------------------------------------------

    async def _loop(self) -> None:
        next_s = self._clock.now_s()
        while True:
            began_s = self._clock.now_s()
            self._changed.clear()
            await self._cycle()
            self._keeper.beat()
            next_s = max(next_s + self._cycle_s, self._clock.now_s())
            await self._until(min(began_s + SOONEST_S, next_s))
            if await self._until(next_s, self._changed):
                next_s = self._clock.now_s()

    async def _until(self, at_s: float, event: asyncio.Event | None = None) -> bool:
        """Wait until then, or until an event; return whether the event came."""
        left_s = max(at_s - self._clock.now_s(), 0.0)
        waiting: list[asyncio.Task[object]] = [asyncio.create_task(self._clock.sleep(left_s))]
        if event is not None:
            waiting.append(asyncio.create_task(event.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        return event is not None and event.is_set()

    async def _cycle(self) -> None:
        began_s = self._clock.now_s()
        since_s = self._cycle_s if self._read_s is None else began_s - self._read_s
        self._read_s = began_s
        sensed = await self._senses.read()
        found = self._wrong_with(sensed)
        self.status.sensed, self.status.cycles = sensed, self.status.cycles + 1
        self.status.nodes = self._node_meters.readings()
        if self._senses.knows_the_load:
            await self._plan(sensed, found)
            self._arm()
        elif self.status.cycles > 1:
            found["no_plan", ""] = "the load is not known: the router was not read twice"
        if (plan := self.status.plan) is not None:
            self.status.step = _step_at(plan, (sensed.state.at - plan.start).total_seconds())
        if (took_s := self._clock.now_s() - began_s) > self._cycle_s:
            found["slow_cycle", ""] = f"a cycle took {took_s:.2f} s of {self._cycle_s:g} s"
        self._tell_degradations(found)
        if since_s > 0.0:
            self._recording.window(sensed, self.status.step, since_s, self.status.nodes)
            self._reporting.see(
                sensed,
                self.status.step,
                self.status.event,
                since_s,
                online=all(self.status.leased.values()),
            )
        if self._listen is not None:
            self._listen(self.status)

    async def _plan(self, sensed: Sensed, found: dict[tuple[Name, str], str]) -> None:
        """Keep the plan or make another, and carry it out."""
        self._look_after_following(found)
        standing = self._baselines.told(self._inbox.events())
        ranks = self._inbox.priorities()
        self._recording.state(sensed.state, standing, ranks, self._refused)
        turn = self._calls.turn(standing, sensed.state.at, ranks)
        began_s = self._clock.now_s()
        try:
            plan, why = await self._planned(turn, standing, sensed, found)
        except Exception as error:  # the plan there is goes on, whatever befell the planner
            self._calls.put_back()
            found["no_plan", ""] = _said(error)
            return
        self.status.planning_s = self._clock.now_s() - began_s
        for doubt in self._planner.doubts:
            found["model_in_doubt", doubt] = doubt
        if turn.begins is not None and self._calls.running is turn.begins:
            # whether or not it fits the engines: the next cycle goes on from this baseline
            self._baselines.keep(turn.begins, plan.steps[0].baseline_kw, sensed.state.at)
        if plan is not self.status.plan:
            if not await self._follow(plan, why, found):
                return
            self.status.plan, self.status.why = plan, why
        self.status.event = self._calls.running
        self._tell_restoring(self._planner.restoring)

    def _tell_restoring(self, now: Restoring | None) -> None:
        """Keep what is left to restore; write down when that begins, is late and is over."""
        before, self.status.restoring = self.status.restoring, now
        if now is not None and (before is None or before.is_late != now.is_late):
            self._recording.note(str(now), ready_soc=now.ready_soc, power_kw=now.power_kw)
        if before is not None and now is None:
            told = "a call came first" if self.status.event is not None else "over"
            self._recording.note(f"restoring: {told}", ready_soc=before.ready_soc)

    async def _planned(
        self,
        turn: Turn,
        standing: tuple[Event, ...],
        sensed: Sensed,
        found: dict[tuple[Name, str], str],
    ) -> tuple[Plan, tuple[str, ...]]:
        for event in turn.passed_over:
            self._recording.note("passed over: another call goes before it", event=event.id)
        taken_back = turn.taken_back is not None
        if turn.begins is not None:
            # a call that goes on after another one came between has its baseline already
            begins = self._baselines.begun(turn.begins)
            try:
                plan = await self._planner.aactivate(
                    begins, sensed.state, deadline_s=self._deadline_s
                )
                return plan, (f"event {turn.begins.id}",)
            except Exception as error:
                # the next cycle tries again; meanwhile what is followed is looked after
                self._calls.put_back()
                found["no_plan", turn.begins.id] = _said(error)
                running = self._calls.running
                taken_back = running is not None and running.id not in {e.id for e in standing}
        if taken_back:
            self._planner.take_back()
        refused, self._refused = self._refused, ""
        plan = await self._planner.areplan(
            sensed.state, deadline_s=self._deadline_s, refused=refused
        )
        return plan, self._planner.why or ("a better plan was found",)

    async def _follow(
        self, plan: Plan, why: tuple[str, ...], found: dict[tuple[Name, str], str]
    ) -> bool:
        """Carry a plan out from now on, from what each engine does now; return whether it fits."""
        start_s = self._clock.now_s() + (plan.start - self._now()).total_seconds()
        pools = {
            name: PoolInstances(engines.instances(start_s), engines.timing)
            for name, engines in self._senses.pools.items()
        }
        try:
            turns = {
                name: disaggregate(epochs, pools[name].instances, pools[name].timing)
                for name, epochs in plan.pools.items()
            }
        except InputError as error:
            found["no_plan", plan.event_id] = f"it does not fit the engines: {error}"
            self._refused = "the plan does not fit the engines"
            return False
        self._recording.decision(plan, self._now(), "; ".join(why), dry_run=self._dry_run)
        if self._dry_run:
            return True
        for name, epochs in plan.pools.items():
            self._senses.pools[name].told(start_s, epochs, turns[name])
        await self._stop_following()
        self._following = asyncio.create_task(
            self._dispatcher.follow(plan, pools, start_s=start_s), name="following"
        )
        return True

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
        now = self._now()
        coming = [e for e in self._inbox.events() if now < e.start <= now + AHEAD]
        try:
            self._recording.tracking(self._planner.known)
            self._recording.arming(coming)
            self._planner.arm(coming or None)
        except Exception as error:  # what is made in spare time must not end the run
            log.warning("no plans are made in advance: %s", _said(error))

    # --- what is wrong ---------------------------------------------------------------------------

    def _wrong_with(self, sensed: Sensed) -> dict[tuple[Name, str], str]:
        found: dict[tuple[Name, str], str] = {
            ("device_lost", name): why
            for name, why in {**sensed.silent, **self._node_meters.silent()}.items()
        }
        for name in self._keeper.health:
            last = self._keeper.last.get(name)
            if not self._keeper.holds(name) and not isinstance(last, Applied | AppliedInPart):
                found["not_leased", name] = str(last)
        if "meter" in sensed.silent:
            found["stale_telemetry", "meter"] = "the draw at the connection point is not known"
            if self._dispatcher.blind:
                found["stale_telemetry", "battery"] = "it rests: the meter is silent for too long"
        if "router" in sensed.silent:
            found["stale_telemetry", "router"] = "the load is that of the last reading"
        if jump_s := self._degradations.clock_jump_s(self._now(), self._clock.now_s()):
            found["clock_jump", ""] = f"the wall clock jumped by {jump_s:+.1f} s"
        self.status.audit = self._recording.health
        if (behind := self._recording.behind) is not None:
            found["audit_behind", ""] = behind
        self.status.leased = {name: self._keeper.holds(name) for name in self._keeper.health}
        return found

    def _tell_degradations(self, found: dict[tuple[Name, str], str]) -> None:
        began, over = self._degradations.update(found)
        self.status.degradations = tuple(self._degradations.now.values())
        for one in began:
            log.warning("%s", one)
            self._recording.degradation(one, "began")
        for one in over:
            log.info("over: %s", one)
            self._recording.degradation(one, "over")


def _said(error: Exception) -> str:
    """Return what went wrong; who did not write the error for people says its type as well."""
    return str(error) if isinstance(error, EbplanError) else f"{type(error).__name__}: {error}"


def _step_at(plan: Plan, since_s: float) -> Step | None:
    """Return the step of a plan at some second of it."""
    for step in plan.steps:
        if step.t_s <= since_s < step.t_s + step.duration_s:
            return step
    return None
