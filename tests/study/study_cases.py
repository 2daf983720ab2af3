"""Small studies in numbers, whose optimum a person can work out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ebplan.problem import BatteryProblem, ValueSegment
from ebplan.study.numbers import (
    BatteryNumbers,
    Gate,
    GroupNumbers,
    MarketNumbers,
    ServiceNumbers,
    StudyNumbers,
)
from ebplan.wear import DepthSegment


def battery(
    energy_kwh: float = 50.0,
    power_kw: float = 100.0,
    *,
    start_kwh: float = 0.0,
    efficiency: float = 1.0,
    wear_per_kwh: float = 0.0,
    depth: tuple[tuple[float, float], ...] = (),
) -> BatteryNumbers:
    problem = BatteryProblem(
        energy_kwh=energy_kwh,
        start_kwh=start_kwh,
        min_kwh=0.0,
        max_kwh=energy_kwh,
        reserve_kwh=0.0,
        discharge_limit_kw=power_kw,
        charge_limit_kw=power_kw,
        droop_reserve_kw=0.0,
        rated_kw=power_kw,
        loss_linear=0.0,
        loss_quadratic=0.0,
        cell_efficiency=efficiency,
        delay_s=0.0,
        wear_per_kwh=wear_per_kwh,
        depth_segments=tuple(DepthSegment(from_kwh=at, price_per_kwh=price) for at, price in depth),
        terminal=(ValueSegment(width_kwh=energy_kwh, price_per_kwh=0.0),),
    )
    return BatteryNumbers(problem, charge_efficiency=efficiency, discharge_efficiency=efficiency)


def group(
    steps: int,
    *,
    baseline_kw: float | list[float] = 200.0,
    slices: tuple[tuple[float, float], ...] = (),
    battery: BatteryNumbers | None = None,
    products: int = 0,
    demand: float = 0.0,
    alone_kw: float = 0.0,
    wheeling: float = 0.0,
) -> GroupNumbers:
    widths = np.tile([kw for kw, _ in slices], (steps, 1)).reshape(steps, len(slices))
    lost = np.tile([price for _, price in slices], (steps, 1)).reshape(steps, len(slices))
    return GroupNumbers(
        name="site",
        sites=1,
        baseline_kw=np.broadcast_to(np.asarray(baseline_kw, dtype=float), (steps,)),
        width_kw=widths,
        lost_per_kwh=lost,
        rejected_per_kwh=np.zeros_like(lost),
        alone_kw=np.full((steps, products), alone_kw),
        settled_s=25.0,
        bridge_s=9.0,
        revenue_per_h=np.full(steps, 100.0),
        requests_per_h=np.full(steps, 10.0),
        import_kw=10_000.0,
        export_kw=10_000.0,
        demand_per_kw_month=np.full(12, demand),
        wheeling_per_kwh=np.full(steps, wheeling),
        battery=battery,
    )


def service(
    steps: int,
    *,
    name: str = "fcr",
    sustain_s: float = 300.0,
    activation_s: float = 10.0,
    price: float | list[float] = 3.0,
    activation: float | list[float] = 0.0,
    **more: Any,
) -> ServiceNumbers:
    fields: dict[str, Any] = {
        "id": name,
        "releases": True,
        "absorbs": False,
        "sustain_s": sustain_s,
        "room_s": 0.0,
        "opposite": 0.0,
        "rated": 1.0,
        "activation_s": activation_s,
        "min_bid_kw": 1.0,
        "step_kw": 1.0,
        "max_bid_kw": 1e6,
        "price_per_kw": np.broadcast_to(np.asarray(price, dtype=float), (steps,)),
        "fee_per_kw": np.zeros(steps),
        "award_probability": 1.0,
        "activation": np.broadcast_to(np.asarray(activation, dtype=float), (steps,)),
        "expected_activation": float(np.mean(activation)),
        "absorption": np.zeros(steps),
        "expected_absorption": 0.0,
        "highest_absorption": 0.0,
        "energy_per_kwh": np.zeros(steps),
        "penalty_per_kwh": 0.0,
        "unavailable_times": 0.0,
        "gate": Gate(bid=28, known=30),
        "block": 1,
        "held": np.ones(steps),
        "contract_kw": None,
        "exclusive_with": (),
        "clipped": 0,
    }
    return ServiceNumbers(**{**fields, **more})


def study(
    prices: list[float],
    *groups: GroupNumbers,
    services: tuple[ServiceNumbers, ...] = (),
    terminal: float = 0.0,
    imbalance: list[float] | None = None,
    spread: float = 0.0,
    steps_per_day: int | None = None,
    month: list[int] | None = None,
    carbon: list[float] | None = None,
    carbon_per_kg: float = 0.0,
) -> StudyNumbers:
    steps = len(prices)
    spot = np.array(prices, dtype=float)
    return StudyNumbers(
        hours=0.5,
        steps_per_day=steps_per_day or steps,
        month=np.array(month) if month else np.zeros(steps, dtype=np.int64),
        market=MarketNumbers(
            spot_per_kwh=spot,
            imbalance_per_kwh=spot if imbalance is None else np.array(imbalance),
            intraday_spread_per_kwh=spread,
            carbon_kg_per_kwh=np.zeros(steps) if carbon is None else np.array(carbon),
            carbon_per_kg=carbon_per_kg,
            gate=Gate(bid=20, known=21),
        ),
        groups=groups,
        services=services,
        terminal_per_kwh=terminal,
    )


def all_accepted(numbers: StudyNumbers) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.ones((len(numbers.services), numbers.steps))
