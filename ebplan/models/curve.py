"""One law of one configuration: a prior, the points measured, and what follows from both.

    ln y(c) = law(theta, ln c) + m(ln c) + noise,      theta ~ N(prior mean, prior covariance)

``m`` is the misfit of the law, a smooth function (a Gaussian process with a Matern-3/2 kernel over
ln c): neighbouring points of one configuration miss the law alike, so a point counts for less where
others stand beside it, and the curve bends towards its points without the law being given up. With
the law linear in its parameters around their most likely values, all is Gaussian (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, 2.7: explicit basis functions).
"""

from __future__ import annotations

from functools import cached_property
from statistics import NormalDist
from typing import Literal

import numpy as np
from pydantic import Field

from ebplan.document import NonNegative, Part, Positive
from ebplan.errors import RangeError
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.laws import LAWS, LawName

Evidence = Literal["prior", "measured"]

_STEPS = 60
_STEP = 0.5
"""Longest step of a parameter in one iteration; all are logarithms."""
_SETTLED = 1e-8


class Spreads(Part):
    """How far points lie from the law, in relative terms."""

    noise: Positive
    """Standard deviation of a reading by itself."""
    misfit: NonNegative
    """Standard deviation of the law's misfit."""
    misfit_length: Positive
    """Distance in ln c over which the misfit stays alike."""

    def misfit_kernel(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """Return the covariance of the misfit between two sets of ln c, shape (A, B)."""
        apart = np.abs(a[:, None] - b[None, :]) / self.misfit_length
        return np.asarray(self.misfit**2 * (1.0 + apart) * np.exp(-apart))

    def covariance(self, ln_c: FloatArray) -> FloatArray:
        """Return the covariance of the readings about the law, shape (N, N)."""
        return self.misfit_kernel(ln_c, ln_c) + self.noise**2 * np.eye(len(ln_c))


class Curve(Part):
    """One law of one configuration."""

    law: LawName
    """Which law."""
    prior_mean: tuple[float, float, float]
    """Mean of its parameters before any point, in the law's logarithms."""
    prior_covariance: tuple[tuple[float, float, float], ...] = Field(min_length=3, max_length=3)
    """Their covariance."""
    spreads: Spreads
    """How far points lie from the law."""
    concurrency: tuple[Positive, ...] = ()
    """Requests in flight of the points measured."""
    measured: tuple[Positive, ...] = ()
    """What was measured at them, in the law's unit."""
    calibration: Positive = 1.0
    """What a standard deviation is multiplied by, so that intervals hold on held-out points."""

    @property
    def evidence(self) -> Evidence:
        """Whether there is any point."""
        return "measured" if self.concurrency else "prior"

    @cached_property
    def theta(self) -> FloatArray:
        """Most likely parameters, shape (3,)."""
        mean, ln_c = np.array(self.prior_mean), np.log(np.array(self.concurrency))
        theta = mean.copy()
        if not len(ln_c):
            return theta
        for _ in range(_STEPS):
            left, gradient, covariance = self._linear(theta)
            new = mean + np.array(self.prior_covariance) @ gradient.T @ np.linalg.solve(
                covariance, left
            )
            step = np.clip(new - theta, -_STEP, _STEP)
            theta = theta + step
            if np.abs(step).max() < _SETTLED:
                break
        return theta

    def estimate(self, concurrency: FloatArray, confidence: float = CONFIDENCE) -> Estimate:
        """Return what a new reading would be, in the law's unit.

        Args:
            concurrency: requests in flight, shape (N,).
            confidence: share of new readings that the interval is made to hold.

        Returns:
            Mean and interval, shape (N,); no mean where no point was measured.

        Raises:
            RangeError: a load that is not above 0, or not finite.
        """
        ln_y, deviation = self.logarithm(_ln(concurrency))
        wide = NormalDist().inv_cdf(0.5 + 0.5 * confidence) * self.calibration * deviation
        return Estimate(
            mean=np.exp(ln_y) if self.concurrency else None,
            low=np.exp(ln_y - wide),
            high=np.exp(ln_y + wide),
            confidence=confidence,
        )

    def centre(self, concurrency: FloatArray) -> FloatArray:
        """Return the middle of the interval, measured or not, shape of ``concurrency``."""
        return np.exp(self.logarithm(_ln(concurrency))[0])

    def logarithm(self, ln_c: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation (uncalibrated) of ln y of a new reading, (N,) each."""
        ln_y, gradient = LAWS[self.law](self.theta, ln_c)
        prior = np.array(self.prior_covariance)
        variance = np.einsum("ni,ij,nj->n", gradient, prior, gradient)
        variance = variance + self.spreads.misfit**2 + self.spreads.noise**2
        if not self.concurrency:
            return ln_y, np.sqrt(variance)
        at = np.log(np.array(self.concurrency))
        left, of_points, covariance = self._linear(self.theta)
        misfit = self.spreads.misfit_kernel(ln_c, at)
        # what is left of the points after the law, at the most likely parameters
        off = left - of_points @ (self.theta - np.array(self.prior_mean))
        own = self.spreads.covariance(at)
        ln_y = ln_y + misfit @ np.linalg.solve(own, off)
        across = gradient @ prior @ of_points.T + misfit
        known = np.einsum("nm,mn->n", across, np.linalg.solve(covariance, across.T))
        # rounding can take a variance that the points determine fully below that of the noise
        return ln_y, np.sqrt(np.maximum(variance - known, 1e-12))

    def _linear(self, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the points less the law at the prior mean, its gradient, and their covariance."""
        at, ln_y = np.log(np.array(self.concurrency)), np.log(np.array(self.measured))
        here, gradient = LAWS[self.law](theta, at)
        left = ln_y - here + gradient @ (theta - np.array(self.prior_mean))
        prior = np.array(self.prior_covariance)
        return left, gradient, gradient @ prior @ gradient.T + self.spreads.covariance(at)


def _ln(concurrency: FloatArray) -> FloatArray:
    """Return the logarithm of loads; the laws know none without requests and none without end."""
    at = np.asarray(concurrency, dtype=float)
    for load in at[~((at > 0.0) & np.isfinite(at))].ravel()[:1]:
        raise RangeError(
            field="concurrency",
            value=float(load),
            allowed="> 0 requests in flight, finite",
            remedy="ask for a load; power without load comes from readings of its own (standby)",
        )
    return np.asarray(np.log(at))
