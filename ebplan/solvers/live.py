"""A linear program that stays in HiGHS: vectors are written in place, entries never change.

Made for a year of half-hours: the same rows and columns are asked thousands of times with other
prices, bounds and right-hand sides, each time from the basis of the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from ebplan.errors import NoPlanError
from ebplan.solvers.highs import load
from ebplan.solvers.program import FloatArray, Program


@dataclass(frozen=True)
class LiveOptimum:
    """The optimum of what was asked."""

    x: FloatArray
    """Shape (n,)."""
    objective: float


class LiveProgram:
    """A program without integers, live in HiGHS.

    Args:
        program: rows, columns and entries, with the first vectors.
        method: ``simplex`` starts from the last basis; ``ipm`` is faster for one large program.
    """

    def __init__(self, program: Program, *, method: str = "simplex") -> None:
        self.program = program
        self._solver = load(program, {"solver": method}, relaxed=True)
        self._columns = np.arange(program.n_columns, dtype=np.int32)
        self._rows = np.arange(program.n_rows, dtype=np.int32)

    def optimum(
        self,
        *,
        cost: FloatArray,
        lower: FloatArray,
        upper: FloatArray,
        row_lower: FloatArray,
        row_upper: FloatArray,
    ) -> LiveOptimum:
        """Return the least cost with these vectors in place of the last.

        Raises:
            NoPlanError: there is no feasible point, or HiGHS finds none.
        """
        solver, n, m = self._solver, len(self._columns), len(self._rows)
        solver.changeColsCost(n, self._columns, cost)
        solver.changeColsBounds(n, self._columns, lower, upper)
        solver.changeRowsBounds(m, self._rows, row_lower, row_upper)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            solver.clearSolver()  # the basis to start from may be at fault: once more from nothing
            solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            status = solver.modelStatusToString(solver.getModelStatus())
            raise NoPlanError(f"HiGHS found no optimum of the study's program: {status}")
        return LiveOptimum(
            x=np.array(solver.getSolution().col_value),
            objective=float(solver.getInfo().objective_function_value),
        )
