"""The loss held exactly: nothing is burnt in it, and only where a plan needs it for its proof."""

from __future__ import annotations

import numpy as np
import pytest
import small_problems as small
from random_problems import ABSORBS_FROM, EITHER_WAY_FROM, random_problem

from ebplan.models import kernel
from ebplan.planner import solve_problem
from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.blocks.battery import loss_lines, loss_parts
from ebplan.solvers.formulation import formulate
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.search import carried_over, losses_to_hold, objective, settle


def filling_up() -> Problem:
    """Return an absorb of 1.5 kW for an hour into room that ends at 1.25 kW.

    Rated 2 kW, touched at 1.25 kW: loss 0.02 x 1.25^2 / 2 = 0.015625 kW, so 1.234375 kWh reach the
    cells; 0.25 kWh of the 1.5 asked miss, at 100.
    """
    cells = small.battery(start_kwh=2.0 - 1.234375, charge_limit_kw=2.0, loss_quadratic=0.02)
    return small.problem(absorb_kw=1.5, battery=cells, prices=small.prices(shortfall_per_kwh=100.0))


def test_the_parts_of_the_loss_are_its_lines() -> None:
    battery = filling_up().battery
    assert battery is not None
    widths, slopes = loss_parts(battery)
    assert widths.sum() == pytest.approx(2.0)
    for power_kw in np.linspace(0.0, 2.0, 41):
        filled = np.clip(power_kw - np.r_[0.0, np.cumsum(widths)[:-1]], 0.0, widths)
        line = max(slope * power_kw + above for slope, above in loss_lines(battery))
        assert slopes @ filled == pytest.approx(line, abs=1e-12)


def test_held_exactly_a_full_battery_burns_nothing() -> None:
    problem = filling_up()
    loose, held = formulate(problem), formulate(problem, exact_loss=(0,))
    burns = highs.solve(loose.program).x
    assert losses_to_hold(problem, loose, burns) == [0]
    assert highs.solve(loose.program).objective < 24.9
    exact = highs.solve(held.program)
    assert exact.objective == pytest.approx(25.0)
    assert losses_to_hold(problem, held, exact.x) == []


def test_a_plan_that_fills_the_battery_is_proven() -> None:
    plan = solve_problem(filling_up())
    assert plan.status == "optimal"
    assert plan.cost["shortfall"] == pytest.approx(25.0)


def test_binaries_stand_only_where_they_are_asked_for() -> None:
    problem = filling_up()
    names = {group.name for group in formulate(problem).program.columns}
    assert not any(name.startswith("loss_") for name in names)


def points(seed: int) -> tuple[Problem, list[int]]:
    problem = random_problem(seed)
    return problem, list(range(problem.grid.n_steps))


SEEDS = [first + i for first in (0, ABSORBS_FROM, EITHER_WAY_FROM) for i in range(12)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_known_plan_is_a_point_of_the_exact_program(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same money, and no cheaper than the optimum of either program; the exact one is dearer.
    monkeypatch.setattr(kernel, "NEGLIGIBLE_WEIGHT", 0.0)
    problem, steps = points(seed)
    loose, exact = formulate(problem), formulate(problem, exact_loss=steps)
    solution = highs.solve(loose.program, gap=1e-6)
    x = settle(problem, loose, solution.x)
    carried = carried_over(problem, loose, x, exact)
    assert objective(exact, carried) == pytest.approx(objective(loose, x), abs=1e-6)
    activity = exact.program.activity(carried)
    for group in exact.program.rows:
        if group.name.startswith("loss_"):
            rows = slice(group.start, group.start + group.size)
            assert (activity[rows] >= exact.program.row_lower[rows] - 1e-9).all()
            assert (activity[rows] <= exact.program.row_upper[rows] + 1e-9).all()
    best = highs.solve(exact.program, gap=1e-6).objective
    moved = sum(map(abs, loose.program.cost_by_cause(solution.x).values()))
    assert best >= solution.objective - 1e-5 * moved - 1e-6
    assert merit_order(problem, exact).shape == (exact.program.n_columns,)
