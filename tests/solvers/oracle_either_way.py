"""A battery that may work either way, and a target followed both ways, stated once more.

Each step has a true binary for its direction: nothing is relaxed and nothing is fixed beforehand.
"""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from oracle_requests import Statement
from oracle_wear import wear_by_calendar, wear_by_depth

from ebplan.problem import BatteryProblem, Problem

FloatArray = NDArray[np.float64]
Expression = Any
"""A cvxpy expression; cvxpy has no types."""


def either_way_battery(
    said: Statement, problem: Problem, battery: BatteryProblem
) -> tuple[Expression, Expression, Expression, FloatArray]:
    """State a battery with a direction a step; return discharge, charge, energy, and awake steps.

    Inside an event that asks both ways it works from the converter's delay on.
    """
    steps, hours = problem.grid.n_steps, problem.grid.durations_s / 3600.0
    starts = problem.grid.starts_s
    event = (starts >= problem.event_start_s) & (starts < problem.event_end_s)
    asleep = event & (starts < problem.event_start_s + battery.delay_s - 1e-9)
    awake = np.ones(steps) if problem.asks == "nothing" else (~asleep).astype(float)
    gives = cp.Variable(steps, boolean=True)
    discharge, charge = cp.Variable(steps, nonneg=True), cp.Variable(steps, nonneg=True)
    energy = cp.Variable(steps + 1)
    said.constraints += [
        discharge <= battery.discharge_limit_kw * cp.multiply(awake, gives),
        charge <= battery.charge_limit_kw * cp.multiply(awake, 1 - gives),
        energy[0] == battery.start_kwh,
        energy[1:] >= battery.min_kwh,
        energy[1:] <= battery.max_kwh,
    ]
    eta = battery.cell_efficiency
    out_of_cells = (discharge + _loss(said, battery, discharge)) / eta
    into_cells = (charge - _loss(said, battery, charge)) * eta
    said.constraints += [energy[1:] == energy[:-1] + cp.multiply(hours, into_cells - out_of_cells)]
    said.charge("wear", battery.wear_per_kwh * (out_of_cells @ hours))
    wear_by_depth(said, battery, cp.multiply(hours, into_cells), cp.multiply(hours, out_of_cells))
    wear_by_calendar(said, battery, energy, hours)
    _burn_nothing(said, problem, battery, gives, event)
    return discharge, charge, energy, awake * event


def _loss(said: Statement, battery: BatteryProblem, through: Expression) -> Expression:
    """Return the converter's loss between its tangents and its chord."""
    linear, quadratic = battery.loss_linear, battery.loss_quadratic
    most_kw = max(battery.discharge_limit_kw, battery.charge_limit_kw)
    loss = cp.Variable(through.shape, nonneg=True)
    said.constraints += [loss <= (linear + quadratic * most_kw / battery.rated_kw) * through]
    for eighth in (0, 1, 3, 5, 7):
        at = eighth / 8.0 * battery.rated_kw
        value = linear * at + quadratic * at**2 / battery.rated_kw
        slope = linear + 2.0 * quadratic * at / battery.rated_kw
        said.constraints += [loss >= value + slope * (through - at)]
    return loss


def burning_is_paid(battery: BatteryProblem, price: float) -> bool:
    """Return whether giving a kWh and taking what it took earns at least its wear."""
    most_kw = max(battery.discharge_limit_kw, battery.charge_limit_kw)
    lost = battery.loss_linear + battery.loss_quadratic * most_kw / battery.rated_kw
    out_of_cells = (1.0 + lost) / battery.cell_efficiency
    taken = out_of_cells / battery.cell_efficiency / (1.0 - lost)
    if taken <= 1.0 or price > 0.0:
        return False
    least_worn = battery.wear_per_kwh * (1.0 + battery.loss_linear) / battery.cell_efficiency
    return -price * (taken - 1.0) >= least_worn


def _burn_nothing(
    said: Statement,
    problem: Problem,
    battery: BatteryProblem,
    gives: Expression,
    event: NDArray[np.bool_],
) -> None:
    """Where burning is paid, never give at a price and take at the same or a higher one."""
    prices = np.zeros(problem.grid.n_steps) + np.array(problem.prices.energy_per_kwh)
    tracked = event if problem.asks == "both_ways" else np.zeros_like(event)
    burns = [
        t for t, p in enumerate(prices) if burning_is_paid(battery, float(p)) and not tracked[t]
    ]
    for giving in burns:
        for taking in burns:
            if giving != taking and prices[giving] <= prices[taking]:
                said.constraints += [gives[giving] <= gives[taking]]


def hold_both_ways(
    said: Statement,
    problem: Problem,
    grid_kw: Expression,
    edge_kw: Expression,
    short: Expression,
    awake: FloatArray,
) -> None:
    """Keep the draw within the band, and at edges within what the converter can hide of it."""
    wanted = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    battery = problem.battery
    gives = 0.0 if battery is None else battery.discharge_limit_kw
    takes = 0.0 if battery is None else battery.charge_limit_kw
    starts = problem.grid.starts_s
    for t in range(problem.grid.n_steps):
        if not problem.event_start_s <= starts[t] < problem.event_end_s:
            continue
        room = problem.tolerance_kw + short[t]
        said.constraints += [cp.abs(grid_kw[t] - wanted[t]) <= room]
        for kw in (edge_kw[t], edge_kw[t + 1]):
            off = kw + problem.other_kw[t] - wanted[t]
            said.constraints += [off <= room + gives * awake[t], -off <= room + takes * awake[t]]
