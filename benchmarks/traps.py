"""What each safeguard of the formulation is worth: taken out, measured, put back.

    python -m benchmarks.traps

Every trap was met while the formulation was made; docs/formulation.md says why each rule stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.subjects import example
from benchmarks.tables import table
from ebplan.pose import pose
from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers import highs
from ebplan.solvers.blocks.lens import load_lines
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.program import FloatArray, Program

NEGATIVE_PRICE_PER_KWH = -300.0
"""Energy price at which burning energy would pay, in the site's currency."""
BURNING_PAYS = f"battery nearly full, energy at {NEGATIVE_PRICE_PER_KWH:g} per kWh"
TIGHT_CONVERTER = 0.95
"""Converter limit as a share of the target, where it is to bind."""
NOTHING = 1e-6
"""Less is rounding of the solver."""
NEARLY_FULL = 0.999
"""Share of the highest energy allowed."""


@dataclass(frozen=True)
class Trap:
    """One safeguard, with and without."""

    rule: str
    quantity: str
    with_rule: float
    without_rule: float


TRAPS: list[Callable[[], Trap]] = []
"""Every registered trap, in order of registration."""


def trap(measure: Callable[[], Trap]) -> Callable[[], Trap]:
    """Register a trap."""
    TRAPS.append(measure)
    return measure


def problem_of(name: str = "under_frequency") -> Problem:
    """Return the posed problem of a shipped example."""
    case = example(name)
    return pose(case.event, case.site, case.state)


def full_at_negative_price(problem: Problem) -> Problem:
    """Return the problem at a negative energy price and with the battery nearly full."""
    prices = problem.prices.model_copy(update={"energy_per_kwh": NEGATIVE_PRICE_PER_KWH})
    battery = battery_of(problem)
    battery = battery.model_copy(update={"start_kwh": NEARLY_FULL * battery.max_kwh})
    return problem.model_copy(update={"prices": prices, "battery": battery})


def battery_of(problem: Problem) -> BatteryProblem:
    """Return the battery of a problem that has one."""
    if problem.battery is None:
        raise ValueError("the traps are measured on a site with a battery")
    return problem.battery


def without_rows(program: Program, label: str) -> Program:
    """Return the program with the rows under a label made idle."""
    lower, upper = program.row_lower.copy(), program.row_upper.copy()
    for group in program.rows:
        if group.name == label or group.name.startswith(f"{label}."):
            rows = slice(group.start, group.start + group.size)
            lower[rows], upper[rows] = -np.inf, np.inf
    return replace(program, row_lower=lower, row_upper=upper)


def both_directions(program: Program, problem: Problem) -> Program:
    """Return the program with the battery free to charge and discharge at every step."""
    battery, upper = battery_of(problem), program.upper.copy()
    upper[program.column_range("charge")] = battery.charge_limit_kw
    upper[program.column_range("discharge")] = battery.discharge_limit_kw
    return replace(program, upper=upper)


@trap
def _direction_by_bounds() -> Trap:
    problem = full_at_negative_price(problem_of("curtailment_3h"))
    program = formulate(problem).program

    def both_ways_kwh(program: Program) -> float:
        x = highs.solve(program).x
        both = np.minimum(x[program.column_range("charge")], x[program.column_range("discharge")])
        return float(both @ problem.grid.durations_s) / 3600.0

    return Trap(
        rule="battery direction by bounds",
        quantity=f"kWh charged and discharged at once; {BURNING_PAYS}",
        with_rule=both_ways_kwh(program),
        without_rule=both_ways_kwh(both_directions(program, problem)),
    )


@trap
def _loss_ceiling() -> Trap:
    problem = full_at_negative_price(problem_of("curtailment_3h"))
    program = formulate(problem).program
    battery = battery_of(problem)

    def invented_kwh(program: Program) -> float:
        x = highs.solve(program).x
        power = x[program.column_range("charge")] + x[program.column_range("discharge")]
        true_kw = battery.loss_linear * power
        true_kw += battery.loss_quadratic * power**2 / battery.rated_kw
        invented = x[program.column_range("loss")] - true_kw
        return float(np.maximum(invented, 0.0) @ problem.grid.durations_s) / 3600.0

    return Trap(
        rule="converter loss held from above (`loss_ceiling`)",
        quantity=f"kWh of losses that do not exist; {BURNING_PAYS}",
        with_rule=invented_kwh(program),
        without_rule=invented_kwh(without_rows(program, "loss_ceiling")),
    )


