"""Margins of a plan: what is held follows in closed form from what fleet and battery do."""

from __future__ import annotations

import numpy as np

from ebplan.plan import MarginResult, Plan
from ebplan.problem import Problem
from ebplan.solvers.blocks.margin import (
    end_of_margin,
    energy_per_kwh,
    margin_steps,
    needed_kw,
)
from ebplan.solvers.decision import NOTHING_KW, clean
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.program import FloatArray

NOTHING_KWH = 1e-6
"""A milliwatt-hour is nothing."""


def margin_point(
    problem: Problem,
    *,
    compute_kw: FloatArray,
    grid_kw: FloatArray,
    residual_kw: FloatArray,
    short_kw: FloatArray,
    energy_kwh: FloatArray | None,
) -> dict[str, FloatArray]:
    """Return the values of the margins' columns, by the name of their group.

    Args:
        problem: the problem.
        compute_kw: mean draw of the pools, shape (T,).
        grid_kw: mean draw at the connection point, shape (T,).
        residual_kw: what is asked of the converter at the worst instant of a step beyond its
            limit, below 0 where it has power left, shape (T,).
        short_kw: shortfall, shape (T,).
        energy_kwh: energy in the battery at step edges, shape (T + 1,); None without one.
    """
    margins, steps = problem.margins, margin_steps(problem)
    if margins is None or len(steps) == 0:
        return {}
    needed = needed_kw(problem, margins, compute_kw[steps])
    left_kw = np.maximum(short_kw - residual_kw, 0.0)[steps]
    held = np.minimum(needed, left_kw)
    found = {"margin_held": held, "margin_missing": clean(needed - held)}
    battery = problem.battery
    if battery is None or energy_kwh is None:
        return found
    sign = -problem.direction
    aim_kw = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    beyond_kw = (sign * (grid_kw - aim_kw) - short_kw - problem.tolerance_kw)[steps]
    carried = np.maximum(held + beyond_kw, 0.0)
    hours = problem.grid.durations_s[steps] / 3600.0
    behind_kwh = energy_per_kwh(problem, battery) * float(carried @ hours)
    at_end_kwh = float(energy_kwh[end_of_margin(problem)])
    dip_kwh = max(0.0, battery.kept_kwh - float(energy_kwh.min()))
    there = at_end_kwh + dip_kwh - battery.kept_kwh if sign > 0 else battery.max_kwh - at_end_kwh
    missing = clean(np.array([behind_kwh - max(there, 0.0)]))
    return {**found, "margin_carried": carried, "margin_energy_missing": missing}


def margin_result(problem: Problem, formulation: Formulation, x: FloatArray) -> MarginResult | None:
    """Return what a plan states of its margins; None where none are asked for."""
    margin, margins, program = formulation.margin, problem.margins, formulation.program
    if margin is None or margins is None:
        return None
    held = np.zeros(problem.grid.n_steps)
    held[margin.steps] = x[margin.held]
    behind_kwh = missing_kwh = 0.0
    if problem.battery is not None:
        hours = problem.grid.durations_s[margin.steps] / 3600.0
        carried = x[program.column_range("margin_carried")]
        behind_kwh = energy_per_kwh(problem, problem.battery) * float(carried @ hours)
        missing_kwh = float(x[program.column_range("margin_energy_missing")][0])
    return MarginResult(
        confidence=margins.confidence,
        power_kw=float((x[margin.held] + x[margin.missing]).max()),
        held_kw=tuple(np.maximum(held, 0.0).tolist()),
        energy_kwh=behind_kwh,
        missing_kw=max(float(x[margin.missing].max()), 0.0),
        missing_kwh=max(missing_kwh, 0.0),
    )


def planned_margin_kw(problem: Problem, formulation: Formulation, x: FloatArray) -> FloatArray:
    """Return the power that a solution holds of what is asked for, shape (T,)."""
    planned = np.zeros(problem.grid.n_steps)
    margin, margins = formulation.margin, problem.margins
    if margin is not None and margins is not None:
        needed = needed_kw(problem, margins, x[formulation.compute.mean][margin.steps])
        planned[margin.steps] = np.minimum(x[margin.held], needed)
    return planned


def what_is_held_back(plan: Plan) -> list[str]:
    """Say what is held back against errors of load and response, and what of it is not."""
    margin = plan.margin
    if margin is None:
        return []
    sure = f"{100.0 * margin.confidence:g} % confidence"
    sentence = (
        f"{sure} asks for {margin.power_kw:.2f} kW and {margin.energy_kwh:.3f} kWh beyond the "
        "plan, against load and response that differ from it"
    )
    lacking = [
        words
        for amount, least, words in (
            (margin.missing_kw, NOTHING_KW, f"up to {margin.missing_kw:.2f} kW"),
            (margin.missing_kwh, NOTHING_KWH, f"{margin.missing_kwh:.3f} kWh"),
        )
        if amount > least
    ]
    if not lacking:
        return [f"{sentence}: all of it is held."]
    return [f"{sentence}: {' and '.join(lacking)} of it is not held, so the response is less sure."]
