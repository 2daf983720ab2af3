"""The second door: the same arrays through cvxpy, for other solvers and for comparison."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ebplan.errors import InputError, NoPlanError
from ebplan.optimality import OPTIMAL_GAP
from ebplan.solvers.highs import Solution
from ebplan.solvers.program import Program


def solve(
    program: Program, *, solver: str | None = None, time_limit_s: float | None = None
) -> Solution:
    """Solve the program with a solver that cvxpy knows.

    Args:
        program: what to solve.
        solver: cvxpy's name of the solver; HIGHS if absent.
        time_limit_s: give up after this.

    Raises:
        InputError: cvxpy or the solver is not installed, or proves nothing.
        NoPlanError: no optimal point was found.
    """
    try:
        import cvxpy as cp
    except ImportError:
        raise InputError(
            field="--solver",
            value="cvxpy",
            allowed="a solver that is installed",
            remedy="pip install 'ebplan[cvxpy]'",
        ) from None
    name = (solver or "HIGHS").upper()
    known = [s for s in SOLVERS if s in cp.installed_solvers()]
    if name not in known:
        raise InputError(
            field="--solver",
            value=f"cvxpy:{name}",
            allowed=", ".join(f"cvxpy:{s}" for s in known),
            remedy=f"choose one of these, or pip install 'ebplan[{INSTALLED_BY[name]}]'"
            if name in INSTALLED_BY
            else "choose one of these, or install another that solves whole numbers to a gap: "
            + ", ".join(SOLVERS),
        )
    options = _options(name, time_limit_s)
    problem, x = _state(program)
    _run(problem, name, options)
    if problem.status == cp.INFEASIBLE and name == "HIGHS":
        # A problem is always feasible; presolve calls some of them infeasible (solvers/highs.py).
        _run(problem, name, {**options, "presolve": "off"})
    # cvxpy reports zeros as a value when a limit is hit before a feasible point is known.
    if not _is_proven(problem, name) or x.value is None:
        raise NoPlanError(f"{name} through cvxpy found no proven plan: {problem.status}")
    point = np.array(x.value)
    point[program.integer] = np.round(point[program.integer])
    objective = float(problem.value)
    # These solvers end at the gap that was asked for: the bound follows from it.
    bound = objective - GAP * abs(objective) if program.integer.any() else objective
    return Solution(
        x=point,
        objective=objective,
        bound=bound,
        seconds=float(problem.solver_stats.solve_time or 0.0),
        nodes=0,
    )


GAP = 0.5 * OPTIMAL_GAP
"""Relative gap asked of the solver."""
SOLVERS = ("HIGHS", "SCIP", "SCIPY")
"""Solvers of whole numbers that are told the gap; any other's "optimal" would prove nothing."""
INSTALLED_BY = {"SCIP": "scip"}
"""The extra that brings a solver which cvxpy does not."""


def _run(problem: Any, name: str, options: dict[str, object]) -> None:
    """Solve, and keep to ourselves what cvxpy warns of: ``_is_proven`` asks the solver.

    Raises:
        NoPlanError: the solver failed, or ended with no point in hand.
    """
    import cvxpy as cp

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
        try:
            problem.solve(solver=name, **options)
        except cp.error.SolverError:
            raise NoPlanError(f"{name} through cvxpy ended without a plan") from None


def _is_proven(problem: Any, name: str) -> bool:
    """Tell whether the solver ended at the gap asked for.

    At its gap SCIP says "gaplimit", which cvxpy calls inaccurate, as it does an end of time; only
    SCIP's own word tells the two apart.
    """
    import cvxpy as cp

    if name == "SCIP" and problem.status == cp.OPTIMAL_INACCURATE:
        stats = problem.solver_stats.extra_stats or {}
        return bool(stats.get("scip_status") == "gaplimit")
    return bool(problem.status == cp.OPTIMAL)


def _state(program: Program) -> tuple[Any, Any]:
    """State the program in cvxpy; return its problem and its variable.

    The constant stands at a column that is 1. cvxpy keeps one to itself, and a solver would then
    take its relative gap of an objective without it: of thousands, where the money is a few.
    """
    import cvxpy as cp
    from scipy.sparse import csr_array

    integer = np.flatnonzero(program.integer)
    x = cp.Variable(program.n_columns, integer=(integer,) if len(integer) else False)
    matrix = csr_array(
        (program.entry_value, program.entry_column, program.row_start),
        shape=(program.n_rows, program.n_columns),
    )
    equal = program.row_lower == program.row_upper
    at_most = np.isfinite(program.row_upper) & ~equal
    at_least = np.isfinite(program.row_lower) & ~equal
    one = cp.Variable()
    constraints = [
        one == 1.0,
        x >= program.lower,
        x <= program.upper,
        matrix[equal] @ x == program.row_upper[equal],
        matrix[at_most] @ x <= program.row_upper[at_most],
        matrix[at_least] @ x >= program.row_lower[at_least],
    ]
    return cp.Problem(cp.Minimize(program.cost @ x + program.constant * one), constraints), x


def _options(name: str, time_limit_s: float | None) -> dict[str, object]:
    """Return the options in the solver's own words."""
    if name == "SCIP":
        limit = {} if time_limit_s is None else {"limits/time": time_limit_s}
        return {"scip_params": {"limits/gap": GAP, **limit}}
    options: dict[str, object] = {"mip_rel_gap": GAP}
    if time_limit_s is not None:
        options["time_limit"] = time_limit_s
    return options if name == "HIGHS" else {"scipy_options": options}
