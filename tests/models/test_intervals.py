"""Student's quantiles and the delta method against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from ebplan.models.intervals import law_variance, student_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 30, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.99])
def test_quantiles_are_students(degrees: int, confidence: float) -> None:
    exact = t.ppf(0.5 + 0.5 * confidence, degrees)
    assert student_quantile(confidence, degrees) == pytest.approx(exact, rel=1e-4)


def test_the_variance_of_a_linear_law_is_exact() -> None:
    rows = np.array([[1.0, 2.0], [0.0, -3.0], [0.5, 0.5]])
    covariance = np.array([[0.04, 0.01], [0.01, 0.09]])
    variance = law_variance(lambda theta: rows @ theta, np.array([0.3, -0.2]), covariance)
    assert variance == pytest.approx(np.diag(rows @ covariance @ rows.T))
