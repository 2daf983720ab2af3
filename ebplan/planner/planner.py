"""The planner."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.planner.ladder import Clock, Deadline, Ladder
from ebplan.planner.one_shot import solve_problem
from ebplan.pose import pose
from ebplan.site import Site
from ebplan.solvers.session import Session
from ebplan.state import State


class Planner:
    """Plans events for one site."""

    def __init__(self, site: Site, *, clock: Clock = "seconds") -> None:
        self.site = site
        self.clock = clock
        self._ladder: Ladder | None = None

    def plan(
        self,
        event: Event,
        state: State,
        *,
        deadline_s: float | None = None,
        time_limit_s: float | None = None,
        without: Sequence[str] = (),
    ) -> Plan:
        """Return a checked plan for an event."""
        deadline = Deadline(deadline_s, self.clock)
        problem = pose(event, self.site, state)
        if deadline_s is None and self.clock == "seconds":
            return solve_problem(problem, time_limit_s=time_limit_s, without=without)
        if self._ladder is None:
            self._ladder = Ladder(Session(), Path(tempfile.gettempdir()) / "ebplan")
        return self._ladder.answer(problem, deadline)
