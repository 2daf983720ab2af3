"""A battery that its losses warm, and that gives less when it is hot."""

from __future__ import annotations

import math

import pytest

from ebplan import InputError, load_case
from ebplan.adapters.commands import HoldConnectionPoint
from ebplan.twin import BatteryHeat, FluidPlant

CASE = load_case("examples/under_frequency.json")
BATTERY = CASE.site.battery
assert BATTERY is not None


def plant(**heat: float) -> FluidPlant:
    return FluidPlant(CASE.site, CASE.state, heat=BatteryHeat(**heat))


def lost_kw(kw: float) -> float:
    """Return what is lost of a discharge at the AC side, by the site's own numbers."""
    loss = BATTERY.converter_loss_linear * kw
    loss += BATTERY.converter_loss_quadratic * kw**2 / BATTERY.converter_rated_kw
    return (kw + loss) / BATTERY.cell_efficiency - kw


def test_the_temperature_by_hand() -> None:
    """A constant discharge for ten minutes."""
    one = plant(conductance_kw_per_k=0.02, capacity_kwh_per_k=0.01)
    draw_kw = one.step((), 1.0).grid_kw
    assert draw_kw is not None
    kw = draw_kw - 1.0
    for _ in range(599):
        told = one.step((HoldConnectionPoint(at_s=0.0, grid_kw=1.0),), 1.0)
    end_c = 25.0 + lost_kw(kw) / 0.02
    seconds = 599.0 - BATTERY.converter_delay_s
    expected_c = end_c + (25.0 - end_c) * math.exp(-0.02 * seconds / 3600.0 / 0.01)
    assert told.battery_c == pytest.approx(expected_c, abs=0.01)


@pytest.mark.parametrize(("begins_c", "share"), [(25.0, 1.0), (50.0, 0.5), (60.0, 0.0)])
def test_a_hot_battery_gives_less(begins_c: float, share: float) -> None:
    one = plant(begins_c=begins_c, capacity_kwh_per_k=1e6)
    draw_kw = one.step((), 1.0).grid_kw
    assert draw_kw is not None
    one.step((HoldConnectionPoint(at_s=0.0, grid_kw=draw_kw - 20.0),), 2.0)
    told = one.step((), 10.0)
    assert told.battery_kw == pytest.approx(share * BATTERY.discharge_limit_kw, abs=0.01)


def test_a_cold_battery_takes_nothing() -> None:
    one = plant(begins_c=-5.0, air_c=-5.0)
    one.step((HoldConnectionPoint(at_s=0.0, grid_kw=7.0),), 2.0)
    assert one.step((), 5.0).battery_kw == pytest.approx(0.0, abs=1e-9)


def test_steps_change_nothing() -> None:
    told = []
    for dt_s in (1.0, 7.0):
        one = plant(capacity_kwh_per_k=0.001)
        last = one.step((HoldConnectionPoint(at_s=0.0, grid_kw=1.0),), 7.0)
        for _ in range(int(140 / dt_s)):
            last = one.step((), dt_s)
        told.append((last.battery_c, last.soc))
    assert told[0] == pytest.approx(told[1], rel=1e-9)


def test_without_it_nothing_is_said_and_temperatures_are_in_order() -> None:
    assert FluidPlant(CASE.site, CASE.state).step((), 1.0).battery_c is None
    with pytest.raises(InputError, match="derate_from_c"):
        BatteryHeat.parse({"derate_from_c": 60.0})
