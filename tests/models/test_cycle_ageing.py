"""Cycle wear: known parameters come back, and the planner can price by them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ageing_tables import YEAR_S, check_ups
from hypothesis import given
from hypothesis import strategies as st

from ebplan.errors import InputError, RangeError
from ebplan.models.calendar_ageing import CalendarAgeing, calendar_rates
from ebplan.models.cycle_ageing import CycleAgeing, cycle_rates
from ebplan.models.fit.calendar_ageing import CalendarOptions, fit_calendar_ageing
from ebplan.models.fit.cycle_ageing import CycleOptions, fit_cycle_ageing
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fitted_wear import wear_model
from ebplan.models.wear import WearModel

OPTIONS = CycleOptions(name="made-up-cycles", title="Made-up cells", temperature_c=(20.0, 30.0))
TRUE = np.array([np.log(0.03), 0.6, 0.5])
"""3 % after 1,000 full cycles without current, depth to the 0.6, half as much again per C."""
C_RATE = np.repeat([0.25, 0.5, 1.0, 2.0], 3)
DEPTH = np.tile([0.2, 0.6, 1.0], 4)
REST = np.array([np.log(0.03), 4.0, 4.5])


def table(
    c_rate: np.ndarray = C_RATE, depth: np.ndarray = DEPTH, seed: int | None = None
) -> Measurements:
    """Return check-ups up to 4,000 full cycles; with a seed, conditions and check-ups err."""
    rng = None if seed is None else np.random.default_rng(seed)
    rates = cycle_rates(TRUE, c_rate, depth)
    if rng is not None:
        rates = rates + rng.normal(0.0, 1e-4, len(rates))
    stresses = {"c_rate": c_rate, "depth": depth}
    return check_ups(stresses, rates, "full_cycles", 4000.0, 0.002, rng)


def test_parameters_come_back() -> None:
    model = fit_cycle_ageing(table(), OPTIONS)
    assert model.c_rate_constant * 1000.0**0.5 == pytest.approx(0.03, rel=1e-4)
    assert model.c_rate_slope / model.c_rate_constant == pytest.approx(0.5, rel=1e-3)
    assert model.depth_exponent == pytest.approx(0.6, rel=1e-4)
    assert any("Loss at rest is inside" in f.title for f in model.card.findings)


def test_intervals_hold_new_conditions_as_often_as_they_say() -> None:
    held = []
    for seed in range(120):
        model = fit_cycle_ageing(table(seed=seed), OPTIONS)
        rng = np.random.default_rng(10_000 + seed)
        c_rate, depth = rng.uniform(0.25, 2.0), rng.uniform(0.2, 1.0)
        rate = cycle_rates(TRUE, np.array([c_rate]), np.array([depth]))[0]
        rate += rng.normal(0.0, 1e-4)
        measured = 1.0 - rate * 3000.0**0.5 + rng.normal(0.0, 0.002)
        held.append(float(model.capacity(c_rate, depth, 3000.0).holds(measured)))
    assert 0.83 <= np.mean(held) <= 0.97


@pytest.fixture(scope="module")
def model() -> CycleAgeing:
    return fit_cycle_ageing(table(seed=1), OPTIONS)


@given(
    st.floats(0.25, 2.0), st.floats(0.25, 2.0), st.floats(0.2, 1.0), st.floats(0.2, 1.0),
    st.floats(0.0, 4000.0), st.floats(0.0, 4000.0),
)  # fmt: skip
def test_harder_deeper_and_longer_never_leave_more(
    model: CycleAgeing, slow: float, fast: float, low: float, deep: float, a: float, b: float
) -> None:
    less = model.capacity(min(slow, fast), min(low, deep), min(a, b))
    more = model.capacity(max(slow, fast), max(low, deep), max(a, b))
    assert float(more.mean) <= float(less.mean) + 1e-12


@pytest.mark.parametrize(
    ("c_rate", "depth", "cycles", "field"),
    [
        (2.1, 0.5, 100.0, "c_rate"),
        (0.1, 0.5, 100.0, "c_rate"),
        (1.0, 0.1, 100.0, "depth"),
        (1.0, np.nan, 100.0, "depth"),
        (1.0, 0.5, 4100.0, "full_cycles"),
    ],
)
def test_what_was_not_measured_is_refused(
    model: CycleAgeing, c_rate: float, depth: float, cycles: float, field: str
) -> None:
    with pytest.raises(RangeError, match=field):
        model.capacity(c_rate, depth, cycles)
    assert np.isfinite(model.capacity(2.1, 0.1, 4100.0, allow_extrapolation=True).mean)


def test_it_comes_back_from_its_file(model: CycleAgeing) -> None:
    assert CycleAgeing.parse(model.to_json().encode()) == model


# --- faults ------------------------------------------------------------------------------------


def test_one_rate_does_not_tell_its_effect() -> None:
    data = table(c_rate=np.full(12, 0.5), seed=2)
    with pytest.raises(InputError, match="c_rate_slope_share"):
        fit_cycle_ageing(data, OPTIONS)
    options = OPTIONS.model_copy(update={"c_rate_slope_share": 0.0})
    model = fit_cycle_ageing(data, options)
    assert model.c_rate_slope == 0.0
    assert model.c_rate_constant * 1000.0**0.5 == pytest.approx(0.03 * 1.25, rel=0.1)


def test_one_depth_does_not_tell_its_exponent() -> None:
    with pytest.raises(InputError, match="depth_exponent not identifiable"):
        fit_cycle_ageing(table(depth=np.full(12, 1.0), seed=2), OPTIONS)


def test_the_temperature_of_the_tests_must_be_said() -> None:
    options = OPTIONS.model_copy(update={"temperature_c": None})
    with pytest.raises(InputError, match=r"options\.temperature_c"):
        fit_cycle_ageing(table(), options)


# --- with rest ---------------------------------------------------------------------------------


def rest_model() -> CalendarAgeing:
    temperature, soc = np.repeat([10.0, 25.0, 40.0], 3), np.tile([0.1, 0.5, 1.0], 3)
    data = check_ups(
        {"temperature": temperature, "soc": soc},
        calendar_rates(REST, temperature, soc),
        "elapsed",
        3.0 * YEAR_S,
    )
    return fit_calendar_ageing(data, CalendarOptions(name="rest", title="Made-up cells"))


def test_loss_at_rest_is_taken_off() -> None:
    rest = rest_model()
    data = table()
    elapsed = data.values["full_cycles"] / 4000.0 * 2.0 * YEAR_S
    count = len(data)
    at_rest = calendar_rates(REST, np.array([25.0]), np.array([0.5]))[0] * np.sqrt(elapsed)
    values = {
        **data.values,
        "elapsed": elapsed,
        "temperature": np.full(count, 25.0),
        "soc": np.full(count, 0.5),
        "capacity": data.values["capacity"] - at_rest,
    }
    both = replace(data, values=values)
    told = fit_cycle_ageing(both, OPTIONS, calendar=rest)
    assert told.depth_exponent == pytest.approx(0.6, rel=1e-3)
    assert told.valid_temperature_c == (25.0, 25.0)
    assert fit_cycle_ageing(both, OPTIONS).depth_exponent < 0.5


def test_a_planner_can_price_by_both_fits() -> None:
    rest, cycles = rest_model(), fit_cycle_ageing(table(), OPTIONS)
    wear = wear_model(rest, cycles, name="mine", end_of_life_loss=0.3)
    assert WearModel.parse(wear.to_json().encode()) == wear
    # the same laws
    lost = 1.0 - float(cycles.capacity(0.5, 0.7, 1000.0).mean)
    assert float(wear.cycle_loss(0.5, 0.7, 1000.0)) == pytest.approx(lost, rel=1e-5)
    rested = 1.0 - float(rest.capacity(30.0, 0.8, YEAR_S).mean)
    assert float(wear.calendar_loss(30.0, 0.8, YEAR_S)) == pytest.approx(rested, rel=1e-5)
    # the power law is the law
    coefficient, exponent = wear.depth_stress(0.5)
    depth = np.linspace(0.2, 1.0, 9)
    assert coefficient * depth**exponent == pytest.approx(wear.cycle_life_lost(0.5, depth))
    life = 1.0 / float(wear.cycle_life_lost(0.5, 0.7))
    assert float(wear.cycle_loss(0.5, 0.7, 0.7 * life)) == pytest.approx(0.3)
    wear.check_use(25.0, charge_c=2.0, discharge_c=2.0)
    with pytest.raises(RangeError, match="temperature_c"):
        wear.check_use(31.0, charge_c=1.0, discharge_c=1.0)
    socs, losses = np.array(wear.calendar_points(25.0)).T
    assert (np.diff(np.diff(losses) / np.diff(socs)) > -1e-12).all()


def test_tests_at_no_common_temperature_give_no_wear_model() -> None:
    options = OPTIONS.model_copy(update={"temperature_c": (45.0, 45.0)})
    cycles = fit_cycle_ageing(table(), options)
    with pytest.raises(InputError, match="overlap"):
        wear_model(rest_model(), cycles, name="mine")


def test_half_a_cubic_is_refused() -> None:
    wear = wear_model(rest_model(), fit_cycle_ageing(table(), OPTIONS), name="mine")
    said = {**wear.model_dump(mode="json"), "depth_cubic": 1.0}
    with pytest.raises(InputError, match="together with depth_constant"):
        WearModel.parse(said)
