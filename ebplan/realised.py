"""What an event really cost: what happened on a plant, priced like a plan.

The plant is recorded slice by slice. What happened between the start of an event and the end of its
recovery is written down as a plan whose steps and epochs are the slices, against the event's own
problem, and each cause is recomputed by the checker's laws of money: the same causes at the same
prices, so that carrying out one plan without errors costs what the plan says.

| cause                        | from                                                         |
|------------------------------|--------------------------------------------------------------|
| energy, overrun              | the register of the connection point                         |
| shortfall, firmness          | its mean over each slice against the target's                |
| hand-off, wear, stored energy| power of the battery and its state of charge                 |
| readiness, draining, waking  | counts that the pools report, commands to wake               |
| swapping, pre-warming        | commands to load weights and to warm caches                  |
| congestion, capping          | the load asked for, and what the caps told leave of it       |
| rejected, delay              | the counters of requests                                     |
| lowered                      | the rate that the lower precision was given                  |

What instances cannot serve at once waits; it is priced as the congestion of a load that was served.
Curves and responses are those of the truth where they are given, else the problem's. Margins are
held in plans only and cost nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ebplan.adapters.commands import (
    CapPower,
    Command,
    LoadWeights,
    RouteLower,
    Sleep,
    Wake,
    WarmCache,
)
from ebplan.checker.cost_laws import CAUSES
from ebplan.checker.evidence import Evidence
from ebplan.models.curves import LoadCurve
from ebplan.plan import (
    PRIORITY_CAUSES,
    CheckResult,
    ClassEpoch,
    HandOffResult,
    Plan,
    PoolEpoch,
    Step,
    TierEpoch,
)
from ebplan.problem import PoolProblem, Problem
from ebplan.state import State
from ebplan.timegrid import TimeGrid
from ebplan.twin.plant import Measurements, Plant, PoolReading

FloatArray = NDArray[np.float64]

COMPUTE_CAUSES = (
    *("delay", "rejected", "lowered", "pull_forward", "congestion", "late", "capping"),
    *("clocking", "readiness", "draining", "waking", "swapping", "prewarming"),
)
"""Causes of the fleet; the others are energy, the battery's, and what was promised."""

COUNTERS = (
    "served_requests",
    "waiting_requests",
    "rejected_requests",
    "backlog_requests",
    "queued_requests",
)
"""Readings of a pool whose change over a slice says what became of its requests."""


_COUNTED = ("wake", "sleep", "lower", "own")
"""What is told of so many instances: the tags of commands, and which weights are loaded."""


class Slice(NamedTuple):
    """What was told, and what was measured until something else was told."""

    caps: Mapping[str, float | None]
    """Power limits in force, in W per GPU, by pool."""
    woken: Mapping[str, int]
    put_to_sleep: Mapping[str, int]
    measured: Measurements
    tier_caps: Mapping[str, float | None] = MappingProxyType({})
    """Power limits of the lower precision in force, in W per GPU, by pool."""
    to_tier: Mapping[str, int] = MappingProxyType({})
    """Commands to load its weights."""
    to_own: Mapping[str, int] = MappingProxyType({})
    """Commands to load the pool's own again."""
    prewarmed: frozenset[str] = frozenset()
    """Pools told to warm their caches."""


