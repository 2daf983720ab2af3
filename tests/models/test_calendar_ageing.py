"""Loss at rest: known parameters come back, intervals hold, and every fault has its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ageing_tables import YEAR_S, check_ups
from hypothesis import given
from hypothesis import strategies as st

from ebplan.errors import InputError, RangeError
from ebplan.models.calendar_ageing import CalendarAgeing, calendar_rates
from ebplan.models.fit.calendar_ageing import CalendarOptions, fit_calendar_ageing
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.reading import Column, read_measurements
from ebplan.models.wear import SECONDS_PER_YEAR

pytestmark = pytest.mark.slow

OUTSIDE = Path(__file__).parents[3] / "shared" / "data" / "battery_ageing"
"""Published tables that are not part of the project."""
OPTIONS = CalendarOptions(name="made-up", title="Made-up cells")
TRUE = np.array([np.log(0.03), 4.0, 4.5])
"""3 % in the first year, 40 kJ/mol, and the cubic."""
TEMPERATURE = np.repeat([10.0, 25.0, 40.0, 50.0], 3)
SOC = np.tile([0.1, 0.5, 1.0], 4)


def table(
    temperature: np.ndarray = TEMPERATURE,
    soc: np.ndarray = SOC,
    seed: int | None = None,
    between: float = 0.004,
) -> Measurements:
    """Return two years of check-ups; with a seed, conditions and check-ups err."""
    rng = None if seed is None else np.random.default_rng(seed)
    rates = calendar_rates(TRUE, temperature, soc)
    if rng is not None:
        rates = rates + rng.normal(0.0, between / YEAR_S**0.5, len(rates))
    stresses = {"temperature": temperature, "soc": soc}
    return check_ups(stresses, rates, "elapsed", 2.0 * YEAR_S, 0.002, rng)


def test_parameters_come_back() -> None:
    model = fit_calendar_ageing(table(), OPTIONS)
    assert model.calendar_rate * SECONDS_PER_YEAR**0.5 == pytest.approx(0.03, rel=1e-4)
    assert model.activation_energy_j_per_mol == pytest.approx(40e3, rel=1e-4)
    assert model.soc_cubic == pytest.approx(4.5, rel=1e-3)
    assert model.degrees == 12 - 3
    said = model.capacity(30.0, 0.7, YEAR_S)
    true = 1.0 - calendar_rates(TRUE, np.array([30.0]), np.array([0.7]))[0] * YEAR_S**0.5
    assert float(said.mean) == pytest.approx(true, abs=1e-5)


def test_intervals_hold_new_conditions_as_often_as_they_say() -> None:
    held, parameters = [], []
    for seed in range(120):
        model = fit_calendar_ageing(table(seed=seed), OPTIONS)
        rng = np.random.default_rng(10_000 + seed)
        temperature, soc = rng.uniform(10.0, 50.0), rng.uniform(0.1, 1.0)
        rate = calendar_rates(TRUE, np.array([temperature]), np.array([soc]))[0]
        rate += rng.normal(0.0, 0.004 / YEAR_S**0.5)
        seconds = rng.uniform(0.1, 2.0) * YEAR_S
        measured = 1.0 - rate * seconds**0.5 + rng.normal(0.0, 0.002)
        held.append(float(model.capacity(temperature, soc, seconds).holds(measured)))
        shown = {s.name: s.value for s in model.card.residuals}
        low = shown["activation energy: 90% interval from"]
        parameters.append(low <= 40.0 <= shown["activation energy: 90% interval to"])
    # 120 draws of 0.9: two and a half standard deviations either way
    assert 0.83 <= np.mean(held) <= 0.97
    assert 0.83 <= np.mean(parameters) <= 0.97


def test_many_check_ups_do_not_narrow_what_conditions_leave_open() -> None:
    rng = np.random.default_rng(3)
    rates = calendar_rates(TRUE, TEMPERATURE, SOC) + rng.normal(0.0, 0.004 / YEAR_S**0.5, 12)
    stresses = {"temperature": TEMPERATURE, "soc": SOC}
    few = check_ups(stresses, rates, "elapsed", 2.0 * YEAR_S)
    doubled = replace(
        few,
        values={k: np.concatenate([v, v]) for k, v in few.values.items()},
        labels={k: np.concatenate([v, v]) for k, v in few.labels.items()},
        lines=np.arange(2 * len(few)),
        rows_read=2 * len(few),
    )
    one, two = (fit_calendar_ageing(rows, OPTIONS) for rows in (few, doubled))
    assert np.array(two.covariance) == pytest.approx(np.array(one.covariance), rel=1e-4, abs=1e-8)


@pytest.fixture(scope="module")
def model() -> CalendarAgeing:
    return fit_calendar_ageing(table(seed=1), OPTIONS)


@given(
    st.floats(10.0, 50.0), st.floats(10.0, 50.0), st.floats(0.1, 1.0), st.floats(0.1, 1.0),
    st.floats(0.0, 2.0), st.floats(0.0, 2.0),
)  # fmt: skip
def test_warmer_fuller_and_longer_never_leave_more(
    model: CalendarAgeing, cold: float, warm: float, low: float, full: float, a: float, b: float
) -> None:
    cold, warm = sorted((cold, warm))
    low, full = sorted((low, full))
    early, late = sorted((a * YEAR_S, b * YEAR_S))
    less = model.capacity(cold, low, early)
    more = model.capacity(warm, full, late)
    assert float(more.mean) <= float(less.mean) + 1e-12
    assert float(less.low) <= float(less.mean) <= float(less.high)


def test_the_interval_grows_away_from_what_was_measured(model: CalendarAgeing) -> None:
    def width(temperature_c: float) -> float:
        said = model.capacity(temperature_c, 0.5, YEAR_S, allow_extrapolation=True)
        return float(said.high - said.low)

    assert width(30.0) < width(50.0) < width(60.0) < width(70.0)


@pytest.mark.parametrize(
    ("temperature_c", "soc", "seconds", "field"),
    [
        (9.0, 0.5, YEAR_S, "temperature_c"),
        (51.0, 0.5, YEAR_S, "temperature_c"),
        (np.nan, 0.5, YEAR_S, "temperature_c"),
        (25.0, 0.05, YEAR_S, "soc"),
        (25.0, 0.5, 3.0 * YEAR_S, "seconds"),
        (25.0, 0.5, -1.0, "seconds"),
    ],
)
def test_what_was_not_measured_is_refused(
    model: CalendarAgeing, temperature_c: float, soc: float, seconds: float, field: str
) -> None:
    with pytest.raises(RangeError, match=field):
        model.capacity(temperature_c, soc, seconds)


def test_it_comes_back_from_its_file(model: CalendarAgeing) -> None:
    assert CalendarAgeing.parse(model.to_json().encode()) == model


# --- faults ------------------------------------------------------------------------------------


def test_one_temperature_does_not_tell_the_activation_energy() -> None:
    data = table(temperature=np.full(12, 40.0), seed=2)
    with pytest.raises(InputError, match="activation_energy_j_per_mol not identifiable"):
        fit_calendar_ageing(data, OPTIONS)
    options = OPTIONS.model_copy(update={"activation_energy_j_per_mol": 40e3})
    model = fit_calendar_ageing(data, options)
    assert model.activation_energy_j_per_mol == 40e3
    assert [(a.name, a.provenance) for a in model.card.assumptions] == [
        ("activation_energy_j_per_mol", "assumed")
    ]


def test_one_state_of_charge_does_not_tell_its_effect() -> None:
    with pytest.raises(InputError, match="soc_cubic not identifiable"):
        fit_calendar_ageing(table(soc=np.full(12, 0.8), seed=2), OPTIONS)


def test_loss_that_falls_with_temperature_is_refused_by_name() -> None:
    data = table()
    turned = 60.0 - data.values["temperature"]
    with pytest.raises(InputError, match=r"activation_energy_j_per_mol.*end of its range"):
        fit_calendar_ageing(replace(data, values={**data.values, "temperature": turned}), OPTIONS)


def test_three_conditions_are_too_few() -> None:
    data = table(TEMPERATURE[[0, 4, 8]], SOC[[0, 4, 8]])
    with pytest.raises(InputError, match="3 readings"):
        fit_calendar_ageing(data, OPTIONS)


def changed(data: Measurements, name: str, row: int, value: float) -> Measurements:
    values = {k: v.copy() for k, v in data.values.items()}
    values[name][row] = value
    return replace(data, values=values)


def test_a_condition_whose_temperature_moves_is_refused() -> None:
    with pytest.raises(InputError, match=r"condition c0.*temperature from 10 to 20"):
        fit_calendar_ageing(changed(table(), "temperature", 3, 20.0), OPTIONS)


def test_capacities_that_do_not_begin_at_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"condition c1.*capacity 0\.9 at elapsed 0"):
        fit_calendar_ageing(changed(table(), "capacity", 8, 0.9), OPTIONS)


def test_a_condition_with_one_check_up_is_refused() -> None:
    data = table()
    keep = (data.labels["condition"] != "c2") | (np.arange(len(data)) % 8 < 2)
    with pytest.raises(InputError, match=r"condition c2.*at least 2"):
        fit_calendar_ageing(data.where(keep), OPTIONS)


def test_a_check_up_far_off_its_condition_is_left_out_by_line() -> None:
    model = fit_calendar_ageing(changed(table(seed=1), "capacity", 12, 0.5), OPTIONS)
    assert [e.run for e in model.card.excluded] == ["line 14"]
    assert model.activation_energy_j_per_mol == pytest.approx(40e3, rel=0.25)


def test_a_rise_above_the_initial_capacity_is_told() -> None:
    model = fit_calendar_ageing(changed(table(), "capacity", 1, 1.002), OPTIONS)
    assert any("above the initial capacity" in f.title for f in model.card.findings)


def test_another_exponent_of_time_is_told() -> None:
    data = table()
    loss = (1.0 - data.values["capacity"]) * np.sqrt(data.values["elapsed"] / (2.0 * YEAR_S))
    linear = replace(data, values={**data.values, "capacity": 1.0 - loss})
    model = fit_calendar_ageing(linear, OPTIONS)
    assert any("do not follow a square root" in f.title for f in model.card.findings)


# --- measured cells ----------------------------------------------------------------------------


def test_measured_cells_are_met_when_left_out() -> None:
    path = OUTSIDE / "naumann_lfp_calendar.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is not at hand: published data are not part of this repository")
    columns = {
        "condition": Column("condition_id"),
        "temperature": Column("temperature_c"),
        "soc": Column("storage_soc_fraction"),
        "elapsed": Column("elapsed_days", "d"),
        "capacity": Column("capacity_retention_pct", "%"),
    }
    data = read_measurements(path, columns, source="Naumann", measurement_point="ac")
    model = fit_calendar_ageing(data, OPTIONS)
    shown = {s.name: s.value for s in model.card.leave_one_out}
    assert shown["loss at the end, mean absolute error"] <= 1.2
    assert shown["ends of test inside their 90% interval"] >= 0.9
    assert shown["check-ups inside their 90% interval"] >= 0.9
    # one condition left out by hand gives what the card counted
    others = data.where(data.label("condition") != "NAUMANN_CAL_T40_SOC87.5")
    mine = data.where(data.label("condition") == "NAUMANN_CAL_T40_SOC87.5")
    last = float(mine.quantity("elapsed").max())
    said = fit_calendar_ageing(others, OPTIONS).capacity(40.0, 0.875, last)
    assert abs(float(said.mean) - float(mine.quantity("capacity")[-1])) < 0.02
