"""Realistic problems and plans for report tests, made without a planner.

A sample is told what the fleet does and when; battery and shortfall follow from the physics: the
battery covers what compute has not yet released, up to its power and energy, and the rest is
shortfall.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sample_site import POOL, make_battery, make_pool

from ebplan.plan import (
    CheckResult,
    ClassEpoch,
    ClassService,
    Converter,
    HandOffResult,
    Plan,
    PlanStatus,
    PoolEpoch,
    Shortfall,
    Step,
)
from ebplan.problem import PoolProblem, Prices, Problem
from ebplan.timegrid import TimeGrid, build_time_grid

FloatArray = NDArray[np.float64]

OTHER_KW = 0.6
RECHARGE_KW = 0.3
EXTENSION_S = 1e-9
START = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Command:
    """What the fleet is told at a time after the start of the event."""

    after_s: float
    active: int
    asleep: int = 0
    cap_w_per_gpu: float | None = None
    rejected: float = 0.0
    """Batch load turned away in instance-equivalents."""


@cache
def under_frequency() -> tuple[Problem, Plan]:
    """Return 1.0 kW for 5 min: the battery at once, then consolidation and a cap."""
    commands = (Command(0.0, 3), Command(3.0, 3, cap_w_per_gpu=437.0), Command(300.0, 4))
    return build("uf-2026-07-01", 1.0, 300.0, commands)


@cache
def curtailment() -> tuple[Problem, Plan]:
    """Return 1.3 kW for 3 h after half an hour's notice, with sleep and some rejection."""
    commands = (
        Command(-60.0, 3),
        Command(0.0, 3, cap_w_per_gpu=430.0),
        Command(60.0, 3, asleep=1, cap_w_per_gpu=405.0, rejected=0.08),
        Command(3600.0, 3, asleep=1, cap_w_per_gpu=405.0),
        Command(10800.0, 3, asleep=0),
        Command(10860.0, 4),
    )
    return build("curtail-17", 1.3, 10800.0, commands, notice_s=1800.0, status="rounded")


@cache
def infeasible() -> tuple[Problem, Plan]:
    """Return 3.2 kW for 15 min, which the fleet and a small battery cannot sustain."""
    commands = (Command(0.0, 3), Command(1.0, 3, cap_w_per_gpu=400.0), Command(900.0, 4))
    return build(
        "uf-too-much", 3.2, 900.0, commands, energy_kwh=0.6, start_soc=0.6, status="merit_order"
    )


def build(
    event_id: str,
    release_kw: float,
    duration_s: float,
    commands: tuple[Command, ...],
    *,
    notice_s: float = 0.0,
    energy_kwh: float = 2.0,
    start_soc: float = 0.6,
    recovery_s: float = 120.0,
    status: PlanStatus = "optimal",
) -> tuple[Problem, Plan]:
    """Return a problem and a plan that does what ``commands`` say."""
    end_s = notice_s + duration_s
    grid = build_time_grid(
        start_s=notice_s,
        begin_s=notice_s,
        full_s=notice_s,
        end_s=end_s,
        horizon_s=end_s + recovery_s,
    )
    pool = make_pool()
    inside = (grid.starts_s >= notice_s - EXTENSION_S) & (grid.starts_s < end_s - EXTENSION_S)
    baseline_kw = OTHER_KW + pool.power_at_start_kw()
    handoff_s = notice_s + min(60.0, duration_s)
    problem = Problem(
        event_id=event_id,
        start=START,
        currency="JPY",
        grid=grid,
        event_start_s=notice_s,
        event_end_s=end_s,
        target_kw=tuple(np.where(inside, -release_kw, 0.0).tolist()),
        baseline_kw=(baseline_kw,) * grid.n_steps,
        other_kw=(OTHER_KW,) * grid.n_steps,
        import_limit_kw=(baseline_kw + 0.5,) * grid.n_steps,
        export_limit_kw=0.0,
        handoff_from_s=handoff_s,
        handoff_kw=0.1 * release_kw,
        pools=(pool,),
        battery=make_battery(energy_kwh, start_soc),
        prices=Prices(
            energy_per_kwh=20.0,
            shortfall_per_kwh=60.0,
            firmness_per_kwh=300.0,
            reserve_per_kwh=200.0,
            handoff_excess_per_kwh=50.0,
            overrun_per_kwh=100.0,
        ),
    )
    return problem, _answer(problem, _at_epochs(grid, notice_s, commands), status)


