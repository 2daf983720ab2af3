"""Optima of three or four half-hours that a person works out, against the program."""

from __future__ import annotations

import numpy as np
import pytest
from study_cases import all_accepted, battery, group, service, study

from ebplan.study.foresight import foresee
from ebplan.study.ledger import Ledger, settle
from ebplan.study.numbers import StudyNumbers


def optimum(numbers: StudyNumbers) -> Ledger:
    return settle(numbers, foresee(numbers, all_accepted(numbers)))


def gain(ledger: Ledger) -> float:
    """Return what was earned beyond serving requests with energy at spot."""
    inference = ledger.layer("inference").sum()
    return float(ledger.total - inference)


def test_battery_buys_cheap_and_sells_dear() -> None:
    # 50 kWh twice: bought at 10 and sold at 30, bought at 10 and sold at 40
    numbers = study([10, 30, 10, 40], group(4, battery=battery(50, 100)))
    assert gain(optimum(numbers)) == pytest.approx(50 * 20 + 50 * 30)


@pytest.mark.parametrize(("wear", "gained"), [(5, 50 * 15 + 50 * 25), (25, 50 * 5), (40, 0)])
def test_wear_decides_which_cycle_pays(wear: float, gained: float) -> None:
    numbers = study([10, 30, 10, 40], group(4, battery=battery(50, 100, wear_per_kwh=wear)))
    assert gain(optimum(numbers)) == pytest.approx(gained)


def test_deep_wear_leaves_the_second_half_in_the_cells() -> None:
    # the shallow 25 kWh cost 5 each and earn 20; the deep ones would cost 25
    cells = battery(50, 100, depth=((0.0, 5.0), (25.0, 25.0)))
    assert gain(optimum(study([10, 30], group(2, battery=cells)))) == pytest.approx(25 * 15)


def test_losses_are_paid() -> None:
    # 50 kWh in the cells take 62.5 kWh bought at 10; 40 kWh come out and are sold at 30
    cells = battery(50, 125, efficiency=0.8)
    numbers = study([10, 30], group(2, battery=cells))
    assert gain(optimum(numbers)) == pytest.approx(40 * 30 - 62.5 * 10)


def test_compute_is_released_where_energy_is_dearer_than_what_is_lost() -> None:
    # 40 kW for half an hour at 30, less 20 lost
    numbers = study([10, 30, 19], group(3, slices=((40.0, 20.0),)))
    ledger = optimum(numbers)
    assert gain(ledger) == pytest.approx(40 * 0.5 * (30 - 20))
    assert ledger.of["lost_compute", "lost_compute"].sum() == pytest.approx(-40 * 0.5 * 20)


def test_reserve_is_sold_out_of_the_converter_and_out_of_charging() -> None:
    # 100 kW in each of four steps, and what is being charged can be stopped as well: 25 kWh of
    # room are 50 kW for one step
    cells = battery(50, 100, start_kwh=25)
    numbers = study(
        [10] * 4, group(4, battery=cells, products=1), services=(service(4),), terminal=10.0
    )
    assert gain(optimum(numbers)) == pytest.approx((400 + 50) * 3)


def test_reserve_needs_energy_for_its_sustain_time() -> None:
    # 2 kWh last half an hour at 4 kW
    cells = battery(2, 100, start_kwh=2)
    half_hour = service(1, sustain_s=1800.0)
    numbers = study([10], group(1, battery=cells, products=1), services=(half_hour,), terminal=10.0)
    assert gain(optimum(numbers)) == pytest.approx(4 * 3)


def test_hand_off_multiplies_what_little_energy_can_hold() -> None:
    # compute holds 40 kW, bridged for 9 s by 0.1 kWh; the other 1.9 kWh hold 3.8 kW
    cells = battery(2, 100, start_kwh=2)
    half_hour = service(1, sustain_s=1800.0)
    numbers = study(
        [10],
        group(1, battery=cells, slices=((40.0, 50.0),), products=1),
        services=(half_hour,),
        terminal=10.0,
    )
    assert gain(optimum(numbers)) == pytest.approx((40 + 3.8) * 3)


