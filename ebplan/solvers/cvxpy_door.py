"""The second door: the same arrays through cvxpy, for other solvers and for comparison."""

from __future__ import annotations

import numpy as np

from ebplan.errors import InputError, NoPlanError
from ebplan.plan import OPTIMAL_GAP
from ebplan.solvers.highs import Solution
from ebplan.solvers.program import Program


def solve(
    program: Program, *, solver: str | None = None, time_limit_s: float | None = None
) -> Solution:
    """Solve the program with a solver that cvxpy knows.

    Args:
        program: what to solve.
        solver: cvxpy's name of the solver; HIGHS if absent.
        time_limit_s: only for HIGHS; others take their limits in their own words.

    Raises:
        InputError: cvxpy or the solver is not installed, or the limit cannot be passed on.
        NoPlanError: no optimal point was found.
    """
    try:
        import cvxpy as cp
        from scipy.sparse import csr_array
    except ImportError:
        raise InputError(
            field="--solver",
            value="cvxpy",
            allowed="a solver that is installed",
            remedy="pip install 'ebplan[cvxpy]'",
        ) from None
    name = (solver or "HIGHS").upper()
    if name not in cp.installed_solvers():
        raise InputError(
            field="--solver",
            value=f"cvxpy:{name}",
            allowed=", ".join(f"cvxpy:{s}" for s in cp.installed_solvers()),
            remedy="install the solver or choose another",
        )
    options = _options(name, time_limit_s)
    integer = np.flatnonzero(program.integer)
    x = cp.Variable(program.n_columns, integer=(integer,) if len(integer) else False)
    matrix = csr_array(
        (program.entry_value, program.entry_column, program.row_start),
        shape=(program.n_rows, program.n_columns),
    )
    equal = program.row_lower == program.row_upper
    at_most = np.isfinite(program.row_upper) & ~equal
    at_least = np.isfinite(program.row_lower) & ~equal
    constraints = [
        x >= program.lower,
        x <= program.upper,
        matrix[equal] @ x == program.row_upper[equal],
        matrix[at_most] @ x <= program.row_upper[at_most],
        matrix[at_least] @ x >= program.row_lower[at_least],
    ]
    problem = cp.Problem(cp.Minimize(program.cost @ x + program.constant), constraints)
    problem.solve(solver=name, **options)
    if problem.status == cp.INFEASIBLE and name == "HIGHS":
        # A problem is always feasible; presolve calls some of them infeasible (solvers/highs.py).
        problem.solve(solver=name, **options, presolve="off")
    # cvxpy reports zeros as a value when a limit is hit before a feasible point is known.
    if problem.status != cp.OPTIMAL or x.value is None:
        raise NoPlanError(f"{name} through cvxpy found no proven plan: {problem.status}")
    point = np.array(x.value)
    point[program.integer] = np.round(point[program.integer])
    objective = float(problem.value)
    # "optimal" is up to the gap that was asked for: the bound follows from it.
    bound = objective - GAP * abs(objective) if len(integer) else objective
    return Solution(
        x=point,
        objective=objective,
        bound=bound,
        seconds=float(problem.solver_stats.solve_time or 0.0),
        nodes=0,
    )


GAP = 0.5 * OPTIMAL_GAP
"""Relative gap asked of the solver."""


def _options(name: str, time_limit_s: float | None) -> dict[str, object]:
    if name == "HIGHS":
        limit = {} if time_limit_s is None else {"time_limit": time_limit_s}
        return {"mip_rel_gap": GAP, **limit}
    if name == "SCIP":
        limit = {} if time_limit_s is None else {"limits/time": time_limit_s}
        return {"scip_params": {"limits/gap": GAP, **limit}}
    if time_limit_s is not None:
        raise InputError(
            field="--time-limit",
            value=time_limit_s,
            allowed="with highs, cvxpy:HIGHS and cvxpy:SCIP",
            remedy="leave the limit out",
        )
    return {}