@cache
def everything() -> tuple[Problem, Plan]:
    """Return a plan that uses every mechanism and still falls short: the widest table."""
    commands = (Command(0.0, 3, rejected=0.4), Command(600.0, 3, cap_w_per_gpu=400.0))
    return build("all", 3.2, 900.0, commands, energy_kwh=0.6, status="merit_order")


def _at_epochs(grid: TimeGrid, start_s: float, commands: tuple[Command, ...]) -> list[Command]:
    """Return the command in force at each epoch."""
    before = Command(-np.inf, 4)
    ordered = (before, *commands)
    return [
        [c for c in ordered if start_s + c.after_s <= t + EXTENSION_S][-1]
        for t in grid.epoch_starts_s
    ]


def _answer(problem: Problem, told: list[Command], status: PlanStatus) -> Plan:
    """Return the plan in which the fleet does as told and the battery covers the rest."""
    pool = problem.pools[0]
    only_counts = [Command(c.after_s, c.active, c.asleep) for c in told]
    no_cap = [Command(c.after_s, c.active, c.asleep, rejected=c.rejected) for c in told]
    rest_kw = pool.power_at_start_kw()
    counts_kw, admitted_kw, compute_kw = (
        _compute_kw(problem, commands) for commands in (only_counts, no_cap, told)
    )
    target_kw = np.array(problem.target_kw)
    battery_kw, soc, short_kw = _battery(problem, compute_kw - rest_kw)
    mechanisms = {
        "battery": -battery_kw,
        "consolidation": counts_kw - rest_kw,
        "admission": admitted_kw - counts_kw,
        "power_cap": compute_kw - admitted_kw,
    }
    steps = tuple(
        Step(
            t_s=t,
            duration_s=problem.grid.durations_s[i],
            target_kw=target_kw[i],
            baseline_kw=problem.baseline_kw[i],
            grid_kw=OTHER_KW + compute_kw[i] - battery_kw[i],
            compute_kw=compute_kw[i],
            battery_kw=battery_kw[i],
            soc=soc[i],
            mechanisms={name: values[i] for name, values in mechanisms.items()},
            shortfall_kw=short_kw[i],
        )
        for i, t in enumerate(problem.grid.starts_s)
    )
    epochs = _epochs(problem, told)
    cost = _cost(problem, steps, epochs)
    objective = sum(cost.values())
    return Plan(
        event_id=problem.event_id,
        start=problem.start,
        currency=problem.currency,
        status=status,
        objective=objective,
        bound=None if status == "merit_order" else objective - 0.0004 * abs(objective),
        gap=None if status == "merit_order" else 0.0004,
        cost=cost,
        shortfall=_shortfall(problem, short_kw),
        check=CheckResult(ok=True),
        handoff=HandOffResult(
            complete_s=_complete_s(problem, battery_kw), asked_s=problem.handoff_from_s
        ),
        steps=steps,
        pools={POOL: epochs},
        converter=Converter(droop_reserve_kw=0.5, reserve_kwh=0.6, delay_s=0.1),
        service={POOL: _service(problem, epochs)},
        explanation=(
            "The battery carries the response until routing has settled (10 s time constant).",
            "Consolidation is limited to 3 active instances: 2 would run above 95 % utilisation.",
            "The next 0.1 kW would cost 1.8 JPY, by capping the active instances further.",
        ),
        problem_hash=problem.digest(),
    )


def _settled(pool: PoolProblem, c: Command) -> tuple[float, float]:
    """Return the settled slow and fast input of a command in kW."""
    drained = pool.instances - c.active - c.asleep
    slow_kw = drained * pool.drained_kw + c.asleep * pool.asleep_kw + c.active * pool.full_kw
    return slow_kw, _active_kw(pool, c) - c.active * pool.full_kw


