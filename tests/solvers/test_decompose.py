"""Plans by pools: points of the whole program, no better than its optimum, that pass the check."""

from __future__ import annotations

from time import monotonic

import numpy as np
import pytest
from many_pools import many_pools
from random_problems import ABSORBS_FROM, EITHER_WAY_FROM

from benchmarks.mixed import mixed
from benchmarks.scaling import scaled
from benchmarks.subjects import example
from ebplan.case import Case
from ebplan.checker import check_plan
from ebplan.errors import NoPlanError
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers import decompose as by_pools
from ebplan.solvers import highs
from ebplan.solvers.decompose import Decomposed, solve_by_pools
from ebplan.solvers.extract import extract_plan
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.parts import cut, owners
from ebplan.solvers.pilot import MOST_SAMPLED
from ebplan.solvers.program import FloatArray, Program
from ebplan.solvers.relaxation import relax
from ebplan.solvers.search import gap_of, objective, peaks_to_watch, settle
from ebplan.solvers.whole_counts import Try, turns

pytestmark = pytest.mark.slow

SEEDS = [
    (pools, first + i)
    for first in (0, ABSORBS_FROM, EITHER_WAY_FROM)
    for i, pools in enumerate([2, 3, 5, 8, MOST_SAMPLED + 2])
]


def planned(problem: Problem, **options: float) -> tuple[Formulation, Decomposed]:
    formulation = formulate(problem)
    return formulation, solve_by_pools(formulation, [p.name for p in problem.pools], **options)


def assert_point(program: Program, x: FloatArray) -> None:
    activity = program.activity(x)
    scale = 1e-6 * (1.0 + np.abs(activity))
    assert (activity >= program.row_lower - scale).all()
    assert (activity <= program.row_upper + scale).all()
    assert (x >= program.lower - 1e-6).all()
    assert (x <= program.upper + 1e-6).all()
    assert np.array_equal(x[program.integer], np.round(x[program.integer]))


@pytest.mark.parametrize(("pools", "seed"), SEEDS)
def test_a_plan_by_pools_is_a_point_of_the_whole(pools: int, seed: int) -> None:
    formulation, found = planned(many_pools(pools, seed))
    program = formulation.program
    best = highs.solve(program, time_limit_s=20.0)
    assert best.bound is not None
    assert found.bound is not None
    assert_point(program, found.x)
    assert found.objective == pytest.approx(float(program.cost @ found.x) + program.constant)
    slack = 1e-6 * max(abs(best.objective), 1.0)
    assert found.bound <= best.objective + slack
    assert found.objective >= best.bound - slack


@pytest.mark.parametrize("seed", range(4))
def test_where_pools_answer_unlike_each_other_it_is_one_as_well(seed: int) -> None:
    formulation, found = planned(many_pools(3, seed, alike=False))
    assert_point(formulation.program, found.x)


MANY = {
    "alike": lambda: scaled(example("under_frequency"), instances=100, pools=10),
    "3 h": lambda: scaled(example("curtailment_3h"), instances=64, pools=MOST_SAMPLED + 3),
    "mixed": lambda: mixed(example("mixed_pools"), instances=100, pools=10),
    "small and mixed": lambda: mixed(example("mixed_pools"), instances=8, pools=5),
    "many and mixed": lambda: mixed(example("mixed_pools"), instances=100, pools=30),
}


def posed(case: Case) -> Problem:
    return pose(case.event, case.site, case.state)


@pytest.mark.parametrize("name", MANY)
def test_its_plan_passes_the_check(name: str) -> None:
    problem = posed(MANY[name]())
    watched: list[float] = []
    for _ in range(10):
        formulation = formulate(problem, instants_s=watched)
        found = solve_by_pools(formulation, [p.name for p in problem.pools])
        more = peaks_to_watch(problem, formulation, found.x)
        if not more:
            break
        watched += more
    x = settle(problem, formulation, found.x)
    gap = gap_of(formulation, x, found.bound)
    assert found.bound is not None
    bound = min(found.bound, objective(formulation, x))
    plan = extract_plan(problem, formulation, x, status="gap", bound=bound, gap=gap)
    assert check_plan(problem, plan).violations == ()


@pytest.mark.parametrize("name", ["alike", "mixed"])
def test_a_thousand_instances_cost_next_to_what_the_optimum_costs(name: str) -> None:
    """The optimum costs no less than the bound: within 0.3 % of that is within 0.3 % of it."""
    _, found = planned(posed(MANY[name]()))
    assert found.bound is not None
    assert found.objective - found.bound <= 3e-3 * abs(found.objective)


def test_what_rounding_leaves_the_next_pool_makes_up_for() -> None:
    problem = posed(MANY["alike"]())
    formulation = formulate(problem)
    names = [pool.name for pool in problem.pools]
    parts = cut(formulation.program, owners(formulation.program.columns, names), len(names))
    orders = [turns(formulation, p, part) for p, part in enumerate(parts.pools)]
    relaxation = relax(parts)
    points = by_pools.whole_points(parts, orders, relaxation, Try(short=3.0, beyond=3.0))
    missed = [
        part.profile(relaxed) - part.profile(point)
        for part, relaxed, point in zip(parts.pools, relaxation.points, points, strict=True)
    ]
    together, apart = np.abs(np.sum(missed, axis=0)), np.sum(np.abs(missed), axis=0)
    assert apart.max() > 1.0
    assert together.sum() < 0.2 * apart.sum()


def test_where_energy_is_paid_for_the_other_whole_numbers_are_settled_too() -> None:
    """Draining in name only is kept off by binaries, which rounding counts leaves to branching."""
    problem = many_pools(6, 1)
    prices = problem.prices.model_copy(update={"energy_per_kwh": -5.0})
    problem = problem.model_copy(update={"prices": prices})
    formulation, found = planned(problem)
    assert any("not_drained" in group.name for group in formulation.program.columns)
    assert_point(formulation.program, found.x)


def test_where_no_rounding_is_feasible_a_pool_is_branched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ebplan.solvers.whole_counts._rounded_sums", lambda *_: iter(()))
    formulation, found = planned(many_pools(3, 1))
    assert_point(formulation.program, found.x)


def test_a_further_try_never_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = posed(scaled(example("under_frequency"), instances=4, pools=4))
    _, tried = planned(problem)
    assert tried.tries > 1
    first_try = by_pools.TRIES_OF_SMALL_POOLS[0]
    monkeypatch.setattr(by_pools, "_tries", lambda *_: (first_try,))
    _, first = planned(problem)
    assert first.tries == 1
    assert tried.objective <= first.objective + 1e-9


def test_a_deadline_that_has_passed_leaves_no_whole_numbers() -> None:
    with pytest.raises(NoPlanError, match="only the relaxation"):
        planned(many_pools(3, 1), until=monotonic())


def test_a_deadline_ahead_is_kept_with_a_proof() -> None:
    formulation, found = planned(many_pools(3, 1), until=monotonic() + 60.0)
    assert found.bound is not None
    assert found.bound <= found.objective
    assert_point(formulation.program, found.x)
    assert sum(found.seconds_of.values()) == pytest.approx(found.seconds)
