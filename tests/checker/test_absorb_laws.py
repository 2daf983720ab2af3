"""The laws that read the direction of the event, on a handmade plan that absorbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import handmade
import pytest
from handmade import make_plan
from handmade_absorb import ABSORB_STORY, make_absorb_problem
from handmade_physics import pool_power_kw
from handmade_problem import Decision, make_battery, make_pool
from planting import Case, Planter, broken_laws

from ebplan.checker import check_plan
from ebplan.problem import PoolProblem

ABSORB = Planter(make_absorb_problem(), ABSORB_STORY)


def asked_to_release(plan_of: Planter) -> Case:
    """Return the plan against the same event the other way round."""
    turned = tuple(-kw for kw in plan_of.problem.target_kw)
    return plan_of.against(target_kw=turned)


def converter_just_above_its_means() -> Case:
    most_kw = max(-step.battery_kw for step in ABSORB.plan.steps)
    return ABSORB.against_battery(charge_limit_kw=most_kw + 1e-4)


def discharges_inside_the_window() -> Case:
    prices = ABSORB.problem.prices.model_copy(update={"early_shortfall_premium": 0.0})
    flat = Planter(make_absorb_problem(prices=prices), ABSORB_STORY)
    return flat.against(event_start_s=2.0)


def charges_after_the_event() -> Case:
    t = ABSORB.step_at(190.0)
    step = ABSORB.plan.steps[t]
    more = {"grid_kw": step.grid_kw + 0.1, "battery_kw": step.battery_kw - 0.1}
    mechanisms = {**step.mechanisms, "battery": step.mechanisms["battery"] + 0.1}
    return ABSORB.altered_step(t, **more, mechanisms=mechanisms)


def full_earlier() -> Case:
    stored = [step.soc * 0.5 for step in ABSORB.plan.steps if step.soc is not None]
    # more than the replay may lie from step means where the converter stops within a step
    return ABSORB.against_battery(max_kwh=max(stored) - 3e-4)


PLANTED: dict[str, tuple[Callable[[], Case], set[str]]] = {
    "target": (converter_just_above_its_means, set()),
    "shortfall": (
        lambda: ABSORB.scaled_step(5.0, "shortfall_kw", 0.98),
        {"shortfall_intervals", "cost"},
    ),
    # the replayed converter does not discharge there, so the energy is not there either
    "battery_direction": (discharges_inside_the_window, {"battery_energy"}),
    "battery_power": (lambda: ABSORB.against_battery(discharge_limit_kw=0.2 / 1.01), set()),
    "battery_energy": (lambda: ABSORB.scaled_step(12.0, "soc"), {"cost"}),
    "energy_limits": (full_earlier, set()),
    "handoff": (lambda: ABSORB.altered(handoff=ABSORB.handed_over_at(60.0)), set()),
    "cost": (lambda: ABSORB.scaled_cost("handoff", 0.99), set()),
}
"""For each law whose reading depends on the direction a breach, and the laws that fall with it."""

SIGNED_CAUSES = (
    *("energy", "wear", "stored_energy", "reserve", "handoff"),
    *("shortfall", "firmness", "overrun", "readiness", "draining"),
)


def test_plan_by_hand_that_absorbs_passes() -> None:
    assert check_plan(*ABSORB.case()).violations == ()


def test_it_shows_what_it_is_for() -> None:
    plan = ABSORB.plan
    assert all(abs(plan.cost[cause]) > 1e-4 for cause in SIGNED_CAUSES)
    assert any(step.battery_kw > 0.0 and step.target_kw == 0.0 for step in plan.steps)
    assert any(step.battery_kw < 0.0 for step in plan.steps)
    assert plan.handoff.complete_s == 111.0
    assert plan.shortfall


@pytest.mark.parametrize("law", PLANTED)
def test_planted_breach_is_found_and_nothing_else(law: str) -> None:
    plant, with_it = PLANTED[law]
    assert broken_laws(*plant()) == {law} | with_it


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("cause", SIGNED_CAUSES)
def test_one_percent_of_each_cause_is_found(cause: str, factor: float) -> None:
    assert broken_laws(*ABSORB.scaled_cost(cause, factor)) == {"cost"}


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("field", ["grid_kw", "compute_kw", "battery_kw", "soc", "target_kw"])
def test_one_percent_of_each_step_column_is_found(field: str, factor: float) -> None:
    assert broken_laws(*ABSORB.scaled_step(7.0, field, factor))


# --- the direction itself ---------------------------------------------------------------------


def test_the_same_plan_does_not_release() -> None:
    assert {"target", "shortfall", "battery_direction"} <= broken_laws(*asked_to_release(ABSORB))


def test_more_asked_than_is_absorbed_is_found() -> None:
    deeper = tuple(1.001 * kw for kw in ABSORB.problem.target_kw)
    assert {"target", "shortfall", "grid"} <= broken_laws(*ABSORB.against(target_kw=deeper))


def test_absorbing_more_than_asked_is_no_breach_of_the_target() -> None:
    less = tuple(0.5 * kw for kw in ABSORB.problem.target_kw)
    assert "target" not in broken_laws(*ABSORB.against(target_kw=less))


def test_charging_after_the_event_is_found() -> None:
    assert "battery_direction" in broken_laws(*charges_after_the_event())


def test_charging_before_the_converter_can_is_found() -> None:
    assert {"battery_direction", "identity"} <= broken_laws(*ABSORB.against_battery(delay_s=0.3))


def test_one_instance_more_than_at_the_start_earns_nothing() -> None:
    # 4 at work instead of 3, from 60 s to 185 s, at 12 an hour
    earned = 12.0 * 125.0 / 3600.0
    case = ABSORB.recharged(readiness=ABSORB.plan.cost["readiness"] - earned)
    assert broken_laws(*case) == {"cost"}


def test_energy_taken_wears_nothing() -> None:
    taken_kwh = sum(max(-s.battery_kw, 0.0) * s.duration_s / 3600.0 for s in ABSORB.plan.steps)
    case = ABSORB.recharged(wear=ABSORB.plan.cost["wear"] + 20.0 * taken_kwh)
    assert broken_laws(*case) == {"cost"}


def test_power_not_shed_yet_is_no_help_to_an_absorb(monkeypatch: pytest.MonkeyPatch) -> None:
    # A plan that counts on it: one instance is drained within the event, at 110 s.
    told = replace(ABSORB_STORY[4], active=3, drained=1, rejected=(0.0, 0.0))
    honest = ABSORB.retold(4, told)
    assert broken_laws(*honest) == set()

    def counted_on(
        pool: PoolProblem, story: Sequence[Decision], t_s: float, *, absorbs: bool
    ) -> float:
        assert absorbs
        return pool_power_kw(pool, story, t_s, absorbs=False)

    monkeypatch.setattr(handmade, "pool_power_kw", counted_on)
    assert "compute_power" in broken_laws(*ABSORB.retold(4, told))


# --- other honest plans -----------------------------------------------------------------------


def test_an_absorb_without_battery_passes_with_its_shortfall() -> None:
    problem = make_absorb_problem(battery=None)
    plan = make_plan(problem, {"chat": ABSORB_STORY})
    assert len(plan.shortfall) > 10
    assert broken_laws(problem, plan) == set()


def test_a_charger_too_small_passes_with_its_shortfall() -> None:
    problem = make_absorb_problem(battery=make_battery(reserve_kwh=0.25, charge_limit_kw=0.3))
    plan = make_plan(problem, {"chat": ABSORB_STORY})
    assert any(step.battery_kw == -0.3 and step.shortfall_kw > 0.0 for step in plan.steps)
    assert broken_laws(problem, plan) == set()


def test_shortfall_of_an_absorb_hidden_behind_the_mean_of_a_step_is_found() -> None:
    # The converter can hold the mean of the second from 110 s on, not the end of it.
    mean_kw = -ABSORB.plan.steps[ABSORB.step_at(110.0)].battery_kw
    battery = make_battery(reserve_kwh=0.25, charge_limit_kw=mean_kw + 1e-3)
    problem = make_absorb_problem(battery=battery)
    plan = make_plan(problem, {"chat": ABSORB_STORY}, short_by_mean=True)
    assert broken_laws(problem, plan) == {"target"}


def test_an_absorb_by_the_battery_alone_passes() -> None:
    problem = make_absorb_problem(pools=(make_pool(active_at_start=3, drained_at_start=1),))
    still = (Decision(3, 1, 0),) * len(ABSORB_STORY)
    assert broken_laws(problem, make_plan(problem, {"chat": still}, before_kw=0.0)) == set()
