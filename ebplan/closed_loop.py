"""The closed loop: measure, plan, carry out, each second, against any plant.

The simplest controller that does it right, for studies and tests: one planner, one plant, events
at their times. At each cycle the planner is asked with what was measured; what the plan tells until
the next cycle is carried out at its own times, the converter's set-points its delay ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import Literal

from ebplan.adapters.commands import (
    Command,
    HoldConnectionPoint,
    LoadWeights,
    RestConverter,
    Sleep,
    Wake,
    WarmCache,
    commands,
)
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.twin.plant import Measurements, Plant

SAME_TIME_S = 1e-6
ONCE = (Wake, Sleep, LoadWeights, WarmCache)
"""Commands that do something, where the others set something."""


@dataclass(frozen=True)
class Cycle:
    """One cycle of the loop."""

    at_s: float
    """When it began, in seconds of the plant."""
    kind: Literal["idle", "event"]
    """Whether an event was running."""
    plan: Plan
    """What is carried out."""
    plan_began_s: float
    """When that plan began, in seconds of the plant."""
    why: tuple[str, ...]
    """Why another plan was made; empty where it was kept."""
    measured: tuple[Measurements, ...]
    """What was measured in it, one for each time something was told."""
    planning_s: float
    """Wall time that the planner took."""
    plant_s: float
    """Wall time that the plant took."""


class ClosedLoop:
    """One planner on one plant.

    Args:
        planner: plans; started, or started by the first event.
        plant: what is measured and told.
        events: what the grid will ask, in any order; the planner knows of each when it begins.
        cycle_s: how often the planner is asked.
        deadline_s: time that each plan is given.
    """

    def __init__(
        self,
        planner: Planner,
        plant: Plant,
        events: Iterable[Event],
        *,
        cycle_s: float = 1.0,
        deadline_s: float = 0.2,
    ) -> None:
        self._planner, self._plant = planner, plant
        self._began = plant.state().at - timedelta(seconds=plant.now_s)
        self._events = sorted(events, key=lambda event: event.start, reverse=True)
        self._cycle_s, self._deadline_s = cycle_s, deadline_s
        self._running: Event | None = None
        self._plan: Plan | None = None
        self._last: Measurements | None = None
        self._due: list[tuple[float, Command]] = []

    def add(self, event: Event) -> None:
        """Let the grid ask for another event, at its start; at once where that has passed."""
        self._events.append(event)
        self._events.sort(key=lambda event: event.start, reverse=True)

    def run(self, until_s: float) -> Iterator[Cycle]:
        """Run until a time of the plant, and yield each cycle when it is over."""
        while self._plant.now_s < until_s - SAME_TIME_S:
            yield self._cycle(min(self._plant.now_s + self._cycle_s, until_s))

    def _cycle(self, end_s: float) -> Cycle:
        began_s = self._plant.now_s
        state = self._plant.state() if self._last is None else self._last.state()
        started = perf_counter()
        event = self._begins(began_s)
        if event is not None:
            # it is asked for from now on, whatever its own clock said
            event = event.model_copy(update={"start": state.at})
            plan = self._planner.activate(event, state, deadline_s=self._deadline_s)
            self._running = event
            why: tuple[str, ...] = (f"event {event.id} began",)
        else:
            plan = self._planner.replan(state, deadline_s=self._deadline_s)
            why = self._planner.why
        planning_s = perf_counter() - started
        if plan is not self._plan:
            self._tell(plan)
        started = perf_counter()
        measured = tuple(self._carry_out(end_s))
        self._last = measured[-1]
        return Cycle(
            at_s=began_s,
            kind="event" if self._in_event(began_s) else "idle",
            plan=plan,
            plan_began_s=self._of_plant(plan),
            why=why,
            measured=measured,
            planning_s=planning_s,
            plant_s=perf_counter() - started,
        )

    def _begins(self, now_s: float) -> Event | None:
        """Return the event that begins in this cycle."""
        now = self._began + timedelta(seconds=now_s + SAME_TIME_S)
        return self._events.pop() if self._events and self._events[-1].start <= now else None

    def _in_event(self, now_s: float) -> bool:
        if self._running is None:
            return False
        since_s = now_s - (self._running.start - self._began).total_seconds()
        return since_s < self._running.duration_s + self._running.response.recovery_s

    def _of_plant(self, plan: Plan) -> float:
        return (plan.start - self._began).total_seconds()

    def _tell(self, plan: Plan) -> None:
        """Lay out what a plan tells, from now on."""
        delay_s = 0.0 if plan.converter is None else plan.converter.delay_s
        begin_s, now_s = self._of_plant(plan), self._plant.now_s
        due = []
        for command in commands(plan):
            if isinstance(command, ONCE) and begin_s + command.at_s < now_s - SAME_TIME_S:
                continue  # a plan taken over under way: what it told once is told or too late
            ahead_s = delay_s if isinstance(command, HoldConnectionPoint) else 0.0
            due.append((max(begin_s + command.at_s - ahead_s, now_s), command))
        if plan.converter is None and self._plant.state().soc is not None:
            # planned without it: it is not to go on with what it was told last
            due.append((now_s, RestConverter(at_s=0.0)))
        due.sort(key=lambda entry: entry[0])
        self._plan, self._due = plan, due

    def _carry_out(self, end_s: float) -> Iterator[Measurements]:
        while self._plant.now_s < end_s - SAME_TIME_S:
            now_s = self._plant.now_s
            count = sum(1 for at_s, _ in self._due if at_s <= now_s + SAME_TIME_S)
            now, self._due = [c for _, c in self._due[:count]], self._due[count:]
            stop_s = min(end_s, self._due[0][0]) if self._due else end_s
            if stop_s - now_s < 1e-3:
                stop_s = min(end_s, now_s + 1e-3)
            yield self._plant.step(now, stop_s - now_s)
