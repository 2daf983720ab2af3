"""How much of an award the frequency calls: energy for each kW awarded, step by step.

Through the product's own response curve, exactly as an event that follows the frequency: the mean
of the curve over the trace inside a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ebplan.errors import InputError
from ebplan.frequency import FARTHEST, FrequencyResponse, ResponseCurve
from ebplan.models.fit.table import Row
from ebplan.services import ServiceDefinition, needed
from ebplan.solvers.program import FloatArray
from ebplan.study.series.read import load_table
from ebplan.study.synthetic.sky import remembered

MEMORY_S = 60.0
"""Assumed: a made-up deviation forgets itself within about a minute."""
DEVIATION_HZ = 0.02
"""Assumed: standard deviation of a made-up frequency; 0.016 Hz in a public day at 60 Hz."""


@dataclass(frozen=True)
class Activation:
    """Energy that is called for each kW awarded, each of shape (T,), in kWh."""

    release_kwh_per_kw: FloatArray
    """By frequencies below nominal."""
    absorb_kwh_per_kw: FloatArray
    """By frequencies above it."""

    def release_share(self, step_s: float) -> FloatArray:
        """Return the mean share of an award that is called for release, shape (T,)."""
        return np.asarray(self.release_kwh_per_kw * 3600.0 / step_s)

    def absorb_share(self, step_s: float) -> FloatArray:
        """Return the mean share of an award that is called for absorbing, shape (T,)."""
        return np.asarray(self.absorb_kwh_per_kw * 3600.0 / step_s)


def activation(
    curve: ResponseCurve, t_s: FloatArray, hz: FloatArray, nominal_hz: float, step_s: float
) -> Activation:
    """Return the energy called in each whole step of a trace.

    Args:
        curve: share of the award against the deviation.
        t_s: times in seconds from 0 on, rising, shape (n,).
        hz: frequency, linear in between, shape (n,).
        nominal_hz: nominal frequency.
        step_s: length of a step.

    Raises:
        InputError: the trace is shorter than a step, or no frequency of this grid.
    """
    steps = int((t_s[-1] - t_s[0] + 1e-9) // step_s) if len(t_s) else 0
    if steps < 1:
        raise InputError(
            field="t_s",
            value=len(t_s),
            allowed=f"a trace of {step_s:g} s or more",
            remedy="bring a longer trace, or shorten the step",
        )
    if float(np.abs(hz - nominal_hz).max()) > FARTHEST * nominal_hz:
        raise InputError(
            field="nominal_hz",
            value=nominal_hz,
            allowed=f"near the trace, whose mean is {float(hz.mean()):g} Hz",
            remedy="name the nominal frequency of the trace",
        )
    edges = t_s[0] + step_s * np.arange(steps + 1.0)
    trace = tuple(zip(t_s.tolist(), hz.tolist(), strict=True))

    def called(release_kw: float, absorb_kw: float) -> FloatArray:
        response = FrequencyResponse(
            release_capacity_kw=release_kw,
            absorb_capacity_kw=absorb_kw,
            curve=curve,
            nominal_hz=nominal_hz,
            trace=trace,
        )
        return np.abs(response.target_kw(edges)) * step_s / 3600.0

    return Activation(called(1.0, 0.0), called(0.0, 1.0))


def activation_of(
    service: ServiceDefinition, t_s: FloatArray, hz: FloatArray, nominal_hz: float, step_s: float
) -> Activation:
    """Return the energy called by a product's own curve; what is not sold is zero.

    Raises:
        InputError: the curve is unknown (the line says why and how to give it); see ``activation``.
    """
    found = activation(needed(service, "curve"), t_s, hz, nominal_hz, step_s)
    none = np.zeros_like(found.release_kwh_per_kw)
    return Activation(
        found.release_kwh_per_kw if "release" in service.directions else none,
        found.absorb_kwh_per_kw if "absorb" in service.directions else none,
    )


def read_frequency(
    path: Path, *, time: str = "t_s", hz: str = "freq_hz"
) -> tuple[FloatArray, FloatArray]:
    """Return the times in s and the frequency in Hz of a CSV, CSV.gz or Parquet file.

    Raises:
        InputError: it cannot be read, or a cell is no number above zero.
    """
    table, _ = load_table(path, [time, hz])
    at = np.array([_seconds(row, time) for row in table.rows])
    return at, np.array([row.positive(hz) for row in table.rows])


def _seconds(row: Row, column: str) -> float:
    try:
        found = float(row.text(column))
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise row.fault(column, row.cells[column], "seconds", "correct the cell")
    return found


def synthetic_frequency(
    seconds: int, seed: int, nominal_hz: float = 50.0
) -> tuple[FloatArray, FloatArray]:
    """Return a made-up frequency, each second: chance with a memory, all of it assumed.

    Args:
        seconds: length.
        seed: same seed, same trace.
        nominal_hz: nominal frequency.
    """
    random = np.random.default_rng(seed)
    deviation = DEVIATION_HZ * remembered(seconds + 1, float(np.exp(-1.0 / MEMORY_S)), random)
    return np.arange(seconds + 1.0), np.asarray(nominal_hz + deviation)
