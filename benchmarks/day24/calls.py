"""What the grid asks in a day, and what goes wrong: drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import pi, sin
from typing import Literal, get_args

import numpy as np

from ebplan.case import Case
from ebplan.event import Event, EventType, ResponseShape, Target
from ebplan.twin.disturbances import LoadStep

HOUR_S = 3600.0
RECOVERY_S = 120.0
REBOUND_SHARE = 0.1
Fault = Literal[
    "engine dies",
    "meter silent",
    "meter frozen",
    "converter trips",
    "converter refuses",
    "router silent",
    "load steps",
    "other load steps",
    "caps take half",
    "wall clock jumps",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
KINDS: tuple[tuple[EventType, float, tuple[float, float]], ...] = (
    # kind, sign, sizes as a share of the draw: up to what no battery and fleet can do
    ("under_frequency", -1.0, (0.05, 1.5)),
    ("congestion_curtailment", -1.0, (0.05, 0.6)),
    ("demand_response", -1.0, (0.05, 0.6)),
    ("over_frequency", 1.0, (0.05, 1.6)),
    ("renewable_surplus", 1.0, (0.05, 0.6)),
    ("import_limit", -1.0, (0.05, 0.6)),
)


@dataclass(frozen=True)
class Call:
    """One call of the grid, and what its sender does with it."""

    event: Event
    """Asked; its start is in seconds of the day after the case's."""
    at_s: float
    """When it begins."""
    notice_s: float
    """How long before that it is heard of."""
    changed_at_s: float | None
    """When another size is asked."""
    factor: float
    """By what it is changed."""
    cancelled_at_s: float | None
    """When it is taken back."""


@dataclass(frozen=True)
class Trouble:
    """One fault."""

    what: Fault
    at_s: float
    lasts_s: float
    size: float
    """In -1 to 1; what it means depends on the fault."""


def make_calls(case: Case, draw_kw: float, *, hours: float, count: int, seed: int) -> list[Call]:
    """Return the calls of a day, by start: one falls into each even share of it."""
    rng = np.random.default_rng((seed, 1))
    apart_s = (hours * HOUR_S - 600.0) / count
    calls = []
    for n in range(count):
        kind, sign, sizes = KINDS[int(rng.integers(len(KINDS)))]
        at_s = 120.0 + apart_s * (n + 0.6 * float(rng.random()))
        # the longer ones reach into the next share: they overlap
        lasts_s = float(
            rng.choice((45.0, 90.0, 180.0, 300.0, 600.0), p=(0.2, 0.25, 0.3, 0.2, 0.05))
        )
        size_kw = sign * draw_kw * float(rng.uniform(*sizes) * rng.choice((0.4, 1.0)))
        limit = kind == "import_limit"
        target = (
            Target(import_limit_kw=max(draw_kw + size_kw, 0.0))
            if limit
            else Target(delta_kw=size_kw)
        )
        event = Event(
            id=f"{n:03d}-{kind}",
            type=kind,
            start=case.state.at + timedelta(seconds=round(at_s)),
            duration_s=lasts_s,
            target=target,
            response=ResponseShape(recovery_s=RECOVERY_S, rebound_limit_kw=REBOUND_SHARE * draw_kw),
            payment_per_kwh=50.0,
            penalty_per_kwh=300.0,
        )
        fate = rng.random()
        calls.append(
            Call(
                event,
                float(round(at_s)),
                float(rng.choice((0.0, 60.0, 300.0), p=(0.6, 0.2, 0.2))),
                round(at_s) + 0.4 * lasts_s if fate < 0.1 and not limit else None,
                float(rng.uniform(0.4, 1.5)),
                round(at_s) + 0.5 * lasts_s if 0.1 <= fate < 0.2 else None,
            )
        )
    return calls


def make_troubles(*, hours: float, count: int, seed: int) -> list[Trouble]:
    """Return the faults of a day, by start; each kind comes in turn, none while another lasts."""
    rng = np.random.default_rng((seed, 2))
    apart_s = (hours * HOUR_S - 600.0) / count
    return [
        Trouble(
            FAULTS[n % len(FAULTS)],
            200.0 + apart_s * (n + 0.5 * float(rng.random())),
            float(rng.choice((5.0, 30.0, 120.0, 300.0))) if apart_s > 800.0 else 30.0,
            float(rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.0)),
        )
        for n in range(count)
    ]


def share_of_day(at_s: float) -> float:
    """Return the traffic as a share of the case's: a synthetic day, least at 4, most at 16 h."""
    return 0.7 + 0.3 * sin(2.0 * pi * (at_s / HOUR_S - 10.0) / 24.0)


def traffic(case: Case, *, hours: float, every_s: float = 60.0) -> list[LoadStep]:
    """Return the traffic of a day as steps."""
    return [
        LoadStep(at_s=at_s, pool=pool, request_class=name, req_per_s=rate * share_of_day(at_s))
        for at_s in np.arange(0.0, hours * HOUR_S, every_s).tolist()
        for pool, state in case.state.pools.items()
        for name, rate in state.load_req_per_s.items()
    ]
