"""One program, several doors: each solver and each way of finding a plan tells the same story."""

from __future__ import annotations

import re
from pathlib import Path

import highspy
import numpy as np
import pytest
from random_problems import ABSORBS_FROM, random_problem
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from ebplan.errors import InputError
from ebplan.solvers import cvxpy_door, highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.program import Program

SEEDS = [*range(5), *range(ABSORBS_FROM, ABSORBS_FROM + 3)]


@pytest.mark.parametrize("solver", ["HIGHS", "SCIPY"])
@pytest.mark.parametrize("seed", SEEDS)
def test_cvxpy_finds_the_same_optimum(seed: int, solver: str) -> None:
    program = formulate(random_problem(seed)).program
    direct = highs.solve(program, gap=1e-6)
    door = cvxpy_door.solve(program, solver=solver)
    assert direct.bound is not None
    assert door.bound is not None
    assert door.bound <= direct.objective + 1e-6
    assert direct.bound <= door.objective + 1e-6
    assert worst_violation(program, door.x) < 1e-5


@pytest.mark.parametrize("seed", SEEDS)
def test_scipy_finds_the_same_optimum(seed: int) -> None:
    program = formulate(random_problem(seed)).program
    matrix = csr_array(
        (program.entry_value, program.entry_column, program.row_start),
        shape=(program.n_rows, program.n_columns),
    )
    answer = milp(
        program.cost,
        constraints=LinearConstraint(matrix, program.row_lower, program.row_upper),
        bounds=Bounds(program.lower, program.upper),
        integrality=program.integer.astype(int),
        options={"mip_rel_gap": 1e-6},
    )
    direct = highs.solve(program, gap=1e-6)
    assert answer.fun is not None
    assert answer.fun + program.constant == pytest.approx(direct.objective, rel=1e-5, abs=1e-5)


def test_a_solver_that_is_not_installed_is_refused() -> None:
    program = formulate(random_problem(0)).program
    with pytest.raises(InputError, match="cvxpy:HIGHS"):
        cvxpy_door.solve(program, solver="CPLEX_OF_THE_NEIGHBOUR")


@pytest.mark.parametrize("solver", ["HIGHS", "SCIPY"])
def test_a_time_limit_is_passed_on_in_the_solver_s_words(solver: str) -> None:
    program = formulate(random_problem(0)).program
    in_time = cvxpy_door.solve(program, solver=solver, time_limit_s=60.0)
    assert in_time.objective == pytest.approx(highs.solve(program).objective, rel=2e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lp_file_holds_the_same_problem(seed: int, tmp_path: Path) -> None:
    program = formulate(random_problem(seed)).program
    path = tmp_path / "program.lp"
    highs.write_lp(program, path)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", 1e-6)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
    solver.run()
    read = solver.getInfo().objective_function_value
    assert read == pytest.approx(highs.solve(program, gap=1e-6).objective, rel=1e-5, abs=1e-5)
    written = [solver.getRowName(i)[1] for i in range(solver.getNumRow())]
    # The LP format knows no row with two limits: it stands there twice.
    names = {re.sub(r"\)(lo|up)$", ")", name) for name in written}
    assert names == {name.replace("[", "(").replace("]", ")") for name in program.row_names()}
    assert "pool_0.awake_balance(0)" in names


@pytest.mark.parametrize("seed", SEEDS)
def test_the_solution_satisfies_every_row_and_bound(seed: int) -> None:
    program = formulate(random_problem(seed)).program
    assert worst_violation(program, highs.solve(program).x) < 1e-5


def test_a_known_point_is_never_made_worse() -> None:
    program = formulate(random_problem(3)).program
    best = highs.solve(program, gap=1e-6)
    again = highs.solve(program, start=best.x, time_limit_s=1e-3)
    assert again.objective <= best.objective + 1e-6


def worst_violation(program: Program, x: np.ndarray) -> float:
    """Return how far a point lies outside the rows and bounds at worst."""
    activity = program.activity(x)
    beyond = [
        program.row_lower - activity,
        activity - program.row_upper,
        program.lower - x,
        x - program.upper,
    ]
    return float(np.concatenate(beyond).max())
