from __future__ import annotations

import numpy as np
import pytest

from ebplan.errors import InputError
from ebplan.models.fit.robust import fit_robust

X = np.linspace(0.0, 1.0, 12)
TRUE = np.array([0.3, -0.5])
NAMES = ("level", "slope")


def off(y: np.ndarray, x: np.ndarray = X):  # type: ignore[no-untyped-def, type-arg]
    return lambda theta: theta[0] + theta[1] * x - y


def test_exact_readings_are_fitted_and_none_is_off() -> None:
    fit = fit_robust(off(TRUE[0] + TRUE[1] * X), np.zeros(2), NAMES)
    np.testing.assert_allclose(fit.theta, TRUE, atol=1e-6)
    assert fit.used.all()


def test_one_bad_reading_gets_weight_zero() -> None:
    noise = 0.01 * np.random.default_rng(1).standard_normal(len(X))
    y = TRUE[0] + TRUE[1] * X + noise
    y[4] += 0.5
    fit = fit_robust(off(y), np.zeros(2), NAMES)
    assert np.flatnonzero(~fit.used).tolist() == [4]
    np.testing.assert_allclose(fit.theta, TRUE, atol=0.03)


def test_intervals_of_new_readings_hold_as_often_as_stated() -> None:
    random, held = np.random.default_rng(2), []
    gradient = np.array([[1.0, 0.5]])
    for _ in range(400):
        y = TRUE[0] + TRUE[1] * X + 0.01 * random.standard_normal(len(X))
        fit = fit_robust(off(y), np.zeros(2), NAMES)
        half = fit.half_width(gradient, 0.9)[0]
        new = TRUE[0] + 0.5 * TRUE[1] + 0.01 * random.standard_normal()
        held.append(abs(float(gradient[0] @ fit.theta) - new) <= half)
    assert 0.86 <= np.mean(held) <= 0.94


def test_a_prior_speaks_where_readings_are_too_few() -> None:
    prior = lambda theta: (theta - TRUE) / 0.01  # noqa: E731
    fit = fit_robust(off(np.array([0.3]), X[:1]), np.ones(2), NAMES, prior=prior)
    np.testing.assert_allclose(fit.theta, TRUE, atol=0.02)
    assert fit.used.all()


def test_too_few_readings_say_how_many_are_missing() -> None:
    with pytest.raises(InputError, match="at least 3 for level, slope; remedy: measure 1 more"):
        fit_robust(off(np.zeros(2), X[:2]), np.zeros(2), NAMES)


def test_what_cannot_be_told_apart_is_named() -> None:
    same = np.full(len(X), 0.5)
    with pytest.raises(InputError, match="level and slope not identifiable"):
        fit_robust(off(0.1 + 0.01 * X, same), np.zeros(2), NAMES)


def test_readings_that_the_law_does_not_describe_are_refused() -> None:
    y = TRUE[0] + TRUE[1] * X
    y[::3] += 2.0
    with pytest.raises(InputError, match="off the law"):
        fit_robust(off(y), np.zeros(2), NAMES)
