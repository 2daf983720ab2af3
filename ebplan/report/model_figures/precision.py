"""A tier model: what a lower precision serves and draws relative to the base one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.tier import LOADS, REPEATABILITY, TierModel
from ebplan.report.canvas import GREY
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BESIDE = 1.1
"""The axis reaches this many times beyond the loads compared."""


def draw(model: TierModel) -> Figure:
    """Return the figure of a tier model."""
    figure, axes = frame.panels(2, height_in=6.4, sharex=True)
    gain, power = axes[:, 0]
    for number, (ax, column, low, high, cautious) in enumerate(
        (
            (
                gain,
                "throughput_ratio",
                model.capacity_factor_low,
                model.capacity_factor_high,
                model.capacity_factor_low,
            ),
            (
                power,
                "busy_power_ratio",
                model.power_ratio_low,
                model.power_ratio_high,
                model.power_ratio_high,
            ),
        )
    ):
        at = _loads(model)
        frame.band(ax, at, np.full(2, low), np.full(2, high), frame.colour_of(number))
        middle = _middle(model, column, low, high)
        frame.curve(ax, at, np.full(2, middle), frame.colour_of(number), "mean of the ratios")
        ax.plot(at, np.full(2, cautious), "--", color=frame.colour_of(number), linewidth=1.0,
                label="what the planner is given")  # fmt: skip
        _readings(ax, model, column, number)
        ax.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
        ax.margins(y=0.15)
    gain.set_ylabel("Throughput relative to\nthe base precision")
    power.set_ylabel(
        f"Power above idle relative to\nthe base precision ({model.measurement_point})"
    )
    frame.logarithmic(power)
    power.set_xlabel("Requests in flight")
    frame.key(gain)
    frame.letter((gain, power), ("throughput", "power"))
    return frame.finish(
        figure,
        _message(model),
        card=model.card,
        points=model.points,
        interval=_interval(model),
        unit="loads compared",
    )


def _interval(model: TierModel) -> str:
    """Say what the bands are: a fit states how well a ratio repeats, a reading off does not."""
    if any(a.name == REPEATABILITY for a in model.card.assumptions):
        return f"Bands are made to hold {CONFIDENCE:.0%} of ratios at other such loads."
    return "Bands reach from the lowest to the highest ratio read off the data."


def _loads(model: TierModel) -> FloatArray:
    """Return the ends of the loads compared."""
    # artefacts that do not carry the loads have them on their card
    on_card = ((v.low, v.high) for v in model.card.validity if v.name == LOADS)
    low, high = model.concurrency or next(on_card, (1.0, 2.0))
    return np.array([low / BESIDE, high * BESIDE])


def _middle(model: TierModel, column: str, low: float, high: float) -> float:
    """Return the geometric mean of the ratios; of the interval's ends where none were kept."""
    kept = [p.column(column) for p in model.points]
    ratios = np.concatenate(kept) if kept else np.array([low, high])
    return float(np.exp(np.log(ratios).mean()))


def _readings(ax: Axes, model: TierModel, column: str, number: int) -> None:
    for points in model.points:
        frame.readings(
            ax,
            points.column("in_flight"),
            points.column(column),
            points.used(),
            frame.colour_of(number),
            frame.mark_of(number),
        )


def _message(model: TierModel) -> str:
    gain = f"{model.capacity_factor_low:.2f} to {model.capacity_factor_high:.2f}"
    draw = f"{model.power_ratio_low:.2f} to {model.power_ratio_high:.2f}"
    return (
        f"{model.name}: a busy instance in {model.precision} serves {gain} times as much at {draw} "
        "times the power above idle"
    )
