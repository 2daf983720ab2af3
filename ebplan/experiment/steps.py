"""The six steps of one case, in simulated time.

1  the case is chosen                                     ``matrix``, ``bench``
2  traffic runs until power, throughput and latency have settled; the baseline is recorded
3  the grid leaves its frequency; the response begins when that is seen
4  the battery alone carries it: the converter holds baseline + target, nobody tells compute
5  the planner tells the mechanisms of the case, and the battery hands over
6  the response ends; everything goes back, and what happened is written down
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np

from ebplan.adapters.commands import (
    CapPower,
    Command,
    HoldConnectionPoint,
    LimitAdmission,
    LoadWeights,
    PaceBacklog,
    RestConverter,
    Route,
    RouteLower,
    ServeAhead,
    Wake,
)
from ebplan.closed_loop import ClosedLoop, Cycle
from ebplan.errors import InputError
from ebplan.event import Event, HandOff
from ebplan.experiment.bench import (
    HANDOFF_FRACTION,
    Asked,
    Bench,
    GridSimulator,
    bench_of,
    rest_of,
)
from ebplan.experiment.matrix import ExperimentCase
from ebplan.experiment.protocol import COMPUTE, Protocol
from ebplan.experiment.telemetry import Recorder, latency
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.planner.expectation import Tolerance
from ebplan.planner.restoration import Restoration
from ebplan.pose.repair import pose_measured
from ebplan.problem import Problem
from ebplan.realised import RecordedPlant
from ebplan.site import Site
from ebplan.solvers.leave_out import leave_out
from ebplan.twin.requests import Answer

SAME_SET_POINT_KW = 1e-3
CYCLE_S = 1.0
"""The bridge and the planner are asked this often."""


@dataclass
class Baseline:
    """What the site did before the event."""

    settled: bool
    """Whether it had settled."""
    after_s: float
    """When it had, or how long was waited."""
    windows: int
    """Windows looked at."""
    from_s: float
    """When the last one began."""
    grid_kw: float
    fleet_kw: float
    req_per_s: float
    fleet_std_kw: float
    """Spread of 5 s means of the fleet's power in the last window."""


@dataclass(frozen=True)
class PlanMade:
    """A plan that was followed from then on."""

    at_s: float
    plan: Plan
    why: tuple[str, ...]


@dataclass
class CaseRun:
    """What happened in a case; times in seconds of the plant."""

    case: ExperimentCase
    bench: Bench
    recorder: Recorder
    baseline: Baseline
    asked: Asked
    injected_s: float
    triggered_s: float
    compute_s: float
    """When the mechanisms were started."""
    ended_s: float
    """When the response ended."""
    over_s: float
    """When the recovery was over."""
    answers: list[Answer]
    recorded: RecordedPlant
    problem: Problem
    """The whole event as it was posed at the trigger: to price what happened by."""
    event: Event
    """The rest of the event as it was planned."""
    plans: list[PlanMade] = field(default_factory=list)


def run_case(protocol: Protocol, case: ExperimentCase, site: Site) -> CaseRun:
    """Run the steps of a case.

    Raises:
        InputError: the case does not fit the site.
        NoPlanError: no plan passed the check.
    """
    bench = bench_of(protocol, case, site)
    answers: list[Answer] = []
    grid = GridSimulator(protocol, case.event, case.seed)
    recorded = RecordedPlant(bench.plant(case.seed, answers.append))
    recorder = Recorder(recorded, bench.site, bench.pool, protocol.sampling, grid.hz)
    baseline = _settle(protocol, recorder, answers)
    injected_s, triggered_s = _inject(protocol, case, recorder, grid)
    recorded.begin()
    asked = Asked(case.event, baseline.grid_kw)
    problem = _posed(protocol, case, bench, recorded, baseline.grid_kw)
    recorder.target_kw = lambda t_s: asked.kw(round(t_s - triggered_s, 9))
    _bridge(protocol, recorder, asked, baseline, triggered_s)
    event = rest_of(
        case.event,
        f"{protocol.name}.{case.name}"[:120],
        bench.state.at + timedelta(seconds=recorder.now_s),
        recorder.now_s - triggered_s,
        baseline.grid_kw,
        _handoff_by_s(protocol, case),
    )
    run = CaseRun(
        case=case,
        bench=bench,
        recorder=recorder,
        baseline=baseline,
        asked=asked,
        injected_s=injected_s,
        triggered_s=triggered_s,
        compute_s=recorder.now_s,
        ended_s=triggered_s + case.event.duration_s,
        over_s=triggered_s + problem.grid.horizon_s,
        answers=answers,
        recorded=recorded,
        problem=problem,
        event=event,
    )
    _mechanisms(protocol, run)
    return run


