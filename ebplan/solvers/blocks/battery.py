"""Battery behind its converter: energy, losses, limits, reserve, wear, value of what is left.

| symbol | name      | meaning                                       | shape    |
|--------|-----------|-----------------------------------------------|----------|
| d_t    | discharge | power given at the AC side, kW                | (T,)     |
| b_t    | charge    | power taken at the AC side, kW                | (T,)     |
| l_t    | loss      | converter loss, kW                            | (T,)     |
| e_t    | energy    | energy in the cells at step edges, kWh        | (T + 1,) |
| m      | dip       | deepest dip below the reserve, kWh            | (1,)     |
| y_i    | left      | energy left in value segment i, kWh           | (I,)     |

soc_balance      e_{t+1} = e_t + h_t eta (b_t - l_t)               charging steps
                 e_{t+1} = e_t - h_t (d_t + l_t) / eta             discharging steps
converter_loss   l_t >= s_i x_t + o_i,  x_t = d_t + b_t            tangents of the loss curve
loss_ceiling     l_t <= chord x_t                                  no invented losses
reserve          e_t + m >= min(e_reserve, e_0)                    priced: what is there is kept
energy_left      e_T = sum_i y_i                                   valued

Loss curve l(x) = b1 x + b2 x^2 / rated. The no-load loss belongs to the site's other load: the
converter is always energised because droop is armed in it.

Direction is settled by bounds, not by binaries. To release, the battery discharges inside the
event and charges only outside it; to absorb, the other way round. Left free, the relaxation
charges and discharges at once to burn energy and reports a response that does not exist
(docs/formulation.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.models.curves import Lines
from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder

BoolArray = NDArray[np.bool_]

TANGENTS_AT = (0.0, 0.125, 0.375, 0.625, 0.875)
"""Where the loss curve is touched, as a share of rated power: the loss is then underestimated by
at most b2 / 64 of rated power, 0.03 % at b2 = 2 %."""


@dataclass(frozen=True)
class BatteryColumns:
    """Columns of the battery."""

    discharge: IndexArray
    charge: IndexArray
    loss: IndexArray
    energy: IndexArray
    dip: IndexArray


def add_battery(
    builder: ProgramBuilder, problem: Problem, battery: BatteryProblem
) -> BatteryColumns:
    """Add the battery with its wear, reserve and terminal value."""
    steps = problem.grid.n_steps
    hours = problem.grid.durations_s / 3600.0
    may_discharge, may_charge = directions(problem, battery)
    # The contract of the battery: energy kept for the end may be worth a dip, the physical
    # minimum never.
    columns = BatteryColumns(
        discharge=builder.variables(
            "discharge", steps, upper=may_discharge * battery.discharge_limit_kw
        ),
        charge=builder.variables("charge", steps, upper=may_charge * battery.charge_limit_kw),
        loss=builder.variables("loss", steps, upper=battery.rated_kw),
        energy=builder.variables(
            "energy",
            steps + 1,
            lower=np.r_[battery.start_kwh, np.full(steps, battery.min_kwh)],
            upper=np.r_[battery.start_kwh, np.full(steps, battery.max_kwh)],
        ),
        dip=builder.variables("reserve_dip", 1, upper=battery.kept_kwh),
    )
    eta = battery.cell_efficiency
    builder.rows(
        "soc_balance",
        steps,
        [
            (1.0, columns.energy[1:]),
            (-1.0, columns.energy[:-1]),
            (hours / eta, columns.discharge),
            (-hours * eta, columns.charge),
            (np.where(may_charge, hours * eta, hours / eta), columns.loss),
        ],
        lower=0.0,
        upper=0.0,
    )
    _add_loss(builder, battery, columns)
    builder.rows(
        "reserve",
        steps,
        [(1.0, columns.energy[1:]), (1.0, np.repeat(columns.dip, steps))],
        lower=battery.kept_kwh,
    )
    builder.cost("reserve", columns.dip, problem.prices.reserve_per_kwh)
    out_of_cells = battery.wear_per_kwh * hours / eta
    builder.cost("wear", columns.discharge, out_of_cells)
    builder.cost("wear", columns.loss, out_of_cells * may_discharge)
    _value_energy_left(builder, battery, columns)
    return columns


def event_window(problem: Problem) -> BoolArray:
    """Return the steps inside the event, shape (T,)."""
    starts = problem.grid.starts_s
    return (starts >= problem.event_start_s - 1e-9) & (starts < problem.event_end_s - 1e-9)


def answering(problem: Problem, battery: BatteryProblem) -> BoolArray:
    """Return the steps of the event from the converter's answer on, shape (T,)."""
    awake = problem.grid.starts_s >= problem.event_start_s + battery.delay_s - 1e-9
    return np.asarray(event_window(problem) & awake)


def directions(problem: Problem, battery: BatteryProblem) -> tuple[BoolArray, BoolArray]:
    """Return the steps in which the battery may discharge and may charge, each (T,)."""
    inside, outside = answering(problem, battery), ~event_window(problem)
    return (inside, outside) if problem.direction < 0 else (outside, inside)


def response_limit_kw(problem: Problem, battery: BatteryProblem) -> FloatArray:
    """Return the converter power that answers the event, per step, shape (T,)."""
    limit = battery.discharge_limit_kw if problem.direction < 0 else battery.charge_limit_kw
    return np.where(answering(problem, battery), limit, 0.0)


def loss_lines(battery: BatteryProblem) -> Lines:
    """Return the tangents ``(slope, intercept)`` whose maximum is the loss that is planned with."""
    linear, quadratic, rated = battery.loss_linear, battery.loss_quadratic, battery.rated_kw
    touched = TANGENTS_AT if quadratic > 0.0 else (0.0,)
    return tuple((linear + 2.0 * quadratic * at, -quadratic * at**2 * rated) for at in touched)


def _add_loss(builder: ProgramBuilder, battery: BatteryProblem, columns: BatteryColumns) -> None:
    steps = len(columns.discharge)
    for i, (slope, intercept) in enumerate(loss_lines(battery)):
        builder.rows(
            f"converter_loss.{i}",
            steps,
            [(1.0, columns.loss), (-slope, columns.discharge), (-slope, columns.charge)],
            lower=intercept,
        )
    most_kw = max(battery.discharge_limit_kw, battery.charge_limit_kw)
    chord = battery.loss_linear + battery.loss_quadratic * most_kw / battery.rated_kw
    builder.rows(
        "loss_ceiling",
        steps,
        [(1.0, columns.loss), (-chord, columns.discharge), (-chord, columns.charge)],
        upper=0.0,
    )


def _value_energy_left(
    builder: ProgramBuilder, battery: BatteryProblem, columns: BatteryColumns
) -> None:
    """Value the energy left; its cause is the value lost against the start."""
    widths = np.array([segment.width_kwh for segment in battery.terminal])
    prices = np.array([segment.price_per_kwh for segment in battery.terminal])
    left = builder.variables("energy_left", len(widths), upper=widths)
    builder.rows(
        "energy_left",
        1,
        [(1.0, columns.energy[-1:]), (-np.ones((1, len(widths))), left)],
        lower=0.0,
        upper=0.0,
    )
    filled = np.clip(battery.start_kwh - np.r_[0.0, np.cumsum(widths)[:-1]], 0.0, widths)
    builder.cost("stored_energy", left, -prices)
    builder.constant("stored_energy", float(prices @ filled))
