"""What a fit knows about the parameters of a law, carried inside an artefact.

An artefact answers with intervals without any fitting library: it keeps the parameters, their
covariance and the spread of readings around the law, and carries them through the law's gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Part, Positive
from ebplan.models.curves import FloatArray
from ebplan.models.intervals import law_variance, student_quantile


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
        return law_variance(law, np.array(self.theta), np.array(self.covariance))

    def quantile(self, confidence: float) -> float:
        """Return how many standard deviations an interval reaches to either side."""
        return student_quantile(confidence, self.degrees)
