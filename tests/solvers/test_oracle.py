"""The formulation against an independent statement, instance by instance."""

from __future__ import annotations

import oracle
import pytest
from random_problems import random_problem

from ebplan.models import kernel
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate

CHUNKS = [range(first, first + 10) for first in range(0, 100, 10)]


@pytest.fixture
def whole_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every weight of the kernels: the oracle simulates the lag without cutting its tail."""
    monkeypatch.setattr(kernel, "NEGLIGIBLE_WEIGHT", 0.0)


@pytest.mark.usefixtures("whole_kernels")
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds_{seeds[0]}_to_{seeds[-1]}")
def test_same_optimum_instance_by_instance(seeds: range) -> None:
    apart = {}
    for seed in seeds:
        problem = random_problem(seed)
        program = formulate(problem).program
        solution = highs.solve(program, gap=1e-6)
        moved = sum(abs(money) for money in program.cost_by_cause(solution.x).values())
        difference = solution.objective - oracle.optimum(problem)
        if abs(difference) > 1e-5 * moved + 1e-6:
            apart[seed] = difference / moved
    assert not apart
