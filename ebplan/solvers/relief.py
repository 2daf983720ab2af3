"""What would make a plan cheaper: the price of each limit, from the duals with integers fixed.

A limit is a number of the problem. Moving it by a little moves costs, coefficients, right-hand
sides and bounds of the program; to first order the optimum moves by what the Lagrangian does at
the optimum x with row duals y and column duals d:

    dz = dc x + dc_0 + sum_i y_i (db_i - dA_i x) + sum_j d_j dbound_j

where of two sides of a row or a column the one counts that its dual stands for. So a new limit is
one entry, wherever it stands in the program, and nothing is solved again. Only a later hand-off
is: it moves by whole steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ebplan.problem import PoolProblem, Problem
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.highs import LinearOptimum, fixed_optimum
from ebplan.solvers.program import FloatArray, Program

STEP = 1e-4
"""How far a limit is moved, in its own unit: small enough for first order, large against the
rounding of the arrays."""


@dataclass(frozen=True)
class Limit:
    """A number of the problem that more could be had of."""

    words: str
    """What there would be more of."""
    per: str
    """The unit it is told in."""
    unit: float
    """That unit as a step of ``move``."""
    move: Callable[[Problem, float], Problem | None]
    """Give so much more; None where the problem has no such limit."""


@dataclass(frozen=True)
class Relief:
    """What one more unit of a limit takes off the objective."""

    limit: Limit
    saves: float


def reliefs(
    problem: Problem, formulation: Formulation, x: FloatArray, *, amount: FloatArray | None = None
) -> tuple[Relief, ...]:
    """Return what each limit would save per unit, most first; the integers stay at ``x``.

    Args:
        problem: the problem.
        formulation: its program.
        x: the plan's point, shape (n,).
        amount: what is to be saved, as weights of the columns, shape (n,); money if absent.
    """
    program = formulation.program
    at = fixed_optimum(program, x, amount)
    found = []
    for limit in LIMITS:
        moved = limit.move(problem, STEP)
        if moved is None:
            continue
        other = formulate(moved, instants_s=formulation.instants_s).program
        change = _first_order(program, other, at, keep_cost=amount is not None)
        if change is not None:
            found.append(Relief(limit, -change / STEP * limit.unit))
    later = _later_handoff(problem)
    if later is not None:
        moved, waits_s = later
        program_later = formulate(moved, instants_s=formulation.instants_s).program
        cost = None if amount is None else _carried_over(amount, program, program_later)
        fixed_at = _carried_over(x, program, program_later)
        saved = at.objective - fixed_optimum(program_later, fixed_at, cost).objective
        found.append(Relief(LATER_HANDOFF, saved / waits_s * LATER_HANDOFF.unit))
    return tuple(sorted(found, key=lambda relief: -relief.saves))


def _later_handoff(problem: Problem) -> tuple[Problem, float] | None:
    """Return the problem with the hand-off one step later, and by how many seconds that is.

    The grid has no shorter wait, so this one is solved again. None where there is no step left.
    """
    if problem.battery is None or problem.handoff_from_s is None:
        return None
    starts = problem.grid.starts_s
    later = starts[problem.in_event & (starts > problem.handoff_from_s + 1e-9)]
    if len(later) == 0:
        return None
    to_s = float(later[0])
    return problem.model_copy(update={"handoff_from_s": to_s}), to_s - problem.handoff_from_s


def _carried_over(values: FloatArray, program: Program, other: Program) -> FloatArray:
    """Return values of the columns of one program on those of another, by name; 0 elsewhere.

    The hand-off's own columns are left out: there are fewer of them.
    """
    carried = np.zeros(other.n_columns)
    sizes = {group.name: group.size for group in program.columns}
    for group in other.columns:
        if sizes.get(group.name) == group.size:
            carried[other.column_range(group.name)] = values[program.column_range(group.name)]
    return carried


def _first_order(
    program: Program, moved: Program, at: LinearOptimum, *, keep_cost: bool
) -> float | None:
    """Return the change of the optimum to first order; None where the program changes shape."""
    if (program.rows, program.columns) != (moved.rows, moved.columns):
        return None
    real = ~program.integer
    change = -float(at.row_dual @ (moved.activity(at.x) - program.activity(at.x)))
    if not keep_cost:
        change += float((moved.cost - program.cost) @ at.x) + moved.constant - program.constant
    with np.errstate(invalid="ignore"):  # a side that is infinite stays so: its dual is zero
        row_sides = moved.row_lower - program.row_lower, moved.row_upper - program.row_upper
    row_move = _side(at.row_dual, *row_sides)
    column_sides = (moved.lower - program.lower)[real], (moved.upper - program.upper)[real]
    column_move = _side(at.column_dual[real], *column_sides)
    return change + float(at.row_dual @ row_move) + float(at.column_dual[real] @ column_move)


def _side(dual: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return how far the side has moved that a dual stands for; infinite sides have none."""
    return np.nan_to_num(np.where(dual > 0.0, lower, upper), nan=0.0, posinf=0.0, neginf=0.0)


