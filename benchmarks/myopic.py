"""The whitepaper's rule as a controller: least impact first, one posture for each event."""

from __future__ import annotations

from ebplan.event import Baseline, Event
from ebplan.plan import Plan
from ebplan.planner import Planner, solve_problem
from ebplan.pose.repair import pose_measured
from ebplan.state import State


class Myopic:
    """Holds the posture of least impact; between events the planner's battery keeping.

    It plans again only when instances or the converter come or go.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._event: Event | None = None
        self._plan: Plan | None = None
        self._there: object = None
        self.why: tuple[str, ...] = ()

    def activate(self, event: Event, state: State, *, deadline_s: float) -> Plan:
        """Answer an event by the rule."""
        del deadline_s
        return self._by_the_rule(event, state)

    def replan(self, measured: State, *, deadline_s: float) -> Plan:
        """Keep the posture until the event is over."""
        plan, event = self._plan, self._event
        if plan is not None and event is not None:
            elapsed_s = (measured.at - plan.start).total_seconds()
            ends_s = plan.steps[-1].t_s + plan.steps[-1].duration_s
            left_s = (event.start - measured.at).total_seconds() + event.duration_s
            if elapsed_s < ends_s and (left_s <= 0.0 or self._there == _there(measured)):
                self.why = ()
                return plan
            if left_s > 0.0:
                return self._by_the_rule(event, measured)
        self._plan = self._event = None
        plan = self._planner.replan(measured, deadline_s=deadline_s)
        self.why = self._planner.why
        return plan

    def _by_the_rule(self, event: Event, state: State) -> Plan:
        problem, *_ = pose_measured(event, self._planner.site, state)
        plan = solve_problem(problem, method="merit_order")
        fixed = Baseline(rule="fixed", kw=problem.baseline_kw[0])
        self._event = event.model_copy(update={"baseline": fixed})
        self._plan, self._there = plan, _there(state)
        self.why = ("by the rule",)
        return plan


def _there(state: State) -> object:
    lost = {name: pool.lost for name, pool in state.pools.items()}
    return (state.converter_available, lost)
