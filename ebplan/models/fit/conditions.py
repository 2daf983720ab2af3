"""Ageing tests by condition: each condition becomes one number, its rate of loss.

Check-ups of one condition share its cells and its history, so they err together: 35 of them are
not 35 measurements of the law. Here a condition's check-ups give one rate,

    loss = rate sqrt(x)          x time at rest, or full cycles,

by least squares through the initial capacity, and the law is fitted to the rates. How far
check-ups lie off their own condition (the shape in time, and noise) is kept as a spread of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ebplan.errors import InputError
from ebplan.models.curves import FloatArray
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.plausible import check_capacity_left, check_cells
from ebplan.models.fit.robust import MAD_TO_SIGMA, OUTLIER_SPREADS
from ebplan.models.root_law import root_rate

TOLERANCE = {"temperature": 1.0, "soc": 0.02, "depth": 0.02, "c_rate": 0.05}
"""How far readings of one condition may lie apart and still be one condition."""
INITIAL_OFF = 0.02
"""How far a first check-up may lie off 100 %."""
CHECKUP_FLOOR = 0.02
"""A check-up nearer to its condition than this share of capacity is never off."""
EXPONENTS = (0.2, 1.5)
"""Exponents of time among which the best is sought."""


@dataclass(frozen=True)
class Condition:
    """One condition of a test."""

    name: str
    """Its label."""
    stress: Mapping[str, float]
    """What is held constant, by quantity."""
    x: FloatArray
    """Seconds at rest, or full cycles, of each check-up after the first, shape (K,)."""
    loss: FloatArray
    """Share of the initial capacity lost, shape (K,)."""
    off_x: FloatArray
    """The same of check-ups that were left out, shape (L,)."""
    off_loss: FloatArray
    """Their losses, shape (L,)."""

    @property
    def rate(self) -> float:
        """Share lost per square root of x."""
        return float(root_rate(self.x, self.loss))

    @property
    def off(self) -> FloatArray:
        """What the check-ups lie above the condition's own law, shape (K,)."""
        return np.asarray(self.loss - self.rate * np.sqrt(self.x))


def read_conditions(
    data: Measurements, stresses: Sequence[str], clock: str, fade: FloatArray | None = None
) -> tuple[tuple[Condition, ...], Measurements]:
    """Return the conditions of a test, and the rows with those off their condition left out.

    Args:
        data: rows with ``condition``, ``capacity``, the stresses and the clock.
        stresses: quantities that are constant within a condition.
        clock: ``elapsed`` or ``full_cycles``.
        fade: share of capacity lost to something else, taken off the loss, shape (rows,).

    Raises:
        InputError: a stress moves within a condition, a first check-up is not near 100 %, or a
            condition has fewer than two check-ups later than its first.
    """
    check_capacity_left(data.quantity("capacity"), data.file)
    if "temperature" in data.values:
        check_cells(data.quantity("temperature"), data.file)
    loss = 1.0 - data.quantity("capacity") - (0.0 if fade is None else fade)
    found, off = [], np.zeros(len(data), dtype=bool)
    labels = data.label("condition")
    for name in sorted(set(labels.tolist())):
        mine = labels == name
        stress = {s: _constant(data, s, name, data.quantity(s)[mine]) for s in stresses}
        _check_initial(data, clock, name, loss[mine & (data.quantity(clock) == 0.0)])
        later = mine & (data.quantity(clock) > 0.0)
        if later.sum() < 2:
            raise InputError(
                field=f"condition {name}",
                value=f"{int(later.sum())} check-ups after the first",
                allowed="at least 2",
                remedy="measure on, or remove the condition",
                file=data.file,
            )
        x, lost = data.quantity(clock)[later], loss[later]
        beside = _robust_off(x, lost)
        far = np.abs(beside) > CHECKUP_FLOOR
        far &= np.abs(beside) > OUTLIER_SPREADS * _spread(beside)
        off[np.flatnonzero(later)[far]] = True
        found.append(Condition(name, stress, x[~far], lost[~far], x[far], lost[far]))
    if off.any():
        data = data.without(off, "capacity lies far off the other check-ups of its condition")
    return tuple(found), data


def stress_arrays(
    conditions: Sequence[Condition], stresses: Sequence[str]
) -> tuple[FloatArray, ...]:
    """Return each stress by condition, shape (conditions,)."""
    return tuple(np.array([c.stress[name] for c in conditions]) for name in stresses)


def within_spread(conditions: Sequence[Condition]) -> float:
    """Return the standard deviation of check-ups off their condition, a share of capacity."""
    off = np.concatenate([c.off for c in conditions])
    return float(np.sqrt((off**2).sum() / max(len(off) - len(conditions), 1)))


def best_exponent(conditions: Sequence[Condition]) -> float:
    """Return the exponent of x, one for all, with which the conditions fit best."""

    def squares(exponent: float) -> float:
        total = 0.0
        for c in conditions:
            power = (c.x / c.x.max()) ** exponent
            total += float(((c.loss - power * (power @ c.loss) / (power @ power)) ** 2).sum())
        return total

    return float(minimize_scalar(squares, bounds=EXPONENTS, method="bounded").x)


def _robust_off(x: FloatArray, loss: FloatArray) -> FloatArray:
    """Return what the check-ups lie off the median rate; early ones count less."""
    root = np.sqrt(x)
    order = np.argsort(loss / root)
    weight = np.cumsum(root[order])
    rate = (loss / root)[order][np.searchsorted(weight, 0.5 * weight[-1])]
    return np.asarray(loss - rate * root)


def _spread(off: FloatArray) -> float:
    return MAD_TO_SIGMA * float(np.median(np.abs(off)))


def _constant(data: Measurements, stress: str, name: str, value: FloatArray) -> float:
    if np.ptp(value) > TOLERANCE[stress]:
        raise InputError(
            field=f"condition {name}",
            value=f"{stress} from {value.min():g} to {value.max():g}",
            allowed=f"within {TOLERANCE[stress]:g}: one condition, one {stress}",
            remedy="give what was held constant, or split the condition",
            file=data.file,
        )
    return float(value.mean())


def _check_initial(data: Measurements, clock: str, name: str, loss: NDArray[np.float64]) -> None:
    if len(loss) and np.abs(loss).max() > INITIAL_OFF:
        raise InputError(
            field=f"condition {name}",
            value=f"capacity {1.0 - loss[np.abs(loss).argmax()]:g} at {clock} 0",
            allowed=f"1 within {INITIAL_OFF:g}: a share of the initial capacity",
            remedy="divide the capacities of each condition by its first",
            file=data.file,
        )
