"""Energy, efficiency and converter loss: known ones come back, and what is not told is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ageing_tables import measurements
from hypothesis import given
from hypothesis import strategies as st

from ebplan.errors import InputError, RangeError
from ebplan.models.battery_efficiency import (
    BatteryEfficiency,
    cells_take,
    converter_loss,
    log_round_trip,
)
from ebplan.models.fit.battery_cycles import fit_battery_cycles
from ebplan.models.fit.battery_efficiency import BatteryOptions
from ebplan.models.fit.battery_series import cut, fit_battery_series
from ebplan.models.fit.measurements import Measurements
from ebplan.site import Battery

pytestmark = pytest.mark.slow

RATED_KW, ENERGY_KWH = 200.0, 400.0
TRUE = np.array([np.log(ENERGY_KWH), np.log(0.965), 0.0, 0.02, 0.004])
OPTIONS = BatteryOptions(name="made-up", title="Made-up battery", converter_rated_kw=RATED_KW)
NUMBERS = {
    "energy_kwh": ENERGY_KWH,
    "cell_efficiency": 0.965,
    "converter_loss_quadratic": 0.02,
    "no_load_kw": 0.8,
}


def series(
    seed: int = 0,
    noise: float = 0.0,
    levels: tuple[float, ...] = (0.05, 0.3, 0.6, 1.0),
    directions: tuple[float, ...] = (-1.0, 1.0),
) -> Measurements:
    """Return two days by the minute: runs of a quarter of an hour up or down, or one way only."""
    rng = np.random.default_rng(seed)
    count, step_s = 2880, 60.0
    power = np.zeros(count)
    soc = np.full(count, 0.5 if len(directions) > 1 else 1.0)
    for i in range(1, count):
        if i % 15 == 1:
            level, sign = rng.choice(levels), rng.choice(directions)
        if len(directions) > 1:
            sign = 1.0 if soc[i - 1] > 0.9 else -1.0 if soc[i - 1] < 0.1 else sign
        power[i] = sign * level
        took = float(cells_take(TRUE, power[i - 1 : i + 1]).mean())
        soc[i] = soc[i - 1] + RATED_KW * took * step_s / 3600.0 / ENERGY_KWH
    return measurements(
        {
            "time": step_s * np.arange(count),
            "battery_power": RATED_KW * power,
            "soc": soc + rng.normal(0.0, noise, count),
        }
    )


def cycles(
    seed: int = 0,
    noise: float = 0.0,
    powers: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0),
    theta: np.ndarray = TRUE,
) -> Measurements:
    """Return 60 cycles at some shares of rated power, of some depth."""
    rng = np.random.default_rng(seed)
    power, depth = rng.choice(powers, 60), rng.uniform(0.3, 0.9, 60)
    share = converter_loss(theta, power) / power
    meters = np.exp(rng.normal(0.0, noise, (2, 60)))
    return measurements(
        {
            "energy_in": depth * ENERGY_KWH / (1.0 - share) / 0.965 * meters[0],
            "energy_out": depth * ENERGY_KWH * 0.965 / (1.0 + share) * meters[1],
            "power": RATED_KW * power,
            "depth": depth,
        }
    )


def test_a_series_tells_the_numbers() -> None:
    model = fit_battery_series(series(), OPTIONS)
    for name, true in NUMBERS.items():
        assert getattr(model, name).value == pytest.approx(true, rel=1e-3), name
        assert getattr(model, name).provenance == "measured"


def test_cycles_tell_the_numbers() -> None:
    model = fit_battery_cycles(cycles(), OPTIONS)
    for name, true in NUMBERS.items():
        assert getattr(model, name).value == pytest.approx(true, rel=1e-3), name


@pytest.mark.parametrize("kind", ["series", "cycles"])
def test_intervals_hold_as_often_as_they_say(kind: str) -> None:
    held = []
    true = float(np.exp(log_round_trip(TRUE, np.array([0.5]))[0]))
    for seed in range(60):
        if kind == "series":
            model = fit_battery_series(series(seed, noise=0.001), OPTIONS)
        else:
            model = fit_battery_cycles(cycles(seed, noise=0.003), OPTIONS)
        said = model.round_trip(0.5 * RATED_KW)
        energy = model.energy_kwh
        held.append((said.low <= true <= said.high, energy.low <= ENERGY_KWH <= energy.high))
    # 60 draws of 0.9, two and a half standard deviations below
    assert np.mean(held, axis=0).min() >= 0.80


@pytest.fixture(scope="module")
def model() -> BatteryEfficiency:
    return fit_battery_series(series(1, noise=0.0005), OPTIONS)


def test_its_fields_go_into_a_site(model: BatteryEfficiency) -> None:
    fields = model.site_fields()
    assert set(fields) <= set(Battery.model_fields)
    assert set(fields) == {
        "energy_kwh",
        "converter_rated_kw",
        "converter_loss_linear",
        "converter_loss_quadratic",
        "cell_efficiency",
    }
    assert model.site_toml().splitlines()[0].startswith("energy_kwh = 4")


def test_its_law_is_the_twins() -> None:
    # ebplan/twin/battery.py: what leaves the cells, without the no-load loss
    theta = np.array([np.log(400.0), np.log(0.96), 0.01, 0.02, 0.0])
    for kw in (-150.0, -20.0, 30.0, 200.0):
        size = abs(kw)
        loss = 0.01 * size + 0.02 * size * size / RATED_KW
        leaves = (kw + loss) / 0.96 if kw > 0.0 else (kw + loss) * 0.96
        taken = RATED_KW * float(cells_take(theta, np.array([kw / RATED_KW]))[0])
        assert taken == pytest.approx(-leaves)


@given(st.floats(0.011, 1.0), st.floats(0.011, 1.0))
def test_more_loss_never_brings_more_back(a: float, b: float) -> None:
    power = np.array([0.5])
    less, more = sorted((0.1 * a, 0.1 * b))
    for place in (2, 3, 4):
        low, high = TRUE.copy(), TRUE.copy()
        low[place], high[place] = less, more
        assert log_round_trip(high, power)[0] <= log_round_trip(low, power)[0]


def test_the_interval_never_promises_more_than_went_in(model: BatteryEfficiency) -> None:
    said = model.round_trip(np.linspace(*model.valid_power_kw, 20))
    assert (said.high <= 1.0).all()
    assert (said.low <= said.mean).all()


@pytest.mark.parametrize("kw", [0.0, 201.0, np.nan])
def test_powers_that_were_not_measured_are_refused(model: BatteryEfficiency, kw: float) -> None:
    with pytest.raises(RangeError, match="power_kw"):
        model.round_trip(kw)


def test_it_comes_back_from_its_file(model: BatteryEfficiency) -> None:
    assert BatteryEfficiency.parse(model.to_json().encode()) == model


def test_a_given_efficiency_frees_the_linear_loss() -> None:
    options = OPTIONS.model_copy(update={"cell_efficiency": 0.98})
    model = fit_battery_series(series(), options)
    assert model.cell_efficiency.value == pytest.approx(0.98)
    assert model.cell_efficiency.provenance == "assumed"
    # what the cells lose less, the converter loses more: the same round trip
    assert model.converter_loss_linear.value == pytest.approx(1.0 - 0.965 / 0.98, rel=0.1)
    other = fit_battery_series(series(), OPTIONS)
    assert model.round_trip(100.0).mean == pytest.approx(other.round_trip(100.0).mean, abs=1e-4)


def test_a_loss_that_noise_makes_negative_is_zero_and_told() -> None:
    told = 0
    lossless = np.array([*TRUE[:3], 0.0, 0.004])
    for seed in range(8):
        data = cycles(seed, noise=0.01, theta=lossless)
        fit = fit_battery_cycles(data, OPTIONS.model_copy(update={"no_load_kw": 0.8}))
        assert fit.converter_loss_quadratic.value >= 0.0
        at_zero = fit.converter_loss_quadratic.value == 0.0
        assert at_zero == any("converter_loss_quadratic" in f.title for f in fit.card.findings)
        told += at_zero
        assert fit.converter_loss_quadratic.high > 0.0
    assert 0 < told < 8


# --- faults ------------------------------------------------------------------------------------


def test_one_power_does_not_tell_constant_from_proportional_loss() -> None:
    with pytest.raises(InputError, match=r"cell_efficiency and .* not identifiable"):
        fit_battery_series(series(noise=0.0005, levels=(0.5,)), OPTIONS)
    straight = OPTIONS.model_copy(update={"converter_loss_quadratic": 0.02})
    with pytest.raises(InputError, match="cell_efficiency and no_load_kw not identifiable"):
        fit_battery_series(series(noise=0.0005, levels=(0.5,)), straight)
    with pytest.raises(InputError, match="not identifiable"):
        fit_battery_cycles(cycles(noise=0.003, powers=(0.5,)), OPTIONS)
    given = OPTIONS.model_copy(update={"no_load_kw": 0.8, "converter_loss_quadratic": 0.02})
    model = fit_battery_series(series(noise=0.0005, levels=(0.5,)), given)
    assert model.cell_efficiency.value == pytest.approx(0.965, abs=0.01)


def test_one_direction_does_not_tell_energy_from_efficiency() -> None:
    rows = series(noise=0.0002, levels=(0.01, 0.03, 0.05, 0.1), directions=(1.0,))
    rows = rows.where(rows.values["soc"] > 0.05)
    with pytest.raises(InputError, match="energy_kwh and cell_efficiency"):
        fit_battery_series(rows, OPTIONS)


def test_the_wrong_sign_is_told() -> None:
    data = series()
    turned = {**data.values, "battery_power": -data.values["battery_power"]}
    with pytest.raises(InputError, match=r"battery_power.*rises with power.*turn the sign"):
        fit_battery_series(replace(data, values=turned), OPTIONS)


def test_power_of_another_battery_is_told() -> None:
    data = series(noise=0.0005)
    # discharge metered twice as high as it is: no efficiency below 1 makes that
    power = data.values["battery_power"]
    twice = {**data.values, "battery_power": np.where(power > 0.0, 2.0 * power, power)}
    with pytest.raises(InputError, match=r"cell_efficiency.*contradict"):
        fit_battery_series(
            replace(data, values=twice),
            OPTIONS.model_copy(update={"converter_rated_kw": 2.0 * RATED_KW}),
        )


@pytest.mark.parametrize("factor", [1000.0, 1e-3])
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("series", ("battery_power",)),
        ("series", ("time",)),
        ("cycles", ("power",)),
        ("cycles", ("energy_in", "energy_out")),
    ],
)
def test_columns_in_another_unit_are_told(kind: str, names: tuple[str, ...], factor: float) -> None:
    data = series() if kind == "series" else cycles()
    slipped = {n: v * factor if n in names else v for n, v in data.values.items()}
    options = OPTIONS
    if names == ("time",):
        options = OPTIONS.model_copy(update={"window_s": OPTIONS.window_s * factor})
    fit = fit_battery_series if kind == "series" else fit_battery_cycles
    with pytest.raises(InputError, match=r"check the units? of .*(W or kW|Wh or kWh)"):
        fit(replace(data, values=slipped), options)


def test_more_out_than_in_is_told() -> None:
    data = cycles()
    swapped = {
        **data.values,
        "energy_in": data.values["energy_out"],
        "energy_out": data.values["energy_in"],
    }
    with pytest.raises(InputError, match=r"energy_out.*exchange"):
        fit_battery_cycles(replace(data, values=swapped), OPTIONS)


def test_cycles_without_power_need_their_losses_given() -> None:
    data = cycles(noise=0.003)
    values = {k: v for k, v in data.values.items() if k != "power"}
    with pytest.raises(InputError, match=r"columns\.power"):
        fit_battery_cycles(replace(data, values=values), OPTIONS)
    options = OPTIONS.model_copy(update={"no_load_kw": 0.0, "converter_loss_quadratic": 0.0})
    model = fit_battery_cycles(replace(data, values=values), options)
    seen = np.median(data.values["energy_out"] / data.values["energy_in"])
    assert model.cell_efficiency.value**2 == pytest.approx(seen, rel=0.02)


def test_a_short_series_is_refused() -> None:
    data = series()
    with pytest.raises(InputError, match="window_s"):
        fit_battery_series(data.where(np.arange(len(data)) < 10), OPTIONS)


def test_nothing_left_to_fit_is_refused() -> None:
    update = {
        "energy_kwh": 400.0,
        "cell_efficiency": 0.97,
        "converter_loss_linear": 0.0,
        "converter_loss_quadratic": 0.0,
        "no_load_kw": 0.0,
    }
    with pytest.raises(InputError, match="every parameter given"):
        fit_battery_series(series(), OPTIONS.model_copy(update=update))


# --- pieces ------------------------------------------------------------------------------------


def test_pieces_share_no_reading_and_cross_no_gap() -> None:
    time = np.concatenate([np.arange(0.0, 3600.0, 60.0), 90_000.0 + np.arange(0.0, 3600.0, 60.0)])
    pieces = cut(time, np.linspace(0.0, 1.0, len(time)), 900.0)
    assert pieces.gaps == 1
    assert (pieces.first[1:] > pieces.last[:-1]).all()
    assert (time[pieces.last] - time[pieces.first]).max() < 1000.0
    assert len(pieces.moved) == 6


def test_a_jump_of_the_state_of_charge_is_left_out() -> None:
    data = series(noise=0.0005)
    soc = data.values["soc"].copy()
    soc[1013:] += 0.08  # a battery management system that corrects itself, within a piece
    model = fit_battery_series(replace(data, values={**data.values, "soc": soc}), OPTIONS)
    assert model.energy_kwh.value == pytest.approx(ENERGY_KWH, rel=0.01)
    assert model.card.excluded[0].run.startswith("1 of ")
