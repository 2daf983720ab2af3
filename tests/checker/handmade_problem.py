"""A small problem and what a plan tells its fleet, made by hand.

Four instances at 55 % load, a release of 0.6 kW from second 5 to second 185. Before it the battery
takes a little charge. One instance is drained at once while the battery bridges, put to sleep at
35 s and woken after the event; from 60 s the other three are capped, from 110 s some batch
requests are turned away and some put off, part of which are worked off after the event. The first
tenth of a second is short: the converter needs it. First tokens of batch requests are late while
three instances carry the load, and their further tokens under the deeper cap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from ebplan.models.curves import CapCurve, LoadCurve, LoadTerm
from ebplan.models.latency import ClassLatency, Queue
from ebplan.problem import (
    ArrivalCount,
    BatteryProblem,
    ClassProblem,
    DeferralProblem,
    PoolProblem,
    Prices,
    Problem,
    TierProblem,
    ValueSegment,
)
from ebplan.site import CongestionStep, Response
from ebplan.timegrid import TimeGrid
from ebplan.wear import CalendarLine, DepthSegment

EDGES_S = (
    *(0.0, 2.0, 5.0, 5.1, 5.2, 5.5, 6.0, 7.0, 9.0, 12.0, 16.0, 20.0, 25.0, 30.0, 35.0, 40.0, 50.0),
    *(60.0, 61.0, 65.0, 80.0, 110.0, 111.0, 145.0, 185.0, 186.0, 190.0, 200.0, 220.0, 245.0),
)
EPOCHS_S = (0.0, 5.0, 35.0, 60.0, 110.0, 185.0, 200.0)
IDLE_KW, DRAINED_KW, ASLEEP_KW, FULL_KW = 0.30, 0.28, 0.15, 1.00


@dataclass(frozen=True)
class Told:
    """What the instances that run in one further way are told."""

    active: int = 0
    load: float = 0.0
    """Load that they serve, in instance-equivalents of the pool."""
    power_each_kw: float | None = None
    """Power of one active instance; None: uncapped, or at an unlocked clock."""


@dataclass(frozen=True)
class Decision:
    """What a pool is told at one epoch."""

    active: int
    drained: int
    asleep: int
    in_transit: int = 0
    put_to_sleep: int = 0
    woken: int = 0
    power_each_kw: float | None = None
    """Power of one active instance; None: uncapped."""
    rejected: tuple[float, ...] = (0.0, 0.0)
    """Load turned away by class, in instance-equivalents."""
    deferred: tuple[float, ...] = (0.0, 0.0)
    """Load put off (> 0) or worked off (< 0) by class, in instance-equivalents."""
    pulled: tuple[float, ...] = (0.0, 0.0)
    """Load not due yet and served, by class, in instance-equivalents."""
    lowered: tuple[float, ...] = (0.0, 0.0)
    """Load served at the lower precision by class, in instance-equivalents."""
    locked: Told = Told()
    """Instances under a locked clock."""
    tier: Told = Told()
    """Instances in the lower precision; their load is what is lowered."""
    tier_drained: int = 0
    to_tier: int = 0
    to_own: int = 0
    prewarm: bool = False
    woken_warm: int = 0
    """Those of ``woken`` that are woken while warm."""


STORY = (
    Decision(4, 0, 0),
    Decision(3, 1, 0),
    Decision(3, 0, 0, in_transit=1, put_to_sleep=1),
    Decision(3, 0, 1, power_each_kw=0.85),
    Decision(3, 0, 1, power_each_kw=0.80, rejected=(0.0, 0.25), deferred=(0.0, 0.1)),
    Decision(3, 0, 0, in_transit=1, woken=1),
    Decision(4, 0, 0, deferred=(0.0, -0.12)),
)


def make_pool(**changes: object) -> PoolProblem:
    pool = PoolProblem(
        name="chat",
        instances=4,
        load_curve=LoadCurve(
            idle_kw=IDLE_KW,
            terms=(
                LoadTerm(amplitude_kw=0.5, exponent=0.1),
                LoadTerm(amplitude_kw=FULL_KW - IDLE_KW - 0.5, exponent=0.5),
            ),
            one_request_utilisation=0.04,
            valid_from_utilisation=0.3,
        ),
        cap_curve=CapCurve(full_kw=FULL_KW, elasticity=0.8, floor_kw=0.7),
        drained_kw=DRAINED_KW,
        asleep_kw=ASLEEP_KW,
        may_sleep=True,
        min_utilisation=0.3,
        max_utilisation=0.95,
        route_response=Response(delay_s=0.5, time_constant_s=6.0),
        cap_response=Response(delay_s=0.2, time_constant_s=0.4),
        sleep_s=10.0,
        wake_s=6.0,
        min_asleep_s=60.0,
        min_awake_s=30.0,
        active_at_start=4,
        drained_at_start=0,
        asleep_at_start=0,
        classes=(
            ClassProblem(
                name="interactive",
                load=1.4,
                requests_per_s_per_instance=12.0,
                value_per_instance_s=30.0,
                max_rejected=0.0,
                latency=ClassLatency(prefill_s=0.3, itl_s=0.03),
            ),
            ClassProblem(
                name="batch",
                load=0.8,
                requests_per_s_per_instance=8.0,
                value_per_instance_s=2.0,
                max_rejected=0.4,
                deferral=DeferralProblem(
                    deadline_s=60.0, price_per_work_h=6.0, backlog_at_start=2.0
                ),
                latency=ClassLatency(
                    prefill_s=0.5,
                    itl_s=0.025,
                    ttft_p95_limit_s=6.0,
                    itl_limit_s=0.028,
                    late_per_instance_s=0.3,
                ),
            ),
        ),
        queue=Queue(slots=8.0, service_s=6.0),
        congestion=(
            CongestionStep(above_utilisation=0.5, price_per_instance_h=40.0),
            CongestionStep(above_utilisation=0.8, price_per_instance_h=90.0),
        ),
        cap_depth_per_kwh=25.0,
        readiness_per_instance_h=12.0,
        drain_per_instance=0.4,
        wake_per_instance=0.7,
        gpus_per_instance=2,
        gpu_kw_per_kw=0.9,
    )
    return pool.model_copy(update=changes)


def make_battery(**changes: object) -> BatteryProblem:
    battery = BatteryProblem(
        energy_kwh=0.5,
        start_kwh=0.25,
        min_kwh=0.05,
        max_kwh=0.45,
        reserve_kwh=0.249,
        discharge_limit_kw=1.5,
        charge_limit_kw=1.0,
        droop_reserve_kw=0.1,
        rated_kw=2.0,
        loss_linear=0.02,
        loss_quadratic=0.02,
        cell_efficiency=0.97,
        delay_s=0.1,
        wear_per_kwh=20.0,
        depth_segments=(
            DepthSegment(from_kwh=0.0, price_per_kwh=3.0),
            DepthSegment(from_kwh=0.001, price_per_kwh=12.0),
            DepthSegment(from_kwh=0.2, price_per_kwh=50.0),
        ),
        calendar=(
            CalendarLine(price_per_kwh_h=-30.0, price_per_h=9.0),
            CalendarLine(price_per_kwh_h=60.0, price_per_h=-13.5),
        ),
        terminal=(
            ValueSegment(width_kwh=0.2495, price_per_kwh=60.0),
            ValueSegment(width_kwh=0.2505, price_per_kwh=15.0),
        ),
    )
    return battery.model_copy(update=changes)


def make_problem(**changes: object) -> Problem:
    starts_s = EDGES_S[:-1]
    draw_kw = 0.5 + 4 * natural_kw(make_pool(), 0.55)
    problem = Problem(
        event_id="handmade",
        start=datetime(2026, 6, 1, 12, tzinfo=UTC),
        currency="JPY",
        grid=TimeGrid(edges_s=EDGES_S, epoch_steps=tuple(EDGES_S.index(t) for t in EPOCHS_S)),
        event_start_s=5.0,
        event_end_s=185.0,
        target_kw=tuple(-0.6 if 5.0 <= t < 185.0 else 0.0 for t in starts_s),
        baseline_kw=tuple(draw_kw for _ in starts_s),
        other_kw=tuple(0.5 for _ in starts_s),
        import_limit_kw=tuple(draw_kw + 0.01 for _ in starts_s),
        export_limit_kw=0.0,
        handoff_from_s=12.0,
        handoff_kw=0.06,
        pools=(make_pool(),),
        battery=make_battery(),
        prices=Prices(
            energy_per_kwh=18.0,
            shortfall_per_kwh=60.0,
            firmness_per_kwh=3000.0,
            early_shortfall_premium=0.1,
            reserve_per_kwh=2500.0,
            handoff_excess_per_kwh=400.0,
            overrun_per_kwh=3060.0,
            soc_missing_per_kwh=700.0,
        ),
        restore_kwh=0.2502,
    )
    return problem.model_copy(update=changes)


def with_arrivals(pool: PoolProblem, *arrivals: ArrivalCount) -> PoolProblem:
    return pool.model_copy(update={"arrivals": arrivals})


def natural_kw(pool: PoolProblem | TierProblem, u: float) -> float:
    """Return the uncapped power of one instance; u above one request in flight."""
    assert u >= pool.load_curve.one_request_utilisation
    curve = pool.load_curve
    return curve.idle_kw + sum(t.amplitude_kw * math.pow(u, t.exponent) for t in curve.terms)
