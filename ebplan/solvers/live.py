"""A linear program that stays in HiGHS: vectors are written in place, entries never change.

Made for a year of half-hours: the same rows and columns are asked thousands of times with other
prices, bounds and right-hand sides, each time from the basis of the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import highspy
import numpy as np
from numpy.typing import NDArray

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
        self._cost = program.cost
        self._bounds = (program.lower, program.upper)
        self._row_bounds = (program.row_lower, program.row_upper)

    def optimum(
        self,
        *,
        cost: FloatArray | None = None,
        lower: FloatArray | None = None,
        upper: FloatArray | None = None,
        row_lower: FloatArray | None = None,
        row_upper: FloatArray | None = None,
    ) -> LiveOptimum:
        """Return the least cost with these vectors in place of the last; None leaves one as it is.

        Raises:
            NoPlanError: there is no feasible point, or HiGHS finds none.
        """
        solver = self._solver
        self._write(cost, lower, upper, row_lower, row_upper)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            solver.clearSolver()  # the basis to start from may be at fault: once more from nothing
            solver.run()
            if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                status = solver.modelStatusToString(solver.getModelStatus())
                raise NoPlanError(f"HiGHS found no optimum of the study's program: {status}")
        x = np.array(solver.getSolution().col_value)
        return LiveOptimum(x=x, objective=float(solver.getObjectiveValue()))

    def _write(
        self,
        cost: FloatArray | None,
        lower: FloatArray | None,
        upper: FloatArray | None,
        row_lower: FloatArray | None,
        row_upper: FloatArray | None,
    ) -> None:
        """Hand over what is not what it was: of a window's bounds few change."""
        solver = self._solver
        if cost is not None:
            at = _changed(cost != self._cost)
            solver.changeColsCost(len(at), at, cost[at])
            self._cost = cost.copy()
        if lower is not None or upper is not None:
            self._bounds = _handed(self._bounds, lower, upper, solver.changeColsBounds)
        if row_lower is not None or row_upper is not None:
            self._row_bounds = _handed(
                self._row_bounds, row_lower, row_upper, solver.changeRowsBounds
            )


def _handed(
    known: tuple[FloatArray, FloatArray],
    lower: FloatArray | None,
    upper: FloatArray | None,
    change: Callable[..., object],
) -> tuple[FloatArray, FloatArray]:
    """Hand over bounds that are not what is known; return what is known from now on."""
    low = known[0] if lower is None else lower.copy()
    high = known[1] if upper is None else upper.copy()
    at = _changed((low != known[0]) | (high != known[1]))
    change(len(at), at, low[at], high[at])
    return low, high


def _changed(is_other: NDArray[np.bool_]) -> NDArray[np.int32]:
    return is_other.nonzero()[0].astype(np.int32)