def left_out(mechanisms: tuple[str, ...]) -> tuple[str, ...]:
    """Return the compute mechanisms that a set leaves out."""
    return tuple(name for name in COMPUTE if name not in mechanisms)


# --- step 2 ---------------------------------------------------------------------------------------


def _settle(protocol: Protocol, recorder: Recorder, answers: list[Answer]) -> Baseline:
    """Let traffic run until the means of two windows on end agree."""
    rule, before, windows = protocol.settling, None, 0
    while True:
        begin_s, served = recorder.now_s, len(answers)
        while recorder.now_s < begin_s + rule.window_s - 1e-9:
            recorder.step((), CYCLE_S)
        windows += 1
        now = _means(recorder, answers[served:], begin_s)
        settled = before is not None and all(
            abs(b - a) <= share * abs(a)
            for a, b, share in zip(
                before, now, (rule.power, rule.throughput, rule.latency), strict=True
            )
        )
        if settled or recorder.now_s + rule.window_s > rule.most_s + 1e-9:
            break
        before = now
    rows = [r for r in recorder.rows if r["t_s"] >= begin_s - 1e-9]
    kw = np.array([r["fleet_kw"] for r in rows])
    fives = kw[: len(kw) // 5 * 5].reshape(-1, 5).mean(axis=1)
    return Baseline(
        settled=settled,
        after_s=recorder.now_s,
        windows=windows,
        from_s=begin_s,
        grid_kw=float(np.mean([r["grid_kw"] for r in rows])),
        fleet_kw=float(kw.mean()),
        req_per_s=now[1],
        fleet_std_kw=float(fives.std()),
    )


def _means(recorder: Recorder, answers: list[Answer], begin_s: float) -> tuple[float, float, float]:
    kw = float(np.mean([r["fleet_kw"] for r in recorder.rows if r["t_s"] >= begin_s - 1e-9]))
    return kw, len(answers) / (recorder.now_s - begin_s), latency(answers)["e2e_p50_s"] or 0.0


# --- steps 3 and 4 --------------------------------------------------------------------------------


def _inject(
    protocol: Protocol, case: ExperimentCase, recorder: Recorder, grid: GridSimulator
) -> tuple[float, float]:
    """Let the frequency leave; return when, and when that was seen: a trace is followed at once."""
    recorder.step_number = 3
    injected_s = recorder.now_s
    recorder.look_closely()
    grid.inject(injected_s)
    seen_s = injected_s
    while case.event.target.frequency is None:
        if abs(grid.hz(recorder.now_s) - grid.nominal_hz) >= protocol.trigger_hz:
            break
        recorder.step((), protocol.sampling.fine_s)
        seen_s = recorder.now_s
        if seen_s - injected_s > LONGEST_FALL_S:
            raise _never_seen(protocol, case)
    return injected_s, seen_s


LONGEST_FALL_S = 60.0


def _never_seen(protocol: Protocol, case: ExperimentCase) -> InputError:
    return InputError(
        field=f"events.{case.event.name}.excursion",
        value=None if case.event.excursion is None else case.event.excursion.deviation_hz,
        allowed=f"a deviation that reaches trigger_hz = {protocol.trigger_hz:g} within "
        f"{LONGEST_FALL_S:g} s",
        remedy="deepen the excursion, let it fall faster, or lower trigger_hz",
    )


def _bridge(
    protocol: Protocol,
    recorder: Recorder,
    asked: Asked,
    baseline: Baseline,
    triggered_s: float,
) -> None:
    """Let the battery carry the whole response; nobody tells compute anything."""
    recorder.step_number = 4
    recorder.look_closely(at_once=True)
    held: float | None = None
    end_s = triggered_s + protocol.bridge_s
    while recorder.now_s < end_s - 1e-9:
        dt_s = min(CYCLE_S, end_s - recorder.now_s)
        kw = baseline.grid_kw + asked.kw(recorder.now_s - triggered_s)
        same = held is not None and abs(kw - held) < SAME_SET_POINT_KW
        told = () if same else (HoldConnectionPoint(at_s=0.0, grid_kw=kw),)
        held = kw
        recorder.step(told, dt_s)


# --- steps 5 and 6 --------------------------------------------------------------------------------


def _mechanisms(protocol: Protocol, run: CaseRun) -> None:
    """Start the mechanisms, hand the battery over, end, and let everything go back."""
    recorder, case = run.recorder, run.case
    recorder.step_number = 5
    recorder.look_closely()
    planner = Planner(
        run.bench.site,
        clock=protocol.clock,
        restoration=Restoration(soc=protocol.soc),
        tolerance=Tolerance(load_share=protocol.load_tolerance),
        without=left_out(case.mechanisms),
    )
    with planner:
        recorder.planned = lambda t_s: _planned(run, t_s)
        loop = ClosedLoop(
            planner, recorder, [run.event], cycle_s=CYCLE_S, deadline_s=protocol.deadline_s
        )
        for cycle in _cycles(loop, run):
            last = run.plans[-1].plan if run.plans else None
            if cycle.plan is not last:
                run.plans.append(PlanMade(cycle.at_s, cycle.plan, cycle.why))


def _planned(run: CaseRun, t_s: float) -> dict[str, float]:
    """Return what the plan being followed expects of each mechanism; none in its first cycle."""
    if not run.plans:
        return {}
    made = run.plans[-1]
    since_s = t_s - (made.plan.start - run.bench.state.at).total_seconds()
    steps = made.plan.steps
    step = steps[max(bisect_right(steps, since_s + 1e-9, key=lambda s: s.t_s) - 1, 0)]
    return step.mechanisms


def _cycles(loop: ClosedLoop, run: CaseRun) -> Iterator[Cycle]:
    """Go through the response and the recovery.

    After a release the planner brings everything back. After an event that absorbs it would keep
    at work what pays: there the experiment itself goes back to the posture it began with.
    """
    recorder = run.recorder
    yield from loop.run(run.ended_s)
    recorder.step_number = 6
    recorder.look_closely()
    if run.case.event.direction != "absorb":
        yield from loop.run(run.over_s)
        return
    recorder.planned = lambda _: {}
    told: tuple[Command, ...] = _hand_back(run)
    while recorder.now_s < run.over_s - 1e-9:
        recorder.step(told, min(CYCLE_S, run.over_s - recorder.now_s))
        told = ()


def _hand_back(run: CaseRun) -> tuple[Command, ...]:
    """Return the commands that bring the posture of the beginning back."""
    name, pool = run.bench.pool, run.bench.site.pools[run.bench.pool]
    began, now = run.bench.state.pools[name], run.recorder.state().pools[name]
    at: dict[str, Any] = {"at_s": 0.0, "pool": name}
    back: list[Command] = [RestConverter(at_s=0.0)]
    if now.asleep:
        back.append(Wake(**at, count=now.asleep))
    if now.tier is not None and now.tier.active + now.tier.drained:
        count = now.tier.active + now.tier.drained
        none: dict[str, Any] = {"active": 0, "drained": count, "req_per_s": {}, "w_per_gpu": None}
        back.append(RouteLower(**at, **none))
        back.append(LoadWeights(**at, precision="own", count=count))
    back.append(Route(**at, active=began.active, drained=began.drained))
    back.append(CapPower(**at, w_per_gpu=None))
    for key in pool.classes:
        back.append(LimitAdmission(**at, request_class=key, req_per_s=None))
        back.append(PaceBacklog(**at, request_class=key, req_per_s=0.0))
        back.append(ServeAhead(**at, request_class=key, req_per_s=0.0))
    return tuple(back)


def _handoff_by_s(protocol: Protocol, case: ExperimentCase) -> float | None:
    if not case.mechanisms:
        return None  # nobody takes over from the battery
    if case.event.handoff is None:
        return protocol.handoff_s
    return max(case.event.handoff.by_s - protocol.bridge_s, 0.0)


def _posed(
    protocol: Protocol,
    case: ExperimentCase,
    bench: Bench,
    recorded: RecordedPlant,
    baseline_kw: float,
) -> Problem:
    """Pose the whole event at its trigger: what happened is priced by its prices and curves."""
    measured = recorded.before
    state = recorded.state() if measured is None else measured.state()
    event = rest_of(case.event, "priced", state.at, 0.0, baseline_kw, None)
    by_s = _handoff_by_s(protocol, case)
    if by_s is not None and case.event.target.frequency is None:
        late_s = min(protocol.bridge_s + by_s, case.event.duration_s)
        event = event.model_copy(update={"handoff": _hand_off(case, late_s)})
    problem, *_ = pose_measured(event, bench.site, state)
    return leave_out(problem, (*left_out(case.mechanisms),))


def _hand_off(case: ExperimentCase, by_s: float) -> HandOff:
    fraction = (
        HANDOFF_FRACTION if case.event.handoff is None else case.event.handoff.battery_fraction
    )
    return HandOff(by_s=by_s, battery_fraction=fraction)
