"""Optima of price windows, of targets followed both ways, and of recovery, worked out on paper."""

from __future__ import annotations

import numpy as np
import pytest
import small_problems as small
from by_cause import approx, cost

from ebplan.problem import BatteryProblem, DeferralProblem, Problem, ValueSegment
from ebplan.solvers import highs
from ebplan.solvers.blocks.battery import burning_pays
from ebplan.solvers.formulation import formulate

TWO_HALVES = (0.0, 1800.0, 3600.0)
THREE_THIRDS = (0.0, 1200.0, 2400.0, 3600.0)


def cells(**changes: object) -> BatteryProblem:
    """Return 2 kWh behind 2 kW either way, 96 % each way, whose energy is worth nothing."""
    return small.battery(**{"charge_limit_kw": 2.0, "cell_efficiency": 0.96, **changes})


def priced(*energy_per_kwh: float, **changes: object) -> Problem:
    """Return a problem in which nothing is asked, with a price per step."""
    edges = {1: (0.0, 3600.0), 2: TWO_HALVES, 3: THREE_THIRDS}[len(energy_per_kwh)]
    prices = small.prices(energy_per_kwh=energy_per_kwh)
    return small.problem(edges_s=edges, asks="nothing", prices=prices, **changes)


# --- prices over time -------------------------------------------------------------------------


def test_the_battery_carries_energy_from_a_cheap_half_hour_to_a_dear_one() -> None:
    # 1 kWh bought at 10 puts 0.96 into the cells and 0.9216 back to the grid, at 40.
    problem = priced(10.0, 40.0, battery=cells(start_kwh=0.0))
    assert cost(problem) == approx(energy=10.0 - 36.864)


def test_it_does_not_where_wear_eats_the_spread() -> None:
    # Spread per kWh given: 40 - 10 / 0.9216 = 29.149; out of the cells 1 / 0.96 kWh at 28.
    problem = priced(10.0, 40.0, battery=cells(start_kwh=0.0, wear_per_kwh=28.0))
    assert cost(problem) == approx()


def test_a_negative_price_fills_the_battery_once() -> None:
    # 0.5 kWh of room take 0.5 / 0.96 = 0.52083 kWh, paid with 10.
    problem = priced(-10.0, -10.0, battery=cells(start_kwh=1.5))
    assert cost(problem) == approx(energy=-5.2083)


@pytest.mark.parametrize(
    ("worn", "burns"), [(0.3, True), (0.6, True), (0.68, True), (0.681, False), (0.75, False)]
)
def test_burning_pays_below_a_sharp_bound(worn: float, burns: bool) -> None:
    # At -8: 8 x (1 - 0.9216) / 0.9216 = 0.68056 per kWh given; wear counts where it leaves the
    # cells. There alone the program has a binary, and with it or without it burns nothing.
    battery = cells(wear_per_kwh=0.96 * worn)
    assert bool(burning_pays(battery, np.array(-8.0))) == burns
    problem = priced(-8.0, -8.0, battery=battery)
    names = {group.name for group in formulate(problem).program.columns}
    assert ("discharging" in names) == burns
    assert cost(problem) == approx()


def test_without_its_binaries_the_program_would_burn() -> None:
    # 0.5 kWh of room take 0.52083 kWh, paid with 8; giving and taking at once earns more.
    program = formulate(priced(-8.0, -8.0, -8.0, battery=cells(start_kwh=1.5))).program
    assert highs.solve(program).objective == pytest.approx(-4.16667, rel=1e-4)
    program.integer[:] = False
    assert highs.solve(program).objective < -4.2


@pytest.mark.parametrize(
    ("energy", "expected"),
    [
        # given at -50 and taken at -49, or at one price: energy burnt, not traded
        ((-50.0, -49.0), {}),
        ((-50.0, -50.0, -50.0), {}),
        # given at -10 to take 1 kWh at -50 for 0.9216 kWh: traded
        ((-10.0, -50.0), {"energy": 9.216 - 50.0}),
    ],
)
def test_a_full_battery_trades_and_does_not_alternate(
    energy: tuple[float, ...], expected: dict[str, float]
) -> None:
    assert cost(priced(*energy, battery=cells())) == approx(**expected)


def test_an_import_limit_keeps_the_battery_from_charging() -> None:
    # 0.3 kW below the limit: in the half hour at -10, 0.15 kWh instead of 1.
    problem = priced(-10.0, 0.0, battery=cells(start_kwh=0.0), import_limit_kw=(10.5, 10.5))
    problem = problem.model_copy(
        update={"prices": problem.prices.model_copy(update={"overrun_per_kwh": 500.0})}
    )
    assert cost(problem) == approx(energy=-1.5)


# --- both ways --------------------------------------------------------------------------------


def followed(**changes: object) -> Problem:
    """Return 1 kW more for a third of an hour, 1 kW less for another, and nothing for a third."""
    numbers: dict[str, object] = {
        "edges_s": THREE_THIRDS,
        "asks": "both_ways",
        "target_kw": (1.0, -1.0, 0.0),
        "tolerance_kw": 0.1,
        "prices": small.prices(shortfall_per_kwh=100.0),
    }
    return small.problem(**{**numbers, **changes})


