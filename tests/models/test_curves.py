"""The two curves of the lens, for any parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.errors import InputError
from ebplan.models.curves import CapCurve, LoadCurve, LoadTerm, chords

amplitudes = st.floats(0.05, 2.0)
exponents = st.floats(0.02, 1.0)
curves = st.builds(
    lambda idle_kw, terms, one: LoadCurve(
        idle_kw=idle_kw,
        terms=tuple(LoadTerm(amplitude_kw=a, exponent=g) for a, g in terms),
        one_request_utilisation=one,
        valid_from_utilisation=0.3,
    ),
    st.floats(0.05, 1.0),
    st.lists(st.tuples(amplitudes, exponents), min_size=1, max_size=3),
    st.floats(0.01, 0.5),
)
U = np.linspace(0.0, 1.0, 101)


@given(curves)
def test_load_curve_is_increasing_and_concave(curve: LoadCurve) -> None:
    steps = np.diff(curve.power_kw(U))
    assert (steps > 0.0).all()
    assert (np.diff(steps) <= 1e-9).all()


@given(curves)
def test_load_curve_runs_from_idle_to_full(curve: LoadCurve) -> None:
    assert float(curve.power_kw(0.0)) == pytest.approx(curve.idle_kw)
    assert float(curve.power_kw(1.0)) == pytest.approx(curve.full_kw)


@given(curves, st.floats(0.1, 3.0))
def test_scaling_scales_every_power(curve: LoadCurve, factor: float) -> None:
    assert curve.scaled(factor).power_kw(U) == pytest.approx(factor * curve.power_kw(U))


@given(curves)
def test_chords_of_the_load_curve_never_overestimate(curve: LoadCurve) -> None:
    knots = np.array([0.0, curve.one_request_utilisation, 0.6, 0.8, 1.0])
    lines = np.array(chords(knots, curve.power_kw(knots)))
    lowest = (lines[:, :1] * U + lines[:, 1:]).min(axis=0)
    assert (lowest <= curve.power_kw(U) + 1e-9).all()
    inside = np.array([[a * u + b for a, b in lines] for u in knots]).min(axis=1)
    assert inside == pytest.approx(curve.power_kw(knots))


@given(st.floats(0.1, 3.0), st.floats(0.5, 2.0))
def test_cap_curve_is_increasing_concave_and_full_at_full_power(g: float, full_kw: float) -> None:
    curve = CapCurve(full_kw=full_kw, elasticity=g, floor_kw=0.8 * full_kw)
    capacity = curve.capacity(np.linspace(0.8 * full_kw, full_kw, 41))
    steps = np.diff(capacity)
    assert (steps > 0.0).all()
    assert (np.diff(steps) <= 1e-9).all()
    assert capacity[-1] == pytest.approx(1.0)


def test_a_higher_elasticity_is_more_cautious() -> None:
    power_kw = np.linspace(0.8, 1.0, 21)
    low, high = (
        CapCurve(full_kw=1.0, elasticity=g, floor_kw=0.8).capacity(power_kw) for g in (0.5, 1.1)
    )
    assert (high <= low).all()


@pytest.mark.parametrize(("floor_kw", "elasticity"), [(1.1, 0.5), (0.1, 1.5)])
def test_a_floor_that_makes_no_sense_is_refused(floor_kw: float, elasticity: float) -> None:
    with pytest.raises(InputError, match="floor"):
        CapCurve.parse({"full_kw": 1.0, "floor_kw": floor_kw, "elasticity": elasticity})


@given(st.floats(0.1, 20.0), st.floats(0.05, 4.0), st.floats(0.0, 1.0))
def test_the_lowest_power_with_a_capacity_has_it(full_kw: float, g: float, capacity: float) -> None:
    curve = CapCurve(full_kw=full_kw, elasticity=g, floor_kw=0.8 * full_kw)
    power_kw = float(curve.lowest_power_kw(capacity))
    assert curve.floor_kw <= power_kw <= full_kw
    left = float(curve.capacity(power_kw))
    assert left >= capacity - 1e-9
    if power_kw > curve.floor_kw:
        assert left == pytest.approx(capacity)
