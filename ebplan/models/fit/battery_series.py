"""Fit a battery from a time series of its AC power and its state of charge.

The series is cut into pieces of ``window_s``. Over each, the state of charge must move by what the
law says the cells took, integrated by trapezoids over the readings of power. A piece begins with
the reading after the last one of the piece before, so that no reading of the state of charge is
used twice and the errors of pieces are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.battery_efficiency import BatteryEfficiency, cells_take
from ebplan.models.card import Finding
from ebplan.models.curves import FloatArray
from ebplan.models.fit.battery_artefact import Told, battery_artefact
from ebplan.models.fit.battery_efficiency import (
    ENERGY,
    BatteryOptions,
    fit_battery,
)
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.plausible import check_battery_energy, check_converter
from ebplan.models.points import Points

GAP_STEPS = 5.0
"""A step longer than this many usual ones is a gap, and no piece reaches across."""
PIECE_FLOOR = 0.01
"""A piece whose state of charge is off by less than this is never left out."""
HOUR_S = 3600.0


@dataclass(frozen=True)
class Pieces:
    """A series cut into pieces."""

    first: NDArray[np.intp]
    """First reading of each, shape (N,)."""
    last: NDArray[np.intp]
    """Last reading of each, shape (N,)."""
    moved: FloatArray
    """What the state of charge rose by, shape (N,)."""
    gaps: int
    """Gaps in the series."""


def fit_battery_series(data: Measurements, options: BatteryOptions) -> BatteryEfficiency:
    """Fit energy, efficiency and converter loss.

    Args:
        data: the quantities ``time``, ``battery_power`` (AC side, > 0 is discharge) and ``soc``.
        options: what the table does not say.

    Raises:
        InputError: power of the wrong sign, a series that is too short, or parameters that it does
            not determine.
    """
    time, power, soc = (data.quantity(name) for name in ("time", "battery_power", "soc"))
    rated = options.converter_rated_kw
    check_converter(power, rated, data.file, "columns.battery_power")
    pieces = cut(time, soc, options.window_s)
    if len(pieces.moved) == 0:
        raise InputError(
            field="options.window_s",
            value=options.window_s,
            allowed="pieces of a series without gaps that are that long",
            remedy="shorten it, or measure for longer",
            file=data.file,
        )
    _check_sign(pieces, time, power, data.file)

    def residuals(theta: FloatArray) -> FloatArray:
        taken = _between(pieces, time, rated * cells_take(theta, power / rated))
        return np.asarray(taken / np.exp(theta[0]) - pieces.moved)

    through = np.abs(_between(pieces, time, power)).sum()
    start = max(float(through / max(np.abs(pieces.moved).sum(), 1e-9)), 1e-6)
    fitted = fit_battery(
        residuals, options.given(), start_kwh=start, floor=PIECE_FLOOR, file=data.file
    )
    check_battery_energy(float(np.exp(fitted.theta[ENERGY])), rated, data.file)
    told = Told(
        method=f"Pieces of {options.window_s:g} s: the state of charge moves by `integral of p(P) "
        "dt / energy`, `p = (|P| - loss) e` charging and `-(P + loss) / e` discharging, `loss = c "
        "+ l |P| + q P^2 / R`. Robust least squares; intervals by Student's t from the parameters' "
        "covariance.",
        reading="change of the state of charge over a piece",
        unit="share",
        findings=_about_gaps(pieces),
        powers_kw=(float(np.abs(power[power != 0.0]).min()), float(np.abs(power).max())),
        points=(
            Points.of(
                "pieces",
                {
                    "soc_change": pieces.moved,
                    "soc_change_fitted": pieces.moved + residuals(fitted.theta),
                },
                ~fitted.used,
            ),
        ),
    )
    return battery_artefact(data, options, fitted, told)


def cut(time: FloatArray, soc: FloatArray, window_s: float) -> Pieces:
    """Cut a series into pieces of at least ``window_s``, none across a gap."""
    steps = np.diff(time)
    longest = GAP_STEPS * float(np.median(steps)) if len(steps) else 0.0
    gaps = np.flatnonzero(steps > longest)
    first: list[int] = []
    last: list[int] = []
    begin = 0
    for end in (*gaps.tolist(), len(time) - 1):
        while begin <= end:
            stop = int(np.searchsorted(time, time[begin] + window_s))
            if stop > end:
                break
            first.append(begin)
            last.append(stop)
            begin = stop + 1
        begin = end + 1
    at, to = np.array(first, dtype=np.intp), np.array(last, dtype=np.intp)
    return Pieces(first=at, last=to, moved=soc[to] - soc[at], gaps=len(gaps))


def _between(pieces: Pieces, time: FloatArray, kw: FloatArray) -> FloatArray:
    """Return the energy of a power over each piece in kWh, shape (N,)."""
    steps = 0.5 * (kw[1:] + kw[:-1]) * np.diff(time) / HOUR_S
    total = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(total[pieces.last] - total[pieces.first])


def _check_sign(pieces: Pieces, time: FloatArray, power: FloatArray, file: str) -> None:
    if float(pieces.moved @ _between(pieces, time, power)) > 0.0:
        raise InputError(
            field="columns.battery_power",
            value="state of charge rises with power",
            allowed="> 0 is discharge",
            remedy="turn the sign of the column",
            file=file,
        )


def _about_gaps(pieces: Pieces) -> tuple[Finding, ...]:
    if not pieces.gaps:
        return ()
    return (
        Finding(
            title="The series has gaps",
            text=f"{pieces.gaps} steps are longer than {GAP_STEPS:g} usual ones; no piece reaches "
            "across.",
        ),
    )