def test_the_battery_follows_to_the_edge_of_the_band() -> None:
    # It gives 0.9 kW for a third of an hour, 0.3125 kWh out of the cells, at 6.
    problem = followed(battery=cells(start_kwh=1.0, wear_per_kwh=6.0))
    assert cost(problem) == approx(wear=1.875)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"charge_limit_kw": 0.5}, {"shortfall": 13.3333}),
        ({"discharge_limit_kw": 0.6}, {"shortfall": 10.0}),
        ({"start_kwh": 2.0}, {"shortfall": 30.0}),
    ],
)
def test_what_is_missed_on_either_side_is_charged(
    changes: dict[str, float], expected: dict[str, float]
) -> None:
    # Of 0.9 kW: 0.5 kW taken leave 0.4, 0.6 kW given leave 0.3, a full battery takes nothing; for
    # a third of an hour, at 100.
    assert cost(followed(battery=cells(**{"start_kwh": 1.0, **changes}))) == approx(**expected)


def test_without_a_battery_both_sides_are_missed() -> None:
    # 0.9 kW twice for a third of an hour; the third in which nothing is asked is inside the band.
    assert cost(followed()) == approx(shortfall=60.0)


def test_nothing_asked_is_a_band_as_well() -> None:
    # The draw may not move where 0 is asked: a price that would pay for it is not followed beyond
    # the band of 0.1 kW for an hour.
    prices = small.prices(shortfall_per_kwh=100.0, energy_per_kwh=-10.0)
    problem = followed(target_kw=(0.0,) * 3, battery=cells(start_kwh=0.0), prices=prices)
    assert cost(problem) == approx(energy=-1.0)


# --- recovery and posture ---------------------------------------------------------------------

HALF_RELEASE: dict[str, object] = {
    "edges_s": TWO_HALVES,
    "release_kw": (1.0, 0.0),
    "event_end_s": 1800.0,
    "battery": small.battery(start_kwh=1.5, charge_limit_kw=2.0),
}


@pytest.mark.parametrize(
    ("room_kw", "restore_kwh", "expected"),
    [
        (0.6, None, {"energy": -15.0}),
        (0.6, 1.5, {"energy": 9.0, "recovery": 40.0}),
        (1.5, 1.5, {"energy": 15.0}),
        (1.5, 1.2, {"energy": 6.0}),
    ],
)
def test_energy_is_restored_as_far_as_the_rebound_limit_allows(
    room_kw: float, restore_kwh: float | None, expected: dict[str, float]
) -> None:
    # 0.5 kWh are asked for. Saved at 30, and worth nothing, a whole kWh is given where nothing is
    # to be restored. 0.6 kW of room take back 0.3 kWh, 0.2 miss at 200.
    prices = small.prices(
        shortfall_per_kwh=900.0,
        overrun_per_kwh=900.0,
        soc_missing_per_kwh=200.0,
        energy_per_kwh=30.0,
    )
    problem = small.problem(
        **HALF_RELEASE,
        import_limit_kw=(1000.0, 10.2 + room_kw),
        restore_kwh=restore_kwh,
        prices=prices,
    )
    money = dict(expected)
    money["energy"] = money.get("energy", 0.0) - 15.0
    assert cost(problem) == approx(**{cause: paid for cause, paid in money.items() if paid})


@pytest.mark.parametrize(
    ("limit_kw", "expected"),
    [
        (None, {"energy": 15.0}),
        (0.6, {"energy": 15.0}),
        (0.3, {"energy": 9.0, "recovery": 40.0}),
        (0.0, {"recovery": 100.0}),
    ],
)
def test_energy_is_restored_as_slowly_as_it_may(
    limit_kw: float | None, expected: dict[str, float]
) -> None:
    # Nothing is asked, 0.5 kWh of 1.5 are to be restored within the hour, at 30: 0.3 kW restore
    # 0.3 kWh for 9, and 0.2 miss at 200.
    problem = small.problem(
        edges_s=TWO_HALVES,
        asks="nothing",
        battery=small.battery(start_kwh=1.0, charge_limit_kw=2.0),
        restore_kwh=1.5,
        restore_limit_kw=limit_kw,
        prices=small.prices(energy_per_kwh=30.0, soc_missing_per_kwh=200.0),
    )
    assert cost(problem) == approx(**expected)


def test_the_battery_charges_before_a_release() -> None:
    # Empty; 1 kW is asked for the second half hour. 0.5 kWh / 0.9216 are bought at 30 before it and
    # 0.5 saved in it; not to would miss 0.5 kWh at 100.
    prices = small.prices(shortfall_per_kwh=100.0, energy_per_kwh=30.0)
    ahead: dict[str, object] = {
        "edges_s": TWO_HALVES,
        "release_kw": (0.0, 1.0),
        "battery": cells(start_kwh=0.0),
        "prices": prices,
    }
    warned = small.problem(event_start_s=1800.0, **ahead)
    assert cost(warned) == approx(energy=0.5 / 0.9216 * 30.0 - 15.0)
    assert cost(small.problem(event_start_s=0.0, **ahead)) == approx(shortfall=50.0)


