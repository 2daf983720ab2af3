"""Mechanisms left out: what is free to decide is gone, what cannot be avoided stays."""

from __future__ import annotations

import numpy as np
import pytest
import small_problems as small
from random_problems import ABSORBS_FROM, random_problem, random_problem_without

from benchmarks.subjects import example
from ebplan.errors import InputError
from ebplan.mechanisms import MECHANISMS
from ebplan.planner import Planner, solve_problem
from ebplan.pose import pose
from ebplan.problem import DeferralProblem, PoolProblem, Problem
from ebplan.solvers import highs
from ebplan.solvers.blocks.lens import load_lines, natural_draw_kw
from ebplan.solvers.formulation import formulate
from ebplan.solvers.leave_out import SWITCHES, available, leave_out

pytestmark = pytest.mark.slow

SEEDS = [*range(25), *range(ABSORBS_FROM, ABSORBS_FROM + 25)]


def posed(name: str) -> Problem:
    case = example(name)
    return pose(case.event, case.site, case.state)


def busy_pool(**changes: object) -> PoolProblem:
    """Three instances at work, one drained, with load for two."""
    numbers = {
        "active_at_start": 3,
        "drained_at_start": 1,
        "classes": (
            small.requests(name="chat", load=1.2, max_rejected=0.0),
            small.requests(name="batch", load=0.6, value_per_instance_s=0.01),
        ),
    }
    return small.pool(**numbers | changes)


def test_every_switch_is_a_mechanism() -> None:
    names = [mechanism.name for mechanism in MECHANISMS]
    assert set(SWITCHES) <= set(names)
    assert len(set(names)) == len(names)


def test_an_unknown_mechanism_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="--without: got 'magic'"):
        leave_out(posed("under_frequency"), ["magic"])


def test_what_is_left_out_is_named_and_no_longer_available() -> None:
    problem = posed("under_frequency")
    there = available(problem)
    assert there == ("battery", "consolidation", "sleep", "power_cap", "admission")
    left = leave_out(problem, ["sleep", "battery"])
    assert left.without == ("battery", "sleep")
    assert available(left) == ("consolidation", "power_cap", "admission")
    assert left.digest() != problem.digest()
    assert leave_out(problem, reversed(there)) == leave_out(problem, there)


def test_the_counts_stay_as_they_are() -> None:
    problem = small.problem(pools=(busy_pool(),), release_kw=1.0)
    (pool,) = leave_out(problem, ["consolidation"]).pools
    assert (pool.fewest_active, pool.most_active) == (3, 3)


def test_counts_that_cannot_stay_change_as_far_as_needed() -> None:
    heavy = busy_pool(classes=(small.requests(load=3.0, max_rejected=0.0),))
    light = busy_pool(classes=(small.requests(load=0.25, max_rejected=0.0),))
    (more,) = leave_out(small.problem(pools=(heavy,)), ["consolidation"]).pools
    (fewer,) = leave_out(small.problem(pools=(light,)), ["consolidation"]).pools
    assert (more.fewest_active, more.most_active) == (3, 4)
    assert (fewer.fewest_active, fewer.most_active) == (2, 3)


def test_only_the_load_that_nobody_can_serve_is_turned_away() -> None:
    problem = small.problem(pools=(busy_pool(),))
    (pool,) = leave_out(problem, ["admission"]).pools
    assert [c.max_rejected for c in pool.classes] == [0.0, 0.0]
    full = small.requests(name="chat", load=2.0), small.requests(name="batch", load=3.0)
    (pool,) = leave_out(small.problem(pools=(busy_pool(classes=full),)), ["admission"]).pools
    turned_away = sum(c.max_rejected for c in pool.classes)
    # four instances serve at most 0.9 each, less where the cap curve binds before
    assert 5.0 - 4 * 0.9 <= turned_away < 5.0 - 4 * 0.8


