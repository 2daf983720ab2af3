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
from ebplan.models.fitted_wear import CellLife, wear_model
from ebplan.models.wear import CellPrice, WearModel

pytestmark = pytest.mark.slow

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

RESTED = CycleOptions(name="made-up-cycles", title="Made-up cells")
REST_OFF = 0.004
"""Standard deviation of a condition at rest off the law, share of capacity after a year."""


def rest_model(seed: int | None = None) -> CalendarAgeing:
    temperature, soc = np.repeat([10.0, 25.0, 40.0], 3), np.tile([0.1, 0.5, 1.0], 3)
    rng = None if seed is None else np.random.default_rng(seed)
    rates = calendar_rates(REST, temperature, soc)
    if rng is not None:
        rates = rates + rng.normal(0.0, REST_OFF / YEAR_S**0.5, len(rates))
    stresses = {"temperature": temperature, "soc": soc}
    data = check_ups(stresses, rates, "elapsed", 3.0 * YEAR_S, 0.002, rng)
    return fit_calendar_ageing(data, CalendarOptions(name="rest", title="Made-up cells"))


def with_rest(data: Measurements, off: float = 0.0) -> Measurements:
    """Return cycle tests that took two years at 25 degrees Celsius and SoC 0.5."""
    elapsed = data.values["full_cycles"] / 4000.0 * 2.0 * YEAR_S
    count = len(data)
    rate = calendar_rates(REST, np.array([25.0]), np.array([0.5]))[0] + off
    values = {
        **data.values,
        "elapsed": elapsed,
        "temperature": np.full(count, 25.0),
        "soc": np.full(count, 0.5),
        "capacity": data.values["capacity"] - rate * np.sqrt(elapsed),
    }
    return replace(data, values=values)


def shown(model: CycleAgeing) -> dict[str, float]:
    return {s.name: s.value for s in model.card.residuals}


def test_loss_at_rest_is_taken_off() -> None:
    rest = rest_model()
    both = with_rest(table())
    told = fit_cycle_ageing(both, RESTED, calendar=rest)
    assert told.depth_exponent == pytest.approx(0.6, rel=1e-3)
    assert told.valid_temperature_c == (25.0, 25.0)
    assert told.rest is not None
    assert (told.rest.name, told.rest.calendar_rate) == ("rest", rest.calendar_rate)
    assert fit_cycle_ageing(both, RESTED).rest is None
    assert fit_cycle_ageing(both, RESTED).depth_exponent < 0.5


def test_the_card_says_how_much_was_taken_off_and_what_it_left_open() -> None:
    rest = rest_model(seed=1)
    card = fit_cycle_ageing(with_rest(table(seed=1)), RESTED, calendar=rest).card
    (finding,) = (f for f in card.findings if f.title == "Loss at rest was taken off")
    numbers = {s.name: s.value for s in card.residuals}
    share = numbers["loss at rest taken off, of all loss at a condition's end, highest"]
    # the gentlest condition: 0.25 C, depth 0.2
    cycled = cycle_rates(TRUE, np.array([0.25]), np.array([0.2]))[0] * 4000.0**0.5
    at_rest = 0.03 * 2.0**0.5
    assert share == pytest.approx(at_rest / (at_rest + cycled), abs=0.08)
    assert f"to {share:.0%} of the loss" in finding.text
    variance = numbers["variance of the loss after 1,000 full cycles that the model of rest brings"]
    assert 0.0 < variance < 1.0
    assert f"{variance:.0%} of the variance" in finding.text
    # provenance: the tables of the rest are on the card of the cycles
    assert rest.card.data[0] in card.data


def test_what_the_model_of_rest_leaves_open_is_in_the_intervals() -> None:
    loss = "loss after 1,000 full cycles of depth 1, at 0 C"
    held, without = [], []
    for seed in range(100):
        rest = rest_model(seed)
        rng = np.random.default_rng(20_000 + seed)
        # every test stands in one place, which errs as a condition at rest does
        data = with_rest(table(seed=seed), off=rng.normal(0.0, REST_OFF / YEAR_S**0.5))
        model = fit_cycle_ageing(data, RESTED, calendar=rest)
        said = shown(model)
        low, high = (said[f"{loss}: 90% interval {end}"] for end in ("from", "to"))
        held.append(low <= 3.0 <= high)
        # the same without what was carried over
        carried = said["variance of the loss after 1,000 full cycles that the model of rest brings"]
        half = 0.5 * np.log(high / low) * (1.0 - carried) ** 0.5
        without.append(abs(np.log(said[loss] / 3.0)) <= half)
    # 100 draws of 0.9, two and a half standard deviations either way
    assert 0.82 <= np.mean(held) <= 0.98
    assert np.mean(without) < 0.8


def test_a_rest_known_better_leaves_less_open() -> None:
    data, rest = with_rest(table(seed=4)), rest_model(seed=4)
    sure = rest.model_copy(update={"covariance": ((0.0,) * 3,) * 3, "between_conditions": 0.0})
    unsure, exact = (fit_cycle_ageing(data, RESTED, calendar=c) for c in (rest, sure))
    assert unsure.depth_exponent == exact.depth_exponent
    assert (np.diag(unsure.covariance) > np.diag(exact.covariance)).all()
    name = "variance of the loss after 1,000 full cycles that the model of rest brings"
    assert shown(exact)[name] == 0.0


