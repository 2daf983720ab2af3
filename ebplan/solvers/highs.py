"""Solve a program with HiGHS, through its arrays.

The status word is not trusted alone: a solution counts only where HiGHS says that it is feasible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import highspy
import numpy as np

from ebplan.errors import NoPlanError
from ebplan.optimality import OPTIMAL_GAP
from ebplan.solvers.program import FloatArray, Program

# `make options` (benchmarks/options.py) measures what is chosen here against its neighbours, the
# table stands in docs/performance.md: run it again when HiGHS is upgraded.
OPTIONS: dict[str, Any] = {
    # Not measured: JSON goes to the same stream.
    "output_flag": False,
    "log_to_console": False,
    # Not measured there: the first run fixes the process-wide scheduler. These trees end at their
    # root or soon after, where further threads have nothing to do.
    "threads": 1,
    # Not measured, but asked of every setting that is.
    # Half of what "optimal" allows, so that rounding in the report cannot undo it.
    "mip_rel_gap": 0.5 * OPTIMAL_GAP,
    # Measured ("sub-MIP heuristics off"): without RENS a thousand instances are not solved in 10 s.
    "mip_heuristic_run_rens": True,
    # Measured ("ebplan + RINS", "only RINS of them"): beside RENS it changes nothing.
    "mip_heuristic_run_rins": False,
    # Measured ("ebplan + root reduced cost"): a thousand instances take nearly twice as long.
    "mip_heuristic_run_root_reduced_cost": False,
    # Measured ("only RENS of them" has it on): a feasible point is in hand sooner without it.
    "mip_heuristic_run_feasibility_jump": False,
}


RETRIES: tuple[dict[str, Any], ...] = ({}, {"presolve_rule_off": 4096}, {"presolve": "off"})
"""A problem is always feasible (every grid-side row has a priced slack), so a verdict to the
contrary is presolve's: its aggregator (rule 4096) calls some feasible programs infeasible. The
next try goes without it, the last without presolve."""


@dataclass(frozen=True)
class Solution:
    """A feasible point with its proof."""

    x: FloatArray
    """Shape (n,)."""
    objective: float
    bound: float | None
    """None where a limit ended the search before anything was proven."""
    seconds: float
    nodes: int


def solve(
    program: Program,
    *,
    time_limit_s: float | None = None,
    gap: float | None = None,
    start: FloatArray | None = None,
) -> Solution:
    """Solve the program.

    Args:
        program: what to solve.
        time_limit_s: stop after this; the best point found so far is returned.
        gap: relative gap at which to stop; half of ``OPTIMAL_GAP`` if absent.
        start: a feasible point to begin with, shape (n,): a limit then never ends empty-handed.

    Raises:
        NoPlanError: no feasible point was found.
    """
    options = {} if gap is None else {"mip_rel_gap": gap}
    until = None if time_limit_s is None else monotonic() + time_limit_s
    for retry in RETRIES:
        if until is not None:
            options["time_limit"] = max(until - monotonic(), 0.001)
        solver = load(program, {**options, **retry})
        if start is not None:
            known = highspy.HighsSolution()
            known.col_value = start
            solver.setSolution(known)
        solver.run()
        info = solver.getInfo()
        feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        # With a point to begin with, presolve's false verdict reads as that point without a bound.
        proven = not program.integer.any() or bool(np.isfinite(info.mip_dual_bound))
        late = until is not None and monotonic() >= until
        if feasible and (proven or late):
            break
    if not feasible:
        status = solver.modelStatusToString(solver.getModelStatus())
        raise NoPlanError(f"HiGHS found no feasible plan: {status}")
    x = np.array(solver.getSolution().col_value)
    x[program.integer] = np.round(x[program.integer])
    objective = info.objective_function_value
    return Solution(
        x=x,
        objective=objective,
        bound=_bound(info, objective) if program.integer.any() else objective,
        seconds=solver.getRunTime(),
        nodes=max(info.mip_node_count, 0),
    )


def _bound(info: Any, objective: float) -> float | None:
    bound = min(info.mip_dual_bound, objective)
    return bound if np.isfinite(bound) else None


@dataclass(frozen=True)
class LinearOptimum:
    """Optimum of a linear program with its duals: change of the objective per unit of a bound."""

    objective: float
    x: FloatArray
    """Shape (n,)."""
    row_dual: FloatArray
    """Shape (m,)."""
    column_dual: FloatArray
    """Shape (n,)."""


def fixed_optimum(program: Program, x: FloatArray, cost: FloatArray | None = None) -> LinearOptimum:
    """Return the optimum with the integers fixed at ``x``: what can be had without moving them.

    Args:
        program: the program.
        x: where the integers are, shape (n,).
        cost: what to minimise instead of the program's cost, shape (n,).
    """
    solver = load(program, {}, relaxed_at=x)
    if cost is not None:
        _minimise(solver, cost)
    return _linear_optimum(solver, program)


def least_in_turn(
    program: Program, amounts: Sequence[FloatArray], *, at: FloatArray | None = None
) -> list[LinearOptimum]:
    """Minimise one amount after the other, each while the ones before stay at their least.

    Args:
        program: the program.
        amounts: weights of the columns, each of shape (n,) and >= 0.
        at: where the integers are fixed, shape (n,). If absent the linear relaxation is solved:
            whatever the whole numbers, no plan has less.
    """
    solver = load(program, {}, relaxed_at=at, relaxed=True)
    found = []
    for amount in amounts:
        _minimise(solver, amount)
        found.append(_linear_optimum(solver, program))
        columns = np.flatnonzero(amount)
        most = found[-1].objective * (1.0 + 1e-7) + 1e-7
        solver.addRow(-np.inf, most, len(columns), columns.astype(np.int32), amount[columns])
    return found


def _minimise(solver: Any, cost: FloatArray) -> None:
    columns = np.arange(len(cost), dtype=np.int32)
    solver.changeColsCost(len(cost), columns, cost)
    solver.changeObjectiveOffset(0.0)


def _linear_optimum(solver: Any, program: Program) -> LinearOptimum:
    solver.run()
    solution = solver.getSolution()
    return LinearOptimum(
        objective=solver.getInfo().objective_function_value,
        x=np.array(solution.col_value),
        row_dual=np.array(solution.row_dual)[: program.n_rows],
        column_dual=np.array(solution.col_dual),
    )


def row_duals(program: Program, x: FloatArray) -> FloatArray:
    """Return the row duals with the integers fixed at ``x``, shape (m,).

    A dual is the change of the objective per unit of the row's right-hand side: what the next kW
    costs while the instances stay where they are.
    """
    return fixed_optimum(program, x).row_dual


def write_lp(program: Program, path: Path) -> None:
    """Write the program in LP format with its names; nothing is solved."""
    from ebplan.document import write_atomically  # a solver process writes none and loads faster

    solver = load(program, {})
    for i, name in enumerate(program.column_names()):
        solver.passColName(i, _lp_name(name))
    for i, name in enumerate(program.row_names()):
        solver.passRowName(i, _lp_name(name))
    # HiGHS crashes where it cannot write, and takes the format from the suffix.
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.lp"
        solver.writeModel(str(file))
        write_atomically(path, file.read_bytes())


def _lp_name(name: str) -> str:
    """LP names may not hold square brackets."""
    return name.replace("[", "(").replace("]", ")")


def _set(solver: Any, option: str, value: object) -> None:
    """Set an option; HiGHS ignores a bad one in silence, we do not."""
    if solver.setOptionValue(option, value) != highspy.HighsStatus.kOk:
        raise ValueError(f"HiGHS refuses {option} = {value!r}")


def load(
    program: Program,
    options: dict[str, Any],
    relaxed_at: FloatArray | None = None,
    *,
    relaxed: bool = False,
) -> Any:
    """Return a solver that holds the program.

    Args:
        program: what it is to solve.
        options: options besides ``OPTIONS``.
        relaxed_at: where the integers are fixed, shape (n,); the rest is linear then.
        relaxed: leave the integers out, unless they are fixed.

    Raises:
        NoPlanError: the solver refuses the program.
    """
    solver = highspy.Highs()
    for option, value in {**OPTIONS, **options}.items():
        _set(solver, option, value)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = program.n_columns, program.n_rows
    lp.col_cost_, lp.offset_ = program.cost, program.constant
    lower, upper = program.lower.copy(), program.upper.copy()
    if relaxed_at is not None:
        lower[program.integer] = upper[program.integer] = relaxed_at[program.integer]
    lp.col_lower_, lp.col_upper_ = lower, upper
    lp.row_lower_, lp.row_upper_ = program.row_lower, program.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = program.n_columns, program.n_rows
    lp.a_matrix_.start_ = program.row_start
    lp.a_matrix_.index_ = program.entry_column
    lp.a_matrix_.value_ = program.entry_value
    if relaxed_at is None and not relaxed and program.integer.any():
        kind = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kind[i] for i in program.integer.astype(int)]
    if solver.passModel(lp) == highspy.HighsStatus.kError:
        raise NoPlanError("HiGHS refused the model")
    return solver
