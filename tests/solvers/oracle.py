"""The problem stated once more, as on paper: every instance for itself, with cvxpy.

Written from the physics and the list of costs, not from the blocks: no counts, no perspective form,
no shared kernels. Only the numbers of the piecewise-linear curves are taken over, because both
statements must speak of the same curves. Each instance has its mode, load and power, and a lag is
simulated in closed form (oracle_fleet.py, oracle_warmth.py); requests stand in oracle_requests.py;
what the grid asks, the battery and the prices follow by name.
"""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from oracle_either_way import either_way_battery, hold_both_ways
from oracle_fleet import state_pool
from oracle_requests import Statement
from oracle_wear import wear_by_calendar, wear_by_depth

from ebplan.problem import BatteryProblem, Problem

FloatArray = NDArray[np.float64]
Expression = Any
"""A cvxpy expression; cvxpy has no types."""


def optimum(problem: Problem, *, gap: float = 1e-6) -> float:
    """Return the lowest cost of the problem."""
    # cvxpy propagates infinite bounds and multiplies them by zero on the way
    with np.errstate(invalid="ignore"):
        said = _state(problem)
        total = cp.Problem(cp.Minimize(sum(said.costs.values())), said.constraints)
        total.solve(solver="HIGHS", mip_rel_gap=gap, threads=1)
    assert total.status == cp.OPTIMAL, total.status
    return float(total.value)


def _state(problem: Problem) -> Statement:
    """Write the whole problem down."""
    said = Statement([], {})
    compute_kw: Expression = 0.0
    compute_edge_kw: Expression = 0.0
    for pool in problem.pools:
        mean, edge = state_pool(said, pool, problem.grid, absorbs=asks_more(problem))
        compute_kw, compute_edge_kw = compute_kw + mean, compute_edge_kw + edge
    grid_kw, limit_kw = np.array(problem.other_kw) + compute_kw, np.zeros(problem.grid.n_steps)
    if problem.battery is not None:
        given_kw, limit_kw = _battery(said, problem, problem.battery)
        grid_kw = grid_kw - given_kw
    _connection_point(said, problem, grid_kw, compute_edge_kw, limit_kw)
    return said


def asks_more(problem: Problem) -> bool:
    """Return whether the grid asks the site to draw more than its baseline."""
    return problem.asks == "one_way" and any(kw > 0.0 for kw in problem.target_kw)


# --- battery --------------------------------------------------------------------------------


def _battery(
    said: Statement, problem: Problem, battery: BatteryProblem
) -> tuple[Expression, FloatArray]:
    """State the battery; return what it gives (net) and the power of its answer, by step.

    Its answer to a release is to discharge, to an absorb to charge, and in each step of the plan
    it works one way only: answering inside the event, the other way outside.
    """
    if problem.asks != "one_way":
        discharge, charge, energy, awake = either_way_battery(said, problem, battery)
        _worth_of_energy(said, problem, battery, energy)
        return discharge - charge, awake
    grid, prices = problem.grid, problem.prices
    hours = grid.durations_s / 3600.0
    starts = grid.starts_s
    event = (starts >= problem.event_start_s) & (starts < problem.event_end_s)
    answers = event & (starts >= problem.event_start_s + battery.delay_s - 1e-9)
    absorbs = asks_more(problem)
    answer_kw = battery.charge_limit_kw if absorbs else battery.discharge_limit_kw
    other_way_kw = battery.discharge_limit_kw if absorbs else battery.charge_limit_kw
    limit_kw, other_way = answers * answer_kw, ~event * other_way_kw
    discharge = cp.Variable(grid.n_steps, nonneg=True)
    charge = cp.Variable(grid.n_steps, nonneg=True)
    loss = cp.Variable(grid.n_steps, nonneg=True)
    energy = cp.Variable(grid.n_steps + 1)
    linear, quadratic = battery.loss_linear, battery.loss_quadratic
    through = discharge + charge
    most_kw = max(battery.discharge_limit_kw, battery.charge_limit_kw)
    said.constraints += [
        (charge if absorbs else discharge) <= limit_kw,
        (discharge if absorbs else charge) <= other_way,
        energy[0] == battery.start_kwh,
        energy[1:] >= battery.min_kwh,
        energy[1:] <= battery.max_kwh,
        loss <= (linear + quadratic * most_kw / battery.rated_kw) * through,
    ]
    for eighth in (0, 1, 3, 5, 7):  # tangents at nothing and in the middle of four equal parts
        at = eighth / 8.0 * battery.rated_kw
        value = linear * at + quadratic * at**2 / battery.rated_kw
        slope = linear + 2.0 * quadratic * at / battery.rated_kw
        said.constraints += [loss >= value + slope * (through - at)]
    eta = battery.cell_efficiency
    gives = (~event if absorbs else event).astype(float)
    out_of_cells = cp.multiply(gives, discharge + loss) / eta
    into_cells = cp.multiply(1.0 - gives, charge - loss) * eta
    said.constraints += [energy[1:] == energy[:-1] + cp.multiply(hours, into_cells - out_of_cells)]
    said.charge("wear", battery.wear_per_kwh * (out_of_cells @ hours))
    wear_by_depth(said, battery, cp.multiply(hours, into_cells), cp.multiply(hours, out_of_cells))
    wear_by_calendar(said, battery, energy, hours)
    _worth_of_energy(said, problem, battery, energy)
    if problem.handoff_from_s is not None:
        late = problem.in_event & (starts >= problem.handoff_from_s)
        carried = charge if absorbs else discharge
        excess = cp.multiply(late.astype(float), cp.pos(carried - problem.handoff_kw))
        said.charge("handoff", prices.handoff_excess_per_kwh * (excess @ hours))
    return discharge - charge, limit_kw


