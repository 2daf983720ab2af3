"""Ageing by cycling: capacity against full cycles, a panel for each rate and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.report.model_figures import ageing, frame
from ebplan.report.model_figures.ageing import Ageing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FULL_CYCLES = 1000.0
"""Of which the title speaks, where so many were measured."""


def draw(model: CycleAgeing) -> Figure:
    """Return the figure of a model of ageing by cycling."""
    told = Ageing(
        clock="full_cycles",
        axis="Full equivalent cycles",
        per_unit=1.0,
        stresses=("c_rate", "depth"),
        title=_title,
        ranges=(model.valid_c_rate, model.valid_depth),
        end=model.valid_full_cycles,
        # a mean of readings may lie a rounding outside
        capacity=lambda at, x: model.capacity(*at, x, allow_extrapolation=True),
    )
    return ageing.draw(model, told, _message(model))


def _title(c_rate: float, depth: float) -> str:
    return f"{c_rate:.3g} C, depth {frame.PERCENT * depth:.3g} %"


def _message(model: CycleAgeing) -> str:
    cycles = min(FULL_CYCLES, model.valid_full_cycles)
    c_rate, depth = float(np.mean(model.valid_c_rate)), float(np.mean(model.valid_depth))
    left = model.capacity(c_rate, depth, cycles, allow_extrapolation=True)
    when = f"{cycles:.0f} full cycles at {_title(c_rate, depth)}"
    return ageing.lost_in(model.name, left, when)
