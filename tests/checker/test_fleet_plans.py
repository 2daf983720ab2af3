"""Solved plans in which each further way to run pays for itself pass the check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from handmade_fleet import make_fleet, make_fleet_problem, make_prewarm, make_tier

from ebplan.checker import check_plan
from ebplan.plan import ClassEpoch, PoolEpoch
from ebplan.planner import solve_problem
from ebplan.problem import ClassProblem, LoweredProblem, Problem


@dataclass(frozen=True)
class Case:
    """A problem in which something pays, and what shows in an epoch that it is used."""

    problem: Problem
    used: Callable[[PoolEpoch], object]


def problem(asks: float, **changes: object) -> Problem:
    """Return the site without its battery, and with changes of the handmade fleet."""
    pool = make_fleet(**changes)
    return make_fleet_problem(asks=asks, pools=(pool,), battery=None)


def classes(**changes: object) -> tuple[ClassProblem, ...]:
    return tuple(c.model_copy(update=changes) for c in make_fleet().classes)


def with_much_to_do_ahead(share: float) -> tuple[ClassProblem, ...]:
    lowered = LoweredProblem(eligible_share=share, price_per_instance_s=0.02)
    interactive, batch = classes(lowered=lowered)
    assert batch.pull_forward is not None
    ahead = batch.pull_forward.model_copy(update={"available": 2000.0})
    return interactive, batch.model_copy(update={"pull_forward": ahead})


def every_class(epoch: PoolEpoch) -> Iterator[ClassEpoch]:
    return iter(epoch.classes.values())


FREE = LoweredProblem(eligible_share=1.0, price_per_instance_s=0.0)
ALONE = {"clock_lock": None, "tier": None, "arrivals": (), "asleep_at_start": 4}
"""A pool with neither: two more asleep instead of those in the tier."""

LOCKED = Case(
    problem(-0.6), lambda epoch: epoch.clock_lock is not None and epoch.clock_lock.clock_mhz
)
SWAPPED = Case(
    problem(
        -1.3,
        clock_lock=None,
        classes=classes(deferral=None, max_rejected=0.0, lowered=FREE),
        tier=make_tier(swap_price_per_instance=0.0, capacity_factor=1.8),
        drain_per_instance=0.1,
        readiness_per_instance_h=1.0,
    ),
    lambda epoch: epoch.tier is not None and epoch.tier.to_tier,
)
SWAPPED_BACK = problem(
    2.5,
    clock_lock=None,
    wake_s=400.0,
    classes=with_much_to_do_ahead(0.6),
    tier=make_tier(
        active_at_start=2, load_at_start=1.5, drained_at_start=1, swap_price_per_instance=0.0
    ),
    active_at_start=2,
)
DRAINED_WARM = Case(
    problem(
        -0.5,
        **ALONE,
        active_at_start=5,
        drained_at_start=0,
        drain_per_instance=5.0,
        cap_depth_per_kwh=900.0,
        prewarm=make_prewarm(price=0.1),
        classes=classes(lowered=None),
    ),
    lambda epoch: epoch.prewarm,
)

CASES: dict[str, Case] = {
    "a locked clock": LOCKED,
    "weights changed": SWAPPED,
    "weights changed back": Case(SWAPPED_BACK, lambda epoch: epoch.tier and epoch.tier.to_own),
    "a cap in the tier": Case(SWAPPED.problem, lambda e: e.tier and e.tier.cap_w_per_gpu),
    "drained warm": DRAINED_WARM,
    "woken warm": Case(SWAPPED_BACK, lambda epoch: epoch.woken_warm),
    "work ahead, rising slowly": Case(
        problem(0.6), lambda epoch: any(c.pulled_req_per_s for c in every_class(epoch))
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_plan_that_uses_it_passes(what: str) -> None:
    case = CASES[what]
    plan = solve_problem(case.problem)
    assert plan.status == "optimal"
    assert check_plan(case.problem, plan).violations == ()
    assert any(case.used(epoch) for epoch in plan.pools["chat"])


@pytest.mark.parametrize("asks", [-0.6, 0.6])
def test_merit_order_passes_though_it_uses_none_of_it(asks: float) -> None:
    pool = make_fleet(classes=classes(max_rejected=0.9))
    asked = make_fleet_problem(asks=asks, pools=(pool,))
    plan = solve_problem(asked, method="merit_order")
    assert check_plan(asked, plan).violations == ()
    assert not any(epoch.prewarm for epoch in plan.pools["chat"])