def _worth_of_energy(
    said: Statement, problem: Problem, battery: BatteryProblem, energy: Expression
) -> None:
    """Charge for the reserve dipped into, for what is not restored, and for energy gone."""
    prices = problem.prices
    dip = cp.max(cp.pos(min(battery.reserve_kwh, battery.start_kwh) - energy[1:]))
    said.charge("reserve", prices.reserve_per_kwh * dip)
    if problem.restore_kwh is not None:
        missing = cp.pos(problem.restore_kwh - energy[-1])
        said.charge("recovery", prices.soc_missing_per_kwh * missing)
    left_worth, lines = cp.Variable(), _worth_lines(battery)
    said.constraints += [left_worth <= price * energy[-1] + rest for price, rest in lines]
    start_worth = min(price * battery.start_kwh + rest for price, rest in lines)
    said.charge("stored_energy", start_worth - left_worth)


def _worth_lines(battery: BatteryProblem) -> list[tuple[float, float]]:
    """Return the value of stored energy as lines: its minimum, because prices fall upwards."""
    filled_kwh, worth, lines = 0.0, 0.0, []
    for segment in battery.terminal:
        lines.append((segment.price_per_kwh, worth - segment.price_per_kwh * filled_kwh))
        filled_kwh += segment.width_kwh
        worth += segment.price_per_kwh * segment.width_kwh
    return lines


# --- connection point -----------------------------------------------------------------------


def _connection_point(
    said: Statement,
    problem: Problem,
    grid_kw: Expression,
    compute_edge_kw: Expression,
    limit_kw: FloatArray,
) -> None:
    """Judge the response where the site meets the grid."""
    hours, price = problem.grid.durations_s / 3600.0, problem.prices
    asked = np.array(problem.target_kw) != 0.0
    if problem.asks == "both_ways":
        starts = problem.grid.starts_s
        asked = (starts >= problem.event_start_s) & (starts < problem.event_end_s)
    wanted = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    other = np.array(problem.other_kw)
    short = cp.Variable(problem.grid.n_steps, nonneg=True)
    said.constraints += [grid_kw >= -problem.export_limit_kw, short <= 1e3 * asked]
    if problem.asks == "both_ways":
        hold_both_ways(said, problem, grid_kw, compute_edge_kw, short, limit_kw)
    for t in np.flatnonzero(asked) if problem.asks == "one_way" else ():
        edges = [compute_edge_kw[t] + other[t], compute_edge_kw[t + 1] + other[t]]
        if asks_more(problem):
            said.constraints += [grid_kw[t] + short[t] >= wanted[t]]
            said.constraints += [kw + limit_kw[t] + short[t] >= wanted[t] for kw in edges]
        else:
            said.constraints += [grid_kw[t] - short[t] <= wanted[t]]
            said.constraints += [kw - limit_kw[t] - short[t] <= wanted[t] for kw in edges]
    over = cp.pos(grid_kw - np.array(problem.import_limit_kw))
    money_per_kw = np.array(price.energy_per_kwh) * hours
    said.charge("energy", (grid_kw - problem.baseline_kw) @ money_per_kw)
    said.charge("shortfall", price.shortfall_per_kwh * (short @ hours))
    # What misses early in the event weighs more, falling in a straight line to its end.
    whole_s = problem.event_end_s - problem.event_start_s
    still_s = np.clip(problem.event_end_s - problem.grid.starts_s, 0.0, whole_s)
    weight = 1.0 + price.early_shortfall_premium * still_s / whole_s
    said.charge("firmness", price.firmness_per_kwh * (short @ (weight * hours)))
    said.charge("overrun", price.overrun_per_kwh * (over @ hours))
