"""The connection point: where the response is judged.

| symbol | name      | meaning                                          | shape |
|--------|-----------|--------------------------------------------------|-------|
| g_t    | grid      | draw at the connection point, kW                 | (T,)  |
| x_t    | shortfall | part of the target not met, kW                   | (T,)  |
| o_t    | overrun   | draw above the import or rebound limit, kW       | (T,)  |
| a_t    | excess    | battery power above the hand-off share, kW       | (T,)  |

grid_balance       g_t = other_t + c_t + b_t - d_t
release_target     g_t - x_t <= baseline_t + target_t                    event steps, or
absorb_target      g_t + x_t >= baseline_t + target_t
converter_limit    ce_t' + other_t - x_t <= baseline_t + target_t + d_max   both edges t' of step t
                   ci_i + other_t - x_t <= baseline_t + target_t + d_max   instants i inside step t
                   (to absorb: ce_t' + other_t + x_t >= baseline_t + target_t - b_max)
                   (with margins the power held is added on the left: blocks/margin.py)
track_upper        g_t - x_t <= baseline_t + target_t + tol              event steps, both ways:
track_lower        g_t + x_t >= baseline_t + target_t - tol              also where the target is 0
                   (converter_limit and converter_limit.below hold the edges on either side)
import_limit       g_t - o_t <= limit_t
handoff            d_t - a_t <= d_handoff  (to absorb: b_t)              steps after the hand-off

The plan hands the converter the *target* g_t, not a battery schedule: it tracks the residual
within milliseconds. ``release_target`` and the battery's energy rows speak of step means;
``converter_limit`` keeps the residual within the converter's power at both ends of a step, and
at instants inside where load that moves fast and an instance that drains slowly make a hump;
``solvers/transients.py`` finds those.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.problem import Problem
from ebplan.solvers.blocks.battery import (
    BatteryColumns,
    converter_limits_kw,
    response_limit_kw,
)
from ebplan.solvers.blocks.margin import MarginColumns
from ebplan.solvers.blocks.response import ComputePower
from ebplan.solvers.program import FloatArray, IndexArray, ProgramBuilder, Term


@dataclass(frozen=True)
class Connection:
    """Columns at the connection point."""

    grid: IndexArray
    """Shape (T,)."""
    shortfall: IndexArray
    """Shape (number of event steps,)."""


def add_connection(
    builder: ProgramBuilder,
    problem: Problem,
    compute: ComputePower,
    battery: BatteryColumns | None,
    instants_s: FloatArray,
    margin: MarginColumns | None = None,
) -> Connection:
    """Add balance, target, limits and hand-off; ``instants_s`` are those of ``compute.instant``."""
    steps = problem.grid.n_steps
    hours = problem.grid.durations_s / 3600.0
    prices = problem.prices
    other = np.array(problem.other_kw)
    most = highest_draw_kw(problem)
    grid = builder.variables("grid", steps, lower=-problem.export_limit_kw, upper=most)
    terms: list[Term] = [(1.0, grid), (-1.0, compute.mean)]
    if battery is not None:
        terms += [(-1.0, battery.charge), (1.0, battery.discharge)]
    builder.rows("grid_balance", steps, terms, lower=other, upper=other)
    money_per_kw = problem.energy_prices_per_kwh * hours
    builder.cost("energy", grid, money_per_kw)
    builder.constant("energy", -float(np.array(problem.baseline_kw) @ money_per_kw))

    limit = np.array(problem.import_limit_kw)
    overrun = builder.variables("overrun", steps, upper=np.maximum(most - limit, 0.0))
    builder.rows("import_limit", steps, [(1.0, grid), (-1.0, overrun)], upper=limit)
    builder.cost("overrun", overrun, prices.overrun_per_kwh * hours)

    shortfall = _add_target(builder, problem, compute, grid, instants_s, margin)
    if battery is not None and problem.handoff_from_s is not None:
        _add_handoff(builder, problem, battery)
    return Connection(grid=grid, shortfall=shortfall)


def highest_draw_kw(problem: Problem) -> float:
    """Return a bound on the draw: everything on, battery charging."""
    compute = sum(pool.highest_kw for pool in problem.pools)
    charge = problem.battery.charge_limit_kw if problem.battery else 0.0
    return max(problem.other_kw) + compute + charge


def _add_target(
    builder: ProgramBuilder,
    problem: Problem,
    compute: ComputePower,
    grid: IndexArray,
    instants_s: FloatArray,
    margin: MarginColumns | None,
) -> IndexArray:
    asked = np.flatnonzero(problem.in_event)
    aim = np.array(problem.baseline_kw)[asked] + np.array(problem.target_kw)[asked]
    hours = problem.grid.durations_s[asked] / 3600.0
    most = highest_draw_kw(problem) + problem.export_limit_kw + np.abs(aim)
    shortfall = builder.variables("shortfall", len(asked), upper=most)
    step = np.searchsorted(np.array(problem.grid.edges_s), instants_s, side="right") - 1
    place = np.searchsorted(asked, step)
    # What is asked for from above (release) reads the same from below (absorb) with signs turned.
    for label, edge_label, sign, limit_kw in _sides(problem):
        bound = sign * aim + problem.tolerance_kw
        builder.rows(label, len(asked), [(sign, grid[asked]), (-1.0, shortfall)], upper=bound)
        room = bound - sign * np.array(problem.other_kw)[asked] + limit_kw[asked]
        for side, edge in (("start", asked), ("end", asked + 1)):
            builder.rows(
                f"{edge_label}.{side}",
                len(asked),
                [(sign, compute.edge[edge]), (-1.0, shortfall), *_held(margin, asked)],
                upper=room,
            )
        builder.rows(
            f"{edge_label}.inside",
            len(instants_s),
            [(sign, compute.instant), (-1.0, shortfall[place]), *_held(margin, step)],
            upper=room[place],
        )
    builder.cost("shortfall", shortfall, problem.prices.shortfall_per_kwh * hours)
    firmness_per_kwh = problem.prices.firmness_per_kwh * problem.firmness_weight[asked]
    builder.cost("firmness", shortfall, firmness_per_kwh * hours)
    return shortfall


def _held(margin: MarginColumns | None, steps: IndexArray) -> list[Term]:
    """Return the power held back in each of these steps, as a term of its row."""
    if margin is None:
        return []
    of_step = steps[:, None] == margin.steps[None, :]
    return [(of_step.astype(float), margin.held)]


def _sides(problem: Problem) -> list[tuple[str, str, int, FloatArray]]:
    """Return the sides from which the draw is judged: labels, sign, what the converter hides (T,).

    A sign of 1 judges from above, -1 from below.
    """
    none = np.zeros(problem.grid.n_steps)
    battery = problem.battery
    if problem.tracks:
        gives, takes = (none, none) if battery is None else converter_limits_kw(problem, battery)
        return [
            ("track_upper", "converter_limit", 1, gives),
            ("track_lower", "converter_limit.below", -1, takes),
        ]
    limit_kw = none if battery is None else response_limit_kw(problem, battery)
    label = "release_target" if problem.direction < 0 else "absorb_target"
    return [(label, "converter_limit", -problem.direction, limit_kw)]


def _add_handoff(builder: ProgramBuilder, problem: Problem, battery: BatteryColumns) -> None:
    late = np.flatnonzero(problem.in_event & (problem.grid.starts_s >= _handoff_s(problem) - 1e-9))
    hours = problem.grid.durations_s[late] / 3600.0
    carried = battery.discharge if problem.direction < 0 else battery.charge
    excess = builder.variables("handoff_excess", len(late), upper=highest_draw_kw(problem))
    builder.rows(
        "handoff",
        len(late),
        [(1.0, carried[late]), (-1.0, excess)],
        upper=problem.handoff_kw,
    )
    builder.cost("handoff", excess, problem.prices.handoff_excess_per_kwh * hours)


def _handoff_s(problem: Problem) -> float:
    return np.inf if problem.handoff_from_s is None else problem.handoff_from_s
