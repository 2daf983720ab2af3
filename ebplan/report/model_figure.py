"""A fitted model against its data, with its interval."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.errors import InputError
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.library import Artefact
from ebplan.models.serving import Served, ServingModel
from ebplan.report.canvas import blank, save, styled

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, readable in every common colour blindness."""
POINTS = 120
"""Points of a curve."""


def plot_model(model: Artefact, target: Path) -> None:
    """Draw a serving model: power, throughput and time between tokens against load.

    Args:
        model: what is drawn.
        target: file, its suffix says the format.

    Raises:
        InputError: a kind of model that is not drawn, or no matplotlib.
    """
    if not isinstance(model, ServingModel):
        raise InputError(
            field="--plot",
            value=model.kind,
            allowed="serving_model",
            remedy="show its card instead: leave --plot out",
        )
    with styled():
        figure = blank(8.4, 9.0)
        axes = figure.subplots(3, 1, sharex=True)
        for served, colour in zip(model.configurations, cycle(COLOURS), strict=False):
            _draw(axes, model, served, colour)
        for ax, label in zip(
            axes,
            (
                f"Power of an instance in kW ({model.measurement_point})",
                "Output tokens of an instance per s",
                "Time between two tokens in ms",
            ),
            strict=True,
        ):
            ax.set_ylabel(label)
            ax.set_ylim(bottom=0.0)
        axes[-1].set_xscale("log")
        axes[-1].set_xlabel("Requests in flight")
        axes[0].legend(fontsize="small")
        figure.suptitle(_title(model), fontweight="bold", x=0.02, ha="left")
    save(figure, target)


def _draw(axes: Any, model: ServingModel, served: Served, colour: str) -> None:
    name, (low, high) = served.configuration.name, served.concurrency
    at = np.geomspace(low, high, POINTS)
    # rounding must not push the ends out of the range
    at[0], at[-1] = low, high
    label = f"{name} ({served.evidence})"
    for ax, estimate, factor, curve in (
        (axes[0], model.power_kw(name, at), 1.0, served.power),
        (axes[1], model.tokens_per_s(name, at), 1.0, served.throughput),
        (axes[2], model.itl_s(name, at), 1000.0, None),
    ):
        ax.fill_between(at, estimate.low * factor, estimate.high * factor, color=colour, alpha=0.2)
        if estimate.mean is not None:
            ax.plot(at, estimate.mean * factor, color=colour, label=label)
        else:
            ax.plot([], [], color=colour, alpha=0.4, linewidth=6, label=label)
        if curve is not None:
            ax.plot(curve.concurrency, curve.measured, "o", color=colour, markersize=4)


def _title(model: ServingModel) -> str:
    errors = [s for s in model.card.leave_one_out if s.name.endswith("power: median error")]
    if not errors:
        return f"{model.name}: nothing measured, only {CONFIDENCE:.0%} intervals"
    worst = max(s.value for s in errors)
    return (
        f"{model.name}: power of a run left out is predicted within {worst:.1%}\n"
        f"in the median; bands are made to hold {CONFIDENCE:.0%} of new readings"
    )
