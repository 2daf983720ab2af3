r"""What is not known of an event: how far load and response may lie from the plan.

Two errors, normal, independent, and lasting the whole event: one of the load, one of the share of
what compute moves. A margin ``z (load + r moved)`` covers both in a step. Errors that last meet
every step alike, so the margins of all steps hold at once where those of the two extreme ones do:
nothing moved, and the most. With u and v the errors in standard deviations, and the ratio
rho = r most / load, the probability of both is

    P(u <= z and u + rho v <= z (1 + rho)) = int_-inf^z phi(u) Phi((z (1 + rho) - u) / rho) du

and z is the least that gives the confidence. It lies between the quantile of the confidence (rho =
0) and that of its root (rho without bound). The energy is a sum over steps, and held with them.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, Part

MOST_EATEN = 0.5
"""Largest share of what compute moves that its own margin may take back."""
NORMAL = NormalDist()


class Uncertainty(Part):
    """Errors that the response must survive."""

    confidence: float = Field(ge=0.5, lt=1.0)
    """Probability with which what the plan promises is kept throughout, in power and energy."""
    load_std: Fraction
    """Standard deviation of the pools' draw against its forecast, as a share of the draw."""
    response_std: Fraction
    """Standard deviation of what compute moves, as a share of what is planned to move."""

    def covered(self, load_kw: float, moved_kw: float) -> float:
        """Return how many standard deviations of each error a margin covers.

        Args:
            load_kw: standard deviation of the load's draw.
            moved_kw: standard deviation of the most that compute can move.
        """
        if load_kw <= 0.0 or moved_kw <= 0.0:
            return NORMAL.inv_cdf(self.confidence)
        return covered_together(self.confidence, moved_kw / load_kw)

    @model_validator(mode="after")
    def _response_counts(self) -> Uncertainty:
        most = NORMAL.inv_cdf(self.confidence**0.5)
        if most * self.response_std > MOST_EATEN:
            raise FieldFault(
                field="response_std",
                value=self.response_std,
                allowed=f"<= {MOST_EATEN / most:.3f} at a confidence of {self.confidence:g}: its "
                "margin may take back half of what compute moves",
                remedy="measure the response, or promise it at a lower confidence",
            )
        return self


@cache
def covered_together(confidence: float, ratio: float) -> float:
    """Return z of the module's docstring for a ratio rho > 0, by bisection."""
    low, high = NORMAL.inv_cdf(confidence), NORMAL.inv_cdf(confidence**0.5)
    while high - low > 1e-7:
        z = 0.5 * (low + high)
        low, high = (low, z) if kept_together(z, ratio) >= confidence else (z, high)
    return high


def kept_together(z: float, ratio: float) -> float:
    """Return the probability of the module's docstring, for a ratio rho > 0."""
    nodes, weights = _nodes()
    from_u = -9.0
    u = from_u + 0.5 * (z - from_u) * (nodes + 1.0)
    density = np.exp(-0.5 * u**2) / np.sqrt(2.0 * np.pi)
    other = np.array([NORMAL.cdf((z * (1.0 + ratio) - x) / ratio) for x in u.tolist()])
    return float(0.5 * (z - from_u) * (weights @ (density * other)))


@cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(64)