@trap
def _converter_limit() -> Trap:
    problem = problem_of()
    limit_kw = -min(problem.target_kw) * TIGHT_CONVERTER
    battery = battery_of(problem).model_copy(update={"discharge_limit_kw": limit_kw})
    problem = problem.model_copy(update={"battery": battery})
    formulation = formulate(problem)

    def beyond_kw(program: Program) -> float:
        return _uncovered_kw(problem, formulation, highs.solve(program).x, limit_kw)

    return Trap(
        rule="converter limit at both edges of a step (`converter_limit`)",
        quantity=f"kW at an edge that nobody covers, converter at {TIGHT_CONVERTER:.0%} of target",
        with_rule=beyond_kw(formulation.program),
        without_rule=beyond_kw(without_rows(formulation.program, "converter_limit")),
    )


def _uncovered_kw(
    problem: Problem, formulation: Formulation, x: FloatArray, limit_kw: float
) -> float:
    """Return the largest draw at a step edge above target, shortfall and converter together."""
    asked = np.flatnonzero(problem.in_event)
    draw = x[formulation.compute.edge] + np.append(problem.other_kw, problem.other_kw[-1])
    ceiling = (np.array(problem.baseline_kw) + np.array(problem.target_kw))[asked]
    allowed = ceiling + x[formulation.connection.shortfall] + limit_kw
    worst = np.maximum(draw[asked], draw[asked + 1]) - allowed
    return float(np.maximum(worst, 0.0).max())


@trap
def _firm_by_construction() -> Trap:
    problem = problem_of()
    soft = problem.prices.model_copy(update={"firmness_per_kwh": 0.0})

    def missing_kwh(problem: Problem) -> float:
        formulation = formulate(problem)
        short = highs.solve(formulation.program).x[formulation.connection.shortfall]
        return float(short @ problem.grid.durations_s[problem.in_event]) / 3600.0

    return Trap(
        rule="shortfall above every mechanism by construction (`firmness`)",
        quantity="kWh of a reachable target left to the penalty",
        with_rule=missing_kwh(problem),
        without_rule=missing_kwh(problem.model_copy(update={"prices": soft})),
    )


@trap
def _concave_load_curve() -> Trap:
    pool = problem_of().pools[0]
    u = np.linspace(pool.min_utilisation, 1.0, 2001)
    true_kw = pool.load_curve.power_kw(u)
    lines_kw = np.min([slope * u + at_0 for slope, at_0 in load_lines(pool)], axis=0)
    straight_kw = pool.drained_kw + (pool.full_kw - pool.drained_kw) * u
    return Trap(
        rule="load curve by chords between points on it",
        quantity="largest error of an instance's power, W; without: one line from idle to full",
        with_rule=float(np.abs(lines_kw - true_kw).max()) * 1000.0,
        without_rule=float(np.abs(straight_kw - true_kw).max()) * 1000.0,
    )


@trap
def _tangent_for_cap_depth() -> Trap:
    pool = problem_of().pools[0]
    u = np.linspace(pool.min_utilisation, 1.0, 2001)
    true_kw = pool.load_curve.power_kw(u)
    slope, at_0 = pool.load_curve.tangent(pool.utilisation_at_start)
    chord_kw = np.interp(u, u[[0, -1]], true_kw[[0, -1]])
    return Trap(
        rule="cap depth against a tangent, not a chord",
        quantity="W per instance that a cap takes unpriced",
        with_rule=float(np.maximum(true_kw - (slope * u + at_0), 0.0).max()) * 1000.0,
        without_rule=float(np.maximum(true_kw - chord_kw, 0.0).max()) * 1000.0,
    )


def traps_table() -> list[str]:
    """Measure every trap and return the Markdown table."""
    rows = []
    for measure in TRAPS:
        found = measure()
        values = (
            f"{abs(v):.4g}" if abs(v) > 1e-6 else "0" for v in (found.with_rule, found.without_rule)
        )
        rows.append((found.rule, found.quantity, *values))
    return table(("rule", "measured", "with it", "without it"), rows)


def _rounded(value: float) -> str:
    return "0" if abs(value) < NOTHING else f"{value:.3g}"


if __name__ == "__main__":
    print("\n".join(traps_table()))
