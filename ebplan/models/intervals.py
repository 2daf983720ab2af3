"""Intervals of a fitted law from the covariance of its parameters, without a fitting library.

The delta method: a law f(theta) with the covariance C of theta has the variance g' C g, g being
its gradient; an interval is that, with the noise of a new reading, times Student's quantile for
the degrees of freedom that the fit had.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin, sqrt
from statistics import NormalDist

import numpy as np

from ebplan.models.curves import FloatArray

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
    steps = STEP * np.eye(len(theta))
    gradient = np.stack([(law(theta + h) - law(theta - h)) / (2.0 * STEP) for h in steps], axis=-1)
    return np.asarray(np.einsum("mp,pq,mq->m", gradient, covariance, gradient))


def student_quantile(confidence: float, degrees: int) -> float:
    """Return how many standard deviations hold a two-sided share of Student's t distribution.

    Within 0.01 % for shares from 0.5 to 0.99. One and two degrees are closed forms, more are Hill's
    expansion (Communications of the ACM 13 (1970) 619, algorithm 396).

    Args:
        confidence: the share, between 0 and 1.
        degrees: degrees of freedom, at least 1.
    """
    out = 1.0 - confidence
    if degrees == 1:
        return cos(0.5 * pi * out) / sin(0.5 * pi * out)
    if degrees == 2:
        return sqrt(2.0 / (out * (2.0 - out)) - 2.0)
    n = float(degrees)
    a = 1.0 / (n - 0.5)
    b = 48.0 / a**2
    c = ((20700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * sqrt(0.5 * pi * a) * n
    y = (d * out) ** (2.0 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(0.5 * out)
        y = x * x
        if n < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x
        y = a * y * y
        y = float(np.expm1(y))
    else:
        y = (
            (1.0 / (((n + 6.0) / (n * y) - 0.089 * d - 0.822) * (n + 2.0) * 3.0) + 0.5 / (n + 4.0))
            * y
            - 1.0
        ) * (n + 1.0) / (n + 2.0) + 1.0 / y
    return sqrt(n * y)
