"""Hand-made meter series whose delay, ramp and depth are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from ebplan.event import Event
from ebplan.services import ServiceDefinition
from ebplan.settlement.series import FloatArray, MeterSeries

START = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
"""Start of the event."""
BEFORE_S = 600.0
BASE_KW = 100.0


def ramp(at_s: FloatArray, begin_s: float, full_s: float, end_s: float) -> FloatArray:
    """Return the integral of a response of 1 kW that rises linearly, until some times."""
    rise_s = full_s - begin_s
    rising = np.clip(at_s - begin_s, 0.0, rise_s)
    area = rising**2 / (2.0 * rise_s) if rise_s > 0.0 else np.zeros_like(at_s)
    return area + np.clip(at_s - full_s, 0.0, end_s - full_s)


def response(
    *,
    kw: float = 20.0,
    begin_s: float = 5.0,
    full_s: float = 25.0,
    end_s: float = 1200.0,
    after_s: float = 600.0,
    interval_s: float = 1.0,
    sign: float = -1.0,
    noise_kw: float = 0.0,
    seed: int = 0,
    rebound_kw: float = 0.0,
    rebound_s: float = 0.0,
) -> MeterSeries:
    """Return exact means over intervals of a response that rises, holds, and ends at once."""
    count = round((BEFORE_S + end_s + after_s) / interval_s)
    time_s = interval_s * np.arange(count)
    edges_s = np.append(time_s, time_s[-1] + interval_s) - BEFORE_S
    moved = np.diff(ramp(edges_s, begin_s, full_s, end_s)) / interval_s
    back = np.diff(np.clip(edges_s - end_s, 0.0, rebound_s)) / interval_s
    noise = np.random.default_rng(seed).normal(0.0, noise_kw, count) if noise_kw else 0.0
    grid = BASE_KW + sign * (kw * moved - rebound_kw * back) + noise
    return MeterSeries(
        start=START - timedelta(seconds=BEFORE_S),
        interval_s=interval_s,
        time_s=time_s,
        values={"grid_kw": grid},
    )


def event(
    *,
    delta_kw: float = -20.0,
    begin_s: float = 5.0,
    full_s: float = 25.0,
    duration_s: float = 1200.0,
    **other: Any,
) -> Event:
    return Event.parse(
        {
            "id": "by-hand",
            "type": "demand_response",
            "start": START.isoformat(),
            "duration_s": duration_s,
            "target": {"delta_kw": delta_kw},
            "response": {"initial_delay_s": begin_s, "full_activation_s": full_s},
            **other,
        }
    )


def product(**other: Any) -> ServiceDefinition:
    return ServiceDefinition.parse(
        {
            "kind": "service",
            "id": "by_hand",
            "name": "By hand",
            "region": "nowhere",
            "directions": ["release", "absorb"],
            "trigger": "dispatch",
            "nominal_hz": [50.0],
            "initial_delay_s": 10.0,
            "full_activation_s": 30.0,
            "sustain_s": 900.0,
            "tolerance": {"under": 0.1, "over": 0.2, "share_outside": 0.05},
            **other,
        }
    )
