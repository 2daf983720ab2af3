"""A day on the fluid plant: what the grid asks, what goes wrong, how far the models are off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from ebplan.case import Case
from ebplan.event import Event, EventType, HandOff, ResponseShape, Target
from ebplan.twin import Bias, FluidPlant, LoadNoise, MeterModel
from ebplan.twin.disturbances import (
    ConverterReturn,
    ConverterTrip,
    Disturbance,
    InstanceLost,
    InstanceReturned,
    OtherLoadStep,
)

MODEL_ERROR = 0.05
LOAD_ERROR = 0.03
KINDS: tuple[tuple[EventType, float, tuple[float, float], tuple[float, float]], ...] = (
    # kind, sign, range of duration in s, range of depth as a share of the draw
    ("under_frequency", -1.0, (300.0, 300.0), (0.1, 1.0)),
    ("over_frequency", 1.0, (300.0, 300.0), (0.1, 0.8)),
    ("congestion_curtailment", -1.0, (900.0, 3600.0), (0.05, 0.25)),
    ("renewable_surplus", 1.0, (900.0, 3600.0), (0.05, 0.25)),
)
RECOVERY_S = 60.0
APART_S = (900.0, 4500.0)
"""Time between two events."""
FIRST_S, LAST_S = 300.0, 4800.0
"""No event begins before the first, or in the last, of these seconds."""
PAYMENT_PER_KWH, PENALTY_PER_KWH = 50.0, 300.0


@dataclass(frozen=True)
class Day:
    """What happens."""

    case: Case
    events: tuple[Event, ...]
    bias: Bias
    load_noise: LoadNoise
    meter: MeterModel
    pool_meter: MeterModel
    disturbances: tuple[Disturbance, ...]
    seed: int
    cells_meter: MeterModel | None = None

    def plant(self) -> FluidPlant:
        """Return a plant on which it happens."""
        return FluidPlant(
            self.case.site,
            self.case.state,
            bias=self.bias,
            load_noise=self.load_noise,
            meter=self.meter,
            pool_meter=self.pool_meter,
            cells_meter=self.cells_meter,
            disturbances=self.disturbances,
            seed=self.seed,
        )


def make_day(
    case: Case, *, hours: float, seed: int, errors: bool = True, faults: bool = True
) -> Day:
    """Draw a day.

    Args:
        case: site and state; its event is not used.
        hours: how long it is.
        seed: of everything that is drawn.
        errors: whether models, forecast and meter err.
        faults: whether an instance is lost, the converter trips and other load steps.
    """
    rng = np.random.default_rng(seed)
    draw_kw, other_kw = _draws(case)
    events, at_s = [], FIRST_S
    while at_s < hours * 3600.0 - LAST_S:
        event = _event(case, rng, len(events), at_s, draw_kw)
        events.append(event)
        at_s += event.duration_s + RECOVERY_S + float(rng.uniform(*APART_S))
    load, cap, response = (1.0 + MODEL_ERROR * float(rng.choice((-1.0, 1.0))) for _ in range(3))
    return Day(
        case=case,
        events=tuple(events),
        bias=Bias(load_power=load, cap_elasticity=cap, response_time=response)
        if errors
        else Bias(),
        load_noise=LoadNoise(std=LOAD_ERROR if errors else 0.0),
        meter=MeterModel(noise_kw=0.002 * draw_kw, dropouts_per_h=1.0) if errors else MeterModel(),
        pool_meter=MeterModel(noise_share=0.005, dropouts_per_h=1.0) if errors else MeterModel(),
        disturbances=_faults(case, rng, events, draw_kw, other_kw) if faults else (),
        seed=seed,
    )


def _draws(case: Case) -> tuple[float, float]:
    """Return what the site draws, and what of it no pool does."""
    measured = FluidPlant(case.site, case.state).step((), 1.0)
    assert measured.grid_kw is not None
    return measured.grid_kw, measured.grid_kw - sum(measured.pool_kw.values())


def _event(case: Case, rng: np.random.Generator, number: int, at_s: float, draw_kw: float) -> Event:
    kind, sign, durations_s, depths = KINDS[int(rng.integers(len(KINDS)))]
    duration_s = round(float(rng.uniform(*durations_s)))
    delta_kw = sign * draw_kw * float(rng.uniform(*depths))
    hands_off = duration_s == 300 and abs(delta_kw) < 0.25 * draw_kw and sign < 0.0
    return Event(
        id=f"{number:02d}-{kind}",
        type=kind,
        start=case.state.at + timedelta(seconds=round(at_s)),
        duration_s=duration_s,
        target=Target(delta_kw=delta_kw),
        response=ResponseShape(recovery_s=RECOVERY_S, rebound_limit_kw=0.1 * draw_kw),
        handoff=HandOff(by_s=30.0) if hands_off else None,
        payment_per_kwh=PAYMENT_PER_KWH,
        penalty_per_kwh=PENALTY_PER_KWH,
    )


def _faults(
    case: Case, rng: np.random.Generator, events: list[Event], draw_kw: float, other_kw: float
) -> tuple[Disturbance, ...]:
    """Lose an instance in one event, the converter in another, step other load in a third."""
    if len(events) < 3:
        return ()
    chosen = rng.choice(len(events), size=3, replace=False)
    times = [
        (events[i].start - case.state.at).total_seconds() + 0.4 * events[i].duration_s
        for i in sorted(chosen.tolist())
    ]
    pool = next(iter(case.site.pools))
    return (
        InstanceLost(at_s=times[0], pool=pool),
        InstanceReturned(at_s=times[0] + 1200.0, pool=pool),
        ConverterTrip(at_s=times[1]),
        ConverterReturn(at_s=times[1] + 120.0),
        OtherLoadStep(at_s=times[2], kw=other_kw + 0.05 * draw_kw),
        OtherLoadStep(at_s=times[2] + 600.0, kw=other_kw),
    )
