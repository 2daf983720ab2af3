"""A handmade pool with every further way to run, and what it is told.

Nine instances: four at work, one drained, two asleep, one at work in a lower precision and one on
its way there. A pre-warm at the start makes the first drain cheap and the first wake fast; the
drained instance is given other weights, the others run under a locked clock. At 60 s one of the
lower precision is given its own weights again, at 110 s another is drained there, one is put to
sleep, and the pool is warmed once more, for a drain after the event. There one is woken cold and
work is done ahead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from handmade_problem import (
    ASLEEP_KW,
    DRAINED_KW,
    EDGES_S,
    Decision,
    Told,
    make_battery,
    make_pool,
    make_problem,
    natural_kw,
)

from ebplan.models.curves import CapCurve, LoadCurve, LoadTerm
from ebplan.problem import (
    ArrivalCount,
    ClockLockProblem,
    LoweredProblem,
    PoolProblem,
    PrewarmProblem,
    Problem,
    PullForwardProblem,
    TierProblem,
    ValueSegment,
)
from ebplan.site import Response

FLEET_STORY = (
    Decision(
        *(4, 1, 2),
        in_transit=1,
        prewarm=True,
        lowered=(0.0, 0.9),
        tier=Told(1),
    ),
    Decision(
        *(1, 1, 2),
        in_transit=2,
        to_tier=1,
        lowered=(0.0, 1.0),
        locked=Told(2, load=1.6, power_each_kw=0.8),
        tier=Told(1),
    ),
    Decision(
        *(0, 1, 1),
        in_transit=1,
        woken=1,
        woken_warm=1,
        lowered=(0.0, 1.2),
        locked=Told(3, load=2.2, power_each_kw=0.75),
        tier=Told(2),
        tier_drained=1,
    ),
    Decision(
        *(2, 2, 1),
        in_transit=1,
        power_each_kw=0.85,
        to_own=1,
        lowered=(0.0, 1.2),
        locked=Told(1, load=0.7),
        tier=Told(2, power_each_kw=0.8),
    ),
    Decision(
        *(3, 2, 1),
        in_transit=1,
        put_to_sleep=1,
        power_each_kw=0.8,
        prewarm=True,
        rejected=(0.0, 0.25),
        deferred=(0.0, 0.1),
        lowered=(0.0, 0.9),
        tier=Told(1),
        tier_drained=1,
    ),
    Decision(
        *(4, 1, 1),
        in_transit=1,
        woken=1,
        pulled=(0.0, 0.2),
        lowered=(0.0, 1.2),
        tier=Told(2),
    ),
    Decision(
        *(3, 2, 1),
        in_transit=1,
        deferred=(0.0, -0.12),
        pulled=(0.0, 0.3),
        lowered=(0.0, 1.3),
        tier=Told(2),
    ),
)


def told(k: int, **changes: Any) -> Decision:
    """Return what the fleet is told at an epoch, but for some changes."""
    return replace(FLEET_STORY[k], **changes)


def make_tier(**changes: object) -> TierProblem:
    tier = TierProblem(
        name="fp8",
        capacity_factor=1.5,
        load_curve=LoadCurve(
            idle_kw=0.3,
            terms=(
                LoadTerm(amplitude_kw=0.6, exponent=0.1),
                LoadTerm(amplitude_kw=0.15, exponent=0.5),
            ),
            one_request_utilisation=0.04,
            valid_from_utilisation=0.3,
        ),
        cap_curve=CapCurve(full_kw=1.05, elasticity=0.7, floor_kw=0.65),
        swap_s=20.0,
        swap_price_per_instance=0.9,
        active_at_start=1,
        load_at_start=0.9,
    )
    return tier.model_copy(update=changes)


def make_prewarm(**changes: object) -> PrewarmProblem:
    prewarm = PrewarmProblem(
        lead_s=4.0,
        expires_s=90.0,
        power_kw=0.12,
        price=0.6,
        drain_per_instance=0.1,
        wake_s=10.0,
    )
    return prewarm.model_copy(update=changes)


def make_clock_lock(**changes: object) -> ClockLockProblem:
    lock = ClockLockProblem(
        cap_curve=CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=0.6),
        power_exponent=2.0,
        max_clock_mhz=1980.0,
    )
    return lock.model_copy(update=changes)


def make_fleet(**changes: object) -> PoolProblem:
    interactive, batch = make_pool().classes
    fleet: dict[str, Any] = {
        "instances": 9,
        "asleep_at_start": 2,
        "drained_at_start": 1,
        "arrivals": (ArrivalCount(to="tier", count=1, at_s=20.0),),
        "wake_s": 30.0,
        "rise_response": Response(delay_s=0.5, time_constant_s=3.0),
        "clock_lock": make_clock_lock(),
        "tier": make_tier(),
        "prewarm": make_prewarm(),
        "classes": (
            interactive.model_copy(update={"load": 2.0, "latency": None}),
            batch.model_copy(
                update={
                    "load": 1.4,
                    "latency": None,
                    "lowered": LoweredProblem(eligible_share=0.9, price_per_instance_s=0.003),
                    "pull_forward": PullForwardProblem(available=20.0, value_per_work_h=7.0),
                }
            ),
        ),
    }
    return make_pool(**{**fleet, **changes})


def make_fleet_problem(*, asks: float = -0.6, **changes: object) -> Problem:
    """Return the site of the fleet, asked for a change of its draw in kW during the event."""
    draw_kw = 0.5 + 4 * natural_kw(make_fleet(), 2.5 / 4) + natural_kw(make_tier(), 0.6)
    draw_kw += 2 * DRAINED_KW + 2 * ASLEEP_KW
    starts_s = EDGES_S[:-1]
    battery = make_battery(
        energy_kwh=1.0,
        start_kwh=0.5,
        max_kwh=0.9,
        reserve_kwh=0.49,
        terminal=(ValueSegment(width_kwh=1.0, price_per_kwh=60.0),),
    )
    fields: dict[str, object] = {
        "target_kw": tuple(asks if 5.0 <= t < 185.0 else 0.0 for t in starts_s),
        "baseline_kw": tuple(draw_kw for _ in starts_s),
        "import_limit_kw": tuple(draw_kw + 0.01 for _ in starts_s),
        "pools": (make_fleet(),),
        "battery": battery,
    }
    return make_problem(**{**fields, **changes})
