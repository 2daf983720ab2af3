"""The planner of a control service: events and measured states in, checked plans out, in time."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, get_args

from ebplan.errors import EbplanError, InputError, NoPlanError
from ebplan.event import Baseline, Event
from ebplan.models.tracking.known import SiteKnown
from ebplan.offers import Offer, OfferRequest, offer
from ebplan.plan import Answer, Plan, PlanWarning
from ebplan.planner.arming import Arming
from ebplan.planner.contingencies import Armed, Contingency, draw_kw, likely_contingencies
from ebplan.planner.counted import CountedLoads
from ebplan.planner.deadline import Clock, Deadline
from ebplan.planner.estimate import Disturbance, Noise
from ebplan.planner.expectation import Expectation, Tolerance
from ebplan.planner.followed import Followed, Recovery
from ebplan.planner.gate import Gate
from ebplan.planner.ladder import Ladder
from ebplan.planner.one_shot import solve_problem
from ebplan.planner.readings import believed
from ebplan.planner.restoration import Restoration, Restoring, restoring
from ebplan.planner.standing import SPARE_S, standing_event
from ebplan.planner.standing_by import check_standing_by, with_standing_by
from ebplan.planner.tracking import Tracking, explained_kw
from ebplan.pose import pose
from ebplan.pose.repair import pose_measured
from ebplan.services import ServiceDefinition
from ebplan.site import Site
from ebplan.solvers.leave_out import check_switches, leave_out
from ebplan.solvers.session import PROCESSES, Session
from ebplan.state import State
from ebplan.timegrid import TimeGrid

log = logging.getLogger("ebplan.planner")

REPLAN_S = 0.2
"""Time given to a plan that nobody gave a deadline."""
SEEN = 60
"""Meter readings that are remembered: an event may begin before the state that it is told with."""
DRAWN_WITHIN_S = 60.0
"""A meter reading older than this says nothing of what was drawn when an event began."""


class Planner:
    """Plans events for one site; may be called from several threads.

    Without a deadline ``plan`` solves in this process and explains. With one it returns the best
    checked plan by then; solver processes stand by from ``start`` (or the first such call) to
    ``close``. ``replan`` is asked each cycle with what was measured.

    Args:
        site: the site to plan for.
        clock: what limits a search: ``seconds``, or ``work``, which gives the same bytes on every
            machine of the same versions and knows no deadline.
        tolerance: how far a measurement may lie from the plan before another is made.
        problems_to: folder for problems that a solver failed on; a temporary one if absent.
        restoration: how the site is made ready again between events.
        tracks: whether the models are tracked from what is measured, where pools are metered.
        known: what tracking knew before a restart (``known``).
        without: mechanisms to leave out of every plan that is made by a deadline or by work
            (``ebplan.mechanisms``): an experiment tries them one by one. Nothing is armed then.

    Raises:
        InputError: there is no such clock, or no such mechanism to leave out.

    Example:
        >>> from ebplan import Planner, load_case
        >>> case = load_case("examples/under_frequency.json")
        >>> plan = Planner(case.site).plan(case.event, case.state)
        >>> plan.status
        'optimal'
    """

    def __init__(
        self,
        site: Site,
        *,
        clock: Clock = "seconds",
        tolerance: Tolerance | None = None,
        problems_to: Path | None = None,
        restoration: Restoration | None = None,
        tracks: bool = True,
        known: SiteKnown | None = None,
        without: Sequence[str] = (),
    ) -> None:
        if clock not in get_args(Clock):
            raise InputError(
                field="clock",
                value=clock,
                allowed=" or ".join(get_args(Clock)),
                remedy="choose what limits a search",
            )
        check_switches(without)
        if restoration is not None:
            check_standing_by(site, restoration.drained)
        self.site = site
        self.clock: Clock = clock
        self._without = tuple(without)
        self.tolerance = tolerance or Tolerance()
        self._problems_to = problems_to or Path(tempfile.gettempdir()) / "ebplan"
        self._lock = threading.RLock()
        self._ladder: Ladder | None = None
        self._gate = Gate()
        self._confirming: ThreadPoolExecutor | None = None
        self._followed: Followed | None = None
        self._asked = 0
        """Events asked for until now."""
        self._asked_by = 0
        """Which of them is being followed."""
        self._measured: State | None = None
        self.restoration = restoration or Restoration()
        self._ready_soc = self.restoration.soc
        self._rebound_kw = 0.0
        """How far above its baseline the last event lets the site draw after it."""
        self._ended: datetime | None = None
        """When the last event ends or ended."""
        self._disturbance = Disturbance()
        self._counted = CountedLoads(self.tolerance)
        self._tracking = Tracking(site, known) if tracks else None
        self._arming = Arming(site, clock, self._gate, self._estimate_for)
        self._taken_back = False
        """Whether the event that is being followed is to be ended."""
        self._closed = False
        self._draws: deque[tuple[datetime, float]] = deque(maxlen=SEEN)
        """When the meter was read, and the draw without the battery."""
        self.why: tuple[str, ...] = ()
        """Why the last ``replan`` made another plan; empty where it kept the plan."""
        self.doubts: tuple[str, ...] = ()
        """What of the last measured state was not believed, or is odd; which drift of the models
        was seen, and what is de-rated."""

    # --- life -------------------------------------------------------------------------------

    def start(self, *, wait_s: float = 0.0, standby: bool = False) -> Self:
        """Start the solver processes.

        Args:
            wait_s: wait for so long at most until one is ready for a job.
            standby: wait for the one that stands by as well.
        """
        session = self._ladder_of().session
        if wait_s > 0.0 and session is not None:
            session.wait_ready(wait_s, count=PROCESSES if standby else 1)
        return self

    def close(self) -> None:
        """Stop the solver processes and whatever is computed in spare time."""
        with self._lock:
            self._closed = True
            confirming, self._confirming = self._confirming, None
            ladder, self._ladder = self._ladder, None
        self._arming.close()
        if confirming is not None:
            confirming.shutdown(wait=True, cancel_futures=True)
        if ladder is not None and ladder.session is not None:
            ladder.session.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def solver_pids(self) -> list[int]:
        """Return the process ids of the solvers, those at work first: to watch, to pin."""
        session = self._ladder_of().session
        return [] if session is None else session.pids()

    def _ladder_of(self) -> Ladder:
        with self._lock:
            if self._closed:
                raise RuntimeError("the planner is closed")
            if self._ladder is None:
                self._ladder = Ladder(Session(), self._problems_to)
            return self._ladder

    # --- one event --------------------------------------------------------------------------

    def plan(
        self,
        event: Event,
        state: State,
        *,
        deadline_s: float | None = None,
        time_limit_s: float | None = None,
        without: Sequence[str] = (),
        cancel: threading.Event | None = None,
        follow: bool = True,
    ) -> Plan:
        """Return a checked plan for an event, and follow it: the next ``replan`` goes on from it.

        Args:
            event: what the grid asks; it may have begun before the state was measured.
            state: the state of the site when the plan starts. With a deadline it is taken as
                measured: what contradicts the site is repaired, and the plan says so.
            deadline_s: return the best checked plan by then, not explained.
            time_limit_s: without a deadline: stop improving after this; the plan tells its gap.
            without: without a deadline: mechanisms to leave out (``ebplan.mechanisms``); the
                plan's explanation then says what they are worth.
            cancel: with a deadline: once set, return what is in hand, and do not follow it.
            follow: False asks what would be: what is being followed stays.

        Raises:
            InputError: the event is wrong, or without a deadline the state, or a mechanism is
                unknown; or what is only for one of both was given to the other.
            NoPlanError: no plan passed the check.
        """
        if deadline_s is None and self.clock == "seconds":
            if cancel is not None:
                raise InputError(
                    field="cancel",
                    value=cancel,
                    allowed="with a deadline",
                    remedy="give a deadline_s as well: a plan without one cannot be cut off",
                )
            problem = pose(event, self.site, state)
            plan = solve_problem(problem, time_limit_s=time_limit_s, without=without)
            if follow and not without:
                lost = {name: told.lost for name, told in state.pools.items()}
                expects = Expectation(problem, plan, lost=lost)
                made = Followed.of_event(event, self.site, problem, plan, expects)
                with self._lock:
                    self._asked += 1
                    self._follow(made, self._asked)
            return plan
        if time_limit_s is not None or without:
            raise InputError(
                field="time_limit_s" if time_limit_s is not None else "without",
                value=time_limit_s if time_limit_s is not None else tuple(without),
                allowed="with neither a deadline nor the clock of work",
                remedy="leave it out, or ask for a plan without a deadline",
            )
        deadline = Deadline(deadline_s, self.clock, cancel)
        with self._promised(deadline):
            return self._plan_event(event, state, deadline, follow)

    async def aplan(self, event: Event, state: State, *, deadline_s: float = REPLAN_S) -> Plan:
        """Return ``plan`` without blocking the event loop; a cancelled task ends the search."""
        return await _aside(partial(self.plan, event, state, deadline_s=deadline_s))

    def _promised(self, deadline: Deadline) -> AbstractContextManager[None]:
        """Let spare work and the collector stand aside while a deadline runs."""
        return self._gate if deadline.until is not None else nullcontext()

    def _plan_event(
        self, event: Event, state: State, deadline: Deadline, follow: bool = True
    ) -> Plan:
        """Plan an event and follow it, unless a later one was asked for meanwhile."""
        with self._lock:
            self._asked += follow
            asked_by, followed = self._asked, self._followed
            state, notes = self._read(state, followed)
        if followed is not None and followed.is_under_way(state.at):
            state = followed.with_memory(state)
        if event.start < state.at and event.baseline.kw is None:
            event, note = self._with_known_baseline(event, state, followed)
            notes = (*notes, note)
        made = self._made(event, state, deadline, notes=notes)
        with self._lock:
            if follow and not deadline.is_cancelled and asked_by > self._asked_by:
                self._follow(made, asked_by)
        return made.plan

    def _with_known_baseline(
        self, event: Event, state: State, followed: Followed | None
    ) -> tuple[Event, str]:
        """Return an event that began before the state was measured with what was drawn then."""
        kw = self._drawn_before(event.start)
        if kw is None and followed is not None and followed.elapsed_s(event.start) >= 0.0:
            kw = followed.expects.draw_at(followed.elapsed_s(event.start))
        if kw is None:
            kw = draw_kw(self.site, state)
        late_s = (state.at - event.start).total_seconds()
        note = f"the event began {late_s:g} s ago; its baseline is the {kw:.2f} kW drawn then"
        fixed = Baseline(rule="fixed", kw=max(kw, 0.0))
        return event.model_copy(update={"baseline": fixed}), note

    def _drawn_before(self, at: datetime) -> float | None:
        """Return the draw without the battery that was read last before an instant."""
        with self._lock:
            read = [(seen, kw) for seen, kw in self._draws if seen <= at]
        seen, kw = max(read, default=(None, None))
        recent = seen is not None and (at - seen).total_seconds() <= DRAWN_WITHIN_S
        return kw if recent else None

    def _read(self, measured: State, followed: Followed | None) -> tuple[State, tuple[str, ...]]:
        """Return what is believed of a measured state, and what was changed; the lock is held."""
        planned = {} if followed is None else followed.expects.loads
        state, changed, odd = believed(self.site, measured, planned)
        state = self._counted.see(state, planned)
        told: tuple[str, ...] = ()
        if self._tracking is not None:
            if followed is not None and followed.elapsed_s(state.at) >= 0.0:
                self._tracking.see(followed.problem, followed.plan, state)
            state, told = self._tracking.corrected(state), self._tracking.known.told()
        self._measured, self.doubts = state, (*changed, *odd, *told)
        if state.grid is not None:
            self._draws.append((state.at, state.grid.kw + state.battery_kw))
        return state, changed

    def _made(
        self,
        event: Event,
        state: State,
        deadline: Deadline,
        *,
        grid: TimeGrid | None = None,
        before: Followed | None = None,
        notes: tuple[str, ...] = (),
        standing_by: Mapping[str, int] | None = None,
    ) -> Followed:
        """Make a plan by a deadline; the one ``before`` is carried on as the first rung."""
        self._see(state)
        problem, site, state, repairs = pose_measured(
            event, self.site, state, grid=grid, other_kw=self._estimate_for(state)
        )
        problem = leave_out(with_standing_by(problem, standing_by or {}), self._without)
        in_hand = None if before is None else partial(before.carried_on, problem)
        plan = self._ladder_of().answer(problem, deadline, in_hand)
        if (notes or repairs) and plan.answer is not None:
            told = (PlanWarning(kind="repaired", message=note) for note in (*notes, *repairs))
            warnings = (*plan.answer.warnings, *told)
            answer = plan.answer.model_copy(update={"warnings": warnings})
            plan = plan.model_copy(update={"answer": answer})
        lost = {name: told.lost for name, told in state.pools.items()}
        return Followed.of_event(event, site, problem, plan, Expectation(problem, plan, lost=lost))

    def _follow(self, made: Followed, asked_by: int) -> None:
        """Follow a plan from now on; the lock is held."""
        self._followed, self._asked_by = made, asked_by
        self._taken_back = False
        if not made.standing:
            self._rebound_kw = made.event.response.rebound_limit_kw
            self._ended = made.event.start + timedelta(seconds=made.event.duration_s)
        self._disturbance.reset(made.problem.other_kw[0], self._noise_of(made))

    def _noise_of(self, made: Followed) -> Noise | None:
        """Return what the draw scatters by where requests are counted; the lock is held."""
        kw2_s = sum(self._counted.noise_kw2_s(pool) for pool in made.problem.pools)
        if kw2_s <= 0.0:
            return None
        up_kw, down_kw = made.expects.tolerated_kw(self.tolerance, made.hurts)
        return Noise(kw2_s, up_kw, down_kw, self.tolerance.false_alarm_s)

    def _follow_instead(self, made: Followed, before: Followed | None) -> Plan:
        """Follow a plan instead of the one before, and return what is being followed then.

        Another thread may have an event asked for meanwhile: that goes first.
        """
        with self._lock:
            if self._followed is before:
                self._follow(made, self._asked_by)
            return made.plan if self._followed is None else self._followed.plan

    # --- each cycle -------------------------------------------------------------------------

    @property
    def current(self) -> Plan | None:
        """The plan that is being followed."""
        with self._lock:
            return None if self._followed is None else self._followed.plan

    @property
    def restoring(self) -> Restoring | None:
        """What is left to restore of the charge; None where nothing is, and during an event."""
        with self._lock:
            followed, state = self._followed, self._measured
            if followed is None or not followed.standing or state is None:
                return None
            drawn_kw = draw_kw(self.site, state)
            due_at = None
            if self._ended is not None:
                due_at = self._ended + timedelta(seconds=self.restoration.within_s)
            recovery = followed.recovery_at(state.at)
            return restoring(
                self.site,
                state,
                ready_soc=self._ready_with(recovery),
                power_kw=self.restoration.limit_kw(drawn_kw, self._rebound_kw),
                draw_kw=drawn_kw,
                due_at=due_at,
                limit_kw=None if recovery is None else recovery.import_limit_kw,
            )

    def replan(
        self,
        measured: State,
        *,
        deadline_s: float = REPLAN_S,
        cancel: threading.Event | None = None,
        refused: str = "",
    ) -> Plan:
        """Return the plan to follow from now on: the one there is, unless something speaks against.

        The plan is kept while the measured state stays within the tolerance of what it expects;
        ``why`` then is empty. Otherwise the rest of the event is planned anew from what was
        measured; between events, and once a plan has expired, a standing plan holds the battery. A
        reading that failed is left out of the state (None); ``doubts`` says what was not believed.

        Args:
            measured: the state now; readings that contradict the site are repaired.
            deadline_s: time for another plan, where one is needed.
            cancel: once set, return what is in hand, and do not follow it.
            refused: why the plan cannot be carried out, where that is so: another is made.

        Raises:
            InputError: nothing is left to plan with, and nothing is being followed; or the time
                has no zone, or a load cannot be.
            NoPlanError: no plan passed the check, likewise.
            RuntimeError: the planner is closed.
        """
        deadline = Deadline(deadline_s, self.clock, cancel)
        with self._lock:
            if self._closed:
                raise RuntimeError("the planner is closed")
            followed = self._followed
            measured, notes = self._read(measured, followed)
            self.why = tuple(self._why_not(followed, measured))
            if refused:
                self.why = (refused, *self.why)
            if taken_back := self._taken_back:
                self.why = ("the event was taken back", *self.why)
        if followed is not None and not self.why:
            return followed.plan
        with self._promised(deadline):
            try:
                again = self._stand if taken_back else self._rest
                made = again(followed, measured, deadline, notes)
            except (InputError, NoPlanError) as error:
                if followed is None:
                    raise
                # a plan that was checked once is more than none
                self.why = (*self.why, f"no other plan could be made: {error}")
                log.warning("the plan is kept: %s", error)
                return followed.plan
            return made.plan if deadline.is_cancelled else self._follow_instead(made, followed)

    def take_back(self) -> None:
        """End the event that is being followed: the next ``replan`` makes the site ready again.

        What the event asks of the recovery (rebound, state of charge) holds on until its plan would
        have ended.
        """
        with self._lock:
            followed = self._followed
            self._taken_back = followed is not None and not followed.standing

    async def areplan(
        self, measured: State, *, deadline_s: float = REPLAN_S, refused: str = ""
    ) -> Plan:
        """Return ``replan`` without blocking the event loop; a cancelled task ends the search."""
        call = partial(self.replan, measured, deadline_s=deadline_s, refused=refused)
        return await _aside(call)

    def adopt(self, plan: Plan) -> bool:
        """Follow another plan of the problem that is being followed; return whether it is one.

        Who replays a recording goes on from what was done, not from what would be done now.
        """
        with self._lock:
            followed = self._followed
            if followed is None or followed.plan.problem_hash != plan.problem_hash:
                return False
            self._followed = followed.with_plan(plan)
            return True

    def finish(self) -> None:
        """Wait until an armed plan that was activated has been checked against the state."""
        with self._lock:
            confirming = self._confirming
        if confirming is not None:
            confirming.submit(lambda: None).result()

    def _why_not(self, followed: Followed | None, measured: State) -> list[str]:
        """Say why the plan being followed cannot be kept."""
        if followed is None:
            return ["nothing was planned yet"]
        elapsed_s = followed.elapsed_s(measured.at)
        if elapsed_s < 0.0:
            return [f"the clock went back by {-elapsed_s:g} s"]
        if followed.standing and elapsed_s > followed.event.duration_s - SPARE_S:
            return ["the plan between events has expired"]
        if elapsed_s >= followed.expects.horizon_s:
            return ["the plan has come to its end"]
        other_kw = followed.expects.other_kw(measured, elapsed_s, self.tolerance)
        hurts = followed.hurts
        estimate_kw = self._disturbance.update(other_kw, hurts=hurts, at=measured.at)
        found = followed.expects.deviations(
            measured,
            elapsed_s,
            self.tolerance,
            estimate_kw,
            hurts=hurts,
            sure=self._disturbance.sure,
            changed=self._counted.changed,
        )
        there = measured.converter_available and measured.soc is not None
        if there and self.site.battery is not None and followed.problem.battery is None:
            found.append("the converter is back")
        if not found and (wish := followed.wants_better(elapsed_s)) is not None:
            found.append(wish)
        return found

    def _rest(
        self,
        followed: Followed | None,
        measured: State,
        deadline: Deadline,
        notes: tuple[str, ...] = (),
    ) -> Followed:
        """Plan the rest of what is being followed from the measured state."""
        if followed is None or followed.standing or followed.left_s(measured.at) <= 0.0:
            return self._stand(followed, measured, deadline, notes)
        state = followed.with_memory(measured)
        # before the plan's own time nothing of its grid is behind
        begun = followed.elapsed_s(measured.at) >= 0.0
        grid = followed.rest_of_grid(self.site, state) if begun else None
        made = self._made(followed.event, state, deadline, grid=grid, before=followed, notes=notes)
        return replace(made, tries=followed.tries + 1)

    def _stand(
        self,
        followed: Followed | None,
        measured: State,
        deadline: Deadline,
        notes: tuple[str, ...] = (),
    ) -> Followed:
        """Make the battery ready, or ready as a recovery asks, until something comes."""
        self._see(measured)
        lasts_s, limit_kw = self.tolerance.age_s, None
        recovery = None if followed is None else followed.recovery_at(measured.at)
        ready_soc = self._ready_with(recovery)
        if recovery is not None:
            # what the event allows until its recovery is over holds here as well
            lasts_s = min((recovery.until - measured.at).total_seconds(), lasts_s)
            limit_kw = recovery.import_limit_kw
        drawn_kw = draw_kw(self.site, measured)
        event = standing_event(
            self.site,
            measured,
            draw_kw=drawn_kw,
            ready_soc=ready_soc,
            power_kw=self.restoration.limit_kw(drawn_kw, self._rebound_kw),
            lasts_s=lasts_s,
            limit_kw=limit_kw,
        )
        with self._lock:
            if self._ended is not None:  # a call that was taken back ended before its time
                self._ended = min(self._ended, measured.at)
        state = measured if followed is None else followed.with_memory(measured)
        drained = self.restoration.drained
        made = self._made(event, state, deadline, notes=notes, standing_by=drained)
        return replace(made, standing=True, recovery=recovery)

    def _ready_with(self, recovery: Recovery | None) -> float | None:
        """Return the state of charge to be ready from, or what a recovery asks if that is more."""
        if recovery is None or recovery.restore_soc is None:
            return self._ready_soc
        return max(recovery.restore_soc, self._ready_soc or 0.0)

    def _see(self, state: State) -> None:
        """Take the first state of charge that is seen for the one to be ready from."""
        with self._lock:
            if self._ready_soc is None:
                self._ready_soc = state.soc

    def _estimate_for(self, state: State) -> float | None:
        """Return the estimate of the load that no pool explains; None before anything was read."""
        with self._lock:
            if self._followed is None or state.grid is None or self._disturbance.kw is None:
                return None
            return self._disturbance.kw - explained_kw(self._followed.problem, state)

    @property
    def known(self) -> SiteKnown:
        """What tracking knows of the models, with its history: to look at, to save."""
        with self._lock:
            return SiteKnown() if self._tracking is None else self._tracking.known

    # --- ahead of any event -----------------------------------------------------------------

    def offer(
        self,
        request: OfferRequest,
        state: State,
        *,
        services: Sequence[ServiceDefinition] = (),
        jobs: int = 1,
    ) -> Offer:
        """Return what the site can promise from a state, its models corrected by what was tracked.

        Args:
            request: directions, durations, confidences, calls.
            state: what is expected when promises begin.
            services: the grid products of ``request.services``, loaded.
            jobs: processes that find promises side by side.

        Raises:
            InputError: the state contradicts the site, or nobody says how large errors are.
        """
        if self._tracking is not None:
            with self._lock:
                state = self._tracking.corrected(state)
        return offer(request, self.site, state, services=services, jobs=jobs)

    # --- armed in advance -------------------------------------------------------------------

    def arm(
        self, contingencies: Iterable[Contingency | Event] | None = None, state: State | None = None
    ) -> Future[int]:
        """Compute plans in spare time for what may happen; ``activate`` then looks them up.

        Each is there for ``activate`` as soon as it is computed (``armed``); another call of
        ``arm`` ends this one.

        Args:
            contingencies: what may happen, relative to now; what is likely for a site if absent.
            state: the state they begin from; the last that was measured if absent.

        Returns:
            A future with the number of plans that are armed.

        Raises:
            ValueError: no state is known, or mechanisms are left out.
        """
        state = state or self._measured
        if state is None:
            raise ValueError("arm needs a state: give one, or call replan first")
        if self._without:
            raise ValueError("nothing is armed where mechanisms are left out")
        if contingencies is None:
            wanted = likely_contingencies(self.site, state)
        else:
            wanted = [Contingency(c) if isinstance(c, Event) else c for c in contingencies]
        return self._arming.begin(self._ladder_of(), wanted, state)

    @property
    def armed(self) -> tuple[Armed, ...]:
        """The plans that are armed."""
        return self._arming.plans

    def armed_for(self, event: Event, state: State) -> Armed | None:
        """Return the armed plan whose envelope holds the state; None where there is none."""
        return self._arming.find(event, state)

    def activate(
        self,
        event: Event,
        state: State | None = None,
        *,
        deadline_s: float = REPLAN_S,
        cancel: threading.Event | None = None,
    ) -> Plan:
        """Return a plan for an event that begins now: an armed one at once, where one holds.

        An armed plan is checked in spare time against the state as it is, and replaced in
        ``current`` by a better one; the next ``replan`` returns that. Without one the event is
        planned by the deadline.

        Args:
            event: what the grid asks.
            state: the state now; the last that was measured if absent.
            deadline_s: time for a plan, where none is armed, and for the one that replaces it.
            cancel: once set, return what is in hand, and do not follow it.

        Raises:
            ValueError: no state is known.
            InputError: the event is wrong, or nothing is left to plan with.
            NoPlanError: no plan passed the check.
            RuntimeError: the planner is closed.
        """
        state = state or self._measured
        if state is None:
            raise ValueError("activate needs a state: give one, or call replan first")
        with self._lock:
            if self._closed:
                raise RuntimeError("the planner is closed")
            there, _ = self._read(state, self._followed)
        armed = self.armed_for(event, there)
        if armed is None:
            deadline = Deadline(deadline_s, self.clock, cancel)
            with self._promised(deadline):
                return self._plan_event(event, state, deadline)
        state = there
        self._see(state)
        answer = Answer(rung="armed", clock=self.clock)
        plan = armed.plan.model_copy(
            update={"status": "armed", "start": event.start, "event_id": event.id, "answer": answer}
        )
        followed = Followed.of_event(event, self.site, armed.problem, plan, armed.expects)
        with self._lock:
            self._asked += 1
            self._follow(followed, self._asked)
            if self._confirming is None and not self._closed:
                self._confirming = ThreadPoolExecutor(1, thread_name_prefix="ebplan-confirm")
            if self._confirming is not None:
                self._confirming.submit(self._confirm, state, followed, deadline_s)
        return plan

    async def aactivate(
        self, event: Event, state: State | None = None, *, deadline_s: float = REPLAN_S
    ) -> Plan:
        """Return ``activate`` without blocking the event loop; a cancelled task ends the search."""
        return await _aside(partial(self.activate, event, state, deadline_s=deadline_s))

    def _confirm(self, state: State, followed: Followed, deadline_s: float) -> None:
        """Plan an activated event against the state as it is, with the armed plan in hand."""
        if self._followed is not followed:
            return  # something else has come meanwhile
        try:
            deadline = Deadline(deadline_s, self.clock)
            with self._promised(deadline):
                made = self._made(followed.event, state, deadline, before=followed)
        except (EbplanError, RuntimeError) as error:
            log.warning("an armed plan could not be confirmed: %s", error)
        else:
            self._follow_instead(made, followed)


async def _aside(call: Callable[..., Plan]) -> Plan:
    """Make a call in a thread; the task's cancellation is passed on as ``cancel``."""
    cancel = threading.Event()
    try:
        return await asyncio.to_thread(call, cancel=cancel)
    except asyncio.CancelledError:
        cancel.set()
        raise
