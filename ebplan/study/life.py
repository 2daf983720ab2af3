"""How much of the cells' life a study takes: rainflow cycles of its states of charge, and rest.

An independent look at wear: the program prices depth by layers, this counts cycles as ASTM E1049
does, by the fitted laws of the model library (``ebplan/models/wear.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.errors import InputError
from ebplan.models.library import load_wear
from ebplan.solvers.program import FloatArray

HOURS_PER_YEAR = 8766.0


@dataclass(frozen=True)
class LifeTaken:
    """Shares of one life."""

    by_cycling: float
    by_rest: float
    years: float
    """Length of the period."""

    @property
    def life_years(self) -> float:
        """How long the cells last at this rate."""
        taken = self.by_cycling + self.by_rest
        return self.years / taken if taken > 0.0 else float("inf")


def life_taken(
    soc: FloatArray, hours: float, *, model: str, temperature_c: float, c_rate: float
) -> LifeTaken:
    """Return what a series of states of charge takes.

    Args:
        soc: at step edges, shape (T + 1,).
        hours: length of a step.
        model: name of a wear model in the library.
        temperature_c: of the cells, in degrees Celsius.
        c_rate: power over energy.

    Raises:
        InputError: the model is unknown, or rainflow is not installed.
    """
    try:
        import rainflow
    except ImportError:
        raise InputError(
            field="economics.life_model",
            value=model,
            allowed="where rainflow is installed",
            remedy="pip install 'ebplan[study]'",
        ) from None
    wear = load_wear(model)
    coefficient, exponent = wear.depth_stress(c_rate)
    cycles = sum(
        count * coefficient * depth**exponent for depth, count in rainflow.count_cycles(soc)
    )
    at_rest = wear.calendar_loss_per_year(temperature_c, np.clip(soc, *wear.valid_soc))
    years = (len(soc) - 1) * hours / HOURS_PER_YEAR
    return LifeTaken(float(cycles), float(np.mean(at_rest)) * years, years)