def test_tests_outside_what_the_rest_was_measured_over_are_refused_by_line() -> None:
    data = with_rest(table())
    warm = {**data.values, "temperature": np.full(len(data), 45.0)}
    with pytest.raises(RangeError, match=r"line 2\.temperature.*10 to 40.*'rest'"):
        fit_cycle_ageing(replace(data, values=warm), RESTED, calendar=rest_model())


def test_a_rest_that_explains_all_the_loss_is_refused() -> None:
    data = with_rest(table())
    slow = {**data.values, "soc": np.full(len(data), 1.0), "temperature": np.full(len(data), 40.0)}
    with pytest.raises(InputError, match=r"no more loss than 'rest' gives at rest"):
        fit_cycle_ageing(replace(data, values=slow), RESTED, calendar=rest_model())


def test_a_column_that_the_rest_needs_is_asked_for() -> None:
    data, rest = with_rest(table()), rest_model()
    without = replace(data, values={k: v for k, v in data.values.items() if k != "soc"})
    with pytest.raises(InputError, match=r"columns\.soc"):
        fit_cycle_ageing(without, RESTED, calendar=rest)


# --- both together -----------------------------------------------------------------------------


def both_fits() -> tuple[CalendarAgeing, CycleAgeing]:
    rest = rest_model()
    return rest, fit_cycle_ageing(with_rest(table()), RESTED, calendar=rest)


def test_a_planner_can_price_by_both_fits() -> None:
    rest, cycles = both_fits()
    price = CellPrice(per_kwh=200.0, currency="EUR", provenance="measured")
    life = CellLife(end_of_life_loss=0.3, price=price)
    wear = wear_model(rest, cycles, name="mine", life=life)
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
    cycle_life = 1.0 / float(wear.cycle_life_lost(0.5, 0.7))
    assert float(wear.cycle_loss(0.5, 0.7, 0.7 * cycle_life)) == pytest.approx(0.3)
    wear.check_use(25.0, charge_c=2.0, discharge_c=2.0)
    with pytest.raises(RangeError, match="temperature_c"):
        wear.check_use(31.0, charge_c=1.0, discharge_c=1.0)
    socs, losses = np.array(wear.calendar_points(25.0)).T
    assert (np.diff(np.diff(losses) / np.diff(socs)) > -1e-12).all()


def test_the_card_of_wear_says_of_which_fit_each_number_is_and_what_wear_comes_to() -> None:
    rest, cycles = both_fits()
    price = CellPrice(per_kwh=200.0, currency="EUR", provenance="measured")
    wear = wear_model(rest, cycles, name="mine", life=CellLife(price=price))
    names = [s.name for s in wear.card.residuals]
    assert len(set(names)) == len(names)
    numbers = {s.name: s.value for s in wear.card.residuals}
    cycled = "life lost by 1,000 cycles of depth 1 at 2 C"
    assert numbers[cycled] == pytest.approx(1000.0 * float(wear.cycle_life_lost(2.0, 1.0)))
    assert (
        numbers[f"{cycled}: 90% interval from"]
        < numbers[cycled]
        < numbers[f"{cycled}: 90% interval to"]
    )
    rested = "life lost in a year at rest at 25 degC and SoC 0.5"
    assert numbers[rested] == pytest.approx(float(wear.calendar_loss_per_year(25.0, 0.5)))
    stated = {a.name: (a.value, a.unit, a.provenance) for a in wear.card.assumptions}
    assert stated["price of new cells"] == (200.0, "EUR/kWh", "measured")
    # the rest's table is on the cards of both fits
    assert [d.rows for d in wear.card.data] == [72, 96]


def test_deeper_cycles_than_tested_are_not_covered() -> None:
    depth = np.tile([0.2, 0.5, 0.8], 4)
    rest = rest_model()
    cycles = fit_cycle_ageing(with_rest(table(depth=depth)), RESTED, calendar=rest)
    wear = wear_model(rest, cycles, name="mine")
    use = {"charge_c": 1.0, "discharge_c": 1.0}
    wear.check_use(25.0, **use, soc=(0.15, 0.95))
    with pytest.raises(RangeError, match=r"soc_max less soc_min.*0 to 0\.8"):
        wear.check_use(25.0, **use, soc=(0.1, 0.95))


def test_rest_is_not_counted_twice_unless_accepted() -> None:
    rest, cycles = rest_model(), fit_cycle_ageing(with_rest(table()), RESTED)
    with pytest.raises(InputError, match=r"would count twice.*options\.calendar"):
        wear_model(rest, cycles, name="mine")
    wear = wear_model(rest, cycles, name="mine", rest_counted_twice=True)
    assert any("Loss at rest is inside" in f.title for f in wear.card.findings)


def test_another_law_of_rest_than_was_taken_off_is_refused() -> None:
    rest, cycles = both_fits()
    other = rest.model_copy(update={"name": "other", "soc_cubic": rest.soc_cubic + 0.1})
    with pytest.raises(InputError, match=r"made-up-cycles\.rest.*the law of other"):
        wear_model(other, cycles, name="mine")


def test_tests_at_no_common_temperature_give_no_wear_model() -> None:
    rest, cycles = both_fits()
    warm = cycles.model_copy(update={"valid_temperature_c": (45.0, 45.0)})
    with pytest.raises(InputError, match="overlap"):
        wear_model(rest, warm, name="mine")


def test_half_a_cubic_is_refused() -> None:
    rest, cycles = both_fits()
    said = {**wear_model(rest, cycles, name="mine").model_dump(mode="json"), "depth_cubic": 1.0}
    with pytest.raises(InputError, match="together with depth_constant"):
        WearModel.parse(said)