class RecordedPlant:
    """A plant that keeps what it is told and what it measures from ``begin`` on."""

    def __init__(self, plant: Plant, caps: Mapping[str, float | None] | None = None) -> None:
        self.plant = plant
        self.slices: list[Slice] = []
        self.before: Measurements | None = None
        """The last measurement before the recording began."""
        self.caps = dict(caps or {})
        """Power limits in force now."""
        self.tier_caps: dict[str, float | None] = {}
        """The same of the lower precision."""
        self._last: Measurements | None = None

    @property
    def now_s(self) -> float:
        """Seconds since the plant began."""
        return self.plant.now_s

    def state(self) -> State:
        """Return the state to plan from, as it is now."""
        return self.plant.state()

    def begin(self) -> None:
        """Forget what was recorded."""
        self.slices, self.before = [], self._last

    def step(self, commands: Sequence[Command], dt_s: float) -> Measurements:
        """Carry commands out, let time pass, measure, and keep it."""
        measured = self.plant.step(commands, dt_s)
        done: dict[str, Counter[str]] = {told: Counter() for told in _COUNTED}
        prewarmed = set()
        for command in commands:
            if isinstance(command, CapPower):
                self.caps[command.pool] = command.w_per_gpu
            elif isinstance(command, RouteLower):
                self.tier_caps[command.pool] = command.w_per_gpu
            elif isinstance(command, WarmCache):
                prewarmed.add(command.pool)
            elif isinstance(command, Wake | Sleep | LoadWeights):
                done[_counted_as(command)][command.pool] += command.count
        for refusal in measured.refused:
            # of weights a refusal does not say which: none were loaded both ways at one instant
            names = ("lower", "own") if refusal.command == "load_weights" else (refusal.command,)
            for name in names:
                if name in done and done[name][refusal.pool]:
                    done[name][refusal.pool] -= refusal.asked - refusal.done
        self.slices.append(
            Slice(
                caps=dict(self.caps),
                woken=done["wake"],
                put_to_sleep=done["sleep"],
                measured=measured,
                tier_caps=dict(self.tier_caps),
                to_tier=done["lower"],
                to_own=done["own"],
                prewarmed=frozenset(prewarmed),
            )
        )
        self._last = measured
        return measured


def _counted_as(command: Wake | Sleep | LoadWeights) -> str:
    return command.precision if isinstance(command, LoadWeights) else command.command


@dataclass(frozen=True)
class Realised:
    """What an event really cost."""

    cost: dict[str, float]
    """By cause, as in a plan."""
    shortfall_kwh: float
    """Energy of the target that was not delivered, by the register."""

    @property
    def money(self) -> float:
        """The sum without the surcharges that only set priorities."""
        return sum(amount for cause, amount in self.cost.items() if cause not in PRIORITY_CAUSES)


def realised(
    problem: Problem, slices: Sequence[Slice], before: Measurements | None, started_s: float
) -> Realised:
    """Price what happened.

    Args:
        problem: the event as it was posed when it began, with the curves to price by.
        slices: what happened from then on, without gaps, to the end of the horizon.
        before: the measurement before the first slice; None where the plant began with it.
        started_s: second of the plant at which the problem's second 0 lies.

    Raises:
        ValueError: a pool runs in ways that are not recorded, or the slices miss the horizon.
    """
    if any(pool.clock_lock for pool in problem.pools):
        raise ValueError("locked clocks are not recorded")
    inside = [s for s in slices if s.measured.at_s - started_s <= problem.grid.horizon_s + 1e-6]
    edges_s = np.array([0.0, *(s.measured.at_s - started_s for s in inside)])
    if abs(edges_s[-1] - problem.grid.horizon_s) > 1e-3:
        raise ValueError(f"{edges_s[-1]:g} s recorded of {problem.grid.horizon_s:g} s")
    real = _problem_over(problem, edges_s)
    plan = _happened(real, inside, before)
    evidence = Evidence.of(real, plan)
    hours = np.diff(edges_s) / 3600.0
    return Realised(
        cost={cause: recompute(evidence).money for cause, recompute in CAUSES.items()},
        shortfall_kwh=float(np.dot(evidence.shortfall_kw, hours)),
    )


def merged(slices: Sequence[Slice], from_s: float, every_s: float) -> list[Slice]:
    """Return slices put together up to each multiple of a time.

    Counted in a hundredth of a second a request is a hundred in a second: prices that do not grow
    in proportion are to be asked of stretches that hold some.

    Args:
        slices: without gaps.
        from_s: second of the plant from which the multiples count.
        every_s: the time; a slice that goes beyond a multiple stays whole.
    """
    found: list[Slice] = []
    some: list[Slice] = []
    for one in slices:
        some.append(one)
        gone = (one.measured.at_s - from_s) / every_s
        if abs(gone - round(gone)) < 1e-6 or one is slices[-1]:
            found.append(_together(some))
            some = []
    return found


