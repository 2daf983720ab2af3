"""Naumann's cells at rest: each condition predicted from the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import linprog

from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import Estimate
from ebplan.models.fit.calendar_ageing import CalendarOptions, fit_calendar_ageing
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.reading import Column, read_measurements

NAUMANN = "battery_ageing/naumann_lfp_calendar.csv"
OPTIONS = CalendarOptions(name="naumann-rest", title="Sony/Murata US26650FTC1 at rest")
KELVIN_PER_SOC = 60.0
"""Scale of temperature in the test for lying within; it changes nothing but rounding."""


@dataclass(frozen=True)
class Trial:
    """A condition, and what the others say of it."""

    name: str
    """The condition."""
    temperature_c: float
    soc: float
    seconds: FloatArray
    """Time of each check-up, shape (K,)."""
    measured: FloatArray
    """Capacity left, share of the initial, shape (K,)."""
    said: Estimate
    """The same from the other conditions."""
    within: bool
    """Whether it lies inside the temperatures and states of charge of the others."""

    @property
    def error(self) -> float:
        """Capacity at the end, predicted less measured, in percentage points."""
        return 100.0 * float(self.said.mean[-1] - self.measured[-1])

    @property
    def half_width(self) -> float:
        """Half the interval of the capacity at the end, in percentage points."""
        return 50.0 * float(self.said.high[-1] - self.said.low[-1])


def read_naumann(folder: Path) -> Measurements:
    """Return the check-ups; ``folder`` is the data folder."""
    return read_measurements(
        folder / NAUMANN,
        {
            "condition": Column("condition_id"),
            "temperature": Column("temperature_c"),
            "soc": Column("storage_soc_fraction"),
            "elapsed": Column("elapsed_days", "d"),
            "capacity": Column("capacity_retention_pct", "%"),
        },
        source="Naumann, Mendeley Data 10.17632/kxh42bfgtj.1, CC BY 4.0",
        measurement_point="ac",
        measurement_note="Capacities of single cells.",
    )


def fit_all(data: Measurements) -> CalendarAgeing:
    """Return the fit to every condition."""
    return fit_calendar_ageing(data, OPTIONS)


@cache
def trials(folder: Path) -> tuple[Trial, ...]:
    """Predict each condition from the others, sorted by name."""
    data = read_naumann(folder)
    labels = data.label("condition")
    places = {
        name: (float(mine.quantity("temperature")[0]), float(mine.quantity("soc")[0]))
        for name in sorted(set(labels.tolist()))
        for mine in (data.where(labels == name),)
    }
    found = []
    for name, (temperature_c, soc) in places.items():
        mine = data.where(labels == name)
        mine = mine.where(mine.quantity("elapsed") > 0.0)
        model = fit_calendar_ageing(data.where(labels != name), OPTIONS)
        seconds = mine.quantity("elapsed")
        found.append(
            Trial(
                name=name.removeprefix("NAUMANN_CAL_"),
                temperature_c=temperature_c,
                soc=soc,
                seconds=seconds,
                measured=mine.quantity("capacity"),
                said=model.capacity(temperature_c, soc, seconds, allow_extrapolation=True),
                within=lies_within(
                    (temperature_c, soc), [p for n, p in places.items() if n != name]
                ),
            )
        )
    return tuple(found)


def lies_within(point: tuple[float, float], others: Iterable[tuple[float, float]]) -> bool:
    """Return whether a point is a mean, with some weights, of others: inside their hull."""
    corners = np.array(list(others)) / (KELVIN_PER_SOC, 1.0)
    weights = linprog(
        np.zeros(len(corners)),
        A_eq=np.vstack([corners.T, np.ones(len(corners))]),
        b_eq=[point[0] / KELVIN_PER_SOC, point[1], 1.0],
        bounds=(0.0, None),
    )
    return bool(weights.status == 0)
