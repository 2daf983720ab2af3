"""A plan made by hand passes; a breach of each law, planted in it, is found and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from handmade import (
    DRAINED_KW,
    EPOCHS_S,
    STORY,
    Decision,
    make_battery,
    make_plan,
    make_pool,
    make_problem,
    natural_kw,
    with_arrivals,
)

from ebplan.checker import LAWS, check_plan
from ebplan.checker.cost_laws import CAUSES
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.plan import Plan
from ebplan.problem import ArrivalCount, PoolProblem, Problem

Case = tuple[Problem, Plan]


@cache
def handmade() -> Case:
    problem = make_problem()
    return problem, make_plan(problem)


def broken_laws(problem: Problem, plan: Plan) -> set[str]:
    result = check_plan(problem, plan)
    assert result.ok == (not result.violations)
    assert all(v.amount > v.allowed for v in result.violations)
    return {violation.law for violation in result.violations}


# --- planting ---------------------------------------------------------------------------------


def against(problem: Problem, **changes: object) -> Case:
    """Return the handmade plan against a changed problem that it claims to answer."""
    changed = problem.model_copy(update=changes)
    return changed, handmade()[1].model_copy(update={"problem_hash": changed.digest()})


def against_pool(**changes: object) -> Case:
    return against(handmade()[0], pools=(make_pool(**changes),))


def against_battery(**changes: object) -> Case:
    return against(handmade()[0], battery=make_battery(**changes))


def altered(**changes: object) -> Case:
    problem, plan = handmade()
    return problem, plan.model_copy(update=changes)


def altered_step(t: int, **changes: object) -> Case:
    steps = list(handmade()[1].steps)
    steps[t] = steps[t].model_copy(update=changes)
    return altered(steps=tuple(steps))


def altered_epoch(k: int, **changes: object) -> Case:
    epochs = list(handmade()[1].pools["chat"])
    epochs[k] = epochs[k].model_copy(update=changes)
    return altered(pools={"chat": tuple(epochs)})


def altered_shortfall(**changes: object) -> Case:
    first, *rest = handmade()[1].shortfall
    return altered(shortfall=(first.model_copy(update=changes), *rest))


def retold(k: int, told: Decision, **changes: object) -> Case:
    """Return a plan, consistent in itself, that tells the pool something else at one epoch."""
    problem = make_problem(pools=(make_pool(**changes),))
    return problem, make_plan(problem, {"chat": (*STORY[:k], told, *STORY[k + 1 :])})


def step_at(t_s: float) -> int:
    return next(t for t, step in enumerate(handmade()[1].steps) if step.t_s == t_s)


def scaled_step(t_s: float, field: str, factor: float = 1.01) -> Case:
    t = step_at(t_s)
    return altered_step(t, **{field: getattr(handmade()[1].steps[t], field) * factor})


def scaled_epoch(k: int, field: str, factor: float = 1.01) -> Case:
    value = getattr(handmade()[1].pools["chat"][k], field)
    return altered_epoch(k, **{field: value * factor})


def scaled_cost(cause: str, factor: float) -> Case:
    cost = handmade()[1].cost
    changed = cost | {cause: cost[cause] * factor}
    return altered(cost=changed, objective=sum(changed.values()), **unproven())


def unproven() -> dict[str, object]:
    return {"status": "rounded", "bound": None, "gap": None}


# --- one breach of each law -------------------------------------------------------------------


def other_load_moves() -> Case:
    problem = handmade()[0]
    other_kw = list(problem.other_kw)
    other_kw[0] *= 1.01
    return against(problem, other_kw=tuple(other_kw))


def mechanism_overstated() -> Case:
    contributions = handmade()[1].steps[8].mechanisms
    return altered_step(8, mechanisms=contributions | {"battery": contributions["battery"] * 1.01})


def converter_just_above_its_means() -> Case:
    highest_kw = max(step.battery_kw for step in handmade()[1].steps)
    return against_battery(discharge_limit_kw=highest_kw + 1e-4)


def charges_inside_the_window() -> Case:
    problem = make_problem()
    flat = problem.prices.model_copy(update={"early_shortfall_premium": 0.0})
    plan = make_plan(make_problem(prices=flat))
    changed = make_problem(prices=flat, event_start_s=2.0)
    return changed, plan.model_copy(update={"problem_hash": changed.digest()})


def service_overstated() -> Case:
    service = handmade()[1].service["chat"]
    batch = service["batch"].model_copy(update={"served": service["batch"].served * 1.01})
    return altered(service={"chat": service | {"batch": batch}})


def floor_raised() -> Case:
    return against_pool(cap_curve=make_pool().cap_curve.model_copy(update={"floor_kw": 0.82}))


def capped_too_deep() -> Case:
    curve = make_pool().cap_curve.model_copy(update={"floor_kw": 0.5})
    return retold(3, replace(STORY[3], power_each_kw=0.62), cap_curve=curve)


def drawing_too_much() -> Case:
    too_much_kw = 1.01 * natural_kw(make_pool(), 2.2 / 3)
    return retold(1, replace(STORY[1], power_each_kw=too_much_kw))


def class_limited() -> Case:
    interactive, batch = make_pool().classes
    return against_pool(classes=(interactive, batch.model_copy(update={"max_rejected": 0.24})))


def gap_too_wide() -> Case:
    objective = handmade()[1].objective
    return altered(gap=1.01e-3, bound=objective * (1.0 - 1.01e-3))


PLANTED: dict[str, tuple[Callable[[], Case], set[str]]] = {
    "finite": (lambda: altered(objective=math.nan), set()),
    "problem_hash": (lambda: altered(problem_hash="0" * 64), set()),
    "shape": (lambda: altered(steps=handmade()[1].steps[:-1]), set()),
    "identity": (lambda: altered(currency="EUR"), set()),
    "grid": (lambda: scaled_step(9.0, "target_kw"), set()),
    "counts": (lambda: against_pool(may_sleep=False), set()),
    "transitions": (lambda: against_pool(sleep_s=30.0), set()),
    "dwell": (lambda: against_pool(min_asleep_s=126.0), set()),
    "cap_floor": (floor_raised, set()),
    "natural_draw": (drawing_too_much, set()),
    # the frontier is where all headroom is used up
    "cap_frontier": (capped_too_deep, {"max_utilisation"}),
    "min_utilisation": (lambda: against_pool(min_utilisation=0.556), set()),
    "max_utilisation": (lambda: against_pool(max_utilisation=0.83), set()),
    "utilisation": (lambda: scaled_epoch(1, "utilisation"), set()),
    "cap_set_point": (lambda: scaled_epoch(3, "cap_w_per_gpu"), set()),
    "requests": (class_limited, set()),
    "service": (service_overstated, set()),
    "compute_power": (lambda: scaled_step(0.0, "compute_kw"), {"balance"}),
    "balance": (other_load_moves, set()),
    "mechanisms": (mechanism_overstated, set()),
    "target": (converter_just_above_its_means, set()),
    "shortfall": (
        lambda: scaled_step(5.0, "shortfall_kw", 0.99),
        {"shortfall_intervals", "cost"},
    ),
    "shortfall_intervals": (
        lambda: altered_shortfall(energy_kwh=handmade()[1].shortfall[0].energy_kwh * 0.99),
        set(),
    ),
    # a limit below zero: the site would have to draw 3.1 kW at least
    "export_limit": (lambda: against(handmade()[0], export_limit_kw=-3.1), set()),
    "handoff": (lambda: altered(handoff=handed_over_at(50.0)), set()),
    "battery_power": (lambda: against_battery(charge_limit_kw=0.2 / 1.01), set()),
    # the replayed converter does not charge there, so the energy is not there either
    "battery_direction": (charges_inside_the_window, {"battery_energy"}),
    "battery_energy": (lambda: scaled_step(12.0, "soc"), set()),
    "energy_limits": (lambda: against_battery(min_kwh=0.248), set()),
    "cost": (lambda: scaled_cost("wear", 0.99), set()),
    "objective": (
        lambda: altered(objective=handmade()[1].objective * 0.99, **unproven()),
        set(),
    ),
    "bound": (lambda: altered(gap=handmade()[1].gap * 0.99), set()),
    "status": (gap_too_wide, set()),
}
"""For each law a breach of it, and the laws that fall with it by necessity."""


def handed_over_at(complete_s: float) -> object:
    return handmade()[1].handoff.model_copy(update={"complete_s": complete_s})


def test_plan_by_hand_passes() -> None:
    assert check_plan(*handmade()).violations == ()


def test_plan_by_hand_meets_every_cause_and_turns_every_screw() -> None:
    problem, plan = handmade()
    assert set(plan.cost) == set(CAUSES)
    assert all(abs(money) > 1e-4 for money in plan.cost.values())
    assert any(step.battery_kw < 0.0 for step in plan.steps)
    assert plan.shortfall
    assert problem.battery is not None


def test_every_law_has_a_planted_breach() -> None:
    assert set(PLANTED) == set(LAWS)


@pytest.mark.parametrize("law", PLANTED)
def test_planted_breach_is_found_and_nothing_else(law: str) -> None:
    plant, with_it = PLANTED[law]
    assert broken_laws(*plant()) == {law} | with_it


# --- more ways to break a law -----------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("cause", CAUSES)
def test_one_percent_of_each_cause_is_found(cause: str, factor: float) -> None:
    assert broken_laws(*scaled_cost(cause, factor)) == {"cost"}


def test_unknown_cause_is_found() -> None:
    cost = handmade()[1].cost | {"luck": 0.0}
    assert broken_laws(*altered(cost=cost)) == {"cost"}


def test_cause_left_out_is_nothing() -> None:
    cost = {cause: money for cause, money in handmade()[1].cost.items() if cause != "waking"}
    found = broken_laws(*altered(cost=cost, objective=sum(cost.values()), **unproven()))
    assert found == {"cost"}


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize(
    "field", ["grid_kw", "compute_kw", "battery_kw", "soc", "baseline_kw", "target_kw"]
)
def test_one_percent_of_each_step_column_is_found(field: str, factor: float) -> None:
    assert broken_laws(*scaled_step(7.0, field, factor))


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("field", ["power_kw", "utilisation", "capacity_used", "cap_w_per_gpu"])
def test_one_percent_of_each_epoch_column_is_found(field: str, factor: float) -> None:
    assert broken_laws(*scaled_epoch(4, field, factor))


@pytest.mark.parametrize(
    "count", ["active", "drained", "asleep", "in_transit", "put_to_sleep", "woken"]
)
@pytest.mark.parametrize("k", range(len(EPOCHS_S)))
def test_one_instance_too_many_is_found(count: str, k: int) -> None:
    value = getattr(handmade()[1].pools["chat"][k], count)
    assert {"counts", "transitions"} & broken_laws(*altered_epoch(k, **{count: value + 1}))


def test_negative_count_is_found() -> None:
    assert "counts" in broken_laws(*altered_epoch(1, drained=-1, in_transit=2))


def test_waking_too_early_is_found() -> None:
    assert broken_laws(*against_pool(min_awake_s=300.0, wake_s=20.0)) == {"transitions"}
    assert broken_laws(*against_pool(wake_s=20.0)) == {"transitions"}


def test_cap_left_out_is_found() -> None:
    assert broken_laws(*altered_epoch(3, cap_w_per_gpu=None)) == {"cap_set_point"}


def test_slower_response_than_planned_is_found() -> None:
    response = make_pool().route_response.model_copy(update={"time_constant_s": 6.06})
    assert "compute_power" in broken_laws(*against_pool(route_response=response))


def test_other_losses_are_found() -> None:
    assert "battery_energy" in broken_laws(*against_battery(cell_efficiency=0.96))


def test_drained_power_is_held_to_the_replay() -> None:
    assert "compute_power" in broken_laws(*against_pool(drained_kw=DRAINED_KW * 1.01))


def test_answer_before_the_converter_can_is_found() -> None:
    found = broken_laws(*against_battery(delay_s=0.3))
    assert {"battery_direction", "identity"} <= found


@pytest.mark.parametrize("field", ["from_s", "to_s", "max_kw", "energy_kwh"])
def test_one_percent_of_each_interval_field_is_found(field: str) -> None:
    value = getattr(handmade()[1].shortfall[0], field)
    assert "shortfall_intervals" in broken_laws(*altered_shortfall(**{field: value * 1.01}))


def test_hidden_shortfall_interval_is_found() -> None:
    assert broken_laws(*altered(shortfall=())) == {"shortfall_intervals"}


def test_bound_above_objective_is_found() -> None:
    objective = handmade()[1].objective
    assert broken_laws(*altered(bound=objective * 1.01, gap=0.0)) == {"bound"}


def test_gap_without_bound_is_found() -> None:
    assert broken_laws(*altered(bound=None)) == {"bound"}


def test_optimal_without_proof_is_found() -> None:
    assert broken_laws(*altered(bound=None, gap=None)) == {"status"}


@pytest.mark.parametrize("status", ["rounded", "merit_order", "armed"])
def test_rungs_without_proof_need_none(status: str) -> None:
    assert broken_laws(*altered(status=status, bound=None, gap=None)) == set()


def test_claiming_never_to_hand_over_is_found() -> None:
    assert broken_laws(*altered(handoff=handed_over_at(None))) == {"handoff"}  # type: ignore[arg-type]


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
    [(make_pool("another"),), (make_pool(), make_pool("another")), (make_pool(classes=()),)],
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
    assert broken_laws(problem, make_plan(problem, {"chat": still}, charge_kw=0.0)) == set()


def test_two_pools_with_instances_on_their_way() -> None:
    second = with_arrivals(
        make_pool("batch", active_at_start=2, asleep_at_start=0),
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


def silent_classes(pool: PoolProblem) -> tuple[object, ...]:
    return tuple(c.model_copy(update={"load": 0.0, "max_rejected": 0.0}) for c in pool.classes)


# --- independence -----------------------------------------------------------------------------


def test_curves_are_recomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = handmade()

    def refuse(*_: object) -> None:
        raise AssertionError("the checker asked the models")

    monkeypatch.setattr(LoadCurve, "power_kw", refuse)
    monkeypatch.setattr(LoadCurve, "tangent", refuse)
    monkeypatch.setattr(CapCurve, "capacity", refuse)
    assert check_plan(*case).ok
