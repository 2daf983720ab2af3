"""Sun, weather and demand over half-hours: what made-up prices are ordered by.

Own shapes, all assumed: the sun by its height at the latitude, clouds and cold days by chance with
a memory of days, demand by hour, weekday and season.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ebplan.solvers.program import FloatArray

SLOTS = 48
_HOURS = (0, 3, 5, 7, 9, 12, 14, 16.5, 18, 19.5, 22, 24)
_DEMAND = (0.18, 0.0, 0.05, 0.42, 0.72, 0.66, 0.64, 0.86, 1.0, 0.92, 0.5, 0.18)


@dataclass(frozen=True)
class Sky:
    """Half-hours of whole days, each of shape (days, 48)."""

    sun: FloatArray
    """Output of a solar park as a share of its peak."""
    demand: FloatArray
    """Demand, about 0 to 1 on an ordinary day, higher in cold and heat."""
    weekday: FloatArray
    """1 from Monday to Friday, 0 else."""


def sky(first: date, days: int, latitude_deg: float, random: np.random.Generator) -> Sky:
    """Return made-up weather and demand.

    Args:
        first: the first day.
        days: number of days.
        latitude_deg: of the sun.
        random: source of chance.
    """
    dates = [first + timedelta(days=i) for i in range(days)]
    day_of_year = np.array([day.timetuple().tm_yday for day in dates], dtype=float)[:, None]
    hour = np.asarray((np.arange(SLOTS)[None, :] + 0.5) / 2.0, dtype=np.float64)
    clear = _height(day_of_year, hour, latitude_deg)
    cloud = np.clip(0.72 + 0.25 * remembered(days, 0.4, random), 0.08, 1.0)[:, None]
    flicker = np.clip(1.0 + 0.06 * random.standard_normal((days, SLOTS)), 0.6, 1.2)
    weekday = np.array([float(day.weekday() < 5) for day in dates])[:, None]
    season = np.cos(2.0 * np.pi * (day_of_year - 25) / 365.0)
    heat = np.exp(-(((day_of_year - 215) / 32.0) ** 2))
    shape = np.interp(hour, _HOURS, _DEMAND)
    weather = 0.18 * remembered(days, 0.75, random)[:, None]
    level = 0.16 * season + 0.42 * heat + 0.16 * (weekday - 0.7) + weather
    noise = 0.03 * random.standard_normal((days, SLOTS))
    return Sky(
        sun=np.clip(clear * cloud * flicker, 0.0, 1.0),
        demand=shape * (1.0 + 0.35 * heat + 0.15 * season) + level + noise,
        weekday=np.repeat(weekday, SLOTS, axis=1),
    )


def remembered(days: int, memory: float, random: np.random.Generator) -> FloatArray:
    """Return a number a day with mean 0 and deviation 1, each like the one before, (days,)."""
    fresh = random.standard_normal(days)
    found = np.empty(days)
    found[0] = fresh[0]
    keep = np.sqrt(1.0 - memory**2)
    for i in range(1, days):
        found[i] = memory * found[i - 1] + keep * fresh[i]
    return found


def _height(day_of_year: FloatArray, hour: FloatArray, latitude_deg: float) -> FloatArray:
    """Return the sine of the sun's height, 0 at night; declination after Cooper (1969)."""
    latitude = np.radians(latitude_deg)
    tilt = np.radians(23.45) * np.sin(2.0 * np.pi * (284 + day_of_year) / 365.0)
    angle = np.radians(15.0 * (hour - 11.7))
    sine = np.sin(latitude) * np.sin(tilt) + np.cos(latitude) * np.cos(tilt) * np.cos(angle)
    return np.asarray(np.clip(sine, 0.0, 1.0))
