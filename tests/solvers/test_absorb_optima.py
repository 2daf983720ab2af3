"""Optima of absorb events that one works out on paper; the arithmetic stands next to each."""

from __future__ import annotations

import pytest
import small_problems as small
from by_cause import approx, cost

from ebplan.problem import PoolProblem, ValueSegment

TWO_HALVES = (0.0, 1800.0, 3600.0)
SHORTFALL = small.prices(shortfall_per_kwh=100.0)


def worth(price: float) -> tuple[ValueSegment, ...]:
    """Return the value of energy in a battery of 2 kWh, the same for each kWh."""
    return (ValueSegment(width_kwh=2.0, price_per_kwh=price),)


# --- battery --------------------------------------------------------------------------------


def test_the_battery_absorbs_a_kilowatt_for_an_hour() -> None:
    # Linear loss 5 %, cells 90 %: (1 - 0.05) x 0.9 = 0.855 kWh reach the cells, worth 20 each;
    # 1 kWh is bought at 30. Charging wears nothing: wear is counted where energy leaves the cells.
    cells = small.battery(
        start_kwh=0.5,
        charge_limit_kw=2.0,
        loss_linear=0.05,
        cell_efficiency=0.9,
        wear_per_kwh=10.0,
        terminal=worth(20.0),
    )
    prices = small.prices(energy_per_kwh=30.0, shortfall_per_kwh=100.0)
    problem = small.problem(absorb_kw=1.0, battery=cells, prices=prices)
    assert cost(problem) == approx(energy=30.0, stored_energy=-17.1)


@pytest.mark.parametrize(("start_kwh", "shortfall"), [(1.9, 88.3041), (1.145, 0.0), (2.0, 100.0)])
def test_a_full_battery_absorbs_what_fits_and_burns_nothing(
    start_kwh: float, shortfall: float
) -> None:
    # 1 kWh asked; of each kWh taken 0.95 x 0.9 = 0.855 reaches the cells. 0.1 kWh of room take
    # 0.1 / 0.855 = 0.11696 kWh, 0.88304 miss, at 100; 0.855 kWh of room take all, no room nothing.
    cells = small.battery(
        start_kwh=start_kwh, charge_limit_kw=2.0, loss_linear=0.05, cell_efficiency=0.9
    )
    problem = small.problem(absorb_kw=1.0, battery=cells, prices=SHORTFALL)
    assert cost(problem) == approx(**{"shortfall": shortfall} if shortfall else {})


def test_an_absorb_falls_short_by_the_power_that_misses() -> None:
    # 1 kW asked, 0.7 kW from the converter, for the half hour in which it answers: 0.3 x 0.5 kWh
    # miss, and before that the whole kilowatt for half an hour, at 100.
    cells = small.battery(start_kwh=0.0, charge_limit_kw=0.7, delay_s=1800.0)
    problem = small.problem(edges_s=TWO_HALVES, absorb_kw=1.0, battery=cells, prices=SHORTFALL)
    assert cost(problem) == approx(shortfall=65.0)