def test_without_a_battery_nothing_is_handed_off() -> None:
    left = leave_out(posed("under_frequency"), ["battery"])
    assert left.battery is None
    assert left.handoff_from_s is None


def test_a_backlog_is_worked_off_but_nothing_is_added_to_it() -> None:
    deferral = DeferralProblem(deadline_s=7200.0, price_per_work_h=1.0, backlog_at_start=100.0)
    classes = (small.requests(load=0.5, deferral=deferral),)
    pool = small.pool(active_at_start=1, drained_at_start=0, classes=classes)
    left = leave_out(small.problem(pools=(pool,), release_kw=0.2), ["deferral"])
    formulation = formulate(left)
    x = highs.solve(formulation.program).x
    assert x[formulation.services[0].deferred["chat"]].tolist() == [pytest.approx(-100.0 / 3600.0)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_problem_without_mechanisms_has_a_plan_and_never_a_cheaper_one(seed: int) -> None:
    without, problem = random_problem_without(seed), random_problem(seed)
    left = highs.solve(formulate(without).program, gap=1e-6)
    pools = zip(without.pools, problem.pools, strict=True)
    if any(load_lines(fewer) != load_lines(pool) for fewer, pool in pools):
        return  # without caps the curve is followed more closely: costs are apart by that as well
    whole = highs.solve(formulate(problem).program, gap=1e-6)
    assert left.objective >= whole.objective - 1e-5 * (1.0 + abs(whole.objective))


@pytest.mark.parametrize("seed", SEEDS)
def test_without_caps_an_instance_draws_what_its_load_makes_it(seed: int) -> None:
    problem = leave_out(random_problem(seed), ["power_cap"])
    formulation = formulate(problem)
    x = highs.solve(formulation.program).x
    for pool, counts, (lens, *_) in zip(
        problem.pools, formulation.counts, formulation.lenses, strict=True
    ):
        active = x[counts.active]
        runs = active > 0.5
        drawn_kw = active[runs] * natural_draw_kw(pool, x[lens.load][runs] / active[runs])
        assert np.abs(x[lens.power][runs] - drawn_kw).max(initial=0.0) < 1e-4


@pytest.mark.parametrize("name", ["under_frequency", "surplus_absorb"])
def test_each_example_has_a_checked_plan_without_each_mechanism(name: str) -> None:
    problem = posed(name)
    whole = solve_problem(problem)
    for mechanism in available(problem):
        plan = solve_problem(problem, without=[mechanism], with_all=whole)
        assert plan.check.ok
        assert plan.status == "optimal"
        assert plan.without == (mechanism,)
        assert plan.objective >= whole.objective - 1e-3 * abs(whole.money)
        assert plan.explanation[0].startswith("Without ")
        if mechanism not in ("battery", "power_cap", "consolidation"):
            assert plan.money == pytest.approx(whole.money, rel=2e-3)


def test_without_caps_the_lines_are_close_enough_for_the_checker() -> None:
    # Down to a hundredth of the load: far outside what the models cover, as allow_extrapolation is.
    wide = busy_pool(min_utilisation=0.02, classes=(small.requests(load=1.7),))
    u = np.linspace(0.02, 0.9, 500)
    drawn_kw = wide.load_curve.power_kw(u)
    coarse, fine = wide, wide.model_copy(update={"may_cap": False})
    assert (1.0 - natural_draw_kw(coarse, u) / drawn_kw).max() > 2e-3
    assert (1.0 - natural_draw_kw(fine, u) / drawn_kw).max() < 2e-3
    problem = small.problem(pools=(fine,), release_kw=0.5)
    assert solve_problem(problem).status == "optimal"


def test_the_planner_leaves_out_what_it_is_told_to() -> None:
    case = example("under_frequency")
    plan = Planner(case.site).plan(case.event, case.state, without=["power_cap"])
    assert all(e.cap_w_per_gpu is None for epochs in plan.pools.values() for e in epochs)
    assert plan.check.ok
