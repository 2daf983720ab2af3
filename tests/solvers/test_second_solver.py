"""A second solver of whole numbers, through cvxpy: the same plans as HiGHS, proven as honestly."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path

import pytest

from ebplan.case import load_case
from ebplan.errors import InputError, NoPlanError
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers import cvxpy_door, highs
from ebplan.solvers.formulation import formulate

EXAMPLES = Path(__file__).parents[2] / "examples"
HAS_SCIP = find_spec("pyscipopt") is not None
needs_scip = pytest.mark.skipif(
    not HAS_SCIP, reason="SCIP is not installed: pip install 'ebplan[scip]'"
)
SOLVERS = ["HIGHS", "SCIPY", pytest.param("SCIP", marks=needs_scip)]
TRIED_ON = ["under_frequency", "curtailment_3h"]


@functools.cache
def example(name: str) -> Problem:
    case = load_case(EXAMPLES / f"{name}.json")
    return pose(case.event, case.site, case.state)


@needs_scip
@pytest.mark.parametrize("name", TRIED_ON)
def test_scip_plans_an_example_as_highs_does(name: str) -> None:
    problem = example(name)
    direct = solve_problem(problem)
    other = solve_problem(problem, method="cvxpy", solver="SCIP")
    assert other.status == "optimal"
    assert other.check.ok
    assert other.objective == pytest.approx(direct.objective, rel=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", TRIED_ON)
def test_a_bound_through_cvxpy_lies_below_every_plan(name: str, solver: str) -> None:
    # energy at the baseline is a constant of hundreds, where the plan costs a few
    program = formulate(example(name)).program
    found = cvxpy_door.solve(program, solver=solver)
    best = highs.solve(program, gap=1e-7)
    assert found.bound is not None
    assert found.bound <= best.objective + 1e-6 * abs(best.objective)
    assert found.objective <= best.objective + 6e-4 * abs(best.objective)


@needs_scip
def test_a_limit_of_time_is_no_proof() -> None:
    program = formulate(example("under_frequency")).program
    with pytest.raises(NoPlanError, match="SCIP through cvxpy"):
        cvxpy_door.solve(program, solver="SCIP", time_limit_s=1e-3)


@pytest.mark.skipif(HAS_SCIP, reason="SCIP is installed")
def test_a_solver_that_an_extra_brings_is_asked_for_by_its_name() -> None:
    program = formulate(example("under_frequency")).program
    with pytest.raises(InputError, match=r"pip install 'ebplan\[scip\]'"):
        cvxpy_door.solve(program, solver="SCIP")
