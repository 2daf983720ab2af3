"""Products that absorb, or sell both directions in one award: room, power, connection and money."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study_cases import all_accepted, battery, group, service, study
from study_recheck import recheck
from test_market_terms import numbers_of

from ebplan.document import read_data
from ebplan.errors import InputError
from ebplan.study.build import build
from ebplan.study.clock import Clock, Planning
from ebplan.study.foresight import foresee
from ebplan.study.invariants import hold
from ebplan.study.ledger import Ledger, absent_of, settle
from ebplan.study.myopic import follow_rule
from ebplan.study.numbers import ServiceNumbers, StudyNumbers
from ebplan.study.receding import Receding
from ebplan.study.run import run_study, write_results
from ebplan.study.spec import StudySpec

EXAMPLE = Path(__file__).parents[2] / "examples" / "study_fcr.toml"
DAY = 48


def both(steps: int, **more: Any) -> ServiceNumbers:
    """Return a product whose award is for half an hour each way."""
    given = {"sustain_s": 1800.0, "room_s": 1800.0, "absorbs": True, **more}
    return service(steps, **given)


def down(steps: int, **more: Any) -> ServiceNumbers:
    """Return a product for absorbing alone."""
    given = {"sustain_s": 0.0, "releases": False, "room_s": 1800.0, "absorbs": True, **more}
    return service(steps, **given)


def foreseen(numbers: StudyNumbers) -> tuple[Any, Ledger]:
    track = foresee(numbers, all_accepted(numbers))
    ledger = settle(numbers, track)
    hold(numbers, track, ledger)
    return track, ledger


def one_step(product: ServiceNumbers, start_kwh: float, **more: Any) -> StudyNumbers:
    """Return a step of half an hour with 100 kW and 50 kWh at a level price."""
    cells = battery(50, 100, start_kwh=start_kwh, **more)
    return study([10.0], group(1, battery=cells, products=1), services=(product,), terminal=10.0)


def award_of(numbers: StudyNumbers) -> float:
    track, _ = foreseen(numbers)
    return float(track.award_kw[0, 0])


def test_an_award_both_ways_needs_energy_and_room() -> None:
    # 25 kWh either way last half an hour of 50 kW; what is there at both ends of the step counts
    assert award_of(one_step(both(1), 25.0)) == pytest.approx(50.0)
    assert award_of(one_step(both(1), 10.0)) == pytest.approx(20.0)
    assert award_of(one_step(both(1), 40.0)) == pytest.approx(20.0)


def test_absorbing_needs_room_alone_and_power() -> None:
    assert award_of(one_step(down(1), 50.0)) == pytest.approx(0.0, abs=1e-6)
    assert award_of(one_step(down(1), 25.0)) == pytest.approx(50.0)
    assert award_of(one_step(down(1, room_s=300.0), 0.0)) == pytest.approx(100.0)
    # a kWh drawn fills 0.8 kWh of the cells
    assert award_of(one_step(down(1), 30.0, efficiency=0.8)) == pytest.approx(50.0)


def test_no_more_is_absorbed_than_the_connection_carries() -> None:
    site = replace(group(1, battery=battery(50, 100), products=1), import_kw=230.0)
    numbers = study([10.0], site, services=(down(1),), terminal=10.0)
    assert award_of(numbers) == pytest.approx(30.0)


def test_without_a_battery_nothing_is_absorbed() -> None:
    site = group(1, slices=((80.0, 0.0),), products=1, alone_kw=80.0)
    for product in (down(1), both(1)):
        numbers = study([10.0], site, services=(product,), terminal=10.0)
        assert award_of(numbers) == pytest.approx(0.0, abs=1e-6)


def test_compute_carries_the_release_and_the_battery_absorbs() -> None:
    """5 kWh bridge the first 9 s of 80 kW of compute, and sustain what they can besides.

    a <= 80, b / 2 + a 9 / 3600 <= 5: b = 9.6; there is room to absorb 90.
    """
    site = group(1, slices=((80.0, 20.0),), battery=battery(50, 100, start_kwh=5.0), products=1)
    track, _ = foreseen(study([10.0], site, services=(both(1),), terminal=10.0))
    done = track.groups[0]
    assert track.award_kw[0, 0] == pytest.approx(80.0 + 9.6)
    assert done.compute_award_kw.sum() == pytest.approx(80.0)
    assert done.absorb_award_kw.sum() == pytest.approx(80.0 + 9.6)


def test_power_the_other_way_is_held_beside_what_is_sold() -> None:
    """A kW charged gains 5, one awarded 3: 0.4 kW of charging less and 1 kW more of power each.

    c + 0.4 b <= 100 and b <= 100 + c: b = 200 / 1.4.
    """
    product = service(1, sustain_s=1.0, opposite=0.4)
    cells = battery(500, 100, start_kwh=100.0)
    site = group(1, battery=cells, products=1)
    numbers = study([10.0], site, services=(product,), terminal=20.0)
    track, _ = foreseen(numbers)
    assert track.award_kw[0, 0] == pytest.approx(200.0 / 1.4)
    assert track.groups[0].charge_kw[0] == pytest.approx(100.0 - 0.4 * 200.0 / 1.4)


def test_a_store_has_more_power_than_it_sells_where_the_market_asks_for_it() -> None:
    for product in (
        both(1, room_s=1.0, sustain_s=1.0, rated=1.25),
        down(1, room_s=1.0, rated=1.25),
    ):
        assert award_of(one_step(product, 25.0)) == pytest.approx(80.0)


def test_what_is_absorbed_fills_the_cells_and_is_paid_for() -> None:
    # 40 kW, of which half is called for half an hour: 10 kWh at 7; 0.9 of them are in the cells
    product = down(2, max_bid_kw=40.0, room_s=1800.0, energy_per_kwh=np.full(2, 7.0))
    product = replace(product, absorption=np.array([0.5, 0.0]), expected_absorption=0.25)
    cells = battery(50, 100, start_kwh=10.0, efficiency=0.9, wear_per_kwh=1.0)
    site = group(2, battery=cells, products=1)
    numbers = study([10.0, 10.0], site, services=(product,), terminal=10.0)
    track, ledger = foreseen(numbers)
    done = track.groups[0]
    assert done.battery_absorbed_kwh.tolist() == [pytest.approx([10.0, 0.0])]
    assert done.energy_kwh == pytest.approx([10.0, 19.0, 19.0])
    assert ledger.grid_kw == pytest.approx([220.0, 200.0])
    assert ledger.imbalance_kwh == pytest.approx([0.0, 0.0])
    assert ledger.of["grid_services", "fcr.energy"].sum() == pytest.approx(-70.0)
    assert ledger.of["grid_services", "fcr.capacity"].sum() == pytest.approx(2 * 40 * 3.0)


def test_what_finds_no_room_is_missed_and_taken() -> None:
    # expected are calls of a tenth, all comes: a full battery cannot take it
    product = down(
        2 * DAY,
        max_bid_kw=40.0,
        room_s=900.0,
        penalty_per_kwh=2.0,
        unavailable_times=1.0,
        price=3.0,
    )
    called = np.zeros(2 * DAY)
    called[:6] = 1.0
    product = replace(product, absorption=called, expected_absorption=0.0)
    cells = battery(20, 100, start_kwh=0.0)
    site = group(2 * DAY, battery=cells, products=1)
    numbers = study([10.0] * (2 * DAY), site, services=(product,), terminal=10.0, steps_per_day=DAY)
    track = Receding(
        numbers, all_accepted(numbers), Clock(), Planning(repair_every=48, whole_bids=False)
    ).run()
    ledger = settle(numbers, track)
    hold(numbers, track, ledger)
    done = track.groups[0]
    missed = done.missed_kwh.sum()
    assert missed > 50.0
    assert done.battery_absorbed_kwh.sum() == pytest.approx(
        20.0 + done.discharge_kw[:6].sum() * 0.5
    )
    assert ledger.of["penalty", "fcr"].sum() == pytest.approx(-2.0 * missed)
    absent = absent_of(numbers, track)[0]
    full = done.energy_kwh[1:7] > 20.0 - 1e-9
    assert (absent[:6][full] > 39.0).all()
    assert ledger.of["penalty", "fcr.unavailable"].sum() == pytest.approx(-3.0 * absent.sum())


def test_a_peak_reckons_with_what_may_be_absorbed() -> None:
    """Half of the award n is drawn; 10 kWh and what is absorbed feed a discharge d <= 20 + n / 2.

    The draw 200 - d + n / 2 is 180 at least, up to d = 100 and n = 160; more power costs the peak.
    """
    product = down(1, room_s=1.0, absorption=np.array([0.5]), expected_absorption=0.5)
    product = replace(product, highest_absorption=0.5)
    cells = battery(500, 100, start_kwh=10.0)
    site = group(1, battery=cells, products=1, demand=100.0)
    numbers = study([10.0], site, services=(product,), terminal=10.0)
    track, ledger = foreseen(numbers)
    assert ledger.grid_kw[0] == pytest.approx(180.0)
    assert track.award_kw[0, 0] == pytest.approx(160.0)
    free = replace(site, demand_per_kw_month=np.zeros(12))
    assert award_of(replace(numbers, groups=(free,))) == pytest.approx(200.0)


@settings(max_examples=25)
@given(start=st.floats(0.0, 50.0), power=st.floats(10.0, 200.0), seconds=st.floats(60.0, 3600.0))
def test_both_ways_is_never_more_than_either_way(
    start: float, power: float, seconds: float
) -> None:
    cells = battery(50, power, start_kwh=start)
    site = group(1, battery=cells, products=1)
    awards = [
        award_of(study([10.0], site, services=(product,), terminal=10.0))
        for product in (
            both(1, sustain_s=seconds, room_s=seconds),
            service(1, sustain_s=seconds),
            down(1, room_s=seconds),
        )
    ]
    assert awards[0] <= min(awards[1:]) + 1e-6
    assert (
        award_of(
            study(
                [10.0],
                site,
                services=(both(1, sustain_s=seconds, room_s=2 * seconds),),
                terminal=10.0,
            )
        )
        <= awards[0] + 1e-6
    )


def test_receding_with_all_known_equals_foresight_both_ways() -> None:
    steps = 2 * DAY
    draw = np.random.default_rng(7)
    prices = (
        15 + 8 * np.sin(np.arange(steps) * 2 * np.pi / DAY) + draw.normal(0, 2, steps)
    ).tolist()
    product = both(steps, price=draw.uniform(0.0, 3.0, steps).tolist())
    numbers = study(
        prices,
        group(steps, battery=battery(150, 60, start_kwh=60, efficiency=0.95), products=1),
        services=(product,),
        terminal=14.0,
        steps_per_day=DAY,
    )
    _, best = foreseen(numbers)
    all_known = Planning(
        forecast="perfect",
        lookahead=(1,) * DAY,
        repair_every=1,
        repair_steps=steps,
        whole_bids=False,
    )
    track = Receding(numbers, all_accepted(numbers), Clock(), all_known).run()
    got = settle(numbers, track)
    hold(numbers, track, got)
    assert got.total == pytest.approx(best.total, rel=1e-6)
    rule = follow_rule(numbers, all_accepted(numbers))
    low = settle(numbers, rule)
    hold(numbers, rule, low)
    assert rule.award_kw.max() > 1.0
    assert absent_of(numbers, rule).max() == pytest.approx(0.0, abs=1e-6)
    assert low.total < best.total


def test_definitions_say_which_way_for_how_long_and_how_much_power() -> None:
    fcr = numbers_of("ce_fcr", {"market.fee": [], "market.price_cap": []}, fee_per_kw=0.0)
    assert (fcr.releases, fcr.absorbs, fcr.sustain_s, fcr.room_s) == (True, True, 900.0, 900.0)
    assert (fcr.opposite, fcr.rated) == (0.0, 1.25)
    london = datetime(2026, 10, 5, tzinfo=ZoneInfo("Europe/London"))
    high = numbers_of("gb_dc_high", first=london, fee_per_kw=0.0, activation_share=0.1)
    assert (high.releases, high.absorbs, high.sustain_s, high.room_s) == (False, True, 0.0, 900.0)
    assert high.opposite == 0.1
    assert (high.activation.max(), high.absorption.min()) == (0.0, 0.1)
    low = numbers_of("gb_dc_low", first=london, fee_per_kw=0.0)
    assert (low.releases, low.absorbs, low.room_s, low.opposite) == (True, False, 0.0, 0.1)
    shares = {"activation_share": 0.1, "absorb_share": 0.3}
    uneven = numbers_of("ce_fcr", fee_per_kw=0.0, **shares)
    assert (uneven.activation.mean(), uneven.absorption.mean()) == pytest.approx((0.1, 0.3))
    with pytest.raises(InputError, match=r"gb_dc_low\.absorb_share.*covers both directions"):
        numbers_of("gb_dc_low", first=london, fee_per_kw=0.0, **shares)


def spec_of(**changes: Any) -> StudySpec:
    return StudySpec.parse({**read_data(EXAMPLE), **changes})


def test_a_product_that_sells_two_directions_apart_is_offered_one_way() -> None:
    plain = read_data(EXAMPLE)
    offer = {**plain["services"][0], "service": "nordic_afrr", "activation_share": 0.1}
    offer |= {
        "values": {"market.gate": {"days_before": 1, "at": "08:00", "time_zone": "Europe/Berlin"}}
    }
    with pytest.raises(InputError, match=r"nordic_afrr\.direction.*release or absorb"):
        build(spec_of(services=[offer]), EXAMPLE.parent)
    one_way = {**plain["services"][0], "direction": "absorb"}
    with pytest.raises(InputError, match=r"ce_fcr\.direction.*release and absorb"):
        build(spec_of(services=[one_way]), EXAMPLE.parent)


def test_money_of_the_site_is_exchanged() -> None:
    plain = {key: value for key, value in read_data(EXAMPLE).items() if key != "exchange"}
    plain["portfolio"][0]["load"] |= {"levels": 1, "share": 1.0}
    plain["services"] = []
    with pytest.raises(InputError, match=r"currency: got 'EUR'.*exchange = \{ JPY"):
        build(StudySpec.parse(plain), EXAMPLE.parent)
    specs = (StudySpec.parse({**plain, "exchange": {"JPY": rate}}) for rate in (0.005, 0.01))
    one, two = (build(spec, EXAMPLE.parent).numbers.groups[0] for spec in specs)
    assert two.revenue_per_h == pytest.approx(2.0 * one.revenue_per_h)
    assert two.lost_per_kwh == pytest.approx(2.0 * one.lost_per_kwh)
    assert one.battery is not None
    assert two.battery is not None
    of_one, of_two = one.battery.problem, two.battery.problem
    assert of_two.wear_per_kwh == pytest.approx(2.0 * of_one.wear_per_kwh)
    for a, b in zip(of_one.depth_segments, of_two.depth_segments, strict=True):
        assert b.price_per_kwh == pytest.approx(2.0 * a.price_per_kwh)
    assert of_two.charge_limit_kw == of_one.charge_limit_kw


def test_the_example_sells_both_ways_and_its_tables_hold(tmp_path: Path) -> None:
    plain = read_data(EXAMPLE)
    policy = {"kind": "receding", "beside": ["myopic"]}
    short = StudySpec.parse({**plain, "period": {**plain["period"], "days": 2}, "policy": policy})
    write_results(run_study(short, EXAMPLE.parent), tmp_path)
    assert recheck(tmp_path) == []


@pytest.mark.parametrize(
    ("product", "wheeling", "award"),
    [
        # half of it is called for half an hour: 1 less 3 / 4 is earned by each kW, and 1 less 5 / 4
        (down(1, room_s=1.0, price=1.0, absorption=np.array([0.5])), 3.0, 100.0),
        (down(1, room_s=1.0, price=1.0, absorption=np.array([0.5])), 5.0, 0.0),
        # what is released wears 10 / 4 and saves the wheeling: 0.6 + 8 / 4 - 10 / 4, and 7 / 4
        (service(1, sustain_s=1.0, price=0.6, activation=0.5), 8.0, 100.0),
        (service(1, sustain_s=1.0, price=0.6, activation=0.5), 7.0, 0.0),
    ],
)
def test_calls_are_planned_with_what_is_paid_besides_the_price(
    product: ServiceNumbers, wheeling: float, award: float
) -> None:
    product = replace(product, energy_per_kwh=np.array([20.0]))
    cells = battery(500, 100, start_kwh=200.0, wear_per_kwh=10.0)
    site = group(1, battery=cells, products=1, wheeling=wheeling)
    numbers = study([20.0], site, services=(product,), terminal=20.0)
    assert award_of(numbers) == pytest.approx(award, abs=1e-6)


@pytest.mark.parametrize("way", ["absorb", "release"])
def test_the_rule_leaves_what_a_contract_holds_the_same_way(way: str) -> None:
    contract = down(DAY, name="own", contract_kw=60.0, room_s=60.0, price=0.0)
    daily = down(DAY, room_s=60.0) if way == "absorb" else service(DAY, sustain_s=60.0)
    site = group(DAY, battery=battery(100, 100, start_kwh=50.0), products=2)
    numbers = study([10.0] * DAY, site, services=(contract, daily), terminal=10.0)
    track = follow_rule(numbers, all_accepted(numbers))
    hold(numbers, track, settle(numbers, track))
    assert track.award_kw[1].max() == pytest.approx(40.0 if way == "absorb" else 100.0)
    assert absent_of(numbers, track)[1].max() == pytest.approx(0.0, abs=1e-6)
