"""The law of one workload on one board: monotone, concave, never beyond what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.errors import InputError, RangeError
from ebplan.models.board import (
    BoardLaw,
    flattest,
    log_power,
    log_rate,
    steepest,
)
from ebplan.models.cap import CapModel
from ebplan.models.curves import CapCurve
from ebplan.models.library import load_cap
from ebplan.models.posterior import Posterior

rate_theta = st.tuples(st.floats(-3.0, 3.0), st.floats(-4.0, 1.0), st.floats(-4.0, 4.0))
power_theta = st.tuples(
    st.floats(-0.1, 0.05),
    st.floats(-0.3, 0.5),
    st.floats(0.5, 4.0),
    st.floats(0.2, 1.3),
    st.floats(-3.0, 0.5),
)


def law(*, clocks: tuple[float, ...] = (1000.0, 1500.0)) -> BoardLaw:
    """A law with small uncertainties."""
    count = 5 if clocks else 3
    names = tuple("abcde"[:count])
    small = tuple(tuple(1e-4 * (i == j) for j in range(count)) for i in range(count))
    return BoardLaw(
        reference_kw_per_gpu=0.4,
        reference_clock_mhz=clocks[-1] if clocks else None,
        power_law=Posterior(
            names=names,
            theta=(0.0, 0.0, 2.5, 0.8, -1.4)[:count],
            covariance=small,
            spread=0.01,
            degrees=6,
        ),
        rate_law=Posterior(
            names=("a", "b", "c"),
            theta=(2.0, -1.4, -1.0),
            covariance=tuple(row[:3] for row in small[:3]),
            spread=0.01,
            degrees=6,
        ),
        caps_kw_per_gpu=(0.2, 0.3, 0.5),
        clocks_mhz=clocks,
        lowest_kw_per_gpu=0.15,
    )


@given(theta=rate_theta)
def test_throughput_rises_with_power_and_bends_down(theta: tuple[float, float, float]) -> None:
    static = 1.0 / (1.0 + np.exp(-theta[1]))
    power = np.linspace(static + 0.02, 1.2, 80)
    rate = np.exp(log_rate(np.array(theta), power))
    assert (np.diff(rate) > 0.0).all()
    assert (np.diff(rate, 2) <= 1e-9 * rate.max()).all()
    assert np.exp(log_rate(np.array(theta), np.ones(1))) == pytest.approx(np.exp(theta[0]))


@given(theta=power_theta, cap=st.floats(0.05, 3.0), clock=st.floats(0.2, 1.0))
def test_power_lies_below_cap_and_draw_and_rises_with_both(
    theta: tuple[float, ...], cap: float, clock: float
) -> None:
    parameters, one = np.array(theta), np.ones(1)

    def power(cap: float, clock: float) -> float:
        return float(log_power(parameters, cap * one, clock * one)[0])

    free = power(np.inf, clock)
    here = power(cap, clock)
    assert here <= min(free, theta[0] + np.log(cap)) + 1e-12
    assert here <= power(1.1 * cap, clock) + 1e-12
    assert here <= power(cap, min(1.1 * clock, 1.0)) + 1e-12
    # Far above the draw a cap does nothing.
    assert power(1e3, clock) == pytest.approx(free, abs=1e-3)


def test_intervals_hold_the_mean_and_widen_with_confidence() -> None:
    caps = np.array([0.2, 0.3, 0.4])
    for answer in (law().power, law().throughput):
        wide, narrow = answer(caps, confidence=0.99), answer(caps, confidence=0.5)
        assert (wide.low < narrow.low).all()
        assert (narrow.low < narrow.mean).all()
        assert (narrow.mean < narrow.high).all()
        assert (narrow.high < wide.high).all()


def test_nothing_is_lost_at_the_highest_power() -> None:
    full = law().capacity(np.array([0.4]))
    assert full.low == pytest.approx(1.0)
    assert full.high == pytest.approx(1.0)


@pytest.mark.parametrize("cap", [0.1, 0.6, float("nan"), -1.0])
def test_caps_that_nobody_measured_are_refused(cap: float) -> None:
    with pytest.raises(RangeError, match="cap_kw_per_gpu"):
        law().throughput(cap)


def test_caps_may_be_extrapolated_to_but_not_below_zero() -> None:
    lower = law().throughput(0.15, allow_extrapolation=True).mean
    assert lower < law().throughput(0.2).mean
    with pytest.raises(RangeError):
        law().throughput(-0.1, allow_extrapolation=True)


def test_a_clock_is_refused_where_none_was_locked() -> None:
    with pytest.raises(RangeError, match="none was measured"):
        law(clocks=()).power(0.3, 1000.0, allow_extrapolation=True)
    with pytest.raises(RangeError, match="clock_mhz"):
        law().power(None, 900.0)


@given(
    exponent=st.floats(0.1, 0.95),
    shares=st.lists(st.floats(0.2, 0.98), min_size=2, max_size=20, unique=True),
)
def test_the_planners_curves_enclose_a_concave_one(exponent: float, shares: list[float]) -> None:
    at = np.array(sorted(shares))

    def curve(x: np.ndarray) -> np.ndarray:
        return np.asarray(x**exponent)

    assert steepest(curve, at) == pytest.approx(exponent)
    assert flattest(curve, at) == pytest.approx(exponent)


@given(theta=rate_theta)
def test_the_cautious_curve_lies_nowhere_above(theta: tuple[float, float, float]) -> None:
    static = 1.0 / (1.0 + np.exp(-theta[1]))
    shares = np.linspace(min(static + 0.1, 0.9), 0.995, 60)

    def capacity(x: np.ndarray) -> np.ndarray:
        return np.asarray(
            np.exp(log_rate(np.array(theta), x) - log_rate(np.array(theta), np.ones(1)))
        )

    steep, flat = steepest(capacity, shares), flattest(capacity, shares)
    assert flat <= steep <= 1.0 / (1.0 - shares[0])
    if not 1e-3 < steep <= 4.0:
        return
    planned = CapCurve(full_kw=1.0, elasticity=steep, floor_kw=1.0).capacity(shares)
    assert (planned <= capacity(shares) + 1e-12).all()


def test_a_model_without_laws_is_written_as_before_and_refuses_to_answer() -> None:
    shipped = load_cap("h200nvl-llama31-70b-bf16-tp2-cap")
    assert "laws" not in shipped.to_json()
    with pytest.raises(InputError, match="carries no laws"):
        shipped.throughput("chat", 0.4)


def test_a_model_with_laws_round_trips_and_answers() -> None:
    shipped = load_cap("h200nvl-llama31-70b-bf16-tp2-cap")
    model = shipped.model_copy(update={"laws": {"chat": law()}})
    assert CapModel.parse(model.to_json().encode()) == model
    assert model.power("chat", 0.3).mean == pytest.approx(law().power(0.3).mean)
    with pytest.raises(InputError, match="allowed: chat"):
        model.power("batch", 0.3)
