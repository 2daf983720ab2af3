"""One part as a live linear program: prices in; cost, profile and point out.

Only costs and bounds change between two questions, so that each starts from the last basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from ebplan.errors import NoPlanError
from ebplan.solvers.highs import OPTIONS
from ebplan.solvers.parts import Part
from ebplan.solvers.program import FloatArray

PRIMAL_SIMPLEX = 4
"""HiGHS's number of it: for programs whose last basis stays primal feasible."""


@dataclass(frozen=True)
class Answer:
    """What a part does at given prices."""

    value: float
    """Its cost less what its profile is paid: no point of it has less."""
    cost: float
    profile: FloatArray
    """Shape (L,)."""
    x: FloatArray
    """Shape (n,)."""


class PartSolver:
    """The linear relaxation of a part, live in HiGHS."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self._solver = load(part)
        self._columns = np.arange(part.n_columns, dtype=np.int32)

    def answer(self, prices: FloatArray) -> Answer:
        """Return the best answer to the prices of the coupling rows, shape (L,).

        Raises:
            NoPlanError: the part has no feasible point, or HiGHS finds none.
        """
        cost = self.part.priced(prices)
        self._solver.changeColsCost(len(cost), self._columns, cost)
        x, _, value = optimum(self._solver, "a part")
        return answer_at(self.part, x, value)


def answer_at(part: Part, x: FloatArray, value: float) -> Answer:
    """Return a point of a part as an answer."""
    return Answer(value=value, cost=float(part.cost @ x), profile=part.profile(x), x=x)


def optimum(solver: Any, what: str) -> tuple[FloatArray, FloatArray, float]:
    """Return point, row duals and value of a live linear program's optimum.

    Raises:
        NoPlanError: there is none, or HiGHS finds none.
    """
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        solver.clearSolver()  # the basis to start from may be at fault: once more from nothing
        solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        status = solver.modelStatusToString(solver.getModelStatus())
        raise NoPlanError(f"HiGHS found no optimum of {what}: {status}")
    solution = solver.getSolution()
    value = float(solver.getInfo().objective_function_value)
    return np.array(solution.col_value), np.array(solution.row_dual), value


def load(part: Part) -> Any:
    """Return a part, without its coupling rows, as a linear program in HiGHS.

    Raises:
        NoPlanError: HiGHS refuses it.
    """
    solver = highspy.Highs()
    for option, value in OPTIONS.items():
        solver.setOptionValue(option, value)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = part.n_columns, part.n_rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = part.cost, part.lower, part.upper
    lp.row_lower_, lp.row_upper_ = part.row_lower, part.row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = part.n_columns, part.n_rows
    lp.a_matrix_.start_ = part.rows.start
    lp.a_matrix_.index_ = part.rows.column
    lp.a_matrix_.value_ = part.rows.value
    if solver.passModel(lp) == highspy.HighsStatus.kError:
        raise NoPlanError("HiGHS refused the model of a part")
    return solver
