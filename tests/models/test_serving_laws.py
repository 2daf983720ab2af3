from __future__ import annotations

import numpy as np
import pytest

from ebplan.models.curve import Curve, Spreads
from ebplan.models.laws import LAWS, LawName

THETA: dict[LawName, tuple[float, float, float]] = {
    "power": (-0.7, 0.4, 3.0),
    "throughput": (-4.0, 8.0, 0.1),
}
WIDE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SPREADS = Spreads(noise=0.005, misfit=0.001, misfit_length=1.0)


@pytest.mark.parametrize("law", THETA)
def test_gradients_are_those_of_finite_differences(law: LawName) -> None:
    theta, ln_c, step = np.array(THETA[law]), np.linspace(0.0, 7.0, 9), 1e-6
    _, gradient = LAWS[law](theta, ln_c)
    for k in range(3):
        to = np.eye(3)[k] * step
        slope = (LAWS[law](theta + to, ln_c)[0] - LAWS[law](theta - to, ln_c)[0]) / (2 * step)
        np.testing.assert_allclose(gradient[:, k], slope, atol=1e-6)


@pytest.mark.parametrize("law", THETA)
def test_points_overrule_a_wide_prior(law: LawName) -> None:
    c = np.geomspace(2.0, 1000.0, 9)
    true = np.exp(LAWS[law](np.array(THETA[law]), np.log(c))[0])
    away = tuple(value + 0.3 for value in THETA[law])
    curve = Curve(
        law=law,
        prior_mean=away,
        prior_covariance=WIDE,
        spreads=SPREADS,
        concurrency=tuple(c.tolist()),
        measured=tuple(true.tolist()),
    )
    between = np.array([5.0, 50.0, 500.0])
    found = curve.estimate(between)
    expected = np.exp(LAWS[law](np.array(THETA[law]), np.log(between))[0])
    assert found.mean is not None
    np.testing.assert_allclose(found.mean, expected, rtol=0.01)
    assert found.holds(expected).all()


def test_without_a_point_there_is_only_an_interval() -> None:
    curve = Curve(law="power", prior_mean=THETA["power"], prior_covariance=WIDE, spreads=SPREADS)
    found = curve.estimate(np.array([10.0]))
    assert curve.evidence == "prior"
    assert found.mean is None
    assert found.low[0] < curve.centre(np.array([10.0]))[0] < found.high[0]
    assert found.high[0] / found.low[0] > 5.0
