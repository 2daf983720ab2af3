"""A pool with every further way to run: its plan by hand passes, a breach of each part is found.

What is asked of each way alike, the lens and its set-points, is in test_lens_laws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from handmade import make_plan
from handmade_fleet import (
    FLEET_STORY,
    make_fleet,
    make_fleet_problem,
    make_prewarm,
    make_tier,
    told,
)
from handmade_problem import DRAINED_KW, Decision, Told
from planting import FLEET, RELEASE, Case, Planter, broken_laws

from ebplan.checker import check_plan
from ebplan.checker.evidence import Evidence
from ebplan.checker.replay import changes_kw
from ebplan.problem import ArrivalCount, LoweredProblem
from ebplan.site import Response

ABSORB = Planter(make_fleet_problem(asks=0.6), FLEET_STORY)
WAYS = ("clock_lock", "tier")
FLEET_CAUSES = (
    *("rejected", "delay", "lowered", "pull_forward"),
    *("congestion", "capping", "clocking"),
    *("readiness", "draining", "waking", "swapping", "prewarming"),
)


@pytest.mark.parametrize("planter", [FLEET, ABSORB])
def test_plan_by_hand_passes(planter: Planter) -> None:
    assert check_plan(*planter.case()).violations == ()


def test_plan_by_hand_meets_every_cause_of_the_fleet() -> None:
    assert all(abs(FLEET.plan.cost[cause]) > 1e-4 for cause in FLEET_CAUSES)


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("cause", FLEET_CAUSES)
def test_one_percent_of_each_cause_is_found(cause: str, factor: float) -> None:
    assert broken_laws(*FLEET.scaled_cost(cause, factor)) == {"cost"}


# --- who is where -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_plan_says_of_every_way_what_it_does(way: str) -> None:
    assert broken_laws(*FLEET.altered_epoch(2, **{way: None})) == {"shape"}
    foreign = getattr(FLEET.plan.pools["chat"][2], way)
    assert broken_laws(*RELEASE.altered_epoch(2, **{way: foreign})) == {"shape"}


@pytest.mark.parametrize("by", [-1, 1])
@pytest.mark.parametrize("k", range(len(FLEET_STORY)))
@pytest.mark.parametrize(
    ("way", "count"),
    [
        ("clock_lock", "active"),
        *(("tier", count) for count in ("active", "drained", "to_tier", "to_own")),
    ],
)
def test_one_instance_off_is_found(way: str, count: str, k: int, by: int) -> None:
    value = getattr(getattr(FLEET.plan.pools["chat"][k], way), count)
    found = broken_laws(*FLEET.altered_way(k, way, **{count: value + by}))
    assert {"counts", "transitions"} & found


TRANSITIONS: dict[str, Callable[[], Case]] = {
    "to the tier sooner than its lead": lambda: FLEET.against_part("tier", swap_s=31.0),
    "back sooner than its lead": lambda: FLEET.against_part("tier", swap_s=51.0),
    "woken warm sooner than its lead": lambda: FLEET.against_part("prewarm", wake_s=26.0),
    "woken cold later than its lead": lambda: FLEET.against_pool(wake_s=15.0),
    "woken cold as if warm": lambda: FLEET.altered_epoch(2, woken_warm=0),
    "arrives in the tier late": lambda: FLEET.against_pool(
        arrivals=(ArrivalCount(to="tier", count=1, at_s=36.0),)
    ),
    "arrives elsewhere": lambda: FLEET.against_pool(
        arrivals=(ArrivalCount(to="awake", count=1, at_s=20.0),)
    ),
}


@pytest.mark.parametrize("what", TRANSITIONS)
def test_planted_transition_is_found_and_nothing_else(what: str) -> None:
    assert broken_laws(*TRANSITIONS[what]()) == {"transitions"}


@pytest.mark.parametrize(
    ("k", "changes", "what"),
    [
        (1, {"to_tier": 2, "drained": 0, "in_transit": 3}, "given other weights"),
        (4, {"put_to_sleep": 3, "drained": 0, "in_transit": 3}, "put to sleep"),
        (3, {"to_own": 2, "tier": Told(1), "in_transit": 2}, "given its own weights again"),
    ],
)
def test_who_changes_weights_or_sleeps_was_drained_before(
    k: int, changes: dict[str, object], what: str
) -> None:
    problem, plan = FLEET.retold(k, told(k, **changes))
    violations = check_plan(problem, plan).violations
    assert any(what in v.message and v.at_s == plan.pools["chat"][k].t_s for v in violations)


@pytest.mark.parametrize(("min_awake_s", "broken"), [(30.0, set()), (31.0, {"dwell"})])
def test_who_woke_does_not_change_weights_at_once(min_awake_s: float, broken: set[str]) -> None:
    # Woken at once, awake at 5 s, given other weights at 35 s; the tier serves what there is.
    interactive, batch = make_fleet().classes
    fleet = make_fleet(
        instances=2,
        active_at_start=0,
        drained_at_start=0,
        asleep_at_start=1,
        arrivals=(),
        wake_s=5.0,
        prewarm=None,
        min_awake_s=min_awake_s,
        classes=(
            interactive.model_copy(update={"load": 0.0}),
            batch.model_copy(
                update={
                    "load": 0.9,
                    "lowered": LoweredProblem(eligible_share=1.0, price_per_instance_s=0.0),
                }
            ),
        ),
    )
    served = Decision(0, 0, 0, lowered=(0.0, 0.9), tier=Told(1))
    story = (
        replace(served, in_transit=1, woken=1),
        replace(served, drained=1),
        replace(served, in_transit=1, to_tier=1),
        *(replace(served, tier_drained=1),) * 4,
    )
    problem = make_fleet_problem(pools=(fleet,))
    assert broken_laws(problem, make_plan(problem, {"chat": story})) == broken


# --- warmth -----------------------------------------------------------------------------------

WARMTH: dict[str, tuple[Callable[[], Case], set[str]]] = {
    # the drain at 110 s would then be a warm one
    "while the last one is warm": (
        lambda: FLEET.against_part("prewarm", expires_s=120.0),
        {"cost"},
    ),
    # the last drain is then a cold one
    "woken when it has expired": (
        lambda: FLEET.against_part("prewarm", expires_s=20.0),
        {"cost"},
    ),
    "while it is warm from before": (
        lambda: FLEET.against_part("prewarm", warm_until_s=0.1),
        set(),
    ),
    "where there is none": (lambda: RELEASE.altered_epoch(1, prewarm=True), set()),
}


@pytest.mark.parametrize("what", WARMTH)
def test_planted_warmth_is_found_and_nothing_else(what: str) -> None:
    plant, with_it = WARMTH[what]
    assert broken_laws(*plant()) == {"warmth"} | with_it


def test_a_pre_warm_that_nothing_uses_is_found() -> None:
    # Without the drain in its last epoch the pool is warmed at 110 s for nothing.
    broken = check_plan(*FLEET.altered_epoch(6, active=4, drained=1)).violations
    assert "a pre-warm that nothing uses" in " ".join(
        v.message for v in broken if v.law == "warmth"
    )


def test_warm_from_before_makes_a_drain_cheap() -> None:
    cold = tuple(replace(d, prewarm=False, woken_warm=0) for d in FLEET_STORY[:2])
    fleet = make_fleet(prewarm=make_prewarm(warm_until_s=36.0, power_kw=0.0, price=0.0))
    problem = make_fleet_problem(pools=(fleet,))
    plan = make_plan(problem, {"chat": (*cold, *FLEET_STORY[2:])})
    drains = plan.cost["draining"]
    assert drains == pytest.approx(0.4 + 0.4 + 0.1)  # the hand knows of no warmth from before
    cheap = plan.cost | {"draining": drains - 0.3}
    changed = {"cost": cheap, "objective": sum(cheap.values())}
    proof = {"status": "rounded", "bound": None, "gap": None}
    assert broken_laws(problem, plan.model_copy(update=changed | proof)) == set()
    assert broken_laws(problem, plan) == {"cost"}


# --- requests ---------------------------------------------------------------------------------


def test_what_may_not_be_lowered_or_done_ahead_is_neither() -> None:
    assert broken_laws(*FLEET.against_class(1, lowered=None)) == {"lowered", "cost"}
    assert broken_laws(*FLEET.against_class(1, pull_forward=None)) == {"pull_forward", "cost"}


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_one_percent_of_what_is_done_ahead_is_found(factor: float) -> None:
    pulled = FLEET.plan.pools["chat"][6].classes["batch"].pulled_req_per_s
    case = FLEET.altered_class(6, "batch", pulled_req_per_s=pulled * factor)
    assert broken_laws(*case) == {"requests", "service", "cost"}


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_one_percent_of_what_is_lowered_is_found(factor: float) -> None:
    lowered = FLEET.plan.pools["chat"][4].classes["batch"].lowered_req_per_s
    case = FLEET.altered_class(4, "batch", lowered_req_per_s=lowered * factor)
    assert {"utilisation", "service", "cost"} <= broken_laws(*case)


@pytest.mark.parametrize("field", ["pulled_req_per_s", "lowered_req_per_s"])
def test_negative_requests_are_found(field: str) -> None:
    assert "requests" in broken_laws(*FLEET.altered_class(1, "interactive", **{field: -0.1}))


@pytest.mark.parametrize("field", ["pulled", "lowered"])
def test_one_percent_of_each_total_is_found(field: str) -> None:
    service = FLEET.plan.service["chat"]
    batch = service["batch"]
    batch = batch.model_copy(update={field: getattr(batch, field) * 1.01})
    assert broken_laws(*FLEET.altered(service={"chat": service | {"batch": batch}})) == {"service"}


# --- money ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "price"),
    [
        ("tier", "swap_price_per_instance"),
        ("prewarm", "price"),
        ("prewarm", "drain_per_instance"),
    ],
)
def test_one_percent_of_each_price_is_found(part: str, price: str) -> None:
    value = getattr(getattr(make_fleet(), part), price)
    assert broken_laws(*FLEET.against_part(part, **{price: 1.01 * value})) == {"cost"}


def test_a_cold_drain_is_not_charged_as_a_warm_one() -> None:
    cheap = FLEET.plan.cost["draining"] - 0.3
    assert broken_laws(*FLEET.recharged(draining=cheap)) == {"cost"}


def test_who_serves_in_another_way_is_not_missing() -> None:
    # 4 of 5 serve from 5 s to 35 s, and from 110 s to 185 s
    assert FLEET.plan.cost["readiness"] == pytest.approx(12.0 * (30.0 + 75.0) / 3600.0)


# --- power ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{"power_kw": 0.1212}, {"lead_s": 5.5}, {"lead_s": 0.0, "expires_s": 64.0}]
)
def test_a_pre_warm_at_work_draws_power(changes: dict[str, float]) -> None:
    assert "compute_power" in broken_laws(*FLEET.against_part("prewarm", **changes))


def test_what_is_drained_falls_from_the_saturation_of_its_weights() -> None:
    evidence = Evidence.of(*FLEET.case())
    _, ((_, _), (slowly, kw)) = changes_kw(evidence, evidence.pools[0])
    assert slowly == make_fleet().route_response
    own, lower = 1.00 - DRAINED_KW, 1.05 - DRAINED_KW
    assert kw == pytest.approx([0.0, -own, 0.0, 0.0, -lower, 0.0, -own])


def test_an_absorb_rises_by_the_rise_response_and_helps_itself_to_no_lag() -> None:
    evidence = Evidence.of(*ABSORB.case())
    _, ((by, _), (_, kw)) = changes_kw(evidence, evidence.pools[0])
    assert by == make_fleet().rise_response
    assert not kw.any()


def test_power_rises_more_slowly_in_an_absorb_only() -> None:
    slower = Response(delay_s=0.5, time_constant_s=3.1)
    assert "compute_power" in broken_laws(*ABSORB.against_pool(rise_response=slower))
    assert "compute_power" in broken_laws(*ABSORB.against_pool(rise_response=None))
    assert broken_laws(*FLEET.against_pool(rise_response=slower)) == set()


def test_the_tier_draws_at_the_start_what_it_serves() -> None:
    assert "compute_power" in broken_laws(*FLEET.against_part("tier", load_at_start=0.8))
    curve = make_tier().load_curve.model_copy(update={"idle_kw": 0.31})
    assert "compute_power" in broken_laws(*FLEET.against_part("tier", load_curve=curve))
