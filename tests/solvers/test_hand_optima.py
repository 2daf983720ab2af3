"""Optima that one works out on paper; the arithmetic stands next to each."""

from __future__ import annotations

import pytest
import small_problems as small
from by_cause import approx, cost

from ebplan.models.curves import CapCurve
from ebplan.problem import ArrivalCount, PoolProblem, ValueSegment

HOUR = (0.0, 3600.0)
ASLEEP_NOW = ArrivalCount(to="asleep", count=1, at_s=0.0)
NOTICE = (0.0, 360.0, 3600.0)
"""A tenth of an hour before the event: compute has settled when it begins."""


# --- battery --------------------------------------------------------------------------------


def test_battery_bridges_a_kilowatt_for_an_hour() -> None:
    # Linear loss 5 %, cells 90 %: (1 + 0.05) / 0.9 = 1.16667 kWh leave the cells.
    # Wear 10 x 1.16667 = 11.667, stored value 20 x 1.16667 = 23.333, energy saved 30 x 1.
    cells = small.battery(
        loss_linear=0.05,
        cell_efficiency=0.9,
        wear_per_kwh=10.0,
        terminal=(ValueSegment(width_kwh=2.0, price_per_kwh=20.0),),
    )
    prices = small.prices(energy_per_kwh=30.0, shortfall_per_kwh=100.0)
    problem = small.problem(edges_s=HOUR, release_kw=1.0, battery=cells, prices=prices)
    assert cost(problem) == approx(wear=11.6667, stored_energy=23.3333, energy=-30.0)


def test_quadratic_loss_is_exact_where_a_tangent_touches() -> None:
    # Rated 2 kW, touched at 0.625 x 2 = 1.25 kW: loss 0.02 x 1.25^2 / 2 = 0.015625 kW.
    cells = small.battery(loss_quadratic=0.02, wear_per_kwh=10.0)
    prices = small.prices(shortfall_per_kwh=100.0)
    problem = small.problem(edges_s=HOUR, release_kw=1.25, battery=cells, prices=prices)
    assert cost(problem) == approx(wear=12.65625)


def test_shortfall_is_the_energy_that_misses() -> None:
    # 1 kWh asked, 0.4 kWh above the minimum: 0.6 kWh miss, at 100 and a surcharge of 50.
    cells = small.battery(start_kwh=0.5, min_kwh=0.1)
    prices = small.prices(shortfall_per_kwh=100.0, firmness_per_kwh=50.0)
    problem = small.problem(edges_s=HOUR, release_kw=1.0, battery=cells, prices=prices)
    assert cost(problem) == approx(shortfall=60.0, firmness=30.0)


def test_shortfall_is_the_power_that_misses() -> None:
    # 1 kW asked, 0.7 kW from the converter, for an hour.
    cells = small.battery(discharge_limit_kw=0.7)
    prices = small.prices(shortfall_per_kwh=100.0)
    problem = small.problem(edges_s=HOUR, release_kw=1.0, battery=cells, prices=prices)
    assert cost(problem) == approx(shortfall=30.0)


def test_stored_energy_is_sold_from_the_cheap_end() -> None:
    # Full at 2 kWh, upper kWh worth 10, lower one 40; shortfall 30. The upper kWh is given for 10,
    # the half kWh still missing is rather paid for (15) than taken from the lower (20).
    cells = small.battery(
        terminal=(
            ValueSegment(width_kwh=1.0, price_per_kwh=40.0),
            ValueSegment(width_kwh=1.0, price_per_kwh=10.0),
        )
    )
    prices = small.prices(shortfall_per_kwh=30.0)
    problem = small.problem(edges_s=HOUR, release_kw=1.5, battery=cells, prices=prices)
    assert cost(problem) == approx(stored_energy=10.0, shortfall=15.0)


