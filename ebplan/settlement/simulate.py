"""A meter series of the bench: a plan carried out on the fluid plant and metered as on a site."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.settlement.series import BATTERY, GRID, POOL, FloatArray, MeterSeries
from ebplan.site import Site
from ebplan.state import State
from ebplan.twin import FluidPlant, LoadNoise, Measurements, MeterModel, carry_out

QUIET_S = 120.0
"""The plant is metered for this long before the event."""


def simulate(
    site: Site,
    state: State,
    event: Event,
    *,
    quiet_s: float = QUIET_S,
    interval_s: float = 1.0,
    seed: int = 0,
    load_noise: LoadNoise | None = None,
    noise_kw: float = 0.0,
) -> tuple[MeterSeries, Plan]:
    """Return the meter series of an event on the fluid plant, and the plan that was carried out.

    The event begins when the quiet stretch is over, whatever its own start says; the plan is made
    from the state that is measured then.

    Args:
        site: the site.
        state: how it begins.
        event: what is asked.
        quiet_s: how long it is metered before.
        interval_s: interval of the meter.
        seed: of every chance.
        load_noise: error of the load's forecast.
        noise_kw: standard deviation of a reading.
    """
    meter = MeterModel(averaging_s=interval_s, noise_kw=noise_kw)
    plant = FluidPlant(site, state, seed=seed, load_noise=load_noise, meter=meter)
    measured = [plant.step((), interval_s) for _ in range(round(quiet_s / interval_s))]
    now = measured[-1].state() if measured else state
    with Planner(site) as planner:
        plan = planner.plan(event.model_copy(update={"start": now.at}), now)
    measured += carry_out(plan, plant, interval_s)
    return metered(measured, interval_s, exact=noise_kw == 0.0), plan


def metered(measured: Sequence[Measurements], interval_s: float, *, exact: bool) -> MeterSeries:
    """Return what a plant measured as a meter series, marked as simulated.

    Args:
        measured: measurements; some may lie between the ends of intervals.
        interval_s: interval of the series, counted from the plant's start.
        exact: take the draw from the plant's registers, and not from its meter with its noise.

    Raises:
        InputError: no interval is complete, or the meter fell silent.
    """
    at_s = np.array([0.0, *(m.at_s for m in measured)])
    edges_s = interval_s * np.arange(np.floor(at_s[-1] / interval_s + 1e-6) + 1.0)
    if len(edges_s) < 2:
        raise InputError(
            field="interval_s",
            value=interval_s,
            allowed=f"<= {at_s[-1]:g} s, as long as the plant was measured",
            remedy="let more time pass",
        )

    def means(kwh: list[float]) -> FloatArray:
        summed = np.interp(edges_s, at_s, np.array([0.0, *kwh]))
        return np.asarray(3600.0 * np.diff(summed) / interval_s)

    values = {GRID: means([m.registers.grid_kwh for m in measured])}
    if not exact:
        readings = np.array(
            [np.nan, *(np.nan if m.grid_kw is None else m.grid_kw for m in measured)]
        )
        at = np.searchsorted(at_s, edges_s[1:] - 1e-6)
        values[GRID] = readings[at]
    if measured[0].converter is not None:
        values[BATTERY] = means(
            [m.registers.battery_out_kwh - m.registers.battery_in_kwh for m in measured]
        )
    for name in measured[0].registers.pools_kwh:
        values[f"{POOL}{name}"] = means([m.registers.pools_kwh[name] for m in measured])
    keep = np.isfinite(values[GRID])
    return MeterSeries(
        start=measured[0].started,
        interval_s=interval_s,
        time_s=edges_s[:-1][keep],
        values={name: value[keep] for name, value in values.items()},
        file="fluid plant",
        simulated=True,
    )
