"""What active instances can serve: how many a load needs, and how little power.

Instances are uncapped here, and loaded within the utilisation that is planned for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebplan.solvers.operations import Operation
from ebplan.solvers.program import FloatArray, IndexArray

NEGLIGIBLE_LOAD = 1e-9
"""Instances serve no less than this, in instance-equivalents: below it none is needed."""
SLACK = 1e-12
"""Rounding allowed in a utilisation."""


def fits(operation: Operation, load: float | FloatArray, active: IndexArray) -> NDArray[np.bool_]:
    """Tell whether uncapped instances can serve the load within the planned utilisation.

    Load and counts broadcast.
    """
    each = load / np.maximum(active, 1)
    within = (each >= operation.min_utilisation - SLACK) & (
        each <= operation.max_utilisation + SLACK
    )
    uncapped_kw = operation.load_curve.power_kw(np.where(within, each, operation.max_utilisation))
    capacity = operation.cap_curve.capacity(uncapped_kw)
    served = within & (each <= operation.max_utilisation * capacity + SLACK)
    return np.where(active == 0, np.less_equal(load, NEGLIGIBLE_LOAD), served)


def fewest(operation: Operation, loads: FloatArray, counts: IndexArray) -> FloatArray:
    """Return the lowest of neighbouring counts that can serve each load, (D,); -1 where none can.

    Both curves of an instance are concave: where the lowest and the highest utilisation can be
    served uncapped, all between can, and the count follows from the highest.
    """
    low, high = operation.min_utilisation, operation.max_utilisation
    if not counts.size:
        return np.full(len(loads), -1.0)
    if not fits(operation, np.array([low, high]), np.array([1, 1])).all():
        fitting = fits(operation, loads[:, None], counts)
        return np.where(fitting.any(axis=1), counts[fitting.argmax(axis=1)], -1.0)
    needed = np.floor(loads / high)
    needed += loads > np.maximum(needed, 1.0) * (high + SLACK)
    needed = np.maximum(np.where(loads <= NEGLIGIBLE_LOAD, 0.0, np.maximum(needed, 1.0)), counts[0])
    loaded = np.where(
        needed > 0.0, loads >= np.maximum(needed, 1.0) * (low - SLACK), loads <= NEGLIGIBLE_LOAD
    )
    return np.where(loaded & (needed <= counts[-1]), needed, -1.0)


def lowest_power_kw(operation: Operation, utilisation: float | FloatArray) -> FloatArray:
    """Return the lowest power of an instance whose capacity still carries the load, same shape."""
    needed = np.asarray(utilisation) / operation.max_utilisation
    return operation.cap_curve.lowest_power_kw(needed)
