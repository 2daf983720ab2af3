"""How much later one meter shows the same as another: clocks that differ, and averaging.

For each lag on a grid the pairs are made and a line is laid through them; what counts is

    sum min((r / s)^2, c^2)

over the errors r of the pairs, s being their robust spread at the best lag. A step of the load
that two meters see at different times costs, and a wild reading costs the same at every lag. The
grid is as fine as the faster meter reads: between its readings a partner is a mean of two, which
takes noise away and would be preferred for that alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.models.curves import FloatArray
from ebplan.models.fit.pairs import Readings, pair
from ebplan.models.fit.robust import MAD_TO_SIGMA, OUTLIER_SPREADS

EVIDENCE = 50.0
"""A lag is believed where it takes this much off the sum: 25 is five standard deviations of a
single parameter, twice that leaves room for errors that hang together."""
LEAST_GAIN = 0.05
"""And this share of it."""
MOST_LAGS = 401
"""Lags that are tried at most."""
MOST_PAIRS = 4000
"""Pairs that are looked at."""
FEWEST = 10
"""Pairs that a lag needs."""


@dataclass(frozen=True)
class Lag:
    """What was found about the clocks."""

    lag_s: float | None
    """How much later the outer meter is; None where the load was too steady to tell."""
    step_s: float
    """How finely it was looked for."""
    gain: float
    """Share of the errors that it takes away, against no lag."""
    at_the_end: bool
    """Whether it is as long as was looked for, so that it may be longer."""


def find_lag(
    inner: Readings, outer: Readings, *, most_lag_s: float, most_apart_s: float | None = None
) -> Lag:
    """Find the lag of the outer meter behind the inner one.

    Args:
        inner: what the inner meter said.
        outer: what the outer meter said.
        most_lag_s: looked for this far both ways.
        most_apart_s: see ``pairs``.
    """
    step_s = max(min(inner.interval_s, outer.interval_s), 2.0 * most_lag_s / (MOST_LAGS - 1), 1e-9)
    reach = int(most_lag_s / step_s)
    lags = step_s * np.arange(-reach, reach + 1)
    errors = [_errors(inner, outer, float(lag), most_apart_s) for lag in lags]
    spreads = np.array([_spread(e) for e in errors])
    if not np.isfinite(spreads).any():
        return Lag(None, step_s, 0.0, False)
    sums = np.full(len(lags), np.inf)
    scale = max(float(np.min(spreads)), 1e-9)
    for i, e in enumerate(errors):
        if np.isfinite(spreads[i]):
            # a sum over as many pairs at each lag, though at the ends there are fewer
            cost = np.minimum((e / scale) ** 2, OUTLIER_SPREADS**2)
            sums[i] = float(cost.mean()) * len(errors[reach])
    best = int(sums.argmin())
    finite = sums[np.isfinite(sums)]
    if np.median(finite) - finite.min() < EVIDENCE:
        return Lag(None, step_s, 0.0, False)
    gained = float(sums[reach] - sums[best])
    gain = gained / float(sums[reach]) if np.isfinite(sums[reach]) else 1.0
    if gained < EVIDENCE or gain < LEAST_GAIN:
        return Lag(0.0, step_s, 0.0, False)
    return Lag(float(lags[best]), step_s, gain, best in (0, len(lags) - 1) and reach > 0)


def _errors(
    inner: Readings, outer: Readings, lag_s: float, most_apart_s: float | None
) -> FloatArray:
    """Return the relative errors of a robust line through the pairs."""
    pairs = pair(inner, outer, lag_s=lag_s, most_apart_s=most_apart_s)
    if len(pairs.time) < FEWEST:
        return np.empty(0)
    every = slice(None, None, len(pairs.time) // MOST_PAIRS + 1)
    x, y = pairs.inner[every], pairs.outer[every]
    weight = np.ones(len(x))
    for _ in range(4):
        middle_x, middle_y = np.average(x, weights=weight), np.average(y, weights=weight)
        across = float((weight * (x - middle_x) ** 2).sum())
        slope = (weight * (x - middle_x) * (y - middle_y)).sum() / across if across else 0.0
        r = (y - middle_y - slope * (x - middle_x)) / y
        weight = 1.0 / np.sqrt(1.0 + (r / max(_spread(r), 1e-9)) ** 2)
    return np.asarray(r)


def _spread(r: FloatArray) -> float:
    return MAD_TO_SIGMA * float(np.median(np.abs(r))) if len(r) else float("inf")