def _together(some: Sequence[Slice]) -> Slice:
    if len(some) == 1:
        return some[0]
    last, seconds = some[-1].measured, sum(s.measured.dt_s for s in some)

    def mean(of: Callable[[Measurements], float]) -> float:
        return sum(of(s.measured) * s.measured.dt_s for s in some) / seconds

    counted = {
        name: sum((Counter(getattr(s, name)) for s in some), Counter[str]())
        for name in ("woken", "put_to_sleep", "to_tier", "to_own")
    }
    measured = replace(
        last,
        dt_s=seconds,
        pool_kw={name: mean(lambda m, n=name: m.pool_kw[n]) for name in last.pool_kw},  # type: ignore[misc]
        battery_kw=mean(lambda m: m.battery_kw),
    )
    prewarmed = frozenset[str]().union(*(s.prewarmed for s in some))
    return some[-1]._replace(measured=measured, prewarmed=prewarmed, **counted)


def mean_over(grid: TimeGrid, values: Sequence[float], edges_s: FloatArray) -> FloatArray:
    """Return the means over other steps of what is constant in each step of a grid, (T',)."""
    area = np.concatenate([[0.0], np.cumsum(np.array(values) * grid.durations_s)])
    return np.asarray(np.diff(np.interp(edges_s, grid.edges_s, area)) / np.diff(edges_s))


def _problem_over(problem: Problem, edges_s: FloatArray) -> Problem:
    """Return the problem with the slices as its steps and epochs."""
    grid = TimeGrid(edges_s=tuple(edges_s.tolist()), epoch_steps=tuple(range(len(edges_s) - 1)))
    told = {
        name: tuple(mean_over(problem.grid, getattr(problem, name), edges_s).tolist())
        for name in ("target_kw", "baseline_kw", "other_kw", "import_limit_kw")
    }
    energy = mean_over(problem.grid, problem.energy_prices_per_kwh.tolist(), edges_s)
    prices = problem.prices.model_copy(update={"energy_per_kwh": tuple(energy.tolist())})
    # what rounding leaves of a target after its end is none
    told["target_kw"] = tuple(0.0 if abs(kw) < 1e-9 else kw for kw in told["target_kw"])
    return problem.model_copy(update={"grid": grid, "prices": prices, "margins": None, **told})


def _happened(problem: Problem, slices: Sequence[Slice], before: Measurements | None) -> Plan:
    """Write down what happened as a plan of the problem."""
    edges_s = np.array(problem.grid.edges_s)
    hours = np.diff(edges_s) / 3600.0
    measured = [s.measured for s in slices]
    grid_kw = np.diff([_grid_kwh(before), *map(_grid_kwh, measured)]) / hours
    asked_kw = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    off_kw = grid_kw - asked_kw
    missing_kw = np.abs(off_kw) if problem.tracks else -problem.direction * off_kw
    missing_kw = np.maximum(missing_kw - problem.tolerance_kw, 0.0)
    missing_kw = np.where(problem.in_event, missing_kw, 0.0)
    steps = tuple(
        Step.model_construct(
            t_s=float(edges_s[i]),
            duration_s=float(edges_s[i + 1] - edges_s[i]),
            target_kw=problem.target_kw[i],
            baseline_kw=problem.baseline_kw[i],
            grid_kw=float(grid_kw[i]),
            compute_kw=sum(m.pool_kw.values()),
            battery_kw=m.battery_kw,
            soc=m.soc,
            mechanisms={},
            shortfall_kw=float(missing_kw[i]),
        )
        for i, m in enumerate(measured)
    )
    return Plan.model_construct(
        event_id=problem.event_id,
        start=problem.start,
        currency=problem.currency,
        status="merit_order",
        objective=0.0,
        bound=None,
        gap=None,
        cost={},
        shortfall=(),
        check=CheckResult(ok=True),
        handoff=HandOffResult(complete_s=None, asked_s=None),
        steps=steps,
        pools={pool.name: _epochs(pool, edges_s, slices, before) for pool in problem.pools},
        converter=None,
        service={},
        explanation=(),
        problem_hash="",
    )


def _grid_kwh(measured: Measurements | None) -> float:
    return 0.0 if measured is None else measured.registers.grid_kwh


