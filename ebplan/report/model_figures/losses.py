"""A loss model: what the outer meter showed against the inner one, and how far off the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.loss import LossModel
from ebplan.report.model_figures import frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(model: LossModel) -> Figure:
    """Return the figure of a loss model: both powers above, the difference to the line below.

    Losses are some percent of what is carried: beside both powers neither the interval nor a curve
    in the readings could be seen, so the lower panel has the distance to the line alone.
    """
    figure, axes = frame.panels(2, height_in=5.6, sharex=True)
    colour = frame.colour_of(0)
    x = np.linspace(model.valid_from_kw, model.valid_to_kw, frame.CURVE_POINTS)
    reading = model.outer_kw(x, of_a_reading=True)
    middle = reading.middle
    frame.band(axes[0, 0], x, reading.low, reading.high, colour)
    frame.curve(axes[0, 0], x, middle, colour)
    off = axes[1, 0]
    frame.band(
        off,
        x,
        frame.PERCENT * (reading.low / middle - 1.0),
        frame.PERCENT * (reading.high / middle - 1.0),
        colour,
    )
    frame.curve(off, x, np.zeros_like(x), colour)
    for points in model.points:
        inner, outer = points.column("inner_kw"), points.column("outer_kw")
        told = model.factor.value * inner + model.offset_kw.value
        frame.readings(axes[0, 0], inner, outer, points.used(), colour)
        frame.readings(off, inner, frame.PERCENT * (outer / told - 1.0), points.used(), colour)
    axes[0, 0].set_ylabel(f"Power at {model.outer} in kW")
    off.set_ylabel("Off the line in %")
    off.set_xlabel(f"Power at {model.inner} in kW")
    frame.key(axes[0, 0], model.points)
    return frame.finish(
        figure,
        f"{model.name}: {model.outer} draws {model.factor.value:.3f} times {model.inner} and "
        f"{model.offset_kw.value:.3g} kW",
        card=model.card,
        points=model.points,
        interval=f"Bands are {model.confidence:.0%} intervals of a reading; the line itself is "
        "known better.",
        unit="pairs of readings",
    )
