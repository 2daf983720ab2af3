"""Ageing at rest: capacity against time, a panel for each temperature and state of charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.report.model_figures import ageing, frame
from ebplan.report.model_figures.ageing import Ageing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAY_S = 86400.0
YEAR_DAYS = 365.25


def draw(model: CalendarAgeing) -> Figure:
    """Return the figure of a model of ageing at rest."""
    told = Ageing(
        clock="elapsed_s",
        axis="Time at rest in days",
        per_unit=DAY_S,
        stresses=("temperature_c", "soc"),
        title=_title,
        ranges=(model.valid_temperature_c, model.valid_soc),
        end=model.valid_elapsed_s,
        # a mean of readings may lie a rounding outside
        capacity=lambda at, x: model.capacity(*at, x, allow_extrapolation=True),
    )
    return ageing.draw(model, told, _message(model))


def _title(temperature_c: float, soc: float) -> str:
    return f"{temperature_c:.0f} °C, SoC {frame.PERCENT * soc:.3g} %"


def _message(model: CalendarAgeing) -> str:
    days = min(YEAR_DAYS, model.valid_elapsed_s / DAY_S)
    temperature = float(np.mean(model.valid_temperature_c))
    soc = float(np.mean(model.valid_soc))
    left = model.capacity(temperature, soc, days * DAY_S, allow_extrapolation=True)
    when = f"{days:.0f} days of rest at {_title(temperature, soc)}"
    return ageing.lost_in(model.name, left, when)