def _active_kw(pool: PoolProblem, c: Command) -> float:
    """Return the settled power of the active instances in kW."""
    natural_kw = float(pool.load_curve.power_kw((pool.load - c.rejected) / c.active))
    if c.cap_w_per_gpu is None:
        return c.active * natural_kw
    cap_kw = c.cap_w_per_gpu * pool.gpus_per_instance / 1000.0 / pool.gpu_kw_per_kw
    return c.active * min(natural_kw, cap_kw)


def _compute_kw(problem: Problem, told: list[Command]) -> FloatArray:
    """Return the mean compute power of each step, shape (T,)."""
    pool = problem.pools[0]
    inputs = [_settled(pool, Command(0.0, 4)), *(_settled(pool, c) for c in told)]
    middle = (np.arange(40) + 0.5) / 40
    t = problem.grid.starts_s[:, None] + problem.grid.durations_s[:, None] * middle
    power_kw = np.full(t.shape, sum(inputs[0]))
    for k, epoch_s in enumerate(problem.grid.epoch_starts_s):
        for channel, response in enumerate((pool.route_response, pool.cap_response)):
            lag_s = np.maximum(t - epoch_s - response.delay_s, 0.0)
            rise = 1.0 - np.exp(-lag_s / response.time_constant_s)
            power_kw += (inputs[k + 1][channel] - inputs[k][channel]) * rise
    return np.asarray(power_kw.mean(axis=1))


def _battery(problem: Problem, change_kw: FloatArray) -> tuple[FloatArray, list[float], FloatArray]:
    """Return battery power (T,), SoC at step ends (T,) and shortfall (T,)."""
    battery = problem.battery
    assert battery is not None
    energy_kwh = battery.start_kwh
    power_kw, soc, short_kw = [], [], []
    for i, hours in enumerate(problem.grid.durations_s / 3600.0):
        wanted_kw = change_kw[i] - problem.target_kw[i] if problem.target_kw[i] else 0.0
        room_kw = max(energy_kwh - battery.min_kwh, 0.0) * battery.cell_efficiency / 1.03 / hours
        p = float(np.clip(wanted_kw, 0.0, min(battery.discharge_limit_kw, room_kw)))
        missing_kwh = battery.start_kwh - energy_kwh
        if problem.after_event[i]:
            p = -min(RECHARGE_KW, max(missing_kwh, 0.0) / hours)
        loss = battery.loss_linear * abs(p) + battery.loss_quadratic * p * p / battery.rated_kw
        gain = battery.cell_efficiency
        energy_kwh -= hours * ((p + loss) / gain if p > 0 else (p + loss) * gain)
        power_kw.append(p)
        soc.append(energy_kwh / battery.energy_kwh)
        short_kw.append(max(wanted_kw - p, 0.0) if problem.target_kw[i] else 0.0)
    return np.array(power_kw), soc, np.array(short_kw)


def _epochs(problem: Problem, told: list[Command]) -> tuple[PoolEpoch, ...]:
    """Return what the pool is told, epoch by epoch."""
    pool = problem.pools[0]
    asleep_before = [0, *(c.asleep for c in told)]
    return tuple(
        PoolEpoch(
            t_s=t_s,
            active=c.active,
            drained=pool.instances - c.active - c.asleep,
            asleep=c.asleep,
            in_transit=0,
            put_to_sleep=max(c.asleep - asleep_before[k], 0),
            woken=max(asleep_before[k] - c.asleep, 0),
            utilisation=(pool.load - c.rejected) / c.active,
            capacity_used=(pool.load - c.rejected)
            / c.active
            / float(pool.cap_curve.capacity(_active_kw(pool, c) / c.active)),
            power_kw=_active_kw(pool, c),
            cap_w_per_gpu=c.cap_w_per_gpu,
            classes={
                one.name: ClassEpoch(
                    offered_req_per_s=one.load * one.requests_per_s_per_instance,
                    served_req_per_s=(one.load - c.rejected * (one.name == "batch"))
                    * one.requests_per_s_per_instance,
                    rejected_req_per_s=c.rejected
                    * (one.name == "batch")
                    * one.requests_per_s_per_instance,
                )
                for one in pool.classes
            },
        )
        for k, (t_s, c) in enumerate(zip(problem.grid.epoch_starts_s, told, strict=True))
    )


