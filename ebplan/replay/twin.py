"""What ebplan would have done: the planner of the controller, on the fluid plant, with the loads.

The plant is told the recorded loads and nothing else of the recording: its draw is what its models
make of the load and of what ebplan commands. Everything here is the same each time: the planner
counts work, not seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ebplan.closed_loop import ClosedLoop, Cycle
from ebplan.event import Baseline, Event
from ebplan.plan import Plan, PoolEpoch, Step
from ebplan.planner import Planner
from ebplan.realised import RecordedPlant
from ebplan.replay.cost import EventCost, at_rest, cost_of
from ebplan.replay.loads import Loads
from ebplan.replay.spec import ReplaySpec
from ebplan.replay.stretches import Stretch
from ebplan.settlement.series import FloatArray
from ebplan.site import Site
from ebplan.state import State
from ebplan.twin import FluidPlant
from ebplan.twin.disturbances import LoadStep
from ebplan.twin.plant import Measurements

SAME_TIME_S = 1e-6
Rows = list[dict[str, Any]]


@dataclass
class StretchResult:
    """What became of a stretch."""

    rows: Rows
    """One for each interval of the recording."""
    epochs: Rows
    """What each pool was told, one for each epoch that was carried out and changed something."""
    costs: list[EventCost]
    """Of each event that ends in it."""
    plans: int
    """Plans that were followed."""
    unchecked: int
    """Those of them that no check passed."""
    state: State
    """How it ended."""


@dataclass
class _Mean:
    """Means over an interval, gathered cycle by cycle."""

    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, values: Mapping[str, float], seconds: float) -> None:
        self.seconds += seconds
        for name, value in values.items():
            self.sums[name] += value * seconds

    def take(self) -> dict[str, float]:
        """Return the means, and begin anew."""
        found = {name: total / self.seconds for name, total in self.sums.items()}
        self.seconds, self.sums = 0.0, defaultdict(float)
        return found


class TwinRun:
    """One stretch on the twin.

    Args:
        spec: the replay.
        site: the site.
        loads: which requests came, over the whole recording.
        stretch: the stretch.
        state: how it begins.
        interval_s: of the recording.
        baseline_kw: the baseline that an event counts from, where the twin's own draw just before
            it does not tell; given the event.
        drawn: what the twin drew in the intervals before, newest last, kW.
    """

    def __init__(
        self,
        spec: ReplaySpec,
        site: Site,
        loads: Loads,
        stretch: Stretch,
        state: State,
        interval_s: float,
        baseline_kw: Callable[[Event, Iterable[float]], float | None],
        drawn: list[float],
    ) -> None:
        self._site, self._spec, self._loads, self._stretch = site, spec, loads, stretch
        self._state, self._interval_s = state, interval_s
        self._baseline_kw, self._drawn = baseline_kw, drawn
        self._steps = _load_steps(loads, stretch, interval_s)
        self._plan: Plan | None = None
        self._plan_began_s = 0.0
        self._told: dict[str, dict[str, Any]] = {}
        """What each pool was told last."""
        self._before: Measurements | None = None
        self._mean = _Mean()
        self._last: Measurements | None = None
        self.result = StretchResult([], [], [], 0, 0, state)

    def run(self, tell: Callable[[int], None] = lambda done: None) -> StretchResult:
        """Run it to its end.

        Args:
            tell: told how many intervals of it are done.
        """
        plant = RecordedPlant(FluidPlant(self._site, self._state, disturbances=self._steps))
        with Planner(
            self._site,
            clock="work",
            restoration=self._spec.restoration,
            without=self._spec.without,
        ) as planner:
            loop = ClosedLoop(planner, plant, (), cycle_s=self._spec.cycle_s)
            events = list(self._stretch.events)
            open_events: list[tuple[Event, float]] = []
            for i in range(self._stretch.end - self._stretch.begin):
                edge_s = (i + 1) * self._interval_s
                while events and self._seconds(events[0].start) < edge_s - SAME_TIME_S:
                    event = events.pop(0)
                    self._carry_on(loop, self._seconds(event.start))
                    event = self._with_baseline(event)
                    plant.begin()
                    loop.add(event)
                    over_s = plant.now_s + event.duration_s + event.response.recovery_s
                    open_events.append((event, over_s))
                while open_events and open_events[0][1] <= edge_s + SAME_TIME_S:
                    event, over_s = open_events.pop(0)
                    self._carry_on(loop, over_s)
                    self._price(plant, event)
                self._carry_on(loop, edge_s)
                self._close_interval(i)
                if not open_events:
                    plant.begin()
                tell(i + 1)
        self._tell_epochs(plant.now_s)
        self.result.state = at_rest(plant.state())
        return self.result

    def _seconds(self, moment: datetime) -> float:
        return (moment - self._state.at).total_seconds()

    def _carry_on(self, loop: ClosedLoop, until_s: float) -> None:
        for cycle in loop.run(until_s):
            self._see(cycle)

    def _see(self, cycle: Cycle) -> None:
        plan, last = cycle.plan, cycle.measured[-1]
        if plan is not self._plan:
            self._tell_epochs(cycle.at_s)
            self._plan, self._plan_began_s = plan, cycle.plan_began_s
            self.result.plans += 1
            self.result.unchecked += not plan.check.ok
        step = step_at(plan, cycle.at_s - cycle.plan_began_s)
        told = {"told_kw": step.grid_kw} | {
            f"planned_{name}_kw": kw for name, kw in step.mechanisms.items()
        }
        self._mean.add(told, last.at_s - cycle.at_s)
        self._last = last

    def _close_interval(self, i: int) -> None:
        last, before = self._last, self._before
        assert last is not None, "an interval has a cycle"
        hours = self._interval_s / 3600.0
        drawn_kwh = last.registers.grid_kwh - (0.0 if before is None else before.registers.grid_kwh)
        row: dict[str, Any] = {
            "slot": self._stretch.begin + i,
            "ebplan_grid_kw": drawn_kwh / hours,
            "ebplan_battery_kw": (_battery_kwh(last) - _battery_kwh(before)) / hours,
            "ebplan_soc": last.soc,
        }
        for name in last.pool_kw:
            was = 0.0 if before is None else before.registers.pools_kwh[name]
            row[f"ebplan_pool.{name}_kw"] = (last.registers.pools_kwh[name] - was) / hours
        row |= {f"ebplan_{name}": value for name, value in self._mean.take().items()}
        self.result.rows.append(row)
        self._drawn.append(row["ebplan_grid_kw"] + row["ebplan_battery_kw"])
        self._before = last

    def _with_baseline(self, event: Event) -> Event:
        """Return an event with the baseline that it is settled by, as it is known at its start."""
        if event.baseline.kw is not None:
            return event
        kw = self._baseline_kw(event, self._drawn)
        if kw is None:
            return event
        return event.model_copy(update={"baseline": Baseline(rule="fixed", kw=max(kw, 0.0))})

    def _price(self, plant: RecordedPlant, event: Event) -> None:
        self.result.costs.append(
            cost_of(plant, event, self._site, self._steps, without=self._spec.without)
        )

    def _tell_epochs(self, until_s: float) -> None:
        """Write down what the plan told until now; epochs that were never reached are not told."""
        plan = self._plan
        if plan is None:
            return
        for pool, epochs in plan.pools.items():
            for epoch in epochs:
                at_s = self._plan_began_s + epoch.t_s
                if at_s >= until_s - SAME_TIME_S:
                    break
                told = {"event": plan.event_id, "pool": pool, **_told(epoch)}
                if told != self._told.get(pool):
                    self._told[pool] = told
                    at = (self._state.at + timedelta(seconds=at_s)).isoformat()
                    self.result.epochs.append({"time": at, **told})


def _told(epoch: PoolEpoch) -> dict[str, Any]:
    """Return what a pool is told."""
    return {
        "active": epoch.active,
        "drained": epoch.drained,
        "asleep": epoch.asleep,
        "in_transit": epoch.in_transit,
        "lower_precision": 0 if epoch.tier is None else epoch.tier.active,
        "cap_w_per_gpu": epoch.cap_w_per_gpu,
        "rejected_req_per_s": sum(c.rejected_req_per_s for c in epoch.classes.values()),
        "deferred_req_per_s": sum(c.deferred_req_per_s for c in epoch.classes.values()),
    }


def step_at(plan: Plan, since_s: float) -> Step:
    """Return the step of a plan at some second of it, its last one after its end."""
    starts = [step.t_s for step in plan.steps]
    return plan.steps[max(bisect_right(starts, since_s + SAME_TIME_S) - 1, 0)]


def _battery_kwh(measured: Measurements | None) -> float:
    if measured is None:
        return 0.0
    return measured.registers.battery_out_kwh - measured.registers.battery_in_kwh


def _load_steps(loads: Loads, stretch: Stretch, interval_s: float) -> list[LoadStep]:
    """Return the loads of a stretch as steps, one where a load changes."""
    steps = []
    for (pool, key), rates in loads.by_class.items():
        inside: FloatArray = rates[stretch.begin : stretch.end]
        changes = np.flatnonzero(np.r_[True, np.diff(inside) != 0.0])
        steps += [
            LoadStep(
                at_s=float(i) * interval_s, pool=pool, request_class=key, req_per_s=float(inside[i])
            )
            for i in changes
        ]
    return steps
