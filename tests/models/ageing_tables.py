"""Made-up ageing tests with known parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ebplan.models.curves import FloatArray
from ebplan.models.fit.measurements import Measurements

YEAR_S = 365.25 * 86400.0


def measurements(
    values: Mapping[str, FloatArray], condition: Sequence[str] | NDArray[np.str_] | None = None
) -> Measurements:
    """Return rows as the door would."""
    count = len(next(iter(values.values())))
    return Measurements(
        file="made_up.csv",
        sha256="0" * 64,
        source="made up",
        measurement_point="ac",
        measurement_note="",
        values=values,
        labels={} if condition is None else {"condition": np.array(condition, dtype=str)},
        lines=np.arange(2, count + 2),
        rows_read=count,
    )


def check_ups(
    stresses: Mapping[str, FloatArray],
    rates: FloatArray,
    clock: str,
    ends: float,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Measurements:
    """Return eight check-ups of each condition, the first at 0, losing ``rate sqrt(x)``."""
    x = np.linspace(0.0, ends, 8)
    off = np.zeros((len(rates), 8)) if rng is None else rng.normal(0.0, noise, (len(rates), 8))
    off[:, 0] = 0.0
    values = {name: np.repeat(value, 8) for name, value in stresses.items()}
    values[clock] = np.tile(x, len(rates))
    values["capacity"] = (1.0 - np.outer(rates, np.sqrt(x)) + off).ravel()
    return measurements(values, [f"c{i}" for i in range(len(rates)) for _ in x])
