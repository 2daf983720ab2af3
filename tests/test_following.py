"""A plan made from where another plan has come to is the rest of that plan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ebplan import load_case
from ebplan.event import Baseline
from ebplan.following import rest_of_grid, state_at
from ebplan.plan import Plan
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.timegrid import TimeGrid

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ("under_frequency", "curtailment_3h", "surplus_absorb", "mixed_pools")


def planned(name: str) -> tuple[Problem, Plan, Callable[[float], Plan]]:
    case = load_case(EXAMPLES / f"{name}.json")
    problem = pose(case.event, case.site, case.state)
    fixed = Baseline(rule="fixed", kw=problem.baseline_kw[0])
    event = case.event.model_copy(update={"baseline": fixed})
    plan = solve_problem(problem)

    def rest_from(elapsed_s: float) -> Plan:
        state = state_at(problem, plan, elapsed_s)
        grid = rest_of_grid(problem.grid, elapsed_s)
        return solve_problem(pose(event, case.site, state, grid=grid))

    return problem, plan, rest_from


@pytest.mark.parametrize("name", NAMES)
def test_with_a_perfect_forecast_the_rest_is_the_rest_of_the_one_shot_plan(name):
    problem, plan, rest_from = planned(name)
    during = [t for t in problem.grid.epoch_starts_s.tolist() if 0.0 < t < problem.event_end_s]
    for elapsed_s in (during[len(during) // 3], during[2 * len(during) // 3]):
        rest = rest_from(elapsed_s)
        assert rest.check.ok
        tail = plan.steps[-len(rest.steps) :]
        for field in ("grid_kw", "compute_kw", "battery_kw", "soc"):
            expected = np.array([getattr(step, field) for step in tail])
            found = np.array([getattr(step, field) for step in rest.steps])
            # what a truncated kernel folds away lies below a ten-thousandth of the draw
            assert found == pytest.approx(expected, abs=2e-4), (field, elapsed_s)
        assert [step.shortfall_kw for step in rest.steps] == pytest.approx(
            [step.shortfall_kw for step in tail], abs=1e-6
        )


def test_a_rest_between_two_epochs_still_passes_the_check():
    _, _, rest_from = planned("under_frequency")
    assert rest_from(22.3).check.ok


def test_what_is_on_its_way_is_what_the_draw_lies_from_where_it_settles():
    problem, plan, _ = planned("under_frequency")
    at_s = problem.grid.epoch_starts_s[6]
    state = state_at(problem, plan, float(at_s))
    (pool,) = state.pools.values()
    assert {part.time_constant_s for part in pool.settling} == {0.4, 8.0}
    # of what drains, exp(-t / 8 s) is left: some of it, and no more than one instance holds
    slow_kw = next(part.kw for part in pool.settling if part.time_constant_s == 8.0)
    assert 0.0 < slow_kw < problem.pools[0].full_kw - problem.pools[0].drained_kw


def test_nothing_is_left_of_a_grid_that_has_ended():
    grid = TimeGrid(edges_s=(0.0, 1.0, 2.0), epoch_steps=(0,))
    assert rest_of_grid(grid, 0.5).edges_s == (0.0, 0.5, 1.5)
    with pytest.raises(ValueError, match="ends after 2 s"):
        rest_of_grid(grid, 2.0)