def _service(problem: Problem, epochs: tuple[PoolEpoch, ...]) -> dict[str, ClassService]:
    """Return the requests of each class over the plan."""
    seconds = problem.grid.epoch_durations_s
    sums = {
        name: [
            float(
                sum(
                    getattr(e.classes[name], field) * s
                    for e, s in zip(epochs, seconds, strict=True)
                )
            )
            for field in ("offered_req_per_s", "served_req_per_s", "rejected_req_per_s")
        ]
        for name in epochs[0].classes
    }
    return {n: ClassService(offered=o, served=s, rejected=r) for n, (o, s, r) in sums.items()}


def _cost(
    problem: Problem, steps: tuple[Step, ...], epochs: tuple[PoolEpoch, ...]
) -> dict[str, float]:
    """Return the money by cause, for the causes a report has to show."""
    pool, battery, prices = problem.pools[0], problem.battery, problem.prices
    assert battery is not None
    hours = problem.grid.durations_s / 3600.0
    epoch_s = problem.grid.epoch_durations_s
    out_kwh = sum(max(s.battery_kw, 0.0) * h for s, h in zip(steps, hours, strict=True)) * 1.04
    short_kwh = sum(s.shortfall_kw * h for s, h in zip(steps, hours, strict=True))
    saved = sum((s.grid_kw - s.baseline_kw) * h for s, h in zip(steps, hours, strict=True))
    last_soc = steps[-1].soc
    assert last_soc is not None
    active = np.array([pool.active_at_start, *(e.active for e in epochs)])
    idle_s = float(((pool.active_at_start - active[1:]) * epoch_s).sum())
    rejected = sum(
        e.classes["batch"].rejected_req_per_s / 15.9 * s
        for e, s in zip(epochs, epoch_s, strict=True)
    )
    return {
        "energy": prices.energy_per_kwh * saved,
        "wear": battery.wear_per_kwh * out_kwh,
        "stored_energy": 30.0 * (battery.start_kwh - last_soc * battery.energy_kwh),
        "rejected": pool.classes[1].value_per_instance_s * rejected,
        "readiness": pool.readiness_per_instance_h / 3600.0 * idle_s,
        "draining": pool.drain_per_instance * float(np.maximum(-np.diff(active), 0).sum()),
        "waking": pool.wake_per_instance * sum(e.woken for e in epochs),
        "shortfall": prices.shortfall_per_kwh * short_kwh,
        "firmness": prices.firmness_per_kwh * short_kwh,
    }


def _shortfall(problem: Problem, short_kw: FloatArray) -> tuple[Shortfall, ...]:
    """Return the one interval in which the target is not met, if there is one."""
    at = np.flatnonzero(short_kw > 1e-9)
    if not at.size:
        return ()
    hours = problem.grid.durations_s / 3600.0
    return (
        Shortfall(
            from_s=problem.grid.edges_s[at[0]],
            to_s=problem.grid.edges_s[at[-1] + 1],
            max_kw=short_kw.max(),
            energy_kwh=float((short_kw * hours).sum()),
            reason="the battery is at its lowest SoC and every instance runs at its cap limit",
        ),
    )


def _complete_s(problem: Problem, battery_kw: FloatArray) -> float | None:
    """Return from when on the battery carries at most 10 % of the target."""
    carries = np.abs(battery_kw) > 0.1 * np.abs(problem.target_kw) + 1e-12
    late = np.flatnonzero(carries & problem.in_event)
    first_free = 0 if not late.size else int(late[-1]) + 1
    start_s = problem.grid.edges_s[first_free]
    return start_s if start_s < problem.event_end_s else None
