"""HiGHS itself on the same arrays: the yardstick, the option settings, the root bound.

Written apart from ``ebplan.solvers.highs`` on purpose: it shows what HiGHS does with the arrays
when nobody has chosen an option for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import highspy
import numpy as np

from ebplan.solvers.highs import OPTIONS
from ebplan.solvers.program import Program

TIME_LIMIT_S = 20.0
"""No reference run takes longer."""
SAME_TASK: dict[str, Any] = {
    "output_flag": False,
    # HiGHS fixes its scheduler at the first run in a process: another number is refused later.
    "threads": OPTIONS["threads"],
    "mip_rel_gap": OPTIONS["mip_rel_gap"],
    "time_limit": TIME_LIMIT_S,
}
"""What makes a run comparable: silent, as many threads, the same gap. Nothing else is set."""

_ROW_WISE, _MINIMISE = 2, 1


@dataclass(frozen=True)
class Run:
    """One run of HiGHS."""

    seconds: float
    """Wall time from the arrays to the solution."""
    objective: float
    """Infinite where no feasible point was found."""
    bound: float
    nodes: int
    proven: bool
    """Whether the run ended with the gap it was asked for."""


def run_highs(program: Program, options: dict[str, Any], *, relaxed: bool = False) -> Run:
    """Hand the arrays of a program to HiGHS and solve them.

    Args:
        program: what to solve.
        options: HiGHS options on top of ``SAME_TASK``.
        relaxed: leave integrality out.
    """
    began = perf_counter()
    solver = highspy.Highs()
    for option, value in {**SAME_TASK, **options}.items():
        if solver.setOptionValue(option, value) != highspy.HighsStatus.kOk:
            raise ValueError(f"HiGHS refuses {option} = {value!r}")
    integer = np.zeros_like(program.integer) if relaxed else program.integer
    solver.passModel(
        program.n_columns,
        program.n_rows,
        len(program.entry_value),
        _ROW_WISE,
        _MINIMISE,
        program.constant,
        program.cost,
        program.lower,
        program.upper,
        program.row_lower,
        program.row_upper,
        program.row_start.astype(np.int32),
        program.entry_column.astype(np.int32),
        program.entry_value,
        integer.astype(np.int32),
    )
    solver.run()
    info = solver.getInfo()
    seconds = perf_counter() - began
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    objective = float(info.objective_function_value) if feasible else float("inf")
    return Run(
        seconds=seconds,
        objective=objective,
        bound=float(info.mip_dual_bound) if integer.any() else objective,
        nodes=max(int(info.mip_node_count), 0),
        proven=solver.getModelStatus() == highspy.HighsModelStatus.kOptimal,
    )


def root_gap(program: Program, objective: float) -> float:
    """Return how far the plain LP relaxation lies below ``objective``, as a share of it.

    The bound before presolve and cuts: a property of the formulation, not of the solver.
    """
    relaxed = run_highs(program, {}, relaxed=True)
    return max(objective - relaxed.objective, 0.0) / max(abs(objective), 1e-9)
