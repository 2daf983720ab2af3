"""A standby model: the readings of each mode in their order, with the mean and its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.standby import StandbyModel, StandbyPower
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODES = {"idle": "idle", "loaded_idle": "loaded idle", "asleep": "asleep"}
"""Modes as they are called in the figure."""


def draw(model: StandbyModel) -> Figure:
    """Return the figure of a standby model: a panel a mode, each on its own scale.

    Modes lie tens of watts apart and are known to a fraction of one: on one scale neither the
    interval nor a drift could be seen.
    """
    found: dict[str, StandbyPower] = {
        mode: power for mode in MODES if (power := getattr(model, mode)) is not None
    }
    figure, axes = frame.panels(1, len(found), height_in=4.2)
    for number, (ax, (mode, power)) in enumerate(zip(axes[0], found.items(), strict=True)):
        _draw(ax, model, mode, power, number)
    axes[0, 0].set_ylabel(f"Power of a GPU in W ({model.measurement_point})")
    frame.letter(
        axes[0],
        (f"{MODES[m]}: {_watts(p)}" for m, p in found.items()),
    )
    return frame.finish(
        figure,
        _message(model, found),
        card=model.card,
        points=model.points,
        interval=f"Bands are the {model.confidence:.0%} intervals of the means, not of single "
        "readings.",
    )


def _draw(ax: Axes, model: StandbyModel, mode: str, power: StandbyPower, number: int) -> None:
    colour, watt = frame.colour_of(number), frame.W_PER_KW
    ends = np.array([1.0, power.readings])
    for points in (p for p in model.points if p.series == mode):
        at = np.linspace(1.0, power.readings, len(points))
        kw = points.column("power_kw_per_gpu")
        frame.readings(ax, at, kw * watt, points.used(), colour, frame.mark_of(number))
    low, high = power.low_kw_per_gpu * watt, power.high_kw_per_gpu * watt
    frame.band(ax, ends, np.full(2, low), np.full(2, high), colour)
    frame.curve(ax, ends, np.full(2, power.mean_kw_per_gpu * watt), colour)
    ax.set_xlabel(f"Reading in order ({power.independent_readings:.0f} independent)")
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.margins(y=0.2)


def _watts(power: StandbyPower) -> str:
    """Return a mean with its interval in W."""
    mean, low, high = (
        frame.W_PER_KW * kw
        for kw in (power.mean_kw_per_gpu, power.low_kw_per_gpu, power.high_kw_per_gpu)
    )
    return f"{mean:.1f} W ({low:.1f} to {high:.1f})"


def _message(model: StandbyModel, found: dict[str, StandbyPower]) -> str:
    told = ", ".join(
        f"{frame.W_PER_KW * power.mean_kw_per_gpu:.0f} W {MODES[mode]}"
        for mode, power in found.items()
    )
    return f"{model.name}: a GPU without load draws {told}"