def test_hand_off_takes_the_power_of_the_battery() -> None:
    # 30 kW of converter answer 30 kW at most, whoever carries on
    cells = battery(50, 30, start_kwh=50)
    numbers = study(
        [10],
        group(1, battery=cells, slices=((40.0, 50.0),), products=1),
        services=(service(1),),
        terminal=10.0,
    )
    assert gain(optimum(numbers)) == pytest.approx(30 * 3)


def test_slow_product_needs_no_bridge() -> None:
    # compute has settled long before 300 s: it is added to the battery's power
    cells = battery(50, 30, start_kwh=50)
    slow = service(1, activation_s=300.0)
    numbers = study(
        [10],
        group(1, battery=cells, slices=((40.0, 50.0),), products=1),
        services=(slow,),
        terminal=10.0,
    )
    assert gain(optimum(numbers)) == pytest.approx(70 * 3)


def test_calls_cost_lost_compute() -> None:
    # called a tenth of the time: 40 kW earn 3 each and lose 40 * 0.1 * 0.5 kWh at 50, saved at 10
    slow = service(1, activation_s=300.0, activation=0.1, energy_per_kwh=np.array([10.0]))
    numbers = study([10], group(1, slices=((40.0, 50.0),), products=1), services=(slow,))
    assert gain(optimum(numbers)) == pytest.approx(40 * 3 - 2 * 50 + 2 * 10)


def test_demand_charge_is_shaved() -> None:
    # draws 100, 200, 100: 50 kWh take the highest to 100 kW, bought before at the same price
    cells = battery(50, 100, start_kwh=0)
    numbers = study(
        [10, 10, 10, 10],
        group(4, baseline_kw=[100, 200, 100, 100], battery=cells, demand=400.0),
    )
    # charging raises the first step: 100 + x and 200 - x meet at 150
    assert gain(optimum(numbers)) == pytest.approx(-150 * 400)


def test_a_refused_bid_earns_nothing() -> None:
    cells = battery(50, 100, start_kwh=50)
    numbers = study(
        [10] * 2, group(2, battery=cells, products=1), services=(service(2),), terminal=10.0
    )
    taken = np.array([[1.0, 0.0]])
    ledger = settle(numbers, foresee(numbers, taken))
    assert ledger.of["grid_services", "fcr.capacity"].tolist() == pytest.approx([300.0, 0.0])


def test_wheeling_is_paid_for_what_is_lost_on_the_way() -> None:
    # 62.5 kWh in and 40 kWh out at 1 each: the 22.5 that stay behind cost 22.5 more
    cells = battery(50, 125, efficiency=0.8)
    numbers = study([10, 30], group(2, battery=cells, wheeling=1.0))
    ledger = optimum(numbers)
    assert ledger.of["wheeling", "without_actions"].sum() == pytest.approx(-200.0)
    assert ledger.of["wheeling", "change"].sum() == pytest.approx(-22.5)


def test_a_price_of_carbon_moves_energy_from_dirty_to_clean_hours() -> None:
    # prices are level; 50 kWh drawn at 0.1 kg instead of 0.5 kg save 20 kg at 3 each
    cells = battery(50, 100)
    numbers = study(
        [10, 10], group(2, battery=cells), carbon=[0.1, 0.5], carbon_per_kg=3.0, terminal=0.0
    )
    ledger = optimum(numbers)
    assert ledger.of["carbon", "change"].sum() == pytest.approx(3.0 * 20.0)
    unpriced = optimum(study([10, 10.1], group(2, battery=cells), carbon=[0.5, 0.1]))
    assert unpriced.of["carbon", "change"].sum() == pytest.approx(0.0)


def test_a_full_battery_burns_nothing_where_the_price_is_below_zero() -> None:
    cells = battery(50, 100, start_kwh=50, efficiency=0.8)
    assert gain(optimum(study([-10], group(1, battery=cells)))) == pytest.approx(0.0)


def test_an_empty_battery_is_paid_to_charge_where_the_price_is_below_zero() -> None:
    # 62.5 kWh drawn fill it, and 40 kWh come out at 30
    cells = battery(50, 125, efficiency=0.8)
    numbers = study([-10, 30], group(2, battery=cells))
    assert gain(optimum(numbers)) == pytest.approx(62.5 * 10 + 40 * 30)
