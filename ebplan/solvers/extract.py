"""Read a plan out of a solution: powers in time, who contributes, set-points, service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ebplan.plan import (
    CheckResult,
    ClassEpoch,
    ClassService,
    ClockLockEpoch,
    Converter,
    HandOffResult,
    Plan,
    PlanStatus,
    PoolEpoch,
    Shortfall,
    Step,
    TierEpoch,
)
from ebplan.problem import BatteryProblem, ClassProblem, PoolProblem, Problem
from ebplan.solvers.blocks.response import response_weights, settled_draw_kw
from ebplan.solvers.decision import NOTHING_KW, PoolDecision, Running, clean, decide
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.operations import CLOCK_LOCK, Operation
from ebplan.solvers.program import FloatArray
from ebplan.solvers.quality import late_load, worst_latency
from ebplan.solvers.transients import falling_kw, prewarming_kw

NATURAL_DRAW_MARGIN = 0.002
"""A power this close to the natural draw needs no cap: the piecewise-linear load curve lies up to
0.2 % below the law, and a cap within it would only trim noise."""
AT_LIMIT_KW = 1e-3
"""A watt (or a watt-hour) from a limit is at it."""
HANDED_OVER = 0.1
"""The battery is free when it carries at most this share of the target."""


def extract_plan(
    problem: Problem,
    formulation: Formulation,
    x: FloatArray,
    *,
    status: PlanStatus,
    bound: float | None,
    gap: float | None,
) -> Plan:
    """Turn a solution into a plan that nobody has checked yet and that explains nothing yet."""
    decisions = decide(problem, formulation, x)
    steps = _steps(problem, formulation, x, decisions)
    cost = formulation.program.cost_by_cause(x)
    cost = {cause: money for cause, money in cost.items() if abs(money) > 1e-9}
    battery = problem.battery
    return Plan(
        event_id=problem.event_id,
        start=problem.start,
        currency=problem.currency,
        status=status,
        objective=sum(cost.values()),
        bound=bound,
        gap=gap,
        cost=cost,
        shortfall=_shortfalls(steps, decisions, problem),
        check=CheckResult(ok=False),
        handoff=HandOffResult(
            complete_s=handoff_complete_s(steps) if problem.asks == "one_way" else None,
            asked_s=problem.handoff_from_s,
        ),
        steps=steps,
        pools={d.pool.name: _epochs(problem, d) for d in decisions},
        converter=None
        if battery is None
        else Converter(
            droop_reserve_kw=battery.droop_reserve_kw,
            reserve_kwh=battery.reserve_kwh,
            delay_s=battery.delay_s,
        ),
        service={d.pool.name: _service(problem, d) for d in decisions},
        explanation=(),
        without=problem.without,
        problem_hash=problem.digest(),
    )


def contributions(problem: Problem, decision: PoolDecision) -> dict[str, FloatArray]:
    """Split the change of a pool's draw by mechanism, each of shape (T,) in kW.

    In the order in which they act on the state at the start: admission, deferral and work done
    ahead change the load of the serving instances, consolidation moves what is left onto fewer (and
    waits for the drained ones to settle), the lower precision replaces some of them, a locked clock
    and a cap take what remains above the plan's power, a pre-warm adds its work. Each is a change
    of the settled draw carried through the same weights, so the parts sum to the whole at every
    step. That a lower precision frees instances shows as consolidation: by itself it moves no watt.
    """
    pool = decision.pool
    settled = dict(_settled_by_mechanism(pool, decision))
    settled["prewarm"] = settled["power_cap"] + prewarming_kw(problem, decision)
    fast, lag = response_weights(pool, problem.grid, None, problem.direction)
    carry, parts = fast[:, 1:], {}
    before = np.full(problem.grid.n_epochs, pool.power_at_start_kw())
    for mechanism, kw in settled.items():
        parts[mechanism] = carry @ (kw - before)
        before = kw
    parts["consolidation"] = parts["consolidation"] + lag @ falling_kw(decision)
    always = ("consolidation", "power_cap", "admission")
    offered = (*always, *_optional_mechanisms(pool))
    return {mechanism: kw for mechanism, kw in parts.items() if mechanism in offered}


def _settled_by_mechanism(
    pool: PoolProblem, decision: PoolDecision
) -> Iterator[tuple[str, FloatArray]]:
    """Yield the settled draw, (K,), after each mechanism has acted on top of those before it."""
    epochs = np.zeros(len(decision.asleep))
    own, ways = decision.own.operation, decision.ways
    start = pool.active_at_start + epochs
    load = pool.load - pool.load_in_tier_at_start + epochs
    # What is drawn besides the active instances stays as it is while their load changes.
    beside_kw = pool.power_at_start_kw() - _natural_kw(own, load, start)
    for mechanism, change in (
        ("admission", -_total(decision.rejected, epochs)),
        ("deferral", -_total(decision.deferred, epochs)),
        ("pull_forward", _total(decision.pulled, epochs)),
    ):
        load = load + change
        yield mechanism, beside_kw + _natural_kw(own, np.maximum(load, 0.0), start)
    idle_kw = settled_draw_kw(pool, decision.serving, decision.asleep, epochs)
    lower = [w for w in ways if w.operation.key not in (None, CLOCK_LOCK)]
    upper = [w for w in ways if w.operation.key in (None, CLOCK_LOCK)]
    together = sum((w.load for w in upper), epochs), sum((w.active for w in upper), epochs)
    own_kw = idle_kw + _natural_kw(own, *together)
    # An instance of the lower precision as if it had the pool's own curve: what it frees.
    yield "consolidation", own_kw + sum((_natural_kw(own, w.load, w.active) for w in lower), epochs)
    yield "precision", own_kw + sum((_running_naturally_kw(w) for w in lower), epochs)
    settled_kw = idle_kw + sum((_running_naturally_kw(way) for way in ways), epochs)
    for way in ways:
        if way.operation.key == CLOCK_LOCK:
            settled_kw = settled_kw + way.power_kw - _running_naturally_kw(way)
    yield "clock_lock", settled_kw
    yield "power_cap", idle_kw + decision.power_kw


def _optional_mechanisms(pool: PoolProblem) -> Iterator[str]:
    """Yield the mechanisms that only some pools have."""
    if any(c.deferral is not None for c in pool.classes):
        yield "deferral"
    if any(c.pull_forward is not None for c in pool.classes):
        yield "pull_forward"
    if pool.tier is not None:
        yield "precision"
    if pool.clock_lock is not None:
        yield "clock_lock"
    if pool.prewarm is not None:
        yield "prewarm"


def _total(by_class: dict[str, FloatArray], nothing: FloatArray) -> FloatArray:
    return np.asarray(np.sum([nothing, *by_class.values()], axis=0))


def _running_naturally_kw(way: Running) -> FloatArray:
    return _natural_kw(way.operation, way.load, way.active)


def _natural_kw(operation: Operation, load: FloatArray, active: FloatArray) -> FloatArray:
    """Return the uncapped power of ``active`` instances sharing ``load``, shape (K,).

    More load than the instances can serve leaves them saturated.
    """
    each = np.divide(load, active, out=np.zeros(len(load)), where=active > 0)
    return active * operation.load_curve.power_kw(np.minimum(each, 1.0))


def handoff_complete_s(steps: tuple[Step, ...]) -> float | None:
    """Return from when on the battery carries at most 10 % of a target that is met, to the end."""
    complete: float | None = None
    for step in steps:
        if step.target_kw == 0.0:
            continue
        carried = abs(step.battery_kw) > HANDED_OVER * abs(step.target_kw) + NOTHING_KW
        if carried or step.shortfall_kw > NOTHING_KW:
            complete = None
        elif complete is None:
            complete = step.t_s
    return complete


def _steps(
    problem: Problem,
    formulation: Formulation,
    x: FloatArray,
    decisions: tuple[PoolDecision, ...],
) -> tuple[Step, ...]:
    grid = problem.grid
    other, baseline = np.array(problem.other_kw), np.array(problem.baseline_kw)
    compute = x[formulation.compute.mean]
    battery_kw = np.zeros(grid.n_steps)
    soc: list[float | None] = [None] * grid.n_steps
    if formulation.battery is not None and problem.battery is not None:
        columns = formulation.battery
        battery_kw = clean(x[columns.discharge]) - clean(x[columns.charge])
        soc = (x[columns.energy][1:] / problem.battery.energy_kwh).tolist()
    grid_kw = other + compute - battery_kw
    mechanisms = _mechanisms(problem, decisions, battery_kw)
    target = np.array(problem.target_kw)
    shortfall = np.zeros(grid.n_steps)
    asked = problem.in_event
    # The program's shortfall also covers the peak inside a step that the mean hides.
    off_kw = (grid_kw - baseline - target)[asked]
    missed_kw = np.abs(off_kw) if problem.tracks else -problem.direction * off_kw
    shortfall[asked] = clean(
        np.maximum(missed_kw - problem.tolerance_kw, x[formulation.connection.shortfall])
    )
    return tuple(
        Step(
            t_s=grid.edges_s[t],
            duration_s=float(grid.durations_s[t]),
            target_kw=problem.target_kw[t],
            baseline_kw=problem.baseline_kw[t],
            grid_kw=float(grid_kw[t]),
            compute_kw=float(compute[t]),
            battery_kw=float(battery_kw[t]),
            soc=soc[t],
            mechanisms={name: float(kw[t]) for name, kw in mechanisms.items()},
            shortfall_kw=float(shortfall[t]),
        )
        for t in range(grid.n_steps)
    )


def _mechanisms(
    problem: Problem, decisions: tuple[PoolDecision, ...], battery_kw: FloatArray
) -> dict[str, FloatArray]:
    """Return each mechanism's change of the draw against the baseline, shape (T,)."""
    total = {"battery": -battery_kw}
    for decision in decisions:
        for name, kw in contributions(problem, decision).items():
            total[name] = total.get(name, 0.0) + kw
    start_kw = np.array(problem.other_kw) + sum(d.pool.power_at_start_kw() for d in decisions)
    apart = start_kw - np.array(problem.baseline_kw)
    if np.abs(apart).max() > NOTHING_KW:
        # The agreed baseline is not what the site drew when the plan was made.
        total["before_event"] = apart
    return total


