"""A battery: round trip against power, and its energy by cycle or by piece of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.battery_efficiency import BatteryEfficiency
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.intervals import student_quantile
from ebplan.models.points import Points
from ebplan.report.canvas import GREY
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_SHARE = 0.01
"""Share of rated power from which on the round trip is drawn: below it, no-load loss is all."""


def draw(model: BatteryEfficiency) -> Figure:
    """Return the figure of a battery."""
    series = frame.by_series(model.points)
    cycles, pieces = series.get("cycles"), series.get("pieces")
    with_energy = pieces is not None or (cycles is not None and "energy_kwh" in cycles.columns)
    rows = 1 + with_energy
    figure, axes = frame.panels(rows, height_in=1.4 + 3.3 * rows)
    column = axes[:, 0]
    _round_trip(column[0], model, cycles)
    if pieces is not None:
        _pieces(column[1], model, pieces)
    elif with_energy and cycles is not None:
        _energies(column[1], model, cycles)
    frame.key(column[0], model.points)
    below = "state of charge by piece" if pieces is not None else "energy between SoC 0 and 1"
    frame.letter(column, ("round trip", below))
    return frame.finish(
        figure,
        _message(model),
        card=model.card,
        points=model.points,
        interval=f"Band of the round trip and of the energy: {CONFIDENCE:.0%} interval of the law, "
        "without the noise of single readings.",
        unit="pieces of the series" if pieces is not None else "cycles",
    )


def _round_trip(ax: Axes, model: BatteryEfficiency, cycles: Points | None) -> None:
    low, high = model.valid_power_kw
    if high > low:
        # below a hundredth of rated power the no-load loss takes all that comes
        low = max(low, min(LEAST_SHARE * model.converter_rated_kw, 0.5 * high))
        at = np.linspace(low, high, frame.CURVE_POINTS)
    else:
        at = np.array([0.95, 1.05]) * high
    with np.errstate(invalid="ignore"):  # no power is left where the loss takes all of it
        trip = model.round_trip(at, allow_extrapolation=True)
    percent, colour = frame.PERCENT, frame.colour_of(0)
    frame.band(ax, at, trip.low * percent, trip.high * percent, colour)
    frame.curve(ax, at, trip.middle * percent, colour, "fitted law")
    if cycles is not None:
        trips = cycles.column("round_trip") * percent
        frame.readings(ax, cycles.column("power_kw"), trips, cycles.used(), colour)
    ax.set_xlabel(f"AC power of charging and discharging in kW ({model.measurement_point})")
    ax.set_ylabel("Energy out over energy in, in %")


def _energies(ax: Axes, model: BatteryEfficiency, cycles: Points) -> None:
    """Draw the energy that each cycle shows against its power."""
    colour, energy = frame.colour_of(2), model.energy_kwh
    power = cycles.column("power_kw")
    ends = np.array([power.min(), power.max()])
    if ends[0] == ends[1]:
        ends = ends * np.array([0.95, 1.05])
    frame.band(ax, ends, np.full(2, energy.low), np.full(2, energy.high), colour)
    frame.curve(ax, ends, np.full(2, energy.value), colour)
    kwh = cycles.column("energy_kwh")
    frame.readings(ax, power, kwh, cycles.used(), colour, frame.mark_of(2))
    ax.set_xlabel(f"AC power of the cycle in kW ({model.measurement_point})")
    ax.set_ylabel("Usable energy in kWh")
    ax.margins(y=0.3)


def _pieces(ax: Axes, model: BatteryEfficiency, pieces: Points) -> None:
    """Draw how far the state of charge moved against what the law says."""
    percent, colour = frame.PERCENT, frame.colour_of(2)
    fitted, moved = (
        percent * pieces.column(c) for c in ("soc_change_fitted", "soc_change")
    )  # fmt: skip
    ends = np.array([fitted.min(), fitted.max()])
    half = percent * student_quantile(CONFIDENCE, model.degrees) * model.spread
    frame.band(ax, ends, ends - half, ends + half, colour)
    frame.curve(ax, ends, ends, colour, f"as fitted; band: {CONFIDENCE:.0%} of pieces")
    frame.readings(ax, fitted, moved, pieces.used(), colour, frame.mark_of(2))
    ax.axhline(0.0, color=GREY, linewidth=0.6, linestyle=":")
    ax.axvline(0.0, color=GREY, linewidth=0.6, linestyle=":")
    ax.set_xlabel("Change of the state of charge by the law, in percentage points")
    ax.set_ylabel("Change measured,\nin percentage points")
    frame.key(ax)


def _message(model: BatteryEfficiency) -> str:
    energy, high = model.energy_kwh, model.valid_power_kw[1]
    trip = model.round_trip(high, allow_extrapolation=True)
    told = f"{energy.value:.4g} kWh"
    if energy.provenance == "measured":
        told += f" ({energy.low:.4g} to {energy.high:.4g})"
    else:
        told += " (given)"
    return (
        f"{model.name}: {told}, round trip {frame.PERCENT * float(trip.middle):.1f} % "
        f"({frame.PERCENT * float(trip.low):.1f} to {frame.PERCENT * float(trip.high):.1f}) "
        f"at {high:.4g} kW"
    )
