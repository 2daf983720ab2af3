"""Fitted models against their data, with their intervals: one module a kind of model.

Each module has a ``draw`` that returns the figure of its kind; the registry says which is whose.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebplan.errors import InputError
from ebplan.models.library import Artefact
from ebplan.report.canvas import check_suffix, save, styled
from ebplan.report.model_figures import (
    battery,
    calendar_ageing,
    caps,
    clocks,
    cycle_ageing,
    fleet,
    losses,
    precision,
    ramp,
    serving,
    standby,
    wear,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES: dict[str, Callable[[Any], Figure]] = {
    "serving_model": serving.draw,
    "fleet_model": fleet.draw,
    "cap_model": caps.draw,
    "clock_model": clocks.draw,
    "tier_model": precision.draw,
    "ramp_model": ramp.draw,
    "standby_model": standby.draw,
    "battery_efficiency": battery.draw,
    "calendar_ageing": calendar_ageing.draw,
    "cycle_ageing": cycle_ageing.draw,
    "wear_model": wear.draw,
    "loss_model": losses.draw,
}
"""What draws a model, by its kind: every kind that ``ebplan fit`` writes."""


def plot_model(model: Artefact, target: Path) -> None:
    """Draw a model into a file; the suffix chooses png, svg or pdf.

    Raises:
        InputError: a kind of model that is not drawn, another suffix, or no matplotlib.
    """
    check_suffix(target)
    save(draw_model(model), target)


def draw_model(model: Artefact) -> Figure:
    """Return the figure of a model.

    Raises:
        InputError: a kind of model that is not drawn, or no matplotlib.
    """
    if model.kind not in FIGURES:
        raise InputError(
            field="--plot",
            value=model.kind,
            allowed=", ".join(FIGURES),
            remedy="show its card instead: leave --plot out",
        )
    with styled():
        return FIGURES[model.kind](model)
