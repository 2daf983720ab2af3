"""Complete a decision: given what the fleet does, everything else follows in closed form.

No solver is needed: the compute power follows from the kernels, the battery carries what is
missing as far as it can, and what it cannot is the shortfall. The result is a point of the
program, so that every way of finding a plan is priced by the same costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.problem import BatteryProblem, PoolProblem, Problem
from ebplan.solvers.blocks.battery import loss_lines, response_limit_kw
from ebplan.solvers.blocks.prewarm import still_warm, warm_epochs
from ebplan.solvers.decision import PoolDecision, Running, clean
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.operations import bounds_of
from ebplan.solvers.program import FloatArray, Program
from ebplan.solvers.quality import late_by_waiting, too_slow_kw
from ebplan.solvers.transients import compute_kw, peaks


@dataclass
class _Point:
    """A point of the program, written group by group."""

    program: Program
    x: FloatArray

    def put(self, name: str, values: FloatArray | float) -> None:
        """Write a group; a group that the program does not need is passed over."""
        if any(group.name == name for group in self.program.columns):
            self.x[self.program.column_range(name)] = values


def complete(
    problem: Problem,
    formulation: Formulation,
    decisions: tuple[PoolDecision, ...],
    battery_kw: FloatArray | None = None,
) -> FloatArray:
    """Return the point of the program that carries out the decisions, shape (n,).

    Args:
        problem: the problem.
        formulation: its program.
        decisions: what each pool does.
        battery_kw: what the battery is to do, shape (T,), > 0 discharges; if absent it answers
            the event as far as it can and rests otherwise. Energy limits hold either way.
    """
    program = formulation.program
    point = _Point(program, np.zeros(program.n_columns))
    for decision in decisions:
        _put_decision(point, problem, decision)
    mean_kw = compute_kw(problem, decisions, None)
    point.put("compute", mean_kw)
    point.put("compute_edge", compute_kw(problem, decisions, np.array(problem.grid.edges_s)))
    watched = np.array(formulation.instants_s)
    point.put("compute_instant", compute_kw(problem, decisions, watched))
    mean_kw = mean_kw + np.array(problem.other_kw)

    sign = -problem.direction
    aim = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    asked = problem.in_event
    given_kw, limit_kw = np.zeros_like(mean_kw), np.zeros_like(mean_kw)
    if problem.battery is not None:
        limit_kw = response_limit_kw(problem, problem.battery)
        if battery_kw is None:
            need_kw = np.where(asked, np.clip(sign * (mean_kw - aim), 0.0, limit_kw), 0.0)
            battery_kw = sign * need_kw
        battery_kw = np.minimum(battery_kw, np.maximum(mean_kw + problem.export_limit_kw, 0.0))
        given_kw = _put_battery(point, problem, problem.battery, battery_kw)
    grid_kw = mean_kw - given_kw
    peak_kw = peaks(problem, decisions)[0] + np.array(problem.other_kw)
    short_kw = np.maximum(sign * (grid_kw - aim), sign * (peak_kw - aim) - limit_kw)
    point.put("grid", grid_kw)
    point.put("shortfall", clean(short_kw[asked]))
    point.put("overrun", clean(grid_kw - np.array(problem.import_limit_kw)))
    if problem.battery is not None and problem.handoff_from_s is not None:
        late = asked & (problem.grid.starts_s >= problem.handoff_from_s - 1e-9)
        point.put("handoff_excess", clean(np.abs(given_kw[late]) - problem.handoff_kw))
    return point.x


def _put_decision(point: _Point, problem: Problem, decision: PoolDecision) -> None:
    pool = decision.pool
    for name in ("drained", "asleep", "to_sleep"):
        point.put(f"{pool.name}.{name}", getattr(decision, name))
    for way in decision.ways:
        _put_running(point, pool, way)
    own, lower = decision.newly_drained()
    point.put(f"{pool.name}.newly_drained", own)
    point.put(f"{pool.name}.not_drained", (own == 0.0).astype(float))
    missing = np.maximum(pool.serving_at_start - decision.serving, 0.0)
    point.put(f"{pool.name}.missing", missing)
    if pool.tier is not None and decision.swaps is not None:
        point.put(f"{pool.name}.to_tier", decision.swaps.to_tier)
        point.put(f"{pool.name}.to_own", decision.swaps.to_own)
        point.put(f"{pool.name}.{pool.tier.name}.drained", decision.swaps.drained)
        point.put(f"{pool.name}.{pool.tier.name}.newly_drained", lower)
        point.put(f"{pool.name}.{pool.tier.name}.not_drained", (lower == 0.0).astype(float))
    _put_warmth(point, problem, decision, own + lower)
    _put_requests(point, problem, decision)


def _put_running(point: _Point, pool: PoolProblem, way: Running) -> None:
    operation = way.operation
    point.put(f"{operation.name}.active", way.active)
    point.put(f"{operation.name}.load", way.load)
    point.put(f"{operation.name}.power", way.power_kw)
    capacity = way.capacity()
    for i, step in enumerate(pool.congestion):
        above = np.maximum(way.load - step.above_utilisation * capacity, 0.0)
        point.put(f"{operation.name}.congested.{i}", above)
    slope, intercept = operation.load_curve.tangent(operation.utilisation_at_start)
    depth = slope * way.load + intercept * way.active - way.power_kw
    point.put(f"{operation.name}.cap_depth", np.maximum(depth, 0.0))
    bounds = bounds_of(pool, operation)
    for name, late in late_by_waiting(way, bounds).items():
        point.put(f"{operation.name}.late.{name}", late)
    for name, kw in too_slow_kw(way, bounds).items():
        point.put(f"{operation.name}.slow.{name}", kw)


def _put_warmth(
    point: _Point, problem: Problem, decision: PoolDecision, drained: FloatArray
) -> None:
    """Write the pre-warm; who is drained while the pool is warm is drained warm."""
    pool, warmth = decision.pool, decision.pool.prewarm
    if warmth is None or decision.prewarm is None or decision.woken_warm is None:
        point.put(f"{pool.name}.to_wake", decision.to_wake)
        return
    grid = problem.grid
    warm = warm_epochs(warmth, grid) @ decision.prewarm + still_warm(warmth, grid)
    point.put(f"{pool.name}.prewarm", decision.prewarm)
    point.put(f"{pool.name}.drained_warm", np.where(warm > 0.5, drained, 0.0))
    point.put(f"{pool.name}.to_wake_warm", decision.woken_warm)
    point.put(f"{pool.name}.to_wake", decision.to_wake - decision.woken_warm)


def _put_requests(point: _Point, problem: Problem, decision: PoolDecision) -> None:
    pool, seconds = decision.pool, problem.grid.epoch_durations_s
    for what in ("rejected", "pulled", "lowered"):
        for name, load in getattr(decision, what).items():
            point.put(f"{pool.name}.{what}.{name}", load)
    for requests in pool.classes:
        if requests.deferral is not None:
            put_off = decision.deferred.get(requests.name, np.zeros(len(seconds)))
            point.put(f"{pool.name}.deferred.{requests.name}", put_off)
            waiting = requests.deferral.backlog_at_start + np.cumsum(seconds * put_off)
            point.put(f"{pool.name}.backlog.{requests.name}", waiting)


def _put_battery(
    point: _Point, problem: Problem, battery: BatteryProblem, wanted_kw: FloatArray
) -> FloatArray:
    """Give (> 0) or take what is wanted as far as the energy allows; return it, shape (T,)."""
    hours = problem.grid.durations_s / 3600.0
    eta, lines = battery.cell_efficiency, loss_lines(battery)
    given, loss = np.zeros_like(wanted_kw), np.zeros_like(wanted_kw)
    energy = np.empty(len(hours) + 1)
    energy[0] = battery.start_kwh
    for t, duration_h in enumerate(hours):
        if wanted_kw[t] > 0.0:
            dc_kw = max(energy[t] - battery.min_kwh, 0.0) * eta / duration_h
            most_kw = min((dc_kw - above) / (1.0 + slope) for slope, above in lines)
            given[t] = min(wanted_kw[t], most_kw)
        elif wanted_kw[t] < 0.0:
            dc_kw = max(battery.max_kwh - energy[t], 0.0) / eta / duration_h
            most_kw = max((dc_kw + above) / (1.0 - slope) for slope, above in lines)
            given[t] = -min(-wanted_kw[t], most_kw)
        loss[t] = max(slope * abs(given[t]) + above for slope, above in lines)
        out_kw = given[t] + loss[t]
        energy[t + 1] = energy[t] - duration_h * (out_kw / eta if given[t] > 0.0 else out_kw * eta)
    point.put("discharge", np.maximum(given, 0.0))
    point.put("charge", np.maximum(-given, 0.0))
    point.put("loss", loss)
    point.put("energy", energy)
    point.put("reserve_dip", max(0.0, battery.kept_kwh - float(energy.min())))
    widths = np.array([segment.width_kwh for segment in battery.terminal])
    filled = np.clip(energy[-1] - np.r_[0.0, np.cumsum(widths)[:-1]], 0.0, widths)
    point.put("energy_left", filled)
    return given
