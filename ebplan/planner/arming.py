"""Plans computed in spare time, in a thread of their own, and looked up when something happens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from ebplan.errors import EbplanError
from ebplan.event import Event
from ebplan.planner.contingencies import Armed, Contingency, armed_key, envelope_of
from ebplan.planner.deadline import Clock, Deadline
from ebplan.planner.expectation import Expectation
from ebplan.planner.gate import Gate
from ebplan.planner.ladder import Ladder
from ebplan.pose.repair import pose_measured
from ebplan.site import Site
from ebplan.state import State

log = logging.getLogger("ebplan.planner")

BEGINS_NOW_S = 2.0
"""An event that begins within this of the state begins now."""
ARMING_S = 2.0
"""Time given to a plan that is made in advance."""


class Arming:
    """What is armed for a site.

    Args:
        site: the site.
        clock: what limits a search.
        gate: stands aside while something has a deadline.
        other_kw_for: estimates the load that no pool explains, for a state; None where it cannot.
    """

    def __init__(
        self, site: Site, clock: Clock, gate: Gate, other_kw_for: Callable[[State], float | None]
    ) -> None:
        self._site, self._clock, self._gate = site, clock, gate
        self._other_kw_for = other_kw_for
        self._lock = threading.Lock()
        self._armed: dict[object, Armed] = {}
        self._lost_before: dict[str, int] = {}
        """Instances lost by pool when the plans were begun."""
        self._calls = 0
        """Calls until now: a later one ends an earlier one."""
        self._thread: ThreadPoolExecutor | None = None

    def begin(self, ladder: Ladder, wanted: list[Contingency], state: State) -> Future[int]:
        """Compute plans from a state; return a future with the number that are armed."""
        with self._lock:
            self._calls += 1
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="ebplan-spare")
            return self._thread.submit(self._all, ladder, wanted, state, self._calls)

    def close(self) -> None:
        """End what is being computed."""
        with self._lock:
            self._calls += 1
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True, cancel_futures=True)

    def _all(self, ladder: Ladder, wanted: list[Contingency], state: State, call: int) -> int:
        """Arm one contingency after the other; what was armed before is there until then."""
        lost_before = {name: told.lost for name, told in state.pools.items()}
        with self._lock:
            # plans for other losses than now would be looked up under the wrong ones
            if lost_before != self._lost_before:
                self._armed = {}
            self._lost_before = lost_before
        for contingency in wanted:
            self._gate.wait()
            if self._calls > call:
                break
            try:
                armed = self._one(ladder, contingency, state)
            except EbplanError as error:
                log.warning("not armed: %s (%s)", contingency.event.type, error)
                continue
            with self._lock:
                self._armed[contingency.key()] = armed
        with self._lock:
            keys = {contingency.key() for contingency in wanted}
            self._armed = {key: armed for key, armed in self._armed.items() if key in keys}
            return len(self._armed)

    def _one(self, ladder: Ladder, contingency: Contingency, state: State) -> Armed:
        event, there = contingency.at(state)
        problem, *_ = pose_measured(event, self._site, there, other_kw=self._other_kw_for(state))
        plan = ladder.answer(problem, Deadline(ARMING_S, self._clock))
        envelope = envelope_of(contingency, self._site, state, problem, plan, pause=self._gate.wait)
        lost = {name: told.lost for name, told in there.pools.items()}
        return Armed(contingency, problem, plan, envelope, Expectation(problem, plan, lost=lost))

    @property
    def plans(self) -> tuple[Armed, ...]:
        """What is armed now."""
        with self._lock:
            return tuple(self._armed.values())

    def find(self, event: Event, state: State) -> Armed | None:
        """Return the armed plan whose envelope holds the state; None where there is none."""
        if abs((event.start - state.at).total_seconds()) > BEGINS_NOW_S:
            return None  # armed plans begin with their event
        with self._lock:
            armed = self._armed.get(armed_key(event, state, self._lost_before))
        if armed is None or armed.envelope.faults(state) is not None:
            return None
        return armed
