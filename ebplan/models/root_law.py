"""Loss of capacity by the square root of time at rest, or of full cycles."""

from __future__ import annotations

import numpy as np

from ebplan.models.curves import FloatArray


def root_rate(x: FloatArray, loss: FloatArray) -> FloatArray:
    """Return the rate of a loss ``rate sqrt(x)``: least squares through the start.

    Args:
        x: seconds at rest, or full cycles, shape (K,).
        loss: share of capacity lost, shape (K,) or (K, M).

    Returns:
        Share lost per square root of x, shape () or (M,).
    """
    return np.asarray(np.sqrt(x) @ loss / x.sum())
