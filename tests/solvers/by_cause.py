"""What the optimum of a small problem costs, by cause, next to what paper says."""

from __future__ import annotations

import pytest

from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate


def cost(problem: Problem) -> dict[str, float]:
    """Return the money by cause at the optimum, without the causes that are zero."""
    program = formulate(problem).program
    solution = highs.solve(program, gap=1e-6)
    by_cause = program.cost_by_cause(solution.x)
    assert sum(by_cause.values()) == pytest.approx(solution.objective, abs=1e-6)
    return {cause: money for cause, money in by_cause.items() if abs(money) > 1e-3}


def approx(**money: float) -> object:
    """Return what compares equal to these amounts by cause, and to no other cause."""
    return pytest.approx(money, rel=1e-4, abs=2e-3)
