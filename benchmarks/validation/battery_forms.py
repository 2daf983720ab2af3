"""Other laws of loss at rest, fitted and left out in the same way as the one chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.validation.battery_calendar import NAUMANN, read_naumann, trials
from benchmarks.validation.battery_published import anode_potential
from benchmarks.validation.line import Line
from ebplan.models.calendar_ageing import ENERGY_UNIT, REFERENCE_C, calendar_rates
from ebplan.models.curves import FloatArray
from ebplan.models.fit.ageing_law import RateLaw, fit_rates, leave_one_out
from ebplan.models.fit.conditions import read_conditions
from ebplan.models.wear import GAS_CONSTANT, KELVIN, SECONDS_PER_YEAR

FARADAY = 96485.33212
"""C / mol."""
UNIT = SECONDS_PER_YEAR**-0.5


def _warmer(theta: FloatArray, temperature_c: FloatArray) -> FloatArray:
    apart = 1.0 / (temperature_c + KELVIN) - 1.0 / (REFERENCE_C + KELVIN)
    return np.asarray(UNIT * np.exp(theta[0] - theta[1] * ENERGY_UNIT / GAS_CONSTANT * apart))


def exponential(theta: FloatArray, temperature_c: FloatArray, soc: FloatArray) -> FloatArray:
    """Return rates that grow exponentially with the state of charge."""
    return np.asarray(_warmer(theta, temperature_c) * np.exp(theta[2] * (soc - 0.5)))


def _tafel(share: float, temperature_c: FloatArray, soc: FloatArray) -> FloatArray:
    """Return the Tafel factor of the anode's potential, 1 at SoC 0.5."""
    apart = anode_potential(np.array(0.5)) - anode_potential(soc)
    return np.asarray(np.exp(share * FARADAY * apart / (GAS_CONSTANT * (temperature_c + KELVIN))))


def tafel(theta: FloatArray, temperature_c: FloatArray, soc: FloatArray) -> FloatArray:
    """Return rates that follow the anode's potential."""
    return np.asarray(_warmer(theta, temperature_c) * _tafel(theta[2], temperature_c, soc))


def tafel_and_constant(theta: FloatArray, temperature_c: FloatArray, soc: FloatArray) -> FloatArray:
    """Return rates that follow the anode's potential, and a part that does not (Schimpe)."""
    both = _tafel(theta[2], temperature_c, soc) + theta[3]
    return np.asarray(_warmer(theta, temperature_c) * both)


def cubic_that_moves(theta: FloatArray, temperature_c: FloatArray, soc: FloatArray) -> FloatArray:
    """Return the chosen law with an activation energy that falls with the state of charge."""
    apart = 1.0 / (temperature_c + KELVIN) - 1.0 / (REFERENCE_C + KELVIN)
    moved = np.exp(theta[3] * (soc - 0.5) * ENERGY_UNIT / GAS_CONSTANT * apart)
    return np.asarray(calendar_rates(theta[:3], temperature_c, soc) * moved)


FORMS = {
    "cubic of SoC (the one chosen)": (calendar_rates, (0.0, 3.0, 3.0), (0.0, 0.0), (20.0, 8.0)),
    "exponential of SoC": (exponential, (0.0, 3.0, 1.0), (0.0, -9.0), (20.0, 9.0)),
    "Tafel of the anode": (tafel, (0.0, 3.0, 0.3), (0.0, -9.0), (20.0, 9.0)),
    "Tafel of the anode and a constant": (
        tafel_and_constant,
        (0.0, 3.0, 0.3, 0.5),
        (0.0, -9.0, -0.2),
        (20.0, 9.0, 99.0),
    ),
    "cubic of SoC, activation energy by SoC": (
        cubic_that_moves,
        (0.0, 3.0, 3.0, 0.0),
        (0.0, 0.0, -9.0),
        (20.0, 8.0, 9.0),
    ),
}
"""Law, start, lower and upper bounds but for the first parameter, which has none."""


def compare(folder: Path) -> Iterator[Line | str]:
    """Yield the errors of each law for a condition left out."""
    data = read_naumann(folder)
    conditions, _ = read_conditions(data, ("temperature", "soc"), "elapsed")
    within = {f"NAUMANN_CAL_{trial.name}" for trial in trials(folder) if trial.within}
    for name, (rates, start, lower, upper) in FORMS.items():
        law = RateLaw(
            rates=rates,
            stresses=("temperature", "soc"),
            names=tuple(f"parameter {i}" for i in range(len(start))),
            start=np.array(start),
            free=np.full(len(start), fill_value=True),
            lower=np.array([-np.inf, *lower]),
            upper=np.array([np.inf, *upper]),
            unit=UNIT,
        )
        left, refused = leave_one_out(fit_rates(law, conditions, data.file), data.file)
        errors = {one.name: 100.0 * abs(one.error) for one in left}
        inside = max(e for n, e in errors.items() if n in within)
        held = sum(abs(one.error) <= one.half_width for one in left)
        yield Line(
            what=f"{name}, {len(start)} parameters: mean, largest inside the others' range, "
            "largest, ends of test in their 90 % interval",
            value=f"{np.mean(list(errors.values())):.2f}, {inside:.2f}, "
            f"{max(errors.values()):.2f} points, {held} of {len(left)}"
            + (f"; not determined without {len(refused)} of the conditions" if refused else ""),
        )
    yield (
        "The choice was made by these same errors, so that the chosen law's are a little kind. "
        "Among eleven conditions the laws but the bare Tafel and the exponential cannot be told "
        "apart; taken was the one with the fewest parameters, by which a planner prices wear."
    )


FILES = (NAUMANN,)
