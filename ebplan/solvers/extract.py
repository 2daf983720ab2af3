"""Read a plan out of a solution: powers in time, who contributes, set-points, service."""

from __future__ import annotations

import numpy as np

from ebplan.plan import CheckResult, Converter, HandOffResult, Plan, PlanStatus, Step
from ebplan.problem import Problem
from ebplan.solvers.blocks.response import settling_kw
from ebplan.solvers.contributions import contributions
from ebplan.solvers.decision import NOTHING_KW, PoolDecision, clean, decide
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.margins import margin_result
from ebplan.solvers.program import FloatArray
from ebplan.solvers.set_points import pool_epochs, pool_service
from ebplan.solvers.shortfalls import shortfalls

HANDED_OVER = 0.1
"""The battery is free when it carries at most this share of the target."""
ON_THE_TENTH_KW = 1e-5
"""Plans rest the battery exactly on that share: a hundredth of a watt beyond it is rounding."""


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
        shortfall=shortfalls(steps, decisions, problem),
        check=CheckResult(ok=False),
        handoff=HandOffResult(
            complete_s=handoff_complete_s(steps) if problem.asks == "one_way" else None,
            asked_s=problem.handoff_from_s,
        ),
        steps=steps,
        pools={d.pool.name: pool_epochs(problem, d) for d in decisions},
        converter=None
        if battery is None
        else Converter(
            droop_reserve_kw=battery.droop_reserve_kw,
            reserve_kwh=battery.reserve_kwh,
            delay_s=battery.delay_s,
        ),
        service={d.pool.name: pool_service(problem, d) for d in decisions},
        explanation=(),
        without=problem.without,
        problem_hash=problem.digest(),
        margin=margin_result(problem, formulation, x),
    )


def handoff_complete_s(steps: tuple[Step, ...]) -> float | None:
    """Return from when on the battery carries at most 10 % of a target that is met, to the end."""
    complete: float | None = None
    for step in steps:
        if step.target_kw == 0.0:
            continue
        carried = abs(step.battery_kw) > HANDED_OVER * abs(step.target_kw) + ON_THE_TENTH_KW
        if carried or step.shortfall_kw > ON_THE_TENTH_KW:
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
    start_kw += sum(settling_kw(d.pool, problem.grid, None) for d in decisions)
    apart = start_kw - np.array(problem.baseline_kw)
    if np.abs(apart).max() > NOTHING_KW:
        # The agreed baseline is not what the site drew when the plan was made.
        total["before_event"] = apart
    return total
