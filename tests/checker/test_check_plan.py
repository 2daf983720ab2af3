"""The checker takes any plan without crashing, lets honest ones pass, and asks no model."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from handmade import make_plan
from handmade_problem import (
    DRAINED_KW,
    STORY,
    Decision,
    make_battery,
    make_pool,
    make_problem,
    natural_kw,
    with_arrivals,
)
from planting import (
    FLEET,
    RELEASE,
    Case,
    Planter,
    altered,
    altered_epoch,
    altered_shortfall,
    altered_step,
    broken_laws,
    handed_over_at,
    handmade,
    unproven,
)

from ebplan.checker import check_plan
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.problem import ArrivalCount, ClassProblem, PoolProblem

# --- what must not crash ----------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "plant",
    [
        lambda bad: altered_step(3, soc=bad),
        lambda bad: altered_step(3, mechanisms={"battery": bad}),
        lambda bad: altered_epoch(2, power_kw=bad),
        lambda bad: altered_epoch(2, cap_w_per_gpu=bad),
        lambda bad: altered(cost={"energy": bad}),
        lambda bad: altered(gap=bad),
        lambda bad: altered_shortfall(max_kw=bad),
        lambda bad: altered(handoff=handed_over_at(bad)),
    ],
)
def test_what_is_not_finite_is_a_violation(plant: Callable[[float], Case], bad: float) -> None:
    assert broken_laws(*plant(bad)) == {"finite"}


def test_absurd_numbers_are_violations() -> None:
    assert "battery_power" in broken_laws(*altered_step(3, grid_kw=1e308, battery_kw=-1e308))
    assert "utilisation" in broken_laws(*altered_epoch(2, power_kw=-1.0))


def test_plan_for_another_problem_of_the_same_shape() -> None:
    problem = make_problem(event_id="another")
    assert broken_laws(problem, handmade()[1]) == {"problem_hash", "identity"}


@pytest.mark.parametrize(
    "pools",
    [
        (make_pool(name="another"),),
        (make_pool(), make_pool(name="another")),
        (make_pool(classes=()),),
    ],
)
def test_plan_for_a_problem_of_another_shape(pools: tuple[PoolProblem, ...]) -> None:
    assert broken_laws(make_problem(pools=pools), handmade()[1]) == {"problem_hash", "shape"}


def test_state_of_charge_stands_where_a_battery_is() -> None:
    assert broken_laws(*altered_step(3, soc=None)) >= {"battery_energy"}
    problem = make_problem(battery=None)
    plan = make_plan(problem)
    steps = (plan.steps[0].model_copy(update={"soc": 0.5}), *plan.steps[1:])
    assert "battery_energy" in broken_laws(problem, plan.model_copy(update={"steps": steps}))


# --- other honest plans -----------------------------------------------------------------------


def test_site_without_battery_passes_with_its_shortfall() -> None:
    problem = make_problem(battery=None)
    plan = make_plan(problem)
    assert len(plan.shortfall) > 10
    assert broken_laws(problem, plan) == set()


def test_converter_too_small_passes_with_its_shortfall() -> None:
    problem = make_problem(battery=make_battery(discharge_limit_kw=0.3))
    plan = make_plan(problem)
    assert any(step.battery_kw == 0.3 and step.shortfall_kw > 0.0 for step in plan.steps)
    assert broken_laws(problem, plan) == set()


@pytest.mark.parametrize("limit_kw", [0.3, 0.4, 0.5])
def test_shortfall_hidden_behind_the_mean_of_a_step_is_found(limit_kw: float) -> None:
    problem = make_problem(battery=make_battery(discharge_limit_kw=limit_kw))
    plan = make_plan(problem, short_by_mean=True)
    # the converter leaves its limit within a step whose mean it can still hold
    assert broken_laws(problem, plan) == {"target"}


def test_nothing_planned_passes() -> None:
    still = (Decision(4, 0, 0),) * len(STORY)
    problem = make_problem()
    assert broken_laws(problem, make_plan(problem, {"chat": still}, before_kw=0.0)) == set()


def test_two_pools_with_instances_on_their_way() -> None:
    second = with_arrivals(
        make_pool(name="batch", active_at_start=2, asleep_at_start=0),
        ArrivalCount(to="awake", count=1, at_s=4.0),
        ArrivalCount(to="asleep", count=1, at_s=20.0),
    )
    first = make_problem()
    extra_kw = 2 * natural_kw(second, 1.0) + 2 * DRAINED_KW
    problem = make_problem(
        pools=(make_pool(), second),
        baseline_kw=tuple(kw + extra_kw for kw in first.baseline_kw),
    )
    turned_away = (0.0, 0.38)
    story = (
        Decision(2, 0, 0, in_transit=2, rejected=turned_away),
        Decision(2, 1, 0, in_transit=1, rejected=turned_away),
        Decision(3, 0, 1),
        Decision(3, 0, 1),
        Decision(3, 0, 1),
        Decision(3, 0, 1),
        Decision(3, 0, 1),
    )
    plan = make_plan(problem, {"chat": STORY, "batch": story})
    assert broken_laws(problem, plan) == set()
    late = with_arrivals(second, *(a.model_copy(update={"at_s": 70.0}) for a in second.arrivals))
    changed = problem.model_copy(update={"pools": (make_pool(), late)})
    plan = plan.model_copy(update={"problem_hash": changed.digest()})
    assert broken_laws(changed, plan) == {"transitions"}


def test_pool_without_active_instances() -> None:
    pool = make_pool(active_at_start=0, asleep_at_start=4, classes=silent_classes(make_pool()))
    problem = make_problem(pools=(pool,), target_kw=(0.0,) * len(make_problem().target_kw))
    story = (Decision(0, 0, 4),) * len(STORY)
    plan = make_plan(problem, {"chat": story}).model_copy(update=unproven())
    assert broken_laws(problem, plan) == set()
    epochs = list(plan.pools["chat"])
    epochs[1] = epochs[1].model_copy(update={"power_kw": 0.01})
    plan = plan.model_copy(update={"pools": {"chat": tuple(epochs)}})
    assert "cap_floor" in broken_laws(problem, plan)


def silent_classes(pool: PoolProblem) -> tuple[ClassProblem, ...]:
    return tuple(c.model_copy(update={"load": 0.0, "max_rejected": 0.0}) for c in pool.classes)


# --- independence -----------------------------------------------------------------------------


@pytest.mark.parametrize("planter", [RELEASE, FLEET])
def test_curves_are_recomputed(planter: Planter, monkeypatch: pytest.MonkeyPatch) -> None:
    case = planter.case()

    def refuse(*_: object) -> None:
        raise AssertionError("the checker asked the models")

    monkeypatch.setattr(LoadCurve, "power_kw", refuse)
    monkeypatch.setattr(LoadCurve, "tangent", refuse)
    monkeypatch.setattr(CapCurve, "capacity", refuse)
    assert check_plan(*case).ok
