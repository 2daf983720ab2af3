"""Caps and clocks alike: power and throughput of each workload against what was set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.models.board import BoardLaw
from ebplan.models.cap import CapModel
from ebplan.models.clock import ClockModel
from ebplan.models.curves import CapCurve, FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.points import Points
from ebplan.report.canvas import GREY, INK
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_SHARE = 0.3
"""Where only elasticities are known, they are drawn from this share of the full power on."""


@dataclass(frozen=True)
class Line:
    """One curve of a workload."""

    label: str
    """In the legend."""
    at: FloatArray
    """What is set, in the unit of the axis, shape (M,)."""
    power: Estimate
    """Power of a GPU in kW, shape (M,)."""
    throughput: Estimate
    """Throughput in 1/s, shape (M,)."""


@dataclass(frozen=True)
class Setting:
    """What a sweep sets."""

    axis: str
    """Label of the axis."""
    lines: Callable[[str, BoardLaw], list[Line]]
    """The curves of a workload."""
    of: Callable[[Points], FloatArray | None]
    """What was set for each reading, in the unit of the axis; None where it was not kept."""
    hollow: Callable[[Points], NDArray[np.bool_]]
    """Which readings the curve is not about."""
    hollow_means: str
    """Why, in the legend."""


def draw(model: CapModel | ClockModel, setting: Setting, message: str) -> Figure:
    """Return the figure of a model with a law by workload."""
    figure, axes = frame.panels(2, height_in=7.4, sharex=True)
    power, rate = axes[:, 0]
    shown = frame.chosen(model.laws.items())
    points = tuple(p for p in model.points if p.series in dict(shown))
    for number, (workload, law) in enumerate(shown):
        colour, full = frame.colour_of(number), float(np.exp(law.rate_law.theta[0]))
        for place, line in enumerate(setting.lines(workload, law)):
            style = frame.LINES[place % len(frame.LINES)]
            for ax, estimate, factor in (
                (power, line.power, frame.W_PER_KW),
                (rate, line.throughput, frame.PERCENT / full),
            ):
                frame.band(ax, line.at, estimate.low * factor, estimate.high * factor, colour)
                frame.curve(ax, line.at, estimate.middle * factor, colour, line.label, style)
        for kept in (p for p in points if p.series == workload):
            _readings(power, rate, setting, kept, full, number)
    _label(power, rate, setting, points, model.measurement_point)
    return frame.finish(
        figure,
        message,
        card=model.card,
        points=points,
        interval=f"Bands are made to hold {CONFIDENCE:.0%} of new readings."
        + frame.partly(shown, model.laws, "workloads"),
    )


def _readings(
    power: Axes, rate: Axes, setting: Setting, points: Points, full: float, number: int
) -> None:
    at = setting.of(points)
    if at is None:
        return
    for ax, column, factor in (
        (power, "power_kw_per_gpu", frame.W_PER_KW),
        (rate, "throughput_per_s", frame.PERCENT / full),
    ):
        frame.readings(
            ax,
            at,
            points.column(column) * factor,
            points.used(),
            frame.colour_of(number),
            frame.mark_of(number),
            setting.hollow(points),
        )


def _label(
    power: Axes, rate: Axes, setting: Setting, readings: tuple[Points, ...], measured_at: str
) -> None:
    power.set_ylabel(f"Power of a GPU in W ({measured_at})")
    rate.set_ylabel("Throughput in % of the fit's\nat the highest power")
    rate.set_xlabel(setting.axis)
    for ax in (power, rate):
        ax.set_ylim(bottom=0.0)
    if any(setting.hollow(p).any() for p in readings):
        power.plot([], [], "o", color=INK, mfc="white", label=setting.hollow_means)
    frame.key(power, readings)
    frame.letter((power, rate), ("power", "throughput"))


def draw_elasticities(model: CapModel | ClockModel, message: str) -> Figure:
    """Return the figure of a model that carries no law: capacity against power, as a band."""
    figure, axes = frame.panels(1, height_in=4.6)
    ax = axes[0, 0]
    share = np.linspace(LEAST_SHARE, 1.0, frame.CURVE_POINTS)
    ends = [_left(e, share) for e in (model.elasticity_high, model.elasticity_low)]
    percent = frame.PERCENT
    colour = frame.colour_of(0)
    frame.band(ax, percent * share, percent * ends[0], percent * ends[1], colour)
    frame.curve(ax, percent * share, percent * ends[0], colour, "what the planner is given")
    ax.plot(percent * share, percent * share, ":", color=GREY, label="in proportion to power")
    ax.set_xlabel(f"Power in % of the full power ({model.measurement_point})")
    ax.set_ylabel("Throughput in % of the full")
    ax.set_ylim(0.0, 105.0)
    frame.key(ax)
    return frame.finish(
        figure,
        message,
        card=model.card,
        points=model.points,
        interval="The band reaches from the lowest to the highest elasticity read off the data.",
    )


def _left(elasticity: float, share: FloatArray) -> FloatArray:
    """Return the capacity at a share of the full power; the floor plays no part in it."""
    curve = CapCurve(full_kw=1.0, elasticity=elasticity, floor_kw=1.0)
    return np.maximum(curve.capacity(share), 0.0)