def _epochs(problem: Problem, decision: PoolDecision) -> tuple[PoolEpoch, ...]:
    pool = decision.pool
    starts = problem.grid.epoch_starts_s
    late = late_load(decision)
    epochs = []
    for k in range(problem.grid.n_epochs):
        swapped = decision.swaps.drained[k] if decision.swaps else 0.0
        settled = decision.serving[k] + decision.drained[k] + decision.asleep[k] + swapped
        epochs.append(
            PoolEpoch(
                t_s=float(starts[k]),
                drained=int(decision.drained[k]),
                asleep=int(decision.asleep[k]),
                in_transit=pool.instances - int(settled),
                put_to_sleep=int(decision.to_sleep[k]),
                woken=int(decision.to_wake[k]),
                **_running(decision.own, k),
                cap_w_per_gpu=_cap_w_per_gpu(pool, decision.own, k),
                clock_lock=_clock_lock_epoch(decision, k),
                tier=_tier_epoch(decision, k),
                prewarm=decision.prewarm is not None and bool(decision.prewarm[k]),
                woken_warm=0 if decision.woken_warm is None else int(decision.woken_warm[k]),
                classes={c.name: _class_epoch(problem, decision, c, late, k) for c in pool.classes},
            )
        )
    return tuple(epochs)


