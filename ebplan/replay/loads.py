"""Which requests came: as they were recorded, or as the power tells.

From power, the load is the usual one times a factor: the one at which the twin, all at rest, draws
what was metered. In an event and its recovery the metered draw is the answer to the event and
tells nothing of what came; there the factor is the one that draws the baseline. That is an
assumption, and results say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.replay.recording import Recording
from ebplan.replay.spec import Beginning
from ebplan.settlement.series import SAME_TIME_S, FloatArray
from ebplan.site import Site
from ebplan.state import PoolState, State
from ebplan.twin import FluidPlant

POINTS = 65
"""Factors at which the twin is asked what it draws; between them it is taken as straight."""
MOST_DOUBLINGS = 12
GROWS = 1e-4
"""A draw that grows by less when the load doubles grows no more."""


@dataclass(frozen=True)
class Loads:
    """Which requests came, interval by interval of the recording, gaps filled."""

    by_class: Mapping[tuple[str, str], FloatArray]
    """Requests/s by pool and class, each of shape (slots,)."""
    rule: str
    """How they were found, in a sentence."""
    out_of_range: int = 0
    """Readings that the twin cannot draw at any load."""
    range_kw: tuple[float, float] | None = None
    """What it can draw, where that was asked."""


def slots_of(recording: Recording) -> NDArray[np.intp]:
    """Return the index of the reading that speaks for each interval, gaps filled, (slots,)."""
    meter = recording.meter
    count = round(meter.end_s / meter.interval_s)
    begins = meter.interval_s * np.arange(count)
    return np.asarray(np.searchsorted(meter.time_s, begins + SAME_TIME_S, side="right") - 1)


def recorded_loads(recording: Recording) -> Loads:
    """Return the arrivals as they were recorded; the last ones go on over a gap."""
    slots = slots_of(recording)
    return Loads(
        by_class={key: values[slots] for key, values in recording.loads.items()},
        rule="arrivals as recorded",
    )


def loads_from_power(
    recording: Recording, site: Site, beginning: Beginning, baseline_kw: FloatArray
) -> Loads:
    """Return the loads at which the twin draws what was metered, and in events the baseline.

    Args:
        recording: the recording.
        site: the site.
        beginning: the usual load.
        baseline_kw: the baseline on the readings, shape (n,).

    Raises:
        InputError: the twin draws the same at every load.
    """
    meter = recording.meter
    factors, draws_kw = _curve(site, beginning, meter.start)
    wanted_kw = meter.grid_kw.copy()
    battery_kw = meter.battery_kw
    if battery_kw is not None:
        wanted_kw = wanted_kw + battery_kw
    for event in recording.events:
        wanted_kw = np.where(_touched(recording, event), baseline_kw, wanted_kw)
    low, high = float(draws_kw[0]), float(draws_kw[-1])
    slack = 1e-6 * max(high, 1.0)
    outside = int(((wanted_kw < low - slack) | (wanted_kw > high + slack)).sum())
    factor = np.interp(wanted_kw, draws_kw, factors)[slots_of(recording)]
    return Loads(
        by_class={
            (name, key): rate * factor
            for name, pool in beginning.pools.items()
            for key, rate in pool.load_req_per_s.items()
        },
        rule="the load that would draw what was metered, in events what would draw the baseline "
        "(assumed: nobody counted requests)",
        out_of_range=outside,
        range_kw=(low, high),
    )


def _touched(recording: Recording, event: Event) -> FloatArray:
    """Return which readings an event has moved, shape (n,)."""
    meter = recording.meter
    begin_s = meter.seconds(event.start)
    over_s = begin_s + event.duration_s + event.response.recovery_s
    return np.asarray(
        (meter.time_s + meter.interval_s > begin_s + SAME_TIME_S)
        & (meter.time_s < over_s - SAME_TIME_S)
    )


def _curve(site: Site, beginning: Beginning, at: object) -> tuple[FloatArray, FloatArray]:
    """Return factors of the usual load and what the twin draws at each, both rising."""

    def draw_kw(factor: float) -> float:
        state = State.model_validate(
            {"at": at, "soc": _some_soc(site, beginning), "pools": times(beginning.pools, factor)}
        )
        measured = FluidPlant(site, state).step((), 1.0)
        return measured.registers.grid_kwh * 3600.0 / measured.dt_s

    top, drawn = 1.0, draw_kw(1.0)
    for _ in range(MOST_DOUBLINGS):
        more = draw_kw(2.0 * top)
        if more - drawn <= GROWS * abs(drawn):
            break
        top, drawn = 2.0 * top, more
    factors = np.linspace(0.0, top, POINTS)
    draws_kw = np.array([draw_kw(float(factor)) for factor in factors])
    rises = np.r_[True, np.diff(np.maximum.accumulate(draws_kw)) > 0.0]
    if rises.sum() < 2:
        raise InputError(
            field="beginning.pools",
            value=f"{draws_kw[0]:.3g} kW at every load",
            allowed="a usual load that the draw follows",
            remedy="give load_req_per_s of each class, or map recorded arrivals",
        )
    return factors[rises], draws_kw[rises]


def _some_soc(site: Site, beginning: Beginning) -> float | None:
    return None if site.battery is None else beginning.soc or site.battery.soc_max


def times(pools: Mapping[str, PoolState], factor: float) -> dict[str, PoolState]:
    """Return pools with their loads times a factor."""
    return {
        name: pool.model_copy(
            update={"load_req_per_s": {k: factor * v for k, v in pool.load_req_per_s.items()}}
        )
        for name, pool in pools.items()
    }
