"""What a fit knows about the parameters of a law, carried inside an artefact.

An artefact answers with intervals without any fitting library: it keeps the parameters, their
covariance and the spread of readings around the law, and carries them through the law's gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import atan, cos, pi, sin, sqrt

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Part, Positive
from ebplan.models.curves import FloatArray

STEP = 1e-5
"""Step of the numerical gradient; the parameters are of order one (logarithms, log-odds)."""


class Posterior(Part):
    """Parameters of a law with their covariance."""

    names: tuple[str, ...]
    """Names of the parameters, shape (P,)."""
    theta: tuple[float, ...] = Field(min_length=1)
    """The parameters, shape (P,)."""
    covariance: tuple[tuple[float, ...], ...]
    """Their covariance, shape (P, P)."""
    spread: Positive
    """Standard deviation of a reading around the law, in units of the law's value."""
    degrees: int = Field(ge=1)
    """Degrees of freedom of the spread."""

    @model_validator(mode="after")
    def _fits(self) -> Posterior:
        count = len(self.theta)
        if len(self.names) != count or [len(row) for row in self.covariance] != [count] * count:
            raise FieldFault(
                field="covariance",
                value=f"{len(self.covariance)} rows",
                allowed=f"{count} names and {count} x {count} covariances",
                remedy="fit the model again",
            )
        return self

    def variance(self, law: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Return the variance of a law's values from the parameters alone, shape (M,).

        Args:
            law: values of shape (M,) for parameters of shape (P,).
        """
        slope = gradient(law, np.array(self.theta))
        return np.asarray(np.einsum("mp,pq,mq->m", slope, np.array(self.covariance), slope))

    def quantile(self, confidence: float) -> float:
        """Return how many standard deviations an interval reaches to either side."""
        return student_quantile(confidence, self.degrees)


def gradient(law: Callable[[FloatArray], FloatArray], theta: FloatArray) -> FloatArray:
    """Return the gradient of a law by its parameters (central differences), shape (M, P)."""
    columns = []
    for k in range(len(theta)):
        step = np.zeros(len(theta))
        step[k] = STEP
        columns.append((law(theta + step) - law(theta - step)) / (2.0 * STEP))
    return np.stack(columns, axis=-1)


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