def _running(way: Running, k: int) -> dict[str, Any]:
    """Return what every way of running says of an epoch."""
    active, load, power_kw = int(way.active[k]), float(way.load[k]), float(way.power_kw[k])
    used = 0.0
    if active:
        used = load / (active * float(way.operation.cap_curve.capacity(power_kw / active)))
    return {
        "active": active,
        "utilisation": load / active if active else 0.0,
        "capacity_used": used,
        "power_kw": power_kw,
    }


def _clock_lock_epoch(decision: PoolDecision, k: int) -> ClockLockEpoch | None:
    lock = decision.pool.clock_lock
    if lock is None:
        return None
    way = next(way for way in decision.ways if way.operation.key == CLOCK_LOCK)
    each_kw = _below_natural_kw(way, k)
    clock_mhz = None
    if each_kw is not None:
        share = (each_kw / lock.cap_curve.full_kw) ** (1.0 / lock.power_exponent)
        clock_mhz = round(lock.max_clock_mhz * min(share, 1.0), 1)
    return ClockLockEpoch(**_running(way, k), clock_mhz=clock_mhz)


def _tier_epoch(decision: PoolDecision, k: int) -> TierEpoch | None:
    swaps = decision.swaps
    if swaps is None:
        return None
    way = decision.ways[-1]
    return TierEpoch(
        **_running(way, k),
        drained=int(swaps.drained[k]),
        to_tier=int(swaps.to_tier[k]),
        to_own=int(swaps.to_own[k]),
        cap_w_per_gpu=_cap_w_per_gpu(decision.pool, way, k),
    )


