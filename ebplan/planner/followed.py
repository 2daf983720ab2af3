"""The plan that is being carried out, and what of it still holds later on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ebplan.event import Baseline, Event
from ebplan.following import rest_of_grid, settling_of
from ebplan.plan import Plan
from ebplan.planner.expectation import Expectation
from ebplan.planner.one_shot import carried_plan
from ebplan.pose.repair import pose_measured
from ebplan.problem import Problem
from ebplan.site import Site
from ebplan.solvers.formulation import Formulation
from ebplan.state import State
from ebplan.timegrid import TimeGrid
from ebplan.words import percent_words

DENSE_S = (0.0, 3.0, 10.0, 30.0)
"""When compute may answer after a plan is made anew inside an event, besides the epochs left."""
WIDE_GAP = 0.05
"""A plan with a wider gap is planned once more, a few times: the gap may be the bound's fault."""
TRIES_AT_A_GAP = 3
LONGEST_TRY_S = 64.0
"""A plan that no solver has looked at is tried again after this at the latest."""
APART_S = 1e-3
"""Edges of a time grid that are closer together are one."""


@dataclass(frozen=True)
class Recovery:
    """What an event asks after its end."""

    until: datetime
    import_limit_kw: float
    restore_soc: float | None


@dataclass(frozen=True)
class Followed:
    """The plan that is being carried out."""

    event: Event
    """With the baseline that was found."""
    site: Site
    problem: Problem
    plan: Plan
    expects: Expectation
    standing: bool
    """Whether it is a plan between events."""
    recovery: Recovery | None
    """What still holds of an event that is over."""
    tries: int = 0
    """How often its event was planned before."""

    @classmethod
    def of_event(
        cls, event: Event, site: Site, problem: Problem, plan: Plan, expects: Expectation
    ) -> Followed:
        """Follow the plan of an event."""
        recovery = Recovery(
            until=plan.start + timedelta(seconds=problem.grid.horizon_s),
            import_limit_kw=problem.import_limit_kw[-1],
            restore_soc=event.response.restore_soc,
        )
        return cls(_with_baseline(event, problem), site, problem, plan, expects, False, recovery)

    def with_plan(self, plan: Plan) -> Followed:
        """Return the same with another plan of its problem."""
        expects = Expectation(self.problem, plan, lost=self.expects.lost)
        return replace(self, plan=plan, expects=expects)

    @property
    def hurts(self) -> int:
        """1 where more load hurts, -1 where less does, 0 where neither is asked."""
        one_way = self.problem.asks == "one_way" and not self.standing
        return -self.problem.direction if one_way else 0

    def wants_better(self, elapsed_s: float) -> str | None:
        """Say why a plan that nothing speaks against is still to be planned anew.

        Under a deadline the rule may have answered, or a first rounded point: the next cycles have
        time for more. They ask ever more rarely.
        """
        if self.standing or self.plan.answer is None:
            return None
        if elapsed_s < min(2.0**self.tries, LONGEST_TRY_S):
            return None
        if self.plan.gap is None:
            return "no solver has looked at the plan yet"
        if self.tries < TRIES_AT_A_GAP and self.plan.gap > WIDE_GAP:
            return f"the plan's gap is wide, {percent_words(self.plan.gap)}"
        return None

    def elapsed_s(self, at: datetime) -> float:
        """Return the seconds since the plan's start."""
        return (at - self.plan.start).total_seconds()

    def is_under_way(self, at: datetime) -> bool:
        """Tell whether the plan has begun and not yet come to its end."""
        return 0.0 < self.elapsed_s(at) < self.expects.horizon_s

    def left_s(self, at: datetime) -> float:
        """Return the seconds until the event's end."""
        return (self.event.start - at).total_seconds() + self.event.duration_s

    def recovery_at(self, at: datetime) -> Recovery | None:
        """Return what still holds of an event, as long as its recovery lasts."""
        if self.recovery is None or (self.recovery.until - at).total_seconds() <= 1.0:
            return None
        return self.recovery

    def with_memory(self, measured: State) -> State:
        """Return the measured state with what only the plan knows: what is still on its way."""
        elapsed_s = max(self.elapsed_s(measured.at), 0.0)
        planned = {pool.name: pool for pool in self.problem.pools}
        pools = {}
        for name, told in measured.pools.items():
            pool = planned.get(name)
            if pool is not None and not told.settling:
                settling = settling_of(self.problem, pool, self.plan.pools[name], elapsed_s)
                # between events who is active is usual: instances come back, and are usual again
                usual = None if self.standing else min(pool.usual_active, told.total - told.lost)
                told = told.model_copy(update={"settling": settling, "usually_active": usual})
            pools[name] = told
        return measured.model_copy(update={"pools": pools})

    def carried_on(self, problem: Problem, formulation: Formulation) -> Plan | None:
        """Return the plan under a new problem, not checked; None where it cannot be."""
        if {pool.name for pool in problem.pools} - set(self.plan.pools):
            return None
        return carried_plan(problem, self.plan, self.elapsed_s(problem.start), formulation)

    def rest_of_grid(self, site: Site, state: State) -> TimeGrid:
        """Return what is left of the time grid, with room to answer right after now."""
        rest = rest_of_grid(self.problem.grid, self.elapsed_s(state.at))
        fresh, *_ = pose_measured(self.event, site, state)
        end_s = rest.edges_s[-1]
        edges = sorted({*rest.edges_s, *fresh.grid.edges_s})
        kept = [edges[0]]
        for edge in edges[1:]:
            if kept[-1] + APART_S < edge < end_s - APART_S:
                kept.append(edge)
        kept.append(end_s)
        begins = {*rest.epoch_starts_s.tolist(), *DENSE_S}
        steps = [i for i, t in enumerate(kept[:-1]) if any(abs(t - b) <= APART_S for b in begins)]
        return TimeGrid(edges_s=tuple(kept), epoch_steps=tuple(steps))


def _with_baseline(event: Event, problem: Problem) -> Event:
    """Return an event with the baseline that was found when it was posed."""
    fixed = Baseline(rule="fixed", kw=max(problem.baseline_kw[0], 0.0))
    return event.model_copy(update={"baseline": fixed})
