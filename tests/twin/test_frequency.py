"""The frequency that a plant meets, and what an armed droop makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twin_cases import case

from ebplan import InputError
from ebplan.adapters.commands import ArmDroop
from ebplan.frequency import ResponseCurve
from ebplan.twin import Droop, FluidPlant, FrequencyModel
from ebplan.twin.disturbances import FrequencyContingency
from ebplan.twin.droop import share_of
from ebplan.twin.frequency import GridFrequency
from ebplan.twin.noise import stream

CURVES = (
    ResponseCurve(shape="droop", dead_band_hz=0.02, full_hz=0.2),
    ResponseCurve(shape="droop", full_hz=0.2),
    ResponseCurve(shape="knee", dead_band_hz=0.015, knee_hz=0.2, knee_fraction=0.05, full_hz=0.5),
    ResponseCurve(shape="threshold", full_hz=0.3),
)
REST = FrequencyModel(std_hz=0.0)


@given(hz=st.floats(-0.7, 0.7), curve=st.sampled_from(CURVES))
def test_the_share_is_that_of_the_curve(hz: float, curve: ResponseCurve) -> None:
    assert share_of(curve, hz) == pytest.approx(float(curve.share(np.array(hz))), abs=1e-12)


def test_the_process_has_the_spread_and_memory_it_is_given() -> None:
    model = FrequencyModel(std_hz=0.03, correlation_s=20.0)
    frequency = GridFrequency(model, (), stream(7, "frequency"))
    off_hz = np.array([frequency.at(float(k)).hz for k in range(40_000)]) - 50.0
    assert off_hz.std() == pytest.approx(0.03, rel=0.05)
    kept = (off_hz[20:] * off_hz[:-20]).mean() / off_hz.var()
    assert kept == pytest.approx(np.exp(-1.0), abs=0.05)


def test_it_does_not_depend_on_where_it_is_asked() -> None:
    model = FrequencyModel(std_hz=0.03)
    one, other = (GridFrequency(model, (), stream(7, "frequency")) for _ in range(2))
    at = [other.at(t).hz for t in np.arange(0.0, 50.0, 0.13)]
    assert one.at(49.4).hz == pytest.approx(at[380], abs=1e-12)


def test_a_trace_holds_its_ends_and_is_straight_between() -> None:
    trace = FrequencyModel(trace=((10.0, 50.0), (20.0, 49.0)))
    frequency = GridFrequency(trace, (), stream(0, "frequency"))
    assert [frequency.at(t).hz for t in (0.0, 15.0, 99.0)] == pytest.approx([50.0, 49.5, 49.0])


def test_a_trace_that_runs_back_is_refused() -> None:
    with pytest.raises(InputError, match="times that rise"):
        GridFrequency(FrequencyModel(trace=((1.0, 50.0), (1.0, 49.0))), (), stream(0, "frequency"))


def test_an_armed_droop_answers_a_contingency_its_delay_later() -> None:
    """The share of the reserve at the extreme is the curve's; before the loss there is nothing."""
    of = case("under_frequency")
    assert of.site.battery is not None
    delay_s = of.site.battery.converter_delay_s
    loss = FrequencyContingency(at_s=10.0, deviation_hz=-0.35, fall_s=2.0, hold_s=30.0)
    plant = FluidPlant(
        of.site,
        of.state,
        frequency=REST,
        disturbances=(loss,),
        droop=Droop(curve=CURVES[2]),
    )
    before = plant.step((ArmDroop(at_s=0.0, reserve_kw=2.0),), 10.0)
    dead_band_s = 2.0 * 0.015 / 0.35
    quiet = plant.step((), dead_band_s + delay_s)
    assert before.battery_kw == 0.0
    assert quiet.battery_kw == pytest.approx(0.0, abs=1e-12)
    plant.step((), 5.0)
    answered = plant.step((), 10.0)
    assert answered.frequency_hz == pytest.approx(49.65)
    assert answered.battery_kw == pytest.approx(2.0 * (0.05 + 0.95 * 0.15 / 0.3))


def test_without_a_droop_the_reserve_is_only_kept_free() -> None:
    of = case("under_frequency")
    plant = FluidPlant(of.site, of.state, frequency=FrequencyModel(trace=((0.0, 49.0),)))
    assert plant.step((ArmDroop(at_s=0.0, reserve_kw=2.0),), 10.0).battery_kw == 0.0
