"""What is believed of a few numbers, learnt from readings one by one: a Kalman filter.

    forget   P <- k P + (1 - k) P0,   k = exp(-seconds / memory)
    learn    K = P h / (h' P h + sd^2),   m <- m + K (y - h' m),   P <- (1 - K h') P

A reading is ``y = h' theta + noise``. Forgetting leads back to the covariance of the prior and
never past it: ``P <= P0`` however long nothing is learnt, so the filter cannot wind up, neither as
a whole nor in a direction that no reading tells apart. The mean is cut off at physical bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ebplan.document import Part
from ebplan.models.curves import FloatArray

Numbers = tuple[float, ...]


class Belief(Part):
    """A mean and its covariance."""

    mean: Numbers
    """Best guess of each number, shape (n,)."""
    covariance: tuple[Numbers, ...]
    """Of the guess, shape (n, n)."""


@dataclass(frozen=True)
class Prior:
    """What is believed before anything was read, and again once all is forgotten."""

    mean: Numbers
    """Shape (n,)."""
    covariance: tuple[Numbers, ...]
    """Shape (n, n), positive definite."""
    low: Numbers
    """Physical bounds, shape (n,)."""
    high: Numbers
    memory_s: float
    """After this a reading has lost all but 1/e of its weight."""

    @classmethod
    def of_gains(
        cls, count: int, *, apart: float, together: float, bounds: tuple[float, float],
        memory_s: float,
    ) -> Prior:  # fmt: skip
        """Return a prior of gains about 1.

        Args:
            count: how many.
            apart: standard deviation of each by itself.
            together: standard deviation of what they have in common.
            bounds: of each.
            memory_s: as above.
        """
        covariance = together**2 * np.ones((count, count)) + apart**2 * np.eye(count)
        return cls(
            mean=(1.0,) * count,
            covariance=_rows(covariance),
            low=(bounds[0],) * count,
            high=(bounds[1],) * count,
            memory_s=memory_s,
        )

    def begin(self, mean: Numbers | None = None) -> Belief:
        """Return the belief before anything was read, about a mean where one is given."""
        return Belief(mean=self.mean if mean is None else mean, covariance=self.covariance)

    def forget(self, belief: Belief, seconds: float) -> Belief:
        """Return what is left of a belief after a while; the mean stays."""
        keep = math.exp(-max(seconds, 0.0) / self.memory_s)
        covariance = keep * np.array(belief.covariance) + (1.0 - keep) * np.array(self.covariance)
        return Belief(mean=belief.mean, covariance=_rows(covariance))

    def learn(self, belief: Belief, row: Numbers, value: float, sd: float) -> Belief:
        """Return the belief after a reading.

        Args:
            belief: the belief before.
            row: how the numbers make the reading, shape (n,).
            value: what was read.
            sd: standard deviation of its noise, > 0.
        """
        covariance, h = np.array(belief.covariance), np.array(row)
        gain = covariance @ h / _variance(belief, row, sd)
        mean = np.array(belief.mean) + gain * (value - predicted(belief.mean, row))
        left = np.eye(len(h)) - np.outer(gain, h)
        # Joseph's form: positive definite whatever is rounded
        covariance = left @ covariance @ left.T + sd**2 * np.outer(gain, gain)
        return Belief(
            mean=tuple(np.clip(mean, self.low, self.high).tolist()),
            covariance=_rows(0.5 * (covariance + covariance.T)),
        )


def predicted(mean: Numbers, row: Numbers) -> float:
    """Return what would be read without noise."""
    return float(sum(m * h for m, h in zip(mean, row, strict=True)))


def surprise(belief: Belief, row: Numbers, value: float, sd: float) -> float:
    """Return how many standard deviations a reading lies from what was to be expected."""
    return (value - predicted(belief.mean, row)) / math.sqrt(_variance(belief, row, sd))


def _variance(belief: Belief, row: Numbers, sd: float) -> float:
    h = np.array(row)
    return float(h @ np.array(belief.covariance) @ h) + sd**2


def _rows(matrix: FloatArray) -> tuple[Numbers, ...]:
    return tuple(tuple(row) for row in matrix.tolist())
