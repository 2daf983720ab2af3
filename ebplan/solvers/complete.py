"""Complete a decision: given what the fleet does, everything else follows in closed form.

No solver is needed: the compute power follows from the kernels, the battery carries what is
missing as far as it can, and what it cannot is the shortfall. The result is a point of the
program, so that every way of finding a plan is priced by the same costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers.blocks.battery import discharge_allowed, event_window
from ebplan.solvers.decision import PoolDecision
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.program import FloatArray, Program
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
    problem: Problem, formulation: Formulation, decisions: tuple[PoolDecision, ...]
) -> FloatArray:
    """Return the point of the program that carries out the decisions, shape (n,).

    The battery covers the response from the start of the event and is not recharged afterwards.
    """
    program = formulation.program
    point = _Point(program, np.zeros(program.n_columns))
    for decision in decisions:
        _put_decision(point, decision)
    mean_kw = compute_kw(problem, decisions, None)
    point.put("compute", mean_kw)
    point.put("compute_edge", compute_kw(problem, decisions, np.array(problem.grid.edges_s)))
    mean_kw = mean_kw + np.array(problem.other_kw)

    ceiling = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    asked = problem.in_event
    need_kw = np.where(asked, np.maximum(mean_kw - ceiling, 0.0), 0.0)
    discharge_kw = np.zeros_like(need_kw)
    limit_kw = np.zeros_like(need_kw)
    if problem.battery is not None:
        allowed = discharge_allowed(problem, problem.battery)
        limit_kw = allowed * problem.battery.discharge_limit_kw
        may_feed_kw = np.maximum(mean_kw + problem.export_limit_kw, 0.0)
        wanted_kw = np.minimum(need_kw * allowed, may_feed_kw)
        discharge_kw = _put_battery(point, problem, problem.battery, wanted_kw)
    grid_kw = mean_kw - discharge_kw
    peak_kw = peaks(problem, decisions)[0] + np.array(problem.other_kw)
    short_kw = np.maximum(grid_kw - ceiling, peak_kw - ceiling - limit_kw)
    point.put("grid", grid_kw)
    point.put("shortfall", np.maximum(short_kw, 0.0)[asked])
    point.put("overrun", np.maximum(grid_kw - np.array(problem.import_limit_kw), 0.0))
    if problem.battery is not None and problem.handoff_from_s is not None:
        late = asked & (problem.grid.starts_s >= problem.handoff_from_s - 1e-9)
        point.put("handoff_excess", np.maximum(discharge_kw - problem.handoff_kw, 0.0)[late])
    return point.x


def _put_decision(point: _Point, decision: PoolDecision) -> None:
    pool = decision.pool
    for name in ("active", "drained", "asleep", "to_sleep", "to_wake", "load"):
        point.put(f"{pool.name}.{name}", getattr(decision, name))
    point.put(f"{pool.name}.power", decision.power_kw)
    drained = decision.newly_drained()
    point.put(f"{pool.name}.newly_drained", drained)
    point.put(f"{pool.name}.not_drained", (drained == 0.0).astype(float))
    for name, rejected in decision.rejected.items():
        point.put(f"{pool.name}.rejected.{name}", rejected)
    capacity = decision.capacity()
    for i, step in enumerate(pool.congestion):
        above = np.maximum(decision.load - step.above_utilisation * capacity, 0.0)
        point.put(f"{pool.name}.congested.{i}", above)
    slope, intercept = pool.load_curve.tangent(pool.utilisation_at_start)
    depth = slope * decision.load + intercept * decision.active - decision.power_kw
    point.put(f"{pool.name}.cap_depth", np.maximum(depth, 0.0))


def _put_battery(
    point: _Point, problem: Problem, battery: BatteryProblem, wanted_kw: FloatArray
) -> FloatArray:
    """Discharge what is wanted as far as power, energy and feed-in allow; return it, (T,)."""
    hours = problem.grid.durations_s / 3600.0
    discharge = np.minimum(wanted_kw, battery.discharge_limit_kw)
    energy = np.empty(len(hours) + 1)
    energy[0] = battery.start_kwh
    loss = np.zeros_like(discharge)
    for t, duration_h in enumerate(hours):
        available_kw = (energy[t] - battery.min_kwh) * battery.cell_efficiency / duration_h
        if discharge[t] + battery.loss_kw(discharge[t]) > available_kw:
            discharge[t] = battery.power_for_kw(available_kw)
        loss[t] = battery.loss_kw(discharge[t])
        energy[t + 1] = energy[t] - duration_h * (discharge[t] + loss[t]) / battery.cell_efficiency
    assert not discharge[~event_window(problem)].any()
    point.put("discharge", discharge)
    point.put("loss", loss)
    point.put("energy", energy)
    point.put("reserve_dip", max(0.0, battery.reserve_kwh - float(energy.min())))
    widths = np.array([segment.width_kwh for segment in battery.terminal])
    filled = np.clip(energy[-1] - np.r_[0.0, np.cumsum(widths)[:-1]], 0.0, widths)
    point.put("energy_left", filled)
    return discharge