def test_a_sleeper_is_woken_before_an_absorb() -> None:
    # One instance at work at u = 0.5 (0.76569 kW), one asleep at 0.1 kW that wakes in 300 s. Two at
    # u = 0.25 draw 1.2 kW: with 0.86569 before, 0.3343 kW more. Told at once, it is at work
    # a minute before the event; not to would miss 0.3 kWh at 100.
    pool = small.pool(
        load_curve=small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
        active_at_start=1,
        drained_at_start=0,
        asleep_at_start=1,
        may_sleep=True,
        wake_s=300.0,
        wake_per_instance=2.0,
        classes=(small.requests(load=0.5, max_rejected=0.0),),
    )
    problem = small.problem(
        edges_s=(0.0, 300.0, 360.0, 3960.0),
        epoch_steps=(0, 1),
        absorb_kw=(0.0, 0.0, 0.3),
        event_start_s=360.0,
        pools=(pool,),
        prices=small.prices(shortfall_per_kwh=100.0),
    )
    assert cost(problem)["waking"] == pytest.approx(2.0)
    assert cost(problem).get("shortfall", 0.0) < 0.1


def test_a_backlog_is_built_up_before_an_absorb() -> None:
    # One instance at u = 0.4. Before the event it puts off at most 0.3 of it for 1750 s, and
    # works it off until the end, at u = 0.684: 0.8 x (sqrt(0.684) - sqrt(0.4)) = 0.1556 kW more.
    # What is put off grows and shrinks in a straight line: half of it waits for an hour on average.
    may_wait = small.requests(load=0.4, max_rejected=0.0).model_copy(
        update={"deferral": DeferralProblem(deadline_s=7200.0, price_per_work_h=0.002)}
    )
    pool = small.pool(
        load_curve=small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
        active_at_start=1,
        drained_at_start=0,
        classes=(may_wait,),
    )
    problem = small.problem(
        edges_s=(0.0, 1750.0, 1800.0, 3600.0),
        epoch_steps=(0, 1),
        absorb_kw=(0.0, 0.0, 0.15),
        event_start_s=1800.0,
        pools=(pool,),
        prices=small.prices(shortfall_per_kwh=100.0),
    )
    formulation = formulate(problem)
    x = highs.solve(formulation.program, gap=1e-6).x
    put_off = x[formulation.services[0].deferred["chat"]]
    assert put_off[0] > 0.2
    assert put_off[1] == pytest.approx(-put_off[0] * 1750.0 / 1850.0)
    assert cost(problem).get("shortfall", 0.0) < 0.1
    assert cost(problem)["delay"] == pytest.approx(1750.0 * put_off[0] * 0.5 * 0.002, rel=1e-3)


def test_worth_of_energy_left_decides_whether_it_is_sold() -> None:
    # Sold at 40: 0.96 kWh for each out of the cells, 38.4; kept where it is worth more.
    for worth, sold in ((38.0, True), (39.0, False)):
        battery = cells(terminal=(ValueSegment(width_kwh=2.0, price_per_kwh=worth),))
        money = cost(priced(40.0, battery=battery))
        assert bool(money) == sold


def test_a_sleeper_is_woken_before_the_load_returns() -> None:
    # Dear energy for an hour: 0.7 of the load waits, one instance serves 0.3, the other sleeps. All
    # of 1.7 is due in the next hour, at u = 0.85 each: whoever wakes in 600 s must be told before.
    may_wait = small.requests(
        name="batch",
        load=0.7,
        max_rejected=0.0,
        deferral=DeferralProblem(deadline_s=3600.0, price_per_work_h=0.2),
    )
    pool = small.pool(
        load_curve=small.load_curve(idle_kw=0.2, amplitude_kw=0.8, exponent=0.5),
        active_at_start=2,
        drained_at_start=0,
        may_sleep=True,
        asleep_kw=0.02,
        wake_s=600.0,
        cap_depth_per_kwh=2000.0,
        classes=(small.requests(load=0.3, max_rejected=0.0), may_wait),
    )
    edges = (0.0, 300.0, 3000.0, 3600.0, 4200.0, 7200.0)
    problem = small.problem(
        edges_s=edges,
        epoch_steps=(0, 1, 2, 3, 4),
        asks="nothing",
        event_end_s=3600.0,
        pools=(pool,),
        prices=small.prices(energy_per_kwh=(1000.0, 1000.0, 1000.0, 1.0, 1.0)),
    )
    formulation = formulate(problem)
    x = highs.solve(formulation.program, gap=1e-6).x
    counts = formulation.counts[0]
    assert x[counts.asleep] == pytest.approx([0.0, 1.0, 0.0, 0.0, 0.0])
    assert x[counts.to_wake] == pytest.approx([0.0, 0.0, 1.0, 0.0, 0.0])
    assert x[counts.active] == pytest.approx([1.0, 1.0, 1.0, 2.0, 2.0])
