"""A plan made by hand passes; a breach of each law, planted in it, is found and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from handmade import make_plan, proven
from handmade_either_way import priced_plan, turns_round_for_nothing
from handmade_margin import make_margin_case
from handmade_problem import (
    DRAINED_KW,
    EPOCHS_S,
    STORY,
    make_pool,
    make_problem,
    natural_kw,
)
from planting import (
    FLEET,
    Case,
    against,
    against_battery,
    against_deferral,
    against_pool,
    altered,
    altered_class,
    altered_epoch,
    altered_shortfall,
    altered_step,
    broken_laws,
    handed_over_at,
    handmade,
    retold,
    scaled_cost,
    scaled_epoch,
    scaled_step,
    unproven,
)

from ebplan.checker import LAWS, check_plan
from ebplan.checker.cost_laws import CAUSES
from ebplan.problem import LoweredProblem, PullForwardProblem

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
    return altered(**proven(handmade()[1].cost, gap=1.01e-3))


def more_waiting_than_put_off() -> Case:
    waiting = handmade()[1].pools["chat"][4].classes["batch"].backlog_requests
    return altered_class(4, "batch", backlog_requests=1.01 * waiting)


def late_requests_understated() -> Case:
    late = handmade()[1].pools["chat"][4].classes["batch"].late_req_per_s
    service = handmade()[1].service["chat"]
    total = service["batch"].late_requests - 0.01 * late * 75.0
    problem, plan = altered_class(4, "batch", late_req_per_s=0.99 * late)
    batch = service["batch"].model_copy(update={"late_requests": total})
    return problem, plan.model_copy(update={"service": {"chat": service | {"batch": batch}}})


def margin_left_out() -> Case:
    problem, plan = make_margin_case()
    return problem, plan.model_copy(update={"margin": None})


def fleet_with_work_ahead(available: float) -> Case:
    ahead = PullForwardProblem(available=available, value_per_work_h=7.0)
    return FLEET.against_class(1, pull_forward=ahead)


def fleet_with_eligible_share(share: float) -> Case:
    lowered = LoweredProblem(eligible_share=share, price_per_instance_s=0.003)
    return FLEET.against_class(1, lowered=lowered)


PLANTED: dict[str, tuple[Callable[[], Case], set[str]]] = {
    "finite": (lambda: altered(objective=math.nan), set()),
    "problem_hash": (lambda: altered(problem_hash="0" * 64), set()),
    "shape": (lambda: altered(steps=handmade()[1].steps[:-1]), set()),
    "identity": (lambda: altered(currency="EUR"), set()),
    "grid": (lambda: scaled_step(9.0, "target_kw"), set()),
    "counts": (lambda: against_pool(may_sleep=False), set()),
    "transitions": (lambda: against_pool(sleep_s=30.0), set()),
    "dwell": (lambda: against_pool(min_asleep_s=126.0), set()),
    "warmth": (lambda: FLEET.against_part("prewarm", warm_until_s=3.0), set()),
    "cap_floor": (floor_raised, set()),
    "natural_draw": (drawing_too_much, set()),
    # the frontier is where all headroom is used up
    "cap_frontier": (capped_too_deep, {"max_utilisation"}),
    "min_utilisation": (lambda: against_pool(min_utilisation=0.556), set()),
    "max_utilisation": (lambda: against_pool(max_utilisation=0.83), set()),
    "utilisation": (lambda: scaled_epoch(1, "utilisation"), set()),
    "cap_set_point": (lambda: scaled_epoch(3, "cap_w_per_gpu"), set()),
    "clock_set_point": (lambda: FLEET.scaled_way(1, "clock_lock", "clock_mhz"), set()),
    "requests": (class_limited, set()),
    # 0.2 for 15 s and 0.3 for 45 s are done ahead
    "pull_forward": (lambda: fleet_with_work_ahead(16.4), set()),
    "lowered": (lambda: fleet_with_eligible_share(0.85), set()),
    "backlog": (more_waiting_than_put_off, set()),
    "left_out": (lambda: against_pool(fewest_active=4), set()),
    "service": (service_overstated, set()),
    "latency": (late_requests_understated, set()),
    "compute_power": (lambda: scaled_step(0.0, "compute_kw"), {"balance"}),
    "balance": (other_load_moves, set()),
    "mechanisms": (mechanism_overstated, set()),
    "target": (converter_just_above_its_means, set()),
    "shortfall": (
        lambda: scaled_step(5.0, "shortfall_kw", 0.98),
        {"shortfall_intervals", "cost"},
    ),
    "shortfall_intervals": (
        lambda: altered_shortfall(energy_kwh=handmade()[1].shortfall[0].energy_kwh * 0.99),
        set(),
    ),
    # a limit below zero: the site would have to draw 3.1 kW at least
    "export_limit": (lambda: against(export_limit_kw=-3.1), set()),
    "handoff": (lambda: altered(handoff=handed_over_at(50.0)), set()),
    "battery_power": (lambda: against_battery(charge_limit_kw=0.2 / 1.01), set()),
    # the replayed converter does not charge there, so the energy is not there either
    "battery_direction": (charges_inside_the_window, {"battery_energy"}),
    "restoring": (lambda: priced_plan({65.0: -0.5}, restore_limit_kw=0.5 / 1.01), set()),
    "alternation": (turns_round_for_nothing, set()),
    # wear is read off the states of charge
    "battery_energy": (lambda: scaled_step(12.0, "soc"), {"cost"}),
    "margin": (margin_left_out, {"cost"}),
    "energy_limits": (lambda: against_battery(min_kwh=0.248), set()),
    "cost": (lambda: scaled_cost("wear", 0.99), set()),
    "objective": (
        lambda: altered(objective=handmade()[1].objective * 0.99, **unproven()),
        set(),
    ),
    "bound": (lambda: altered(gap=0.99 * (handmade()[1].gap or 0.0)), set()),
    "status": (gap_too_wide, set()),
}
"""For each law a breach of it, and the laws that fall with it by necessity."""

PLAIN_CAUSES = set(CAUSES) - {
    *("lowered", "pull_forward", "clocking", "swapping", "prewarming"),
    "margin",  # test_margin_law.py
}
"""Causes that a pool without further ways to run meets; the others: test_fleet_laws."""


def test_plan_by_hand_passes() -> None:
    assert check_plan(*handmade()).violations == ()


def test_plan_by_hand_meets_every_cause_and_turns_every_screw() -> None:
    problem, plan = handmade()
    assert set(plan.cost) == PLAIN_CAUSES
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


def test_violation_says_where_by_how_much_and_what() -> None:
    violation, *others = check_plan(*scaled_step(9.0, "target_kw")).violations
    assert not others
    assert violation.at_s == 9.0
    assert violation.amount == pytest.approx(0.006)
    assert "target_kw" in violation.message


# --- more ways to break a law -----------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("cause", sorted(PLAIN_CAUSES))
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


def test_restoring_is_not_limited_before_a_release() -> None:
    assert broken_laws(*priced_plan({65.0: -0.5}, restore_limit_kw=0.5)) == set()
    # the plan by hand charges before its release, and rests after it
    assert min(step.battery_kw for step in handmade()[1].steps) < -0.1
    assert broken_laws(*against(restore_limit_kw=0.0)) == set()


def test_negative_count_is_found() -> None:
    assert "counts" in broken_laws(*altered_epoch(1, drained=-1, in_transit=2))


def test_waking_too_early_is_found() -> None:
    assert broken_laws(*against_pool(min_awake_s=300.0, wake_s=20.0)) == {"transitions"}
    assert broken_laws(*against_pool(wake_s=20.0)) == {"transitions"}


def test_cap_left_out_is_found() -> None:
    assert broken_laws(*altered_epoch(3, cap_w_per_gpu=None)) == {"cap_set_point"}


def test_each_switch_that_is_off_is_held_to() -> None:
    active = [told.active for told in STORY]
    assert broken_laws(*against_pool(most_active=max(active) - 1)) == {"left_out"}
    assert broken_laws(*against_pool(fewest_active=min(active) + 1)) == {"left_out"}
    assert broken_laws(*against_pool(fewest_active=min(active), most_active=max(active))) == set()
    assert broken_laws(*against_pool(may_cap=False)) == {"left_out"}
    deferral = make_pool().classes[-1].deferral
    assert deferral is not None
    may_not = deferral.model_copy(update={"may_put_off": False})
    assert broken_laws(*against_deferral(may_not)) == {"left_out"}


def test_leaving_out_other_mechanisms_than_the_problem_is_found() -> None:
    assert broken_laws(*altered(without=("sleep",))) == {"identity"}


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
    assert broken_laws(*altered(handoff=handed_over_at(None))) == {"handoff"}
