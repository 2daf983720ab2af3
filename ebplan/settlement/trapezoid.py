"""A level, a ramp, a hold, a way back and a level, fitted robustly to means over intervals.

    p(t) = straight lines between the knots  0, t1, t1 + d1, t3, t3 + d3, end

with a free power at each of the six knots, so that levels may drift. What is fitted are means of
``p`` over the intervals of the meter, which are smooth in the knots.

Huber's loss makes readings beyond ``HUBER`` standard deviations count by their size and not its
square: dips of the workload move nothing. The covariance is the sandwich

    (J' W J)^-1  (c sum_i (w_i r_i)^2 J_i J_i')  (J' W J)^-1

with the weights ``w`` of the loss, the residuals ``r`` where each knot is decided, and ``c`` the
correlation time of the residuals in intervals: a ramp that is no straight line widens the interval
of its own knots and of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np

from ebplan.models.fit.series import correlation_time
from ebplan.settlement.reference import MAD_TO_SIGMA
from ebplan.settlement.series import FloatArray

HUBER = 2.0
"""Residuals beyond this many standard deviations count by their size."""
SHORTEST = 0.05
"""A ramp is this share of an interval at least: no meter tells a faster one."""
COARSE = 40
"""Edges between which a box is searched first."""
RAMPS = (0.01, 0.05, 0.15)
"""Lengths of ramps to start from, as shares of the series."""
ROUNDS = 60
NAMES = ("t1", "d1", "t3", "d3", "before", "begin", "hold_from", "hold_to", "back", "after")


@dataclass(frozen=True)
class Trapezoid:
    """A fitted response; times in seconds since the series began."""

    theta: FloatArray
    """Parameters in the order of ``NAMES``, shape (10,)."""
    covariance: FloatArray
    """Their covariance, shape (10, 10)."""
    spread_kw: float
    """Robust standard deviation of a reading about the fit."""
    fitted_kw: FloatArray
    """Fitted means, shape (n,)."""
    degrees: int
    """Degrees of freedom of the spread."""

    def of(self, name: str) -> float:
        """Return a parameter."""
        return float(self.theta[NAMES.index(name)])

    def error(self, law: Callable[[FloatArray], float]) -> float:
        """Return the standard error of a number that the parameters give (delta method)."""
        slope = np.zeros(len(NAMES))
        for i, value in enumerate(self.theta):
            step = 1e-5 * max(abs(float(value)), 1.0)
            moved = step * np.eye(len(NAMES))[i]
            slope[i] = (law(self.theta + moved) - law(self.theta - moved)) / (2.0 * step)
        return sqrt(max(float(slope @ self.covariance @ slope), 0.0))


def fit_trapezoid(time_s: FloatArray, interval_s: float, kw: FloatArray) -> Trapezoid:
    """Fit a response to means over intervals.

    Args:
        time_s: beginning of each interval in seconds, from 0 on, shape (n,).
        interval_s: length of an interval.
        kw: mean power, shape (n,).
    """
    end_s = float(time_s[-1] + interval_s)
    noise = MAD_TO_SIGMA * float(np.median(np.abs(np.diff(kw)))) / np.sqrt(2.0)
    scale = float(max(noise, 1e-6 * max(float(np.ptp(kw)), 1e-9)))
    theta = _best(_starts(time_s, end_s, kw), time_s, interval_s, kw, scale)
    for _ in range(2):
        scale = _spread(kw - means(theta, time_s, interval_s), scale)
        theta = _climb(theta, time_s, interval_s, kw, scale)
    fitted = means(theta, time_s, interval_s)
    off = kw - fitted
    return Trapezoid(
        theta=theta,
        covariance=_covariance(theta, time_s, interval_s, off, scale),
        spread_kw=scale,
        fitted_kw=fitted,
        degrees=max(int(len(kw) / correlation_time(_clipped(off, scale))) - len(NAMES), 1),
    )


def _best(
    starts: Iterable[FloatArray],
    time_s: FloatArray,
    interval_s: float,
    kw: FloatArray,
    scale: float,
) -> FloatArray:
    """Return the best parameters that are found from several starts."""
    tries = [_climb(start, time_s, interval_s, kw, scale) for start in starts]
    return min(tries, key=lambda found: _loss(kw - means(found, time_s, interval_s), scale))


def _spread(off: FloatArray, scale: float) -> float:
    """Return the robust standard deviation of a reading, at least a thousandth of the scale."""
    return max(MAD_TO_SIGMA * float(np.median(np.abs(off))), 1e-3 * scale)


def means(theta: FloatArray, time_s: FloatArray, interval_s: float) -> FloatArray:
    """Return the mean of the straight lines over each interval, shape (n,)."""
    t1, d1, t3, d3 = theta[:4]
    end_s = float(time_s[-1] + interval_s)
    knots = np.array([0.0, t1, t1 + d1, t3, t3 + d3, end_s])
    knots = np.maximum.accumulate(knots)
    levels = theta[4:]
    summed = np.r_[0.0, np.cumsum(0.5 * (levels[1:] + levels[:-1]) * np.diff(knots))]

    def until(at_s: FloatArray) -> FloatArray:
        piece = np.clip(np.searchsorted(knots, at_s, "right") - 1, 0, len(knots) - 2)
        since = at_s - knots[piece]
        length = np.maximum(np.diff(knots)[piece], 1e-12)
        slope = (levels[piece + 1] - levels[piece]) / length
        return np.asarray(summed[piece] + levels[piece] * since + 0.5 * slope * since**2)

    return np.asarray((until(time_s + interval_s) - until(time_s)) / interval_s)


def _starts(time_s: FloatArray, end_s: float, kw: FloatArray) -> Iterator[FloatArray]:
    """Yield where to begin: the best box, with ramps of several lengths."""
    edges = np.unique(np.linspace(0, len(kw), COARSE + 1).astype(int))[1:-1]
    best, box = float("inf"), (1, len(kw) - 1)
    for i, first in enumerate(edges):
        for last in edges[i + 1 :]:
            parts = (kw[:first], kw[first:last], kw[last:])
            loss = sum(float(np.abs(part - np.median(part)).sum()) for part in parts)
            if loss < best:
                best, box = loss, (int(first), int(last))
    down_s, up_s = float(time_s[box[0]]), float(time_s[box[1]])
    outside, inside = (kw[: box[0]], kw[box[1] :]), kw[box[0] : box[1]]
    before, hold, after = (float(np.median(part)) for part in (outside[0], inside, outside[1]))
    for down, up in product(RAMPS, RAMPS):
        d1, d3 = (min(share * end_s, 0.4 * (up_s - down_s)) for share in (down, up))
        t1, t3 = max(down_s - 0.5 * d1, 0.0), min(up_s - 0.5 * d3, end_s - 1.1 * d3)
        yield np.array([t1, d1, t3, d3, before, before, hold, hold, after, after])


def _climb(
    theta: FloatArray, time_s: FloatArray, interval_s: float, kw: FloatArray, scale: float
) -> FloatArray:
    """Improve parameters by damped, reweighted Gauss-Newton steps."""
    damping = 1e-3
    off = kw - means(theta, time_s, interval_s)
    loss = _loss(off, scale)
    for _ in range(ROUNDS):
        jacobian = _jacobian(theta, time_s, interval_s)
        weight = _weights(off, scale) / scale**2
        normal = jacobian.T @ (weight[:, None] * jacobian)
        gradient = jacobian.T @ (weight * off)
        ridge = damping * np.diag(np.maximum(np.diag(normal), 1e-12))
        moved = _allowed(theta + np.linalg.solve(normal + ridge, gradient), time_s, interval_s)
        off_there = kw - means(moved, time_s, interval_s)
        there = _loss(off_there, scale)
        if there < loss:
            done = loss - there < 1e-9 * loss
            theta, off, loss, damping = moved, off_there, there, max(damping / 5.0, 1e-9)
            if done:
                break
        elif (damping := damping * 5.0) > 1e9:
            break
    return theta


def _allowed(theta: FloatArray, time_s: FloatArray, interval_s: float) -> FloatArray:
    """Return parameters whose knots stand in their order, inside the series."""
    end_s = float(time_s[-1] + interval_s)
    least = SHORTEST * interval_s
    t1 = float(np.clip(theta[0], interval_s, end_s - 4.0 * interval_s))
    t3 = float(np.clip(theta[2], t1 + 2.0 * interval_s, end_s - 2.0 * interval_s))
    d1 = float(np.clip(theta[1], least, t3 - t1 - interval_s))
    d3 = float(np.clip(theta[3], least, end_s - t3 - interval_s))
    return np.array([t1, d1, t3, d3, *theta[4:]])


def _jacobian(theta: FloatArray, time_s: FloatArray, interval_s: float) -> FloatArray:
    """Return the gradient of the means by the parameters, shape (n, 10)."""
    columns = []
    for i in range(len(NAMES)):
        step = np.zeros(len(NAMES))
        step[i] = 1e-3 * interval_s if i < 4 else 1e-3
        ahead = means(theta + step, time_s, interval_s)
        behind = means(theta - step, time_s, interval_s)
        columns.append((ahead - behind) / (2.0 * step[i]))
    return np.column_stack(columns)


def _weights(off: FloatArray, scale: float) -> FloatArray:
    """Return the weights of Huber's loss, shape (n,)."""
    return np.asarray(np.minimum(1.0, HUBER * scale / np.maximum(np.abs(off), 1e-300)))


def _clipped(off: FloatArray, scale: float) -> FloatArray:
    return np.asarray(_weights(off, scale) * off)


def _loss(off: FloatArray, scale: float) -> float:
    size = np.abs(off) / scale
    return float(np.where(size <= HUBER, 0.5 * size**2, HUBER * (size - 0.5 * HUBER)).sum())


def _covariance(
    theta: FloatArray, time_s: FloatArray, interval_s: float, off: FloatArray, scale: float
) -> FloatArray:
    """Return the sandwich covariance of the parameters, shape (10, 10)."""
    jacobian = _jacobian(theta, time_s, interval_s) / scale
    clipped = _clipped(off, scale) / scale
    bread = np.linalg.pinv(jacobian.T @ (_weights(off, scale)[:, None] * jacobian), hermitian=True)
    # no knot is known better than readings of the usual noise tell it
    size = np.maximum(np.abs(clipped), 1.0)
    filling = correlation_time(clipped) * (jacobian.T @ ((size**2)[:, None] * jacobian))
    return np.asarray(bread @ filling @ bread)
