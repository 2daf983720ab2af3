"""The problems that every tool is given, as arrays.

A battery of 1 MW and 2 MWh, efficiencies 0.95 and 0.94, half full at both ends, trades at known
prices. ``h`` is the length of a step in hours:

    minimise    sum_t price_t (c_t - d_t) h
    subject to  e_t+1 = e_t + (0.95 c_t - d_t / 0.94) h,    0 <= e <= 2000,    0 <= c, d <= 1000

| problem     | steps          | besides                                                       |
|-------------|----------------|---------------------------------------------------------------|
| day         | 288 of 5 min   | charges or discharges, never both: a binary each step         |
| year        | 8,760 of 1 h   |                                                               |
| half_hours  | 17,520 of 1/2 h|                                                               |
| rolling     | 365 x 48 h     | windows of 48 h, the first 24 h carried out, half full at the |
|             |                | end of each window                                            |
| plant       | 288 of 5 min   | day, and a symmetric reserve by the hour that is held for     |
|             |                | 15 min, and four loads that run for so many steps, with least |
|             |                | times on and off                                              |

Prices are made up from a seed: a day's shape, a season, noise, hours below zero in ``day`` and
``plant`` only, so that the others have the same optimum with and without binaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
NAMES = ("day", "year", "half_hours", "rolling", "plant")
SEED = 20261126


@dataclass(frozen=True)
class Load:
    """A load that is on or off; not running at the start and free to start at once."""

    power_kw: float
    steps_on: int
    """So many steps it runs in all."""
    least_on: int
    """Steps that it stays on at least."""
    least_off: int
    """Steps that it stays off at least between two runs."""


LOADS = (
    Load(150.0, 72, 6, 6),
    Load(300.0, 48, 12, 12),
    Load(80.0, 120, 12, 4),
    Load(220.0, 36, 9, 18),
)


def write(name: str, folder: Path) -> Path:
    """Write the arrays of a problem to a file that any Python with numpy reads; return it."""
    path = folder / f"{name}.npz"
    np.savez(path, **arrays(name))
    return path


def arrays(name: str) -> dict[str, FloatArray]:
    """Return the arrays of a problem: ``price`` (T,), ``hours`` and, of ``plant``, the rest."""
    if name == "day":
        return {"price": _prices(1, 12, low=-40.0, noon_dip=260.0), "hours": np.array(1.0 / 12.0)}
    if name == "year":
        return {"price": _prices(365, 1), "hours": np.array(1.0)}
    if name == "half_hours":
        return {"price": _prices(365, 2), "hours": np.array(0.5)}
    if name == "rolling":
        return {"price": _prices(366, 1), "hours": np.array(1.0)}
    rng = np.random.default_rng([SEED, 5])
    return {
        "price": _prices(1, 12, low=-40.0, noon_dip=260.0),
        "hours": np.array(1.0 / 12.0),
        "reserve_price": np.round(6.0 + 4.0 * rng.random(24), 2),
        "loads": np.array([[o.power_kw, o.steps_on, o.least_on, o.least_off] for o in LOADS]),
    }


def _prices(days: int, per_hour: int, low: float = 1.0, noon_dip: float = 55.0) -> FloatArray:
    """Return prices in money per MWh, rounded to the cent, none below ``low``."""
    rng = np.random.default_rng([SEED, days, per_hour])
    hour = np.arange(days * 24 * per_hour) / per_hour
    shape = 22.0 * np.sin((hour - 9.0) * np.pi / 6.0) + 18.0 * np.cos((hour - 19.0) * np.pi / 12.0)
    season = 12.0 * np.cos(2.0 * np.pi * hour / 8760.0)
    depth = noon_dip * (0.5 + 0.5 * rng.random(days)).repeat(24 * per_hour)
    noon = -depth * np.exp(-((((hour % 24.0) - 13.0) / 1.5) ** 2))
    steps = rng.normal(0.0, 6.0, len(hour)) + rng.normal(0.0, 9.0, days).repeat(24 * per_hour)
    return np.asarray(np.maximum(np.round(60.0 + shape + season + noon + steps, 2), low))
