"""Targets followed both ways, prices over time, and energy to restore: against an oracle."""

from __future__ import annotations

import oracle
import pytest
from oracle_either_way import burning_is_paid
from random_problems import EITHER_WAY_FROM, random_problem

from ebplan.models import kernel
from ebplan.planner import solve_problem
from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.blocks.battery import burning_pays
from ebplan.solvers.formulation import formulate
from ebplan.solvers.search import fixed_ways

pytestmark = pytest.mark.slow

SEEDS = [range(EITHER_WAY_FROM + first, EITHER_WAY_FROM + first + 10) for first in range(0, 80, 10)]


@pytest.fixture
def whole_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every weight of the kernels: the oracle simulates the lag without cutting its tail."""
    monkeypatch.setattr(kernel, "NEGLIGIBLE_WEIGHT", 0.0)


def bound_and_plan(problem: Problem) -> tuple[float, float, float]:
    """Return the relaxation's optimum, that with fixed directions, and the money moved."""
    formulation = formulate(problem)
    relaxed = highs.solve(formulation.program, gap=1e-6)
    costs = formulation.program.cost_by_cause(relaxed.x)
    ways = fixed_ways(problem, formulation, relaxed.x)
    fixed = relaxed.objective
    if ways is not None:
        fixed = highs.solve(formulate(problem, ways=ways).program, gap=1e-6).objective
    return relaxed.objective, fixed, sum(map(abs, costs.values()))


@pytest.mark.usefixtures("whole_kernels")
@pytest.mark.parametrize("seeds", SEEDS, ids=lambda s: f"seeds_{s[0]}_to_{s[-1]}")
def test_the_optimum_with_true_directions_lies_between_bound_and_plan(seeds: range) -> None:
    # Where the relaxation works one way at a time, all three are one.
    apart = {}
    for seed in seeds:
        problem = random_problem(seed)
        lower, upper, moved = bound_and_plan(problem)
        best, allowed = oracle.optimum(problem), 1e-5 * moved + 1e-6
        if not lower - allowed <= best <= upper + allowed:
            apart[seed] = (lower, best, upper)
    assert not apart


def test_these_problems_show_what_they_are_for() -> None:
    # What is never drawn is never tested.
    seen = dict.fromkeys(("gives", "takes", "runs", "fixed", "restored", "short"), 0)
    for seed in (seed for seeds in SEEDS for seed in seeds):
        problem = random_problem(seed)
        formulation = formulate(problem)
        x = highs.solve(formulation.program).x
        columns = formulation.battery
        names = {group.name for group in formulation.program.columns}
        seen["short"] += bool(x[formulation.connection.shortfall].max(initial=0.0) > 1e-6)
        if columns is not None:
            seen["gives"] += bool(x[columns.discharge].max() > 1e-6)
            seen["takes"] += bool(x[columns.charge].max() > 1e-6)
            seen["runs"] += "discharging" in names
            seen["fixed"] += fixed_ways(problem, formulation, x) is not None
            seen["restored"] += "soc_missing" in names
    assert seen.pop("fixed") >= 3, seen
    assert min(seen.values()) >= 10, seen


@pytest.mark.parametrize("seed", range(EITHER_WAY_FROM, EITHER_WAY_FROM + 40))
def test_every_plan_passes_the_check_with_and_without_a_solver(seed: int) -> None:
    problem = random_problem(seed)
    plan = solve_problem(problem)
    assert plan.status in ("optimal", "gap")
    assert solve_problem(problem, method="merit_order").check.ok


@pytest.mark.parametrize("seed", range(EITHER_WAY_FROM, EITHER_WAY_FROM + 40))
def test_burning_is_told_alike(seed: int) -> None:
    problem = random_problem(seed)
    if problem.battery is None:
        return
    for price in (-200.0, -60.0, -6.0, 0.0, 15.0):
        assert bool(burning_pays(problem.battery, price)) == burning_is_paid(problem.battery, price)
