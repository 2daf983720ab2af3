"""Intervals of a fitted law from the covariance of its parameters, without a fitting library.

The delta method: a law f(theta) with the covariance C of theta has the variance g' C g, g being
its gradient; an interval is that, with the noise of a new reading, times Student's quantile for
the degrees of freedom that the fit had.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import atan, cos, pi, sin, sqrt

import numpy as np

from ebplan.models.curves import FloatArray
from ebplan.models.estimate import Estimate

STEP = 1e-5
"""Step of the numerical gradient; parameters are of order one."""


def law_variance(
    law: Callable[[FloatArray], FloatArray], theta: FloatArray, covariance: FloatArray
) -> FloatArray:
    """Return the variance of a law's values, shape (M,), in the square of their unit.

    Args:
        law: values, shape (M,), of parameters, shape (P,).
        theta: the parameters, shape (P,).
        covariance: of the parameters, shape (P, P).
    """
    slope = gradient(law, theta)
    return np.asarray(np.einsum("mp,pq,mq->m", slope, covariance, slope))


def law_estimate(
    law: Callable[[FloatArray], FloatArray],
    theta: FloatArray,
    covariance: FloatArray,
    *,
    off_the_law: float,
    confidence: float,
    degrees: int,
) -> Estimate:
    """Return a law's values, shape (M,), with the interval of what lies off the law.

    Args:
        law: values, shape (M,), of parameters, shape (P,).
        theta: the parameters, shape (P,).
        covariance: of the parameters, shape (P, P).
        off_the_law: standard deviation of what is measured off the law.
        confidence: of the interval.
        degrees: degrees of freedom of the fit.
    """
    mean = law(theta)
    spread = np.sqrt(law_variance(law, theta, covariance) + off_the_law**2)
    half = student_quantile(confidence, degrees) * spread
    return Estimate(mean=mean, low=mean - half, high=mean + half, confidence=confidence)


def gradient(law: Callable[[FloatArray], FloatArray], theta: FloatArray) -> FloatArray:
    """Return the gradient of a law by its parameters (central differences), shape (M, P)."""
    steps = STEP * np.eye(len(theta))
    return np.stack([(law(theta + h) - law(theta - h)) / (2.0 * STEP) for h in steps], axis=-1)


@cache
def student_quantile(confidence: float, degrees: int) -> float:
    """Return the two-sided quantile of Student's t: the share ``confidence`` lies within it.

    By bisection on the closed form for whole degrees of freedom (Abramowitz and Stegun, 26.7.3
    and 26.7.4).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence = {confidence}: allowed is > 0 and < 1")
    low, high = 0.0, 1.0
    while _within(high, degrees) < confidence:
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return high


def _within(t: float, degrees: int) -> float:
    """Return the probability that Student's t lies within +-``t``."""
    angle = atan(t / sqrt(degrees))
    term = total = cos(angle) if degrees % 2 else 1.0
    first = 3 if degrees % 2 else 2
    for k in range(first, degrees - 1, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    if degrees == 1:
        return 2.0 / pi * angle
    if degrees % 2:
        return 2.0 / pi * (angle + sin(angle) * total)
    return sin(angle) * total