def _class_epoch(
    problem: Problem,
    decision: PoolDecision,
    requests: ClassProblem,
    late: dict[str, FloatArray],
    k: int,
) -> ClassEpoch:
    rate, load = requests.requests_per_s_per_instance, requests.load
    rejected = float(decision.rejected[requests.name][k])
    put_off = _put_off(problem, decision, requests)
    ahead = float(decision.pulled[requests.name][k]) if requests.name in decision.pulled else 0.0
    lowered = decision.lowered.get(requests.name)
    served = load - rejected - float(put_off[k]) + ahead
    return ClassEpoch(
        offered_req_per_s=load * rate,
        served_req_per_s=served * rate if served > NOTHING_KW else 0.0,
        rejected_req_per_s=rejected * rate,
        deferred_req_per_s=float(put_off[k]) * rate,
        backlog_requests=_waiting(problem, requests, put_off)[k + 1],
        pulled_req_per_s=ahead * rate,
        lowered_req_per_s=0.0 if lowered is None else float(lowered[k]) * rate,
        **_times(decision, requests, served, k),
        late_req_per_s=float(late[requests.name][k]) * rate if requests.name in late else 0.0,
    )


def _times(
    decision: PoolDecision, requests: ClassProblem, served: float, k: int
) -> dict[str, float | None]:
    """Return the latency of a class; there is none where it is not served."""
    if served <= NOTHING_KW:
        return {}
    found = worst_latency(decision, requests, k)
    return {"ttft_p95_s": found.ttft_p95_s, "itl_s": found.itl_s}


def _put_off(problem: Problem, decision: PoolDecision, requests: ClassProblem) -> FloatArray:
    """Return the load of a class put off (> 0) or worked off (< 0), shape (K,)."""
    return decision.deferred.get(requests.name, np.zeros(problem.grid.n_epochs))


def _waiting(problem: Problem, requests: ClassProblem, put_off: FloatArray) -> list[float]:
    """Return the requests waiting at the start and at the end of each epoch, K + 1 values."""
    start = 0.0 if requests.deferral is None else requests.deferral.backlog_at_start
    work = start + np.r_[0.0, np.cumsum(put_off * problem.grid.epoch_durations_s)]
    # A thousandth of a request is rounding of the solver.
    waiting = work * requests.requests_per_s_per_instance
    return [float(w) for w in np.where(waiting < 1e-3, 0.0, waiting)]


def _cap_w_per_gpu(pool: PoolProblem, way: Running, k: int) -> float | None:
    """Return the limit for each GPU, or None where the natural draw is no higher."""
    each_kw = _below_natural_kw(way, k)
    if each_kw is None or not pool.may_cap:
        return None
    # Drivers take whole watts; a tenth is finer than any of them.
    return round(each_kw * pool.gpu_kw_per_kw * 1000.0 / pool.gpus_per_instance, 1)


def _below_natural_kw(way: Running, k: int) -> float | None:
    """Return the power of one active instance where it lies below its natural draw, else None."""
    active = int(way.active[k])
    if not active:
        return None
    each_kw = float(way.power_kw[k]) / active
    natural_kw = float(way.operation.load_curve.power_kw(float(way.load[k]) / active))
    return each_kw if each_kw < natural_kw * (1.0 - NATURAL_DRAW_MARGIN) else None


def _service(problem: Problem, decision: PoolDecision) -> dict[str, ClassService]:
    seconds, late = problem.grid.epoch_durations_s, late_load(decision)
    service = {}
    for requests in decision.pool.classes:
        rate = requests.requests_per_s_per_instance
        offered = requests.load * rate * float(seconds.sum())
        rejected = float(decision.rejected[requests.name] @ seconds) * rate
        put_off = _put_off(problem, decision, requests)
        waiting = _waiting(problem, requests, put_off)
        nothing = np.zeros(len(seconds))
        pulled = float(decision.pulled.get(requests.name, nothing) @ seconds) * rate
        served = offered - rejected - float(put_off @ seconds) * rate + pulled
        service[requests.name] = ClassService(
            offered=offered,
            served=max(served, 0.0),
            pulled=pulled,
            lowered=float(decision.lowered.get(requests.name, nothing) @ seconds) * rate,
            rejected=rejected,
            backlog_at_start=waiting[0],
            backlog_at_end=waiting[-1],
            late_requests=float(late.get(requests.name, nothing) @ seconds) * rate,
        )
    return service


