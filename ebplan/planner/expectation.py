"""What a plan expects to be measured, and how far a measurement lies from it.

Asked every second of a plan that is being followed: arrays are laid out once, a question costs
some comparisons. Outside the tolerance the plan is made anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import exp

import numpy as np

from ebplan.following import settled_kw
from ebplan.plan import Plan, PoolEpoch
from ebplan.problem import PoolProblem, Problem
from ebplan.state import PoolState, State


@dataclass(frozen=True)
class Tolerance:
    """How far a measurement may lie from its plan before another is made."""

    soc: float = 0.02
    """State of charge, absolute."""
    load_share: float = 0.05
    """Load of a class, as a share of what was planned."""
    load_req_per_s: float = 0.05
    """Load of a class, below which a difference is none."""
    false_alarm_s: float = 86_400.0
    """Where loads are counted: how long until noise alone makes a plan anew, on average; for the
    load of each class, and for what the models miss."""
    power_share: float = 0.02
    """Power that the models miss, as a share of the baseline."""
    hurting_share: float = 0.005
    """The same inside an event, where it makes the target harder to meet or a hand-off late."""
    command_s: float = 2.0
    """Time that a command may take to show in the counts."""
    age_s: float = 900.0
    """A plan between events expires after this."""


@dataclass(frozen=True)
class _Counts:
    """Counts of a pool from an epoch on."""

    active: int
    drained: int
    asleep: int
    tier_active: int
    tier_drained: int

    def differs(self, planned: _Counts) -> str:
        """Say in which counts this differs from what was planned."""
        names = ("active", "drained", "asleep", "tier_active", "tier_drained")
        pairs = ((name, getattr(self, name), getattr(planned, name)) for name in names)
        words = (f"{here} {name}, planned {there}" for name, here, there in pairs if here != there)
        return "; ".join(words)


def _measured(told: PoolState) -> _Counts:
    tier = told.tier
    return _Counts(
        active=told.active,
        drained=told.drained,
        asleep=told.asleep,
        tier_active=tier.active if tier else 0,
        tier_drained=tier.drained if tier else 0,
    )


class Expectation:
    """What a plan expects."""

    def __init__(self, problem: Problem, plan: Plan, *, lost: dict[str, int]) -> None:
        """Lay a plan out.

        Args:
            problem: what the plan answers.
            plan: the plan.
            lost: instances of each pool that were lost when it was made.
        """
        self._edges_s = list(problem.grid.edges_s)
        self._starts_s = problem.grid.epoch_starts_s.tolist()
        self._compute_kw = [step.compute_kw for step in plan.steps]
        self._other_kw = problem.other_kw[0]
        self._baseline_kw = max(abs(problem.baseline_kw[0]), 1e-6)
        self.lost = lost
        """Instances of each pool that were lost when the plan was made."""
        battery = problem.battery
        self._soc = None
        if battery is not None:
            start = battery.start_kwh / battery.energy_kwh
            self._soc = [start, *(step.soc or 0.0 for step in plan.steps)]
        self._counts = {
            pool.name: [_counts_of(epoch) for epoch in plan.pools[pool.name]]
            for pool in problem.pools
        }
        self.loads = {
            pool.name: {c.name: c.load * c.requests_per_s_per_instance for c in pool.classes}
            for pool in problem.pools
        }
        self.horizon_s = problem.grid.horizon_s
        self._changes = [change for pool in problem.pools for change in _changes(pool, plan)]

    def on_its_way_kw(self, elapsed_s: float) -> float:
        """Return how much of the draw is still moving: what a plan says of it is an upper bound."""
        moving = 0.0
        for at_s, kw, constant_s in self._changes:
            since_s = elapsed_s - at_s
            if -1.0 <= since_s < 12.0 * constant_s:
                moving += kw * exp(-max(since_s, 0.0) / constant_s)
        return moving

    def tolerated_kw(self, tolerance: Tolerance, hurts: int) -> tuple[float, float]:
        """Return how much more, and how much less, load than planned is no difference."""
        up = tolerance.hurting_share if hurts > 0 else tolerance.power_share
        down = tolerance.hurting_share if hurts < 0 else tolerance.power_share
        return up * self._baseline_kw, down * self._baseline_kw

    def compute_at(self, elapsed_s: float) -> float:
        """Return the draw of the pools that is expected, the mean of its step."""
        step = min(bisect_right(self._edges_s, elapsed_s), len(self._compute_kw)) - 1
        return self._compute_kw[max(step, 0)]

    def draw_at(self, elapsed_s: float) -> float:
        """Return the draw without the battery that is expected."""
        return self.compute_at(elapsed_s) + self._other_kw

    def other_kw(self, state: State, elapsed_s: float, tolerance: Tolerance) -> float | None:
        """Return the load that no pool explains, by the meter.

        None where it was not read, and while more is moving than a difference that counts.
        """
        if state.grid is None:
            return None
        if self.on_its_way_kw(elapsed_s) > 0.25 * tolerance.power_share * self._baseline_kw:
            return None
        return state.grid.kw + state.battery_kw - self.compute_at(elapsed_s)

    def deviations(
        self,
        state: State,
        elapsed_s: float,
        tolerance: Tolerance,
        other_kw: float | None,
        *,
        hurts: int = 0,
        sure: bool = True,
        changed: Collection[tuple[str, str]] = (),
    ) -> list[str]:
        """Say in what a state differs from what is expected ``elapsed_s`` into the plan.

        Args:
            state: what was measured.
            elapsed_s: since the plan began.
            tolerance: what counts as no difference.
            other_kw: the estimate of the load that no pool explains, where there is one.
            hurts: 1 where more load hurts, -1 where less does, 0 where neither is asked.
            sure: whether a difference of ``other_kw`` is more than noise.
            changed: loads by pool and class that are counted and sure to have changed.
        """
        found: list[str] = []
        if not state.converter_available and self._soc is not None:
            found.append("the converter has tripped")
        if state.converter_available and self._soc is not None and state.soc is not None:
            expected = float(np.interp(elapsed_s, self._edges_s, self._soc))
            if abs(state.soc - expected) > tolerance.soc:
                found.append(f"state of charge {state.soc:.3f}, expected {expected:.3f}")
        if other_kw is not None:
            apart_kw = other_kw - self._other_kw
            allowed_kw = self.tolerated_kw(tolerance, hurts)[apart_kw < 0.0]
            settled = (
                self.on_its_way_kw(elapsed_s) < 0.25 * tolerance.power_share * self._baseline_kw
            )
            if abs(apart_kw) > allowed_kw and settled and sure:
                found.append(f"the models miss {apart_kw:+.2f} kW against when it was planned")
        last = max(bisect_right(self._starts_s, elapsed_s + 1e-6) - 1, 0)
        first = max(bisect_right(self._starts_s, elapsed_s - tolerance.command_s) - 1, 0)
        for name, told in state.pools.items():
            counts = self._counts.get(name)
            if counts is None:
                found.append(f"pool {name} was not planned")
                continue
            if told.lost != self.lost.get(name, 0):
                was = self.lost.get(name, 0)
                found.append(f"pool {name}: {told.lost} lost, {was} when it was planned")
            measured = _measured(told)
            if measured not in counts[first : last + 1]:
                found.append(f"pool {name}: {measured.differs(counts[last])}")
            for key, planned in self.loads[name].items():
                load = told.load_req_per_s.get(key, 0.0)
                allowed = max(tolerance.load_share * planned, tolerance.load_req_per_s)
                differs = abs(load - planned) > allowed
                if key in told.arrived_requests:
                    differs = (name, key) in changed
                if differs:
                    found.append(f"pool {name}, {key}: {load:.2f} req/s, planned {planned:.2f}")
        return found


def _changes(pool: PoolProblem, plan: Plan) -> Iterator[tuple[float, float, float]]:
    """Yield what moves the draw of a pool as (from when, kW, time constant)."""
    slow = pool.route_response
    for part in pool.settling:
        yield part.delay_s, abs(part.kw), part.time_constant_s
    before_kw = pool.power_at_start_kw()
    for epoch in plan.pools[pool.name]:
        now_kw = settled_kw(pool, epoch)
        if abs(now_kw - before_kw) > 1e-6:
            yield epoch.t_s + slow.delay_s, abs(now_kw - before_kw), slow.time_constant_s
        before_kw = now_kw


def _counts_of(epoch: PoolEpoch) -> _Counts:
    locked = epoch.clock_lock.active if epoch.clock_lock else 0
    tier = epoch.tier
    return _Counts(
        active=epoch.active + locked,
        drained=epoch.drained,
        asleep=epoch.asleep,
        tier_active=tier.active if tier else 0,
        tier_drained=tier.drained if tier else 0,
    )