@pytest.mark.parametrize(
    ("excess_price", "expected"),
    [(50.0, {"handoff": 22.5}), (200.0, {"shortfall": 45.0})],
)
def test_handoff_is_charged_on_a_charging_battery(
    excess_price: float, expected: dict[str, float]
) -> None:
    # The second half hour: 1 kW asked, 0.1 kW left to the battery, 0.9 kW x 0.5 h = 0.45 kWh
    # beyond its share, at 50, or missing, at 100.
    problem = small.problem(
        edges_s=TWO_HALVES,
        absorb_kw=1.0,
        battery=small.battery(start_kwh=0.5, charge_limit_kw=2.0),
        handoff_from_s=1800.0,
        handoff_kw=0.1,
        prices=small.prices(shortfall_per_kwh=100.0, handoff_excess_per_kwh=excess_price),
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(
    ("export_kw", "expected"),
    [
        (0.0, {"shortfall": 25.0, "wear": 1.0}),
        (0.2, {"shortfall": 15.0, "wear": 1.4}),
        (1.0, {"wear": 2.0}),
    ],
)
def test_room_is_made_before_the_event_as_far_as_feeding_in_allows(
    export_kw: float, expected: dict[str, float]
) -> None:
    # Full; 1 kW is asked for the second half hour. In the first the site draws 0.3 + 0.2 kW: the
    # battery gives 0.5 kW and what may be fed in, for half an hour, at most the 0.5 kWh that are
    # needed, at a wear of 4. What has no room misses, at 100.
    problem = small.problem(
        edges_s=TWO_HALVES,
        absorb_kw=(0.0, 1.0),
        event_start_s=1800.0,
        other_kw=(0.3, 0.3),
        export_limit_kw=export_kw,
        battery=small.battery(charge_limit_kw=2.0, wear_per_kwh=4.0),
        prices=SHORTFALL,
    )
    assert cost(problem) == approx(**expected)


# --- compute --------------------------------------------------------------------------------


def one_of_two(**changes: object) -> PoolProblem:
    """One instance at work at half its load, one drained: f(u) = 0.2 + 0.8 sqrt(u), kW."""
    return small.pool(
        **{
            "load_curve": small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
            "active_at_start": 1,
            "drained_at_start": 1,
            "classes": (small.requests(load=0.5, max_rejected=0.0),),
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("asked_kw", "expected"),
    [(0.2, {}), (0.3, {"shortfall": 6.5685}), (1.0, {"shortfall": 76.5685})],
)
def test_a_drained_instance_goes_back_to_work(asked_kw: float, expected: dict[str, float]) -> None:
    # One instance at u = 0.5 draws 0.2 + 0.8 x 0.70711 = 0.76569 kW, the drained one 0.2. Two at
    # u = 0.25 draw 0.2 + 0.8 x 0.5 = 0.6 kW each: 1.2 - 0.96569 = 0.23431 kW more. Nobody is less
    # ready for it. Told before the event, it draws when that begins; what is asked beyond it
    # misses for an hour, at 100.
    problem = small.problem(
        edges_s=(0.0, 360.0, 3960.0),
        absorb_kw=(0.0, asked_kw),
        event_start_s=360.0,
        pools=(one_of_two(),),
        prices=SHORTFALL,
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(
    ("excess_price", "expected"),
    [
        (10.0, {"energy": 6.0, "stored_energy": -2.0, "handoff": 2.0}),
        (100.0, {"energy": 7.0294, "capping": 1.9411}),
    ],
)
def test_instance_or_battery_whichever_is_cheaper(
    excess_price: float, expected: dict[str, float]
) -> None:
    # 0.2 kW asked for an hour, energy at 30. The battery takes 0.2 kWh for 6, of which a value of
    # 2 is kept, and pays the excess beyond the hand-off for each: 2 or 20. The instance takes
    # 0.23431 kW, bought for 7.0294; the converter bridges the instant until it draws. Its depth is
    # judged by the tangent at u = 0.5, slope 0.56569: 2 x 0.48284 + 0.56569 x 0.5 = 1.24853 kW,
    # 0.04853 kW above the curve: 1.941 at 40.
    problem = small.problem(
        absorb_kw=0.2,
        pools=(one_of_two(cap_depth_per_kwh=40.0),),
        battery=small.battery(start_kwh=0.5, charge_limit_kw=2.0, terminal=worth(10.0)),
        handoff_from_s=0.0,
        prices=small.prices(
            energy_per_kwh=30.0, shortfall_per_kwh=100.0, handoff_excess_per_kwh=excess_price
        ),
    )
    assert cost(problem) == approx(**expected)


# --- connection point -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrun_price", "expected"), [(50.0, {"overrun": 30.0}), (150.0, {"shortfall": 60.0})]
)
def test_an_absorb_above_the_import_limit(overrun_price: float, expected: dict[str, float]) -> None:
    # 1 kW asked, 0.4 kW below the import limit: 0.6 kWh draw too much, or miss at 100.
    problem = small.problem(
        absorb_kw=1.0,
        battery=small.battery(start_kwh=0.0, charge_limit_kw=2.0),
        import_limit_kw=(10.6,),
        prices=small.prices(shortfall_per_kwh=100.0, overrun_per_kwh=overrun_price),
    )
    assert cost(problem) == approx(**expected)