@pytest.mark.parametrize(
    ("reserve_price", "expected"),
    [(25.0, {"reserve": 12.5}), (35.0, {"shortfall": 15.0})],
)
def test_reserve_is_entered_where_that_is_cheaper(
    reserve_price: float, expected: dict[str, float]
) -> None:
    # 1.5 kWh asked, 2 kWh stored, 1 kWh of it reserve: half a kWh from the reserve or not at all.
    prices = small.prices(shortfall_per_kwh=30.0, reserve_per_kwh=reserve_price)
    problem = small.problem(
        edges_s=HOUR, release_kw=1.5, battery=small.battery(reserve_kwh=1.0), prices=prices
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(
    ("excess_price", "expected"),
    [(50.0, {"handoff": 22.5}), (200.0, {"shortfall": 45.0})],
)
def test_handoff_is_charged_from_its_time_on(
    excess_price: float, expected: dict[str, float]
) -> None:
    # The second half hour: 1 kW asked, 0.1 kW left to the battery, 0.9 kW x 0.5 h = 0.45 kWh
    # beyond its share, at 50, or missing, at 100.
    prices = small.prices(shortfall_per_kwh=100.0, handoff_excess_per_kwh=excess_price)
    problem = small.problem(
        edges_s=(0.0, 1800.0, 3600.0),
        release_kw=1.0,
        battery=small.battery(),
        handoff_from_s=1800.0,
        handoff_kw=0.1,
        prices=prices,
    )
    assert cost(problem) == approx(**expected)


def test_charging_restores_what_is_worth_it() -> None:
    # After the event, half an hour at 0.8 kW: loss 5 %, cells 90 %: 0.8 x 0.95 x 0.9 x 0.5 =
    # 0.342 kWh stored, worth 60 each; 0.4 kWh bought at 30.
    cells = small.battery(
        start_kwh=1.0,
        charge_limit_kw=0.8,
        loss_linear=0.05,
        cell_efficiency=0.9,
        terminal=(ValueSegment(width_kwh=2.0, price_per_kwh=60.0),),
    )
    problem = small.problem(
        edges_s=(0.0, 1800.0, 3600.0),
        release_kw=(0.0, 0.0),
        event_end_s=1800.0,
        battery=cells,
        prices=small.prices(energy_per_kwh=30.0),
    )
    assert cost(problem) == approx(energy=12.0, stored_energy=-20.52)


# --- compute --------------------------------------------------------------------------------


def pair(**changes: object) -> PoolProblem:
    """Two active instances at a quarter of their load: f(u) = 0.2 + 0.8 sqrt(u), kW."""
    return small.pool(
        **{
            "load_curve": small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
            "active_at_start": 2,
            "drained_at_start": 0,
            "classes": (small.requests(load=0.5, value_per_instance_s=1.0),),
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("cap_price", "expected"),
    [
        (40.0, {"draining": 0.5, "readiness": 2.0, "capping": 1.3726}),
        (20.0, {"capping": 2.0}),
    ],
)
def test_consolidation_or_cap_whichever_is_cheaper(
    cap_price: float, expected: dict[str, float]
) -> None:
    # Two instances at u = 0.25 draw 1.2 kW; 0.1 kW is asked, the posture is held for an hour.
    # Cap: 0.1 kW below the natural draw, 0.1 kWh at 40 or 20 = 4 or 2. (0.55 kW each still carry
    # 0.9 x sqrt(0.55) = 0.67 of load.)
    # Consolidation: one instance at u = 0.5 draws 0.766, the drained one 0.2: 0.234 kW for
    # 0.5 (drain) + 2 (one instance not ready for an hour) = 2.5. Its depth is judged by the tangent
    # at u = 0.25, slope 0.8: 0.6 + 0.8 x 0.25 = 0.8 kW, 0.0343 kW above the curve: 1.37 at 40.
    problem = small.problem(
        edges_s=NOTICE,
        release_kw=(0.0, 0.1),
        event_start_s=360.0,
        pools=(
            pair(cap_depth_per_kwh=cap_price, drain_per_instance=0.5, readiness_per_instance_h=2.0),
        ),
        prices=small.prices(shortfall_per_kwh=1000.0),
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(
    ("asked_kw", "expected"),
    [(0.02, {"capping": 0.2}), (0.1, {"capping": 0.76, "rejected": 1.728})],
)
def test_requests_are_turned_away_when_nothing_else_is_left(
    asked_kw: float, expected: dict[str, float]
) -> None:
    # One instance at u = 0.64 draws 0.2 + 0.8 x 0.8 = 0.84 kW. Capacity = power (elasticity 1),
    # at most 0.8 of it planned for: 0.64 of load needs 0.8 kW, so a cap alone gives 0.04 kW.
    # 0.02 kW: capped for 0.02 kWh x 10.
    # 0.10 kW: 0.74 kW carry 0.592; 0.048 turned away for an hour at 36 = 1.728. The tangent at
    # 0.64 has the slope 0.8 / (2 x 0.8) = 0.5: natural draw 0.84 - 0.024 = 0.816, 0.076 kW capped.
    one = small.pool(
        load_curve=small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
        cap_curve=CapCurve(full_kw=1.0, elasticity=1.0, floor_kw=0.4),
        max_utilisation=0.8,
        active_at_start=1,
        drained_at_start=0,
        classes=(small.requests(load=0.64, value_per_instance_s=0.01),),
        cap_depth_per_kwh=10.0,
    )
    problem = small.problem(
        edges_s=NOTICE,
        release_kw=(0.0, asked_kw),
        event_start_s=360.0,
        pools=(one,),
        prices=small.prices(shortfall_per_kwh=1000.0),
    )
    assert cost(problem) == approx(**expected)


def test_congestion_is_charged_above_the_threshold_of_the_capacity() -> None:
    # Elasticity 1, uncapped at u = 0.64: 0.84 kW carry 0.84. Above half of it, 0.64 - 0.42 = 0.22
    # of load answers slower, for an hour at 6.
    one = small.pool(
        load_curve=small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
        cap_curve=CapCurve(full_kw=1.0, elasticity=1.0, floor_kw=0.4),
        active_at_start=1,
        drained_at_start=0,
        classes=(small.requests(load=0.64, max_rejected=0.0),),
        congestion=({"above_utilisation": 0.5, "price_per_instance_h": 6.0},),
    )
    assert cost(small.problem(pools=(one,))) == approx(congestion=1.32)


@pytest.mark.parametrize(("sleep_s", "expected"), [(400.0, {}), (401.0, {"shortfall": 8.6111})])
def test_an_instance_falls_asleep_by_the_next_epoch_or_not_at_all(
    sleep_s: float, expected: dict[str, float]
) -> None:
    # Drained 0.2 kW, asleep 0.1 kW; 0.1 kW is asked from 500 s to 3600 s. A command at 0 s takes
    # effect at the epoch at 400 s, if 400 s are enough; otherwise 0.1 kW x 3100 s miss, at 100.
    problem = small.problem(
        edges_s=(0.0, 400.0, 500.0, 3600.0),
        epoch_steps=(0, 1),
        release_kw=(0.0, 0.0, 0.1),
        event_start_s=500.0,
        pools=(small.pool(may_sleep=True, sleep_s=sleep_s),),
        prices=small.prices(shortfall_per_kwh=100.0),
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(("min_awake_s", "expected"), [(400.0, {}), (401.0, {"shortfall": 8.6111})])
def test_who_just_woke_stays_awake(min_awake_s: float, expected: dict[str, float]) -> None:
    # As above, but it arrives awake at 0 s and falls asleep at once when told: at 400 s it has been
    # awake for 400 s.
    problem = small.problem(
        edges_s=(0.0, 400.0, 500.0, 3600.0),
        epoch_steps=(0, 1),
        release_kw=(0.0, 0.0, 0.1),
        event_start_s=500.0,
        pools=(
            small.pool(
                may_sleep=True,
                min_awake_s=min_awake_s,
                drained_at_start=0,
                arrivals=(ArrivalCount(to="awake", count=1, at_s=0.0),),
            ),
        ),
        prices=small.prices(shortfall_per_kwh=100.0),
    )
    assert cost(problem) == approx(**expected)


@pytest.mark.parametrize(
    ("changes", "rejected"),
    [
        ({"asleep_at_start": 1, "wake_s": 400.0}, 2.0),
        ({"asleep_at_start": 1, "wake_s": 401.0}, 18.0),
        ({"arrivals": (ASLEEP_NOW,), "min_asleep_s": 400.0}, 2.0),
        ({"arrivals": (ASLEEP_NOW,), "min_asleep_s": 401.0}, 18.0),
    ],
    ids=["wakes in time", "wakes too late", "slept long enough", "sleeps too long"],
)
def test_nobody_serves_before_it_is_awake(changes: dict[str, object], rejected: float) -> None:
    # Half an instance of load, turned away at 0.01 per second: 0.5 x 0.01 x 400 = 2 until the
    # epoch at 400 s, 0.5 x 0.01 x 3600 = 18 where the instance is not awake by then.
    pool = small.pool(
        drained_at_start=0,
        classes=(small.requests(load=0.5, value_per_instance_s=0.01),),
        **changes,
    )
    problem = small.problem(
        edges_s=(0.0, 400.0, 3600.0), epoch_steps=(0, 1), release_kw=(0.0, 0.0), pools=(pool,)
    )
    assert cost(problem) == approx(rejected=rejected)


@pytest.mark.parametrize(("min_asleep_s", "rejected"), [(1050.0, 5.5), (1051.0, 18.0)])
def test_who_is_put_to_sleep_stays_asleep(min_asleep_s: float, rejected: float) -> None:
    # One instance at u = 0.5 draws 0.2 + 0.8 x 0.5^0.1 = 0.946 kW; 0.8 kW is asked from 100 s to
    # 1100 s, which only sleep (0.1 kW) gives. Drained at 0 s, put to sleep at 50 s: its load is
    # turned away for 1100 s, at 0.005 per second, where it may wake then, and otherwise to the end.
    pool = small.pool(
        active_at_start=1,
        drained_at_start=0,
        may_sleep=True,
        min_asleep_s=min_asleep_s,
        classes=(small.requests(load=0.5, value_per_instance_s=0.01),),
    )
    problem = small.problem(
        edges_s=(0.0, 50.0, 100.0, 1100.0, 3600.0),
        epoch_steps=(0, 1, 3),
        release_kw=(0.0, 0.0, 0.8, 0.0),
        event_start_s=100.0,
        event_end_s=1100.0,
        pools=(pool,),
        prices=small.prices(shortfall_per_kwh=10_000.0),
    )
    assert cost(problem) == approx(rejected=rejected)


@pytest.mark.parametrize(("min_awake_s", "rejected"), [(2000.0, 8.5), (2001.0, 18.0)])
def test_who_is_woken_stays_awake(min_awake_s: float, rejected: float) -> None:
    # Asleep at the start; from 2100 s on only sleep meets the target. Woken at 0 s it serves until
    # it is drained at 1900 s, if it may sleep at 2000 s: 1700 s of load turned away, at 0.005 per
    # second; otherwise it is never woken.
    pool = small.pool(
        drained_at_start=0,
        asleep_at_start=1,
        may_sleep=True,
        min_awake_s=min_awake_s,
        classes=(small.requests(load=0.5, value_per_instance_s=0.01),),
    )
    problem = small.problem(
        edges_s=(0.0, 1900.0, 2000.0, 2100.0, 3600.0),
        epoch_steps=(0, 1, 2),
        release_kw=(0.0, 0.0, 0.0, 0.1),
        baseline_kw=(10.2,) * 4,
        event_start_s=2100.0,
        pools=(pool,),
        prices=small.prices(shortfall_per_kwh=10_000.0),
    )
    assert cost(problem) == approx(rejected=rejected)


def test_a_draw_above_the_import_limit_is_paid_for() -> None:
    # 10 kW of other load and a drained instance of 0.2 kW against a limit of 10 kW, for an hour.
    problem = small.problem(import_limit_kw=(10.0,), prices=small.prices(overrun_per_kwh=50.0))
    assert cost(problem) == approx(overrun=10.0)