def _shortfalls(
    steps: tuple[Step, ...], decisions: tuple[PoolDecision, ...], problem: Problem
) -> tuple[Shortfall, ...]:
    """Join neighbouring steps with a shortfall into intervals."""
    intervals: list[list[Step]] = []
    for step in steps:
        if step.shortfall_kw <= NOTHING_KW:
            continue
        last = intervals[-1][-1] if intervals else None
        if last is not None and abs(last.t_s + last.duration_s - step.t_s) < 1e-6:
            intervals[-1].append(step)
        else:
            intervals.append([step])
    return tuple(
        Shortfall(
            from_s=run[0].t_s,
            to_s=run[-1].t_s + run[-1].duration_s,
            max_kw=max(s.shortfall_kw for s in run),
            energy_kwh=sum(s.shortfall_kw * s.duration_s for s in run) / 3600.0,
            reason=_why_short(run, decisions, problem),
        )
        for run in intervals
    )


def _why_short(run: list[Step], decisions: tuple[PoolDecision, ...], problem: Problem) -> str:
    """Name what was exhausted while the target was missed."""
    if problem.tracks:
        return _why_off_target(run, problem)
    battery, reasons = problem.battery, []
    if battery is None:
        reasons.append("the site has no battery")
    else:
        reasons.extend(_battery_is_spent(run, battery, problem))
    if problem.direction < 0:
        if min(s.grid_kw for s in run) <= -problem.export_limit_kw + AT_LIMIT_KW:
            reasons.append(f"the site may not feed in more than {problem.export_limit_kw:g} kW")
        kept = [
            f"{d.pool.name}.{c.name}"
            for d in decisions
            for c in d.pool.classes
            if c.max_rejected < c.load
        ]
        if kept:
            reasons.append(f"protected requests are kept ({', '.join(kept)})")
    else:
        limits = dict(zip(problem.grid.edges_s[:-1], problem.import_limit_kw, strict=True))
        if any(step.grid_kw >= limits[step.t_s] - AT_LIMIT_KW for step in run):
            reasons.append(f"the site may not draw more than {limits[run[0].t_s]:g} kW")
    return "; ".join(reasons) or "no mechanism is left that acts in time"


def _why_off_target(run: list[Step], problem: Problem) -> str:
    """Name what was exhausted while a target followed both ways was missed, on either side."""
    battery, reasons = problem.battery, []
    above = any(s.grid_kw > s.baseline_kw + s.target_kw for s in run)
    if battery is None:
        return "the site has no battery to follow the frequency with"
    if run[0].t_s + 1e-9 < problem.event_start_s + battery.delay_s:
        reasons.append(f"the converter answers after {battery.delay_s:g} s")
    limit_kw = battery.discharge_limit_kw if above else battery.charge_limit_kw
    if max(abs(s.battery_kw) for s in run) >= limit_kw - AT_LIMIT_KW:
        reasons.append(f"the converter is at its limit of {limit_kw:g} kW")
    stored = [s.soc * battery.energy_kwh for s in run if s.soc is not None]
    if above and min(stored) <= battery.min_kwh + AT_LIMIT_KW:
        reasons.append(f"the battery is empty ({battery.min_kwh:g} kWh left)")
    if not above and max(stored) >= battery.max_kwh - AT_LIMIT_KW:
        reasons.append(f"the battery is full ({battery.max_kwh:g} kWh)")
    if above and min(s.grid_kw for s in run) <= -problem.export_limit_kw + AT_LIMIT_KW:
        reasons.append(f"the site may not feed in more than {problem.export_limit_kw:g} kW")
    limits = dict(zip(problem.grid.edges_s[:-1], problem.import_limit_kw, strict=True))
    if not above and any(s.grid_kw >= limits[s.t_s] - AT_LIMIT_KW for s in run):
        reasons.append(f"the site may not draw more than {limits[run[0].t_s]:g} kW")
    return "; ".join(reasons) or "no mechanism is left that acts in time"


def _battery_is_spent(run: list[Step], battery: BatteryProblem, problem: Problem) -> Iterator[str]:
    """Yield what keeps the battery from giving or taking more."""
    releases = problem.direction < 0
    limit_kw = battery.discharge_limit_kw if releases else battery.charge_limit_kw
    if run[0].t_s + 1e-9 < problem.event_start_s + battery.delay_s:
        yield f"the converter answers after {battery.delay_s:g} s"
    if max(abs(s.battery_kw) for s in run) >= limit_kw - AT_LIMIT_KW:
        yield f"the converter is at its limit of {limit_kw:g} kW"
    stored = [s.soc * battery.energy_kwh for s in run if s.soc is not None]
    if releases and min(stored) <= battery.min_kwh + AT_LIMIT_KW:
        yield f"the battery is empty ({battery.min_kwh:g} kWh left)"
    if not releases and max(stored) >= battery.max_kwh - AT_LIMIT_KW:
        yield f"the battery is full ({battery.max_kwh:g} kWh)"
