"""Ageing at rest and by cycling alike: one small panel a condition, all on the same axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.curves import FloatArray
from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.points import Points
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 20
"""More are not readable on a page; then every so many conditions are drawn."""
COLUMNS = 4


@dataclass(frozen=True)
class Panel:
    """One condition."""

    title: str
    """What was held constant, in words with units."""
    stress: tuple[float, float]
    """The same in the order of the model's arguments."""
    end: float
    """Where the curve ends, in the unit of the model's argument."""
    points: Points | None = None
    """Its check-ups."""


@dataclass(frozen=True)
class Ageing:
    """What differs between the two."""

    clock: str
    """Column of the check-ups: time or full cycles."""
    axis: str
    """Label of the axis."""
    per_unit: float
    """What one unit of the axis is in the unit of the column."""
    stresses: tuple[str, str]
    """Columns of what was held constant, in the order of the model's arguments."""
    title: Callable[[float, float], str]
    """What was held constant, in words with units."""
    ranges: tuple[tuple[float, float], tuple[float, float]]
    """What was measured, lowest and highest of each."""
    end: float
    """Longest time, or most cycles, measured."""
    capacity: Callable[[tuple[float, float], FloatArray], Estimate]
    """The capacity left, a share of the initial."""


def draw(model: CalendarAgeing | CycleAgeing, ageing: Ageing, message: str) -> Figure:
    """Return the figure of a model of ageing."""
    every = _measured(model.points, ageing) or _corners(ageing)
    shown = every[:: ceil(len(every) / MOST_PANELS)]
    columns = min(COLUMNS, len(shown))
    rows = ceil(len(shown) / columns)
    figure, axes = frame.panels(
        rows, columns, height_in=1.5 + 1.75 * max(rows, 1.5), sharex=True, sharey=True
    )
    flat = axes.ravel().tolist()
    for ax, panel in zip(flat, shown, strict=False):
        _draw(ax, ageing, panel)
    _label(axes, len(shown), ageing)
    kept = tuple(p.points for p in shown if p.points is not None)
    return frame.finish(
        figure,
        message,
        card=model.card,
        points=kept,
        interval=f"Bands are made to hold {CONFIDENCE:.0%} of check-ups of new conditions; "
        "one curve of the law in each panel, fitted to all of them."
        + frame.partly(shown, every, "conditions"),
        unit="check-ups",
    )


def lost_in(name: str, left: Estimate, when: str) -> str:
    """Return what the figure says: the capacity lost, with its interval."""
    lost, least, most = (
        frame.PERCENT * (1.0 - float(share)) for share in (left.middle, left.high, left.low)
    )
    return (
        f"{name}: {lost:.1f} % of the capacity ({max(least, 0.0):.1f} to {most:.1f}) is lost in "
        f"{when}"
    )


def _measured(points: Sequence[Points], ageing: Ageing) -> list[Panel]:
    """Return the conditions measured, by what was held constant."""
    found = []
    for p in points:
        stress = tuple(float(p.columns[name][0]) for name in ageing.stresses)
        off = "" if p.used().any() else "\nweight zero"
        found.append(
            Panel(
                title=ageing.title(stress[0], stress[1]) + off,
                stress=(stress[0], stress[1]),
                end=float(p.column(ageing.clock).max()),
                points=p,
            )
        )
    return sorted(found, key=lambda panel: panel.stress)


def _corners(ageing: Ageing) -> list[Panel]:
    """Return the ends of what was measured, where no check-up was kept."""
    firsts, seconds = (sorted(set(ends)) for ends in ageing.ranges)
    return [
        Panel(title=ageing.title(a, b), stress=(a, b), end=ageing.end)
        for a in firsts
        for b in seconds
    ]


def _draw(ax: Axes, ageing: Ageing, panel: Panel) -> None:
    at = panel.end * np.linspace(0.0, 1.0, frame.CURVE_POINTS) ** 2
    left = ageing.capacity(panel.stress, at)
    x, percent = at / ageing.per_unit, frame.PERCENT
    colour = frame.colour_of(0)
    frame.band(ax, x, left.low * percent, left.high * percent, colour)
    frame.curve(ax, x, left.middle * percent, colour)
    if panel.points is not None:
        clock = panel.points.column(ageing.clock) / ageing.per_unit
        capacity = panel.points.column("capacity") * percent
        frame.readings(ax, clock, capacity, panel.points.used(), frame.colour_of(1))
    ax.set_title(panel.title, fontsize=8, loc="left")


def _label(axes: Any, shown: int, ageing: Ageing) -> None:
    """Label the outer panels of (rows, columns), and hide those without a condition."""
    rows, columns = axes.shape
    for place, ax in enumerate(axes.ravel()):
        if place >= shown:
            ax.set_visible(False)
        if place % columns == 0:
            ax.set_ylabel("Capacity left\nin %", fontsize=8)
        if place >= (rows - 1) * columns:
            ax.set_xlabel(ageing.axis, fontsize=8)
        elif place + columns >= shown:  # nothing stands below it
            ax.tick_params(labelbottom=True)
        ax.tick_params(labelsize=8)
