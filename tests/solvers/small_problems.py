"""Parts of a problem with plain default numbers, to be overridden one by one.

The defaults describe one instance of 1 kW at saturation that stands drained, no battery, no load,
and prices of zero, so that a test names everything its arithmetic uses.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ebplan.models.curves import CapCurve, LoadCurve, LoadTerm
from ebplan.problem import (
    BatteryProblem,
    ClassProblem,
    PoolProblem,
    Prices,
    Problem,
    ValueSegment,
)
from ebplan.site import Response
from ebplan.timegrid import TimeGrid

AT_ONCE = Response(delay_s=0.0, time_constant_s=1e-3)
"""A channel that settles within a thousandth of a second: means over steps are settled powers."""


def load_curve(idle_kw: float = 0.2, amplitude_kw: float = 0.8, exponent: float = 0.1) -> LoadCurve:
    """Return a load curve with one term."""
    return LoadCurve(
        idle_kw=idle_kw,
        terms=(LoadTerm(amplitude_kw=amplitude_kw, exponent=exponent),),
        one_request_utilisation=0.02,
        valid_from_utilisation=0.3,
    )


def requests(**changes: Any) -> ClassProblem:
    """Return a class without load."""
    numbers: dict[str, Any] = {
        "name": "chat",
        "load": 0.0,
        "requests_per_s_per_instance": 2.0,
        "value_per_instance_s": 0.0,
    } | changes
    return ClassProblem(**{"max_rejected": numbers["load"], **numbers})


def pool(**changes: Any) -> PoolProblem:
    """Return a pool of one drained instance; ``instances`` follows from the counts."""
    curve = changes.pop("load_curve", load_curve())
    numbers: dict[str, Any] = {
        "name": "pool",
        "load_curve": curve,
        "cap_curve": CapCurve(full_kw=curve.full_kw, elasticity=0.5, floor_kw=0.4 * curve.full_kw),
        "drained_kw": curve.idle_kw,
        "asleep_kw": 0.5 * curve.idle_kw,
        "may_sleep": False,
        "min_utilisation": 0.1,
        "max_utilisation": 0.9,
        "route_response": AT_ONCE,
        "cap_response": AT_ONCE,
        "sleep_s": 0.0,
        "wake_s": 0.0,
        "min_asleep_s": 0.0,
        "min_awake_s": 0.0,
        "active_at_start": 0,
        "drained_at_start": 1,
        "asleep_at_start": 0,
        "classes": (requests(),),
        "cap_depth_per_kwh": 0.0,
        "readiness_per_instance_h": 0.0,
        "drain_per_instance": 0.0,
        "wake_per_instance": 0.0,
        "gpus_per_instance": 2,
        "gpu_kw_per_kw": 0.9,
    } | changes
    there = sum(numbers[f"{mode}_at_start"] for mode in ("active", "drained", "asleep"))
    there += sum(arrival.count for arrival in numbers.get("arrivals", ()))
    return PoolProblem(**{"instances": there, **numbers})


def battery(**changes: Any) -> BatteryProblem:
    """Return a full battery of 2 kWh and 2 kW without losses whose energy is worth nothing."""
    numbers: dict[str, Any] = {
        "energy_kwh": 2.0,
        "start_kwh": 2.0,
        "min_kwh": 0.0,
        "max_kwh": 2.0,
        "reserve_kwh": 0.0,
        "discharge_limit_kw": 2.0,
        "charge_limit_kw": 0.0,
        "droop_reserve_kw": 0.0,
        "rated_kw": 2.0,
        "loss_linear": 0.0,
        "loss_quadratic": 0.0,
        "cell_efficiency": 1.0,
        "delay_s": 0.0,
        "wear_per_kwh": 0.0,
        "terminal": (ValueSegment(width_kwh=2.0, price_per_kwh=0.0),),
    } | changes
    return BatteryProblem(**numbers)


def prices(**changes: float) -> Prices:
    """Return prices that are zero unless named."""
    numbers = dict.fromkeys(Prices.model_fields, 0.0) | changes
    return Prices(**numbers)


def problem(
    *,
    edges_s: tuple[float, ...] = (0.0, 3600.0),
    epoch_steps: tuple[int, ...] = (0,),
    release_kw: float | tuple[float, ...] = 0.0,
    absorb_kw: float | tuple[float, ...] = 0.0,
    **changes: Any,
) -> Problem:
    """Return an event over the whole grid against a baseline of what the site draws.

    Args:
        edges_s: step edges.
        epoch_steps: first step of each epoch.
        release_kw: asked release (positive), for all steps or per step.
        absorb_kw: asked absorption (positive), likewise; one of the two.
        changes: further fields of the problem; ``other_kw`` is 10 kW unless named.
    """
    steps = len(edges_s) - 1
    less, more = ((kw,) * steps if isinstance(kw, float) else kw for kw in (release_kw, absorb_kw))
    pools = changes.pop("pools", (pool(),))
    other = changes.pop("other_kw", (10.0,) * steps)
    draw = tuple(o + sum(p.power_at_start_kw() for p in pools) for o in other)
    fields: dict[str, Any] = {
        "event_id": "test",
        "start": datetime(2026, 6, 1, 12, tzinfo=UTC),
        "currency": "JPY",
        "grid": TimeGrid(edges_s=edges_s, epoch_steps=epoch_steps),
        "event_start_s": 0.0,
        "event_end_s": edges_s[-1],
        "target_kw": tuple(up - down for up, down in zip(more, less, strict=True)),
        "baseline_kw": draw,
        "other_kw": other,
        "import_limit_kw": (1000.0,) * steps,
        "export_limit_kw": 0.0,
        "handoff_from_s": None,
        "handoff_kw": 0.0,
        "pools": pools,
        "battery": None,
        "prices": prices(),
    } | changes
    return Problem(**fields)
