"""A small fleet and its battery for report tests."""

from __future__ import annotations

from ebplan.models.curves import CapCurve, LoadCurve, LoadTerm
from ebplan.problem import BatteryProblem, ClassProblem, PoolProblem, ValueSegment
from ebplan.site import CongestionStep, Response

POOL = "chat"


def make_pool() -> PoolProblem:
    """Return four instances of two GPUs at 0.48 utilisation."""
    loss = 1.15
    curve = LoadCurve(
        idle_kw=0.24 * loss,
        terms=(LoadTerm(amplitude_kw=0.738 * loss, exponent=0.083),),
        one_request_utilisation=0.04,
        valid_from_utilisation=1 / 3,
    )
    return PoolProblem(
        name=POOL,
        instances=4,
        load_curve=curve,
        cap_curve=CapCurve(full_kw=curve.full_kw, elasticity=1.1, floor_kw=0.8 * loss),
        drained_kw=curve.idle_kw,
        asleep_kw=0.15 * loss,
        may_sleep=True,
        min_utilisation=1 / 3,
        max_utilisation=0.95,
        route_response=Response(delay_s=1.0, time_constant_s=10.0),
        cap_response=Response(delay_s=0.1, time_constant_s=0.4),
        sleep_s=5.0,
        wake_s=6.0,
        min_asleep_s=30.0,
        min_awake_s=30.0,
        active_at_start=4,
        drained_at_start=0,
        asleep_at_start=0,
        classes=(
            ClassProblem(
                name="interactive",
                load=1.4,
                requests_per_s_per_instance=15.9,
                value_per_instance_s=0.8,
                max_rejected=0.0,
            ),
            ClassProblem(
                name="batch",
                load=0.5,
                requests_per_s_per_instance=15.9,
                value_per_instance_s=0.02,
                max_rejected=0.5,
            ),
        ),
        congestion=(CongestionStep(above_utilisation=0.6, price_per_instance_h=30.0),),
        cap_depth_per_kwh=12.0,
        readiness_per_instance_h=6.0,
        drain_per_instance=0.3,
        wake_per_instance=0.5,
        gpus_per_instance=2,
        gpu_kw_per_kw=1 / loss,
    )


def make_battery(energy_kwh: float, start_soc: float) -> BatteryProblem:
    """Return an LFP battery behind a 3 kW converter."""
    return BatteryProblem(
        energy_kwh=energy_kwh,
        start_kwh=start_soc * energy_kwh,
        min_kwh=0.1 * energy_kwh,
        max_kwh=0.9 * energy_kwh,
        reserve_kwh=0.3 * energy_kwh,
        discharge_limit_kw=2.5,
        charge_limit_kw=2.5,
        droop_reserve_kw=0.5,
        rated_kw=3.0,
        loss_linear=0.01,
        loss_quadratic=0.02,
        cell_efficiency=0.975,
        delay_s=0.1,
        wear_per_kwh=15.0,
        terminal=(ValueSegment(width_kwh=energy_kwh, price_per_kwh=30.0),),
    )
