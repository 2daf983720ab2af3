"""A series is given the published distribution: its order stays, its values are exchanged."""

from __future__ import annotations

from functools import cache

import numpy as np

from ebplan.solvers.program import FloatArray
from ebplan.study.synthetic.published import Marginal

STEP = 0.01
"""Prices are whole numbers of this."""
_TOP_BEND = 3.0
_MOST_BEND = 60.0


def with_marginal(order: FloatArray, marginal: Marginal) -> FloatArray:
    """Return prices in the order of a series, distributed as published, same shape.

    Between the published quantiles the quantile function is linear, but for two stretches: from the
    median to 95 % its bend is chosen so that the mean comes out, and above 95 % it rises with the
    third power.

    Args:
        order: only its ranks count, shape (T,).
        marginal: the distribution.
    """
    steps = len(order)
    share = np.empty(steps)
    share[np.argsort(order, kind="stable")] = (np.arange(steps) + 0.5) / steps
    prices = _quantiles(share, marginal, _bend(marginal))
    prices[int(np.argmax(share))] = marginal.highest
    return np.asarray(np.round(np.round(prices / STEP) * STEP, 2))


@cache
def _bend(marginal: Marginal) -> float:
    """Return the exponent of the stretch from the median on with which the mean comes out."""
    share = (np.arange(20_000) + 0.5) / 20_000
    low, high = 1.0 / _MOST_BEND, _MOST_BEND
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _quantiles(share, marginal, middle).mean() > marginal.mean:
            low = middle
        else:
            high = middle
    return high


def _quantiles(share: FloatArray, marginal: Marginal, bend: float) -> FloatArray:
    floor = marginal.floor_share
    at, to = [0.0, floor], [marginal.floor, marginal.floor]
    if floor < 0.05:
        at, to = [*at, 0.05], [*to, marginal.p05]
    low = np.interp(share, [*at, 0.5], [*to, marginal.median])
    upper = np.clip((share - 0.5) / 0.45, 0.0, 1.0) ** bend
    top = np.clip((share - 0.95) / 0.05, 0.0, 1.0) ** _TOP_BEND
    high = marginal.median + (marginal.p95 - marginal.median) * upper
    return np.asarray(np.where(share < 0.5, low, high + (marginal.highest - marginal.p95) * top))