def _battery(**more: Callable[[float, float], float]) -> Callable[[Problem, float], Problem | None]:
    def move(problem: Problem, step: float) -> Problem | None:
        if problem.battery is None:
            return None
        fields = {name: of(getattr(problem.battery, name), step) for name, of in more.items()}
        return problem.model_copy(update={"battery": problem.battery.model_copy(update=fields)})

    return move


def _more(value: float, step: float) -> float:
    return value + step


def _converter(problem: Problem, step: float) -> Problem | None:
    field = "discharge_limit_kw" if problem.direction < 0 else "charge_limit_kw"
    return _battery(**{field: _more})(problem, step)


def _handoff(problem: Problem, step: float) -> Problem | None:
    if problem.battery is None or problem.handoff_from_s is None:
        return None
    return problem.model_copy(update={"handoff_kw": problem.handoff_kw + step})


def _import_limit(problem: Problem, step: float) -> Problem:
    return problem.model_copy(
        update={"import_limit_kw": tuple(kw + step for kw in problem.import_limit_kw)}
    )


def _cap_floor(problem: Problem, step: float) -> Problem | None:
    """Lower the floor by ``step`` kW per GPU."""

    def lower(pool: PoolProblem) -> PoolProblem:
        per_instance_kw = step * pool.gpus_per_instance / pool.gpu_kw_per_kw
        curve = pool.cap_curve
        floor_kw = curve.floor_kw - per_instance_kw
        return pool.model_copy(
            update={"cap_curve": curve.model_copy(update={"floor_kw": floor_kw})}
        )

    if not any(pool.may_cap for pool in problem.pools):
        return None
    return problem.model_copy(update={"pools": tuple(map(lower, problem.pools))})


def _max_utilisation(problem: Problem, step: float) -> Problem | None:
    highest = max(pool.max_utilisation for pool in problem.pools)
    if highest + 100.0 * step > 1.0:
        return None
    return problem.model_copy(
        update={
            "pools": tuple(
                pool.model_copy(update={"max_utilisation": pool.max_utilisation + step})
                for pool in problem.pools
            )
        }
    )


LATER_HANDOFF = Limit("a later hand-off", "10 s", 10.0, lambda problem, step: None)
"""At the rate of the shortest wait that the grid has."""
LIMITS = (
    Limit("more energy in the battery", "kWh", 1.0, _battery(start_kwh=_more)),
    Limit("more converter power", "kW", 1.0, _converter),
    Limit("more battery power after the hand-off", "kW", 1.0, _handoff),
    Limit("a higher import or rebound limit", "kW", 1.0, _import_limit),
    Limit("a lower cap floor", "10 W per GPU", 0.01, _cap_floor),
    Limit("a higher utilisation planned for", "0.01", 0.01, _max_utilisation),
)
"""What more could be had of; a new limit is one entry."""
