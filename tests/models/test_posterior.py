"""What an artefact carries of its fit: quantiles without scipy, gradients, covariances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student_t

from ebplan.errors import InputError
from ebplan.models.intervals import gradient, student_quantile
from ebplan.models.posterior import Posterior


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 6, 7, 30, 31, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_the_quantile_is_that_of_students_t(degrees: int, confidence: float) -> None:
    expected = student_t.ppf(0.5 + 0.5 * confidence, degrees)
    assert student_quantile(confidence, degrees) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("confidence", [0.0, 1.0, float("nan")])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        student_quantile(confidence, 3)


def test_the_variance_of_a_law_is_carried_through_its_gradient() -> None:
    known = Posterior(
        names=("a", "b"),
        theta=(1.0, 2.0),
        covariance=((0.04, 0.01), (0.01, 0.09)),
        spread=0.1,
        degrees=5,
    )
    x = np.array([0.0, 1.0, 3.0])

    def line(theta: np.ndarray) -> np.ndarray:
        return np.asarray(theta[0] + theta[1] * x)

    expected = 0.04 + 2 * 0.01 * x + 0.09 * x**2
    assert known.variance(line) == pytest.approx(expected, rel=1e-6)
    assert gradient(line, np.array([1.0, 2.0])) == pytest.approx(
        np.column_stack([np.ones(3), x]), abs=1e-8
    )


def test_a_covariance_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="covariance"):
        Posterior.parse(
            {"names": ["a"], "theta": [1.0], "covariance": [[1.0, 0.0]], "spread": 1, "degrees": 1}
        )
