"""Margins: what is held back against load and response that differ from the plan.

| symbol | name           | meaning                                              | shape |
|--------|----------------|------------------------------------------------------|-------|
| v_t    | held           | power kept free beyond the plan, kW                  | (M,)  |
| mu_t   | missing        | margin of power that is not held, kW                 | (M,)  |
| s_t    | carried        | part of the power held that the battery would carry  | (M,)  |
| n      | energy_missing | energy that is not there behind it, kWh              | (1,)  |

margin_load      v_t + mu_t >= z load                                        M margin steps
margin_response  v_t + mu_t >= z (load + r moved_t),  moved_t = theta (c_start - c_t)
converter_limit  theta (ce_t' + other_t) - x_t + v_t <= ...                  blocks/connection.py
margin_carried   theta g_t - x_t + v_t - s_t <= theta (baseline_t + target_t)
margin_energy    e_end + m + n >= min(e_reserve, e_0) + sum_t h_t s_t k      to release
                 e_end - n + sum_t h_t s_t k <= e_max                        to absorb

theta is 1 to release and -1 to absorb, r the uncertain share of what compute moves, m the dip below
the reserve. The battery tracks the residual, so an error becomes power and energy asked of it, no
miss; what compute gives beyond the target carries an error too. k is the energy of a kWh more, at
the highest loss (to absorb: the lowest). Both are elastic: what is not held is priced and told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import BatteryProblem, Margins, Problem
from ebplan.solvers.blocks.battery import BatteryColumns, answering
from ebplan.solvers.blocks.response import ComputePower
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term


@dataclass(frozen=True)
class MarginColumns:
    """Columns of the margins; M margin steps."""

    steps: IndexArray
    """The steps in which a margin is asked for, shape (M,)."""
    held: IndexArray
    """Shape (M,)."""
    missing: IndexArray
    """Shape (M,)."""


def margin_steps(problem: Problem) -> NDArray[np.int64]:
    """Return the steps in which a margin is asked for: of the event, once the converter answers."""
    asked = problem.in_event
    if problem.battery is not None:
        asked = asked & answering(problem, problem.battery)
    return np.flatnonzero(asked)


def needed_kw(problem: Problem, margins: Margins, compute_kw: FloatArray) -> FloatArray:
    """Return the margin asked for at step means of the pools' draw, same shape."""
    start_kw = sum(pool.power_at_start_kw() for pool in problem.pools)
    moved_kw = np.maximum(-problem.direction * (start_kw - compute_kw), 0.0)
    return np.asarray(margins.z * (margins.load_kw + margins.response_share * moved_kw))


def energy_per_kwh(problem: Problem, battery: BatteryProblem) -> float:
    """Return the energy in the cells that a kWh more takes (to absorb: fills) at most."""
    if problem.direction > 0:
        return battery.cell_efficiency * (1.0 - battery.loss_linear)
    full = battery.discharge_limit_kw / battery.rated_kw
    steepest = battery.loss_linear + 2.0 * battery.loss_quadratic * full
    return (1.0 + steepest) / battery.cell_efficiency


def end_of_margin(problem: Problem) -> int:
    """Return the step edge at which the energy must still be there: the end of what is asked."""
    return int(np.flatnonzero(problem.in_event)[-1]) + 1


def add_margin(
    builder: ProgramBuilder, problem: Problem, compute: ComputePower
) -> MarginColumns | None:
    """Add what is asked for and what is held of it; None where no margins are asked for."""
    margins, steps = problem.margins, margin_steps(problem)
    if margins is None or len(steps) == 0:
        return None
    sign = -problem.direction
    start_kw = sum(pool.power_at_start_kw() for pool in problem.pools)
    most_kw = most_margin_kw(problem, margins)
    held = builder.variables("margin_held", len(steps), upper=most_kw)
    missing = builder.variables("margin_missing", len(steps), upper=most_kw)
    both: list[Term] = [(1.0, held), (1.0, missing)]
    builder.rows("margin_load", len(steps), both, lower=margins.z * margins.load_kw)
    uncertain = margins.z * margins.response_share
    builder.rows(
        "margin_response",
        len(steps),
        [*both, (sign * uncertain, compute.mean[steps])],
        lower=margins.z * margins.load_kw + sign * uncertain * start_kw,
    )
    hours = problem.grid.durations_s[steps] / 3600.0
    builder.cost("margin", missing, margins.power_per_kwh * hours)
    return MarginColumns(steps=steps, held=held, missing=missing)


def most_margin_kw(problem: Problem, margins: Margins) -> float:
    """Return a bound on the margin: compute moves all it has, and twice that as it rings."""
    moves_kw = 2.0 * sum(pool.highest_kw for pool in problem.pools)
    return margins.z * (margins.load_kw + margins.response_share * moves_kw)


def add_margin_energy(
    builder: ProgramBuilder,
    problem: Problem,
    margin: MarginColumns | None,
    battery: BatteryColumns | None,
    grid: IndexArray,
    shortfall: IndexArray,
) -> None:
    """Add the energy behind the power held; ``grid`` (T,), ``shortfall`` by event step."""
    margins, cells = problem.margins, problem.battery
    if margin is None or margins is None or battery is None or cells is None:
        return
    steps, sign = margin.steps, -problem.direction
    most_kw = most_margin_kw(problem, margins)
    carried = builder.variables("margin_carried", len(steps), upper=most_kw)
    short = shortfall[np.searchsorted(np.flatnonzero(problem.in_event), steps)]
    aim = np.array(problem.baseline_kw)[steps] + np.array(problem.target_kw)[steps]
    builder.rows(
        "margin_carried",
        len(steps),
        [(sign, grid[steps]), (-1.0, short), (1.0, margin.held), (-1.0, carried)],
        upper=sign * aim + problem.tolerance_kw,
    )
    hours = problem.grid.durations_s[steps] / 3600.0
    behind = energy_per_kwh(problem, cells) * hours
    most_kwh = most_kw * float(behind.sum())
    missing = builder.variables("margin_energy_missing", 1, upper=most_kwh)
    end = end_of_margin(problem)
    terms: list[Term] = [(1.0, battery.energy[end : end + 1]), (sign, missing)]
    terms.append((-sign * behind[None, :], carried))
    if sign > 0:
        terms.append((1.0, battery.dip))
        builder.rows("margin_energy", 1, terms, lower=cells.kept_kwh)
    else:
        builder.rows("margin_energy", 1, terms, upper=cells.max_kwh)
    builder.cost("margin", missing, margins.energy_per_kwh)