def _epochs(
    pool: PoolProblem, edges_s: FloatArray, slices: Sequence[Slice], before: Measurements | None
) -> tuple[PoolEpoch, ...]:
    """Write down what a pool did, an epoch for each slice."""
    epochs = []
    rates = {c.name: c.requests_per_s_per_instance for c in pool.classes}
    last = None if before is None else before.pools[pool.name]
    for at_s, s in zip(edges_s[:-1].tolist(), slices, strict=True):
        now = s.measured.pools[pool.name]
        classes = _classes(pool, now, last, s.measured.dt_s)
        load = sum(c.served_req_per_s / rates[name] for name, c in classes.items())
        if pool.tier is not None:
            load -= sum(c.lowered_req_per_s / rates[name] for name, c in classes.items())
        load = max(load, 0.0)
        cap_w = s.caps.get(pool.name)
        epochs.append(
            PoolEpoch.model_construct(
                t_s=at_s,
                active=now.active,
                drained=now.drained,
                asleep=now.asleep,
                in_transit=sum(t.instances for t in now.transit),
                put_to_sleep=s.put_to_sleep.get(pool.name, 0),
                woken=s.woken.get(pool.name, 0),
                utilisation=load / now.active if now.active else 0.0,
                capacity_used=0.0,
                power_kw=_settled_kw(pool, now.active, load, cap_w),
                cap_w_per_gpu=cap_w,
                tier=_tier_epoch(pool, now, s, classes),
                prewarm=pool.name in s.prewarmed,
                woken_warm=0,
                classes=classes,
            )
        )
        last = now
    return tuple(epochs)


def _classes(
    pool: PoolProblem, now: PoolReading, last: PoolReading | None, dt_s: float
) -> dict[str, ClassEpoch]:
    """Write down what became of the requests of a slice, from their counters."""
    classes = {}
    for c in pool.classes:
        name, rate = c.name, c.requests_per_s_per_instance
        began = {
            "backlog_requests": rate * c.deferral.backlog_at_start if c.deferral else 0.0,
            "queued_requests": rate * c.pull_forward.available if c.pull_forward else 0.0,
        }
        grew = {
            counter: (
                getattr(now, counter)[name]
                - (began.get(counter, 0.0) if last is None else getattr(last, counter)[name])
            )
            / dt_s
            for counter in COUNTERS
        }
        classes[name] = ClassEpoch.model_construct(
            offered_req_per_s=now.load_req_per_s[name],
            served_req_per_s=grew["served_requests"] + grew["waiting_requests"],
            rejected_req_per_s=grew["rejected_requests"],
            deferred_req_per_s=grew["backlog_requests"],
            backlog_requests=now.backlog_requests[name],
            pulled_req_per_s=-grew["queued_requests"],
            lowered_req_per_s=now.lowered_req_per_s.get(name, 0.0),
        )
    return classes


def _tier_epoch(
    pool: PoolProblem, now: PoolReading, s: Slice, classes: Mapping[str, ClassEpoch]
) -> TierEpoch | None:
    """Write down what the lower precision did."""
    tier = pool.tier
    if tier is None:
        return None
    rates = {c.name: c.requests_per_s_per_instance for c in pool.classes}
    lowered = sum(c.lowered_req_per_s / rates[name] for name, c in classes.items())
    load, active = lowered / tier.capacity_factor, now.tier_active
    cap_w = s.tier_caps.get(pool.name)
    return TierEpoch.model_construct(
        active=active,
        drained=now.tier_drained,
        to_tier=s.to_tier.get(pool.name, 0),
        to_own=s.to_own.get(pool.name, 0),
        utilisation=load / active if active else 0.0,
        capacity_used=0.0,
        power_kw=_settled_kw(pool, active, load, cap_w, tier.load_curve),
        cap_w_per_gpu=cap_w,
    )


def _settled_kw(
    pool: PoolProblem,
    active: int,
    load: float,
    cap_w: float | None,
    curve: LoadCurve | None = None,
) -> float:
    """Return what active instances settle at under their load and cap."""
    if not active:
        return 0.0
    natural_kw = float((curve or pool.load_curve).power_kw(min(load / active, 1.0)))
    if cap_w is None:
        return active * natural_kw
    return active * min(natural_kw, cap_w * pool.gpus_per_instance / 1000.0 / pool.gpu_kw_per_kw)
