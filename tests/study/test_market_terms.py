"""What the definition of a product says about its market decides what a study does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from study_cases import all_accepted, battery, group, service, study

from ebplan.errors import InputError
from ebplan.services import built_in_services, load_service, with_values
from ebplan.study.clock import Clock, Planning
from ebplan.study.completed import completed, definitions_of
from ebplan.study.corners import corners
from ebplan.study.foresight import foresee
from ebplan.study.ledger import settle
from ebplan.study.myopic import follow_rule
from ebplan.study.numbers import Gate, MarketNumbers, ServiceNumbers, StudyNumbers
from ebplan.study.offered import offered
from ebplan.study.receding import Receding
from ebplan.study.run import accepted, load_study
from ebplan.study.spec import Service, StudySpec

WEEK = Path(__file__).parents[2] / "examples" / "study_week.toml"
DAY = 48
MONDAY = datetime(2026, 10, 5, tzinfo=ZoneInfo("Asia/Tokyo"))
SAID: dict[str, Any] = {
    "activation_share": 0.0,
    "energy_per_kwh": "none",
    "penalty_per_kwh": 0.0,
    "award_probability": 1.0,
    "unavailable_times": 1.0,
}


def numbers_of(
    name: str,
    values: dict[str, Any] | None = None,
    *,
    first: datetime = MONDAY,
    days: int = 7,
    by_clock: bool = False,
    **said: Any,
) -> ServiceNumbers:
    stated = Service.parse({"service": name, "price_per_kw": 1.0, **SAID, **said})
    definition = with_values(load_service(name), values or {})
    starts = [first + timedelta(minutes=30) * i for i in range(DAY * days)]
    ten = np.full(len(starts), 10.0)
    market = MarketNumbers(ten, ten, 0.0, np.zeros(len(starts)), 0.0)

    def series(one: Any, field: str) -> Any:
        value = getattr(one, "value", one)
        return np.array(value) if isinstance(value, list) else np.full(len(starts), float(value))

    return offered(stated, definition, market, starts, 1800, series, by_clock=by_clock)


def test_gates_come_from_the_file_of_the_product() -> None:
    assert numbers_of("jp_fcr", by_clock=True).gate == Gate(bid=28, known=30)
    earlier = {"days_before": 1, "at": "09:15", "time_zone": "Asia/Tokyo"}
    moved = numbers_of("jp_fcr", {"market.gate": earlier}, by_clock=True)
    assert moved.gate == Gate(bid=18, known=30)


def test_a_gate_that_nobody_knows_stops_only_who_goes_by_the_clock() -> None:
    facts = {"step_kw": 1.0, "block_s": 3600.0}
    assert numbers_of("ercot_ecrs", facts, fee_per_kw=0.0).gate is None
    with pytest.raises(InputError, match=r"market\.gate.*give it in the study: values"):
        numbers_of("ercot_ecrs", facts, fee_per_kw=0.0, by_clock=True)


def test_a_gate_of_the_week_before_is_refused() -> None:
    early = {"days_before": 7, "at": "14:00", "time_zone": "Asia/Tokyo"}
    with pytest.raises(InputError, match="a study bids day by day"):
        numbers_of("jp_fcr", {"market.gate": early}, by_clock=True)


def test_an_unknown_fact_is_refused_with_its_reason() -> None:
    with pytest.raises(InputError, match=r"services\.ercot_ers_10\.values\.sustain_s.*unknown"):
        numbers_of("ercot_ers_10")


def test_a_named_range_stands_in_for_an_unknown_fact_and_has_two_corners() -> None:
    spec = load_study(WEEK)
    assert spec.services[0].unavailable_times is None
    whole = completed(spec, definitions_of(spec, WEEK.parent))
    assert whole.services[0].unavailable_times is not None
    found = dict(corners(whole))
    low = found["services.0.unavailable_times:low"].services[0].unavailable_times
    high = found["services.0.unavailable_times:high"].services[0].unavailable_times
    assert (low, high) == (1.0, 3.0)


def test_without_value_and_range_a_penalty_is_refused_with_the_reason() -> None:
    spec = load_study(WEEK)
    bare = spec.services[0].model_copy(update={"service": "nordic_fcr_n"})
    bare_spec = spec.model_copy(update={"services": (bare,), "currency": "EUR"})
    with pytest.raises(InputError, match=r"unavailable_times.*the definition knows none"):
        completed(bare_spec, definitions_of(bare_spec, WEEK.parent))


def test_another_currency_is_refused() -> None:
    spec = load_study(WEEK)
    other = spec.services[0].model_copy(update={"service": "ce_fcr"})
    with pytest.raises(InputError, match="got 'EUR'; allowed: a product paid in JPY"):
        definitions_of(spec.model_copy(update={"services": (other,)}), WEEK.parent)


@pytest.mark.parametrize(
    "said",
    [
        {"price_per_kw": 10.1},
        {"price_per_kw": 5.0, "price_times": 2.1},
        {"price_per_kw": {"value": 9.0, "low": 1.0, "high": 11.0, "why": "assumed"}},
        {
            "price_per_kw": 5.0,
            "price_times": {"value": 1.0, "low": 0.5, "high": 3.0, "why": "assumed"},
        },
    ],
)
def test_a_price_above_the_cap_of_its_day_is_refused_at_every_end(said: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the cap of the product on 2026-10-05"):
        numbers_of("jp_fcr", **said)


def test_prices_are_cut_down_to_the_cap_of_their_date_where_that_is_asked_and_counted() -> None:
    # until August 15 yen, from September on 10
    first = datetime(2026, 8, 31, tzinfo=ZoneInfo("Asia/Tokyo"))
    cut = numbers_of("jp_fcr", first=first, days=2, price_per_kw=12.0, above_cap="clip")
    assert cut.price_per_kw[[0, 47, 48]].tolist() == [12.0, 12.0, 10.0]
    assert cut.clipped == 48


def test_the_fee_is_that_of_the_definition_by_date() -> None:
    assert set(numbers_of("jp_fcr").fee_per_kw.tolist()) == {0.03}
    before = datetime(2025, 3, 31, tzinfo=ZoneInfo("Asia/Tokyo"))
    with pytest.raises(InputError, match="the first known is of 2025-04-01"):
        numbers_of("jp_fcr", first=before)


def test_a_composite_award_is_as_fast_as_the_fastest_and_as_long_as_the_longest() -> None:
    found = numbers_of("jp_composite", members=["jp_fcr", "jp_rr"])
    assert (found.activation_s, found.sustain_s) == (10.0, 1800.0)
    slow = numbers_of("jp_composite", members=["jp_frr", "jp_rr"])
    assert (slow.activation_s, slow.sustain_s) == (300.0, 1800.0)
    for members in ([], ["jp_fcr"], ["jp_fcr", "jp_rrfit"]):
        with pytest.raises(InputError, match=r"jp_composite\.members"):
            numbers_of("jp_composite", members=members)


def test_the_same_kw_is_never_sold_to_two_products() -> None:
    # 100 kW of power and energy for all: two products that exclude each other get 100 together
    cells = battery(500, 100, start_kwh=500)
    both = (service(1, name="one", price=3.0), service(1, name="two", price=2.0))
    numbers = study([10], group(1, battery=cells, products=2), services=both, terminal=10.0)
    track = foresee(numbers, all_accepted(numbers))
    assert track.award_kw.sum() == pytest.approx(100.0)
    assert track.award_kw[0, 0] == pytest.approx(100.0)


def test_more_energy_is_held_where_the_market_asks_for_more_than_the_time_to_sustain() -> None:
    given = {"market.reservoir_release_h": 0.25}
    assert numbers_of("jp_fcr").sustain_s == pytest.approx(300.0)
    assert numbers_of("jp_fcr", given).sustain_s == pytest.approx(900.0)


def test_drawing_more_is_paid_by_no_product_of_japan() -> None:
    names = [name for name in built_in_services() if name.startswith("jp_")]
    assert len(names) > 5
    assert {load_service(name).directions for name in names} == {("release",)}
    # a battery that could absorb all day, at a level price: nothing is earned
    numbers = study([10.0] * 4, group(4, battery=battery(500, 100)), terminal=10.0)
    ledger = settle(numbers, foresee(numbers, all_accepted(numbers)))
    assert ledger.total == pytest.approx(ledger.layer("inference").sum())


def test_a_notice_gives_compute_time() -> None:
    found = numbers_of("jp_capacity_dr", contract_kw=1000.0)
    assert found.activation_s == 3 * 3600.0


def test_a_contract_is_held_on_weekdays_and_paid_for_the_whole_time() -> None:
    found = numbers_of("jp_capacity_dr", contract_kw=1000.0, price_per_kw=2.0)
    assert found.held.sum() == 5 * 11 * 2
    assert (found.held * found.price_per_kw).sum() == pytest.approx(2.0 * 7 * DAY)
    with pytest.raises(InputError, match="it is paid by the year"):
        numbers_of("jp_capacity_dr")
    with pytest.raises(InputError, match="the product is bid by the day"):
        numbers_of("jp_fcr", contract_kw=5.0)


def contracted(days: int = 2) -> StudyNumbers:
    steps = DAY * days
    cells = battery(200, 100, start_kwh=200)
    hours = np.tile([0.0] * 18 + [1.0] * 22 + [0.0] * 8, days)
    product = service(
        steps,
        sustain_s=3600.0,
        activation_s=600.0,
        price=1.0,
        held=hours,
        contract_kw=40.0,
        unavailable_times=1.0,
    )
    prices = np.tile([8.0] * 16 + [12.0] * 16 + [20.0] * 16, days).tolist()
    sites = group(steps, battery=cells, products=1)
    return study(prices, sites, services=(product,), terminal=10.0, steps_per_day=DAY)


@pytest.mark.parametrize("policy", ["foresight", "receding", "rule"])
def test_what_is_contracted_is_held_by_every_policy(policy: str) -> None:
    numbers = contracted()
    taken = all_accepted(numbers)
    if policy == "foresight":
        track = foresee(numbers, taken)
    elif policy == "receding":
        track = Receding(numbers, taken, Clock(), Planning()).run()
    else:
        track = follow_rule(numbers, taken)
    assert track.award_kw[0] == pytest.approx(40.0 * numbers.services[0].held)
    if policy != "rule":
        ledger = settle(numbers, track)
        assert ledger.of["penalty", "fcr.unavailable"].sum() == pytest.approx(0.0)


def test_one_bid_covers_a_block() -> None:
    # prices differ by half-hour, the award of four hours does not
    draw = np.random.default_rng(3)
    steps = 2 * DAY
    cells = battery(60, 100, start_kwh=30)
    product = service(
        steps, sustain_s=1800.0, price=draw.uniform(0.0, 5.0, steps).tolist(), block=8
    )
    prices = (15 + 8 * np.sin(np.arange(steps) * 2 * np.pi / DAY)).tolist()
    numbers = study(
        prices,
        group(steps, battery=cells, products=1),
        services=(product,),
        terminal=14.0,
        steps_per_day=DAY,
    )
    lots = accepted(replace(numbers, services=(replace(product, award_probability=0.5),)), 1)
    assert (np.ptp(lots.reshape(-1, 8), axis=1) == 0.0).all()
    for track in (
        foresee(numbers, lots),
        Receding(numbers, lots, Clock(), Planning()).run(),
        follow_rule(numbers, lots),
    ):
        blocks = track.award_kw.reshape(-1, 8)
        assert np.ptp(blocks, axis=1) == pytest.approx(0.0, abs=1e-6)
        assert blocks.max() > 1.0


def test_an_award_is_not_known_before_its_hour() -> None:
    # the lots of the second day differ: nothing that is done before 15:00 on the first does
    steps = 2 * DAY
    cells = battery(60, 100, start_kwh=30)
    prices = (15 + 8 * np.sin(np.arange(steps) * 2 * np.pi / DAY)).tolist()
    numbers = study(
        prices,
        group(steps, battery=cells, products=1),
        services=(service(steps, price=3.0, award_probability=0.5),),
        terminal=14.0,
        steps_per_day=DAY,
    )
    all_taken, none = np.ones((1, steps)), np.ones((1, steps))
    none[:, DAY:] = 0.0
    tracks = [
        Receding(numbers, lots, Clock(), Planning(repair_every=1)).run()
        for lots in (all_taken, none)
    ]
    one, two = (track.groups[0].energy_kwh for track in tracks)
    assert np.array_equal(one[:31], two[:31])
    assert tracks[1].award_kw[0, DAY:].max() == 0.0


def test_a_product_may_close_before_the_day_ahead_market() -> None:
    steps = 2 * DAY
    cells = battery(60, 100, start_kwh=30)
    prices = (15 + 8 * np.sin(np.arange(steps) * 2 * np.pi / DAY)).tolist()
    early = service(steps, price=3.0, gate=Gate(bid=16, known=18))
    numbers = study(
        prices,
        group(steps, battery=cells, products=1),
        services=(early,),
        terminal=14.0,
        steps_per_day=DAY,
    )
    track = Receding(numbers, all_accepted(numbers), Clock(), Planning()).run()
    assert track.award_kw[0, DAY:].max() > 0.0


def test_a_study_by_the_clock_needs_a_day_ahead_market() -> None:
    from ebplan.study.build import build

    spec: StudySpec = load_study(WEEK)
    market = spec.market.model_copy(update={"day_ahead": None})
    with pytest.raises(InputError, match=r"market\.day_ahead"):
        build(spec.model_copy(update={"market": market}), WEEK.parent)


def test_the_demand_charge_of_a_tariff_holds_by_date() -> None:
    from ebplan.study.tariffs import demand_of

    starts = [datetime(2026, month, 1, tzinfo=ZoneInfo("Asia/Tokyo")) for month in (10, 11)]
    spec = load_study(WEEK)
    assert demand_of(spec.portfolio[0], WEEK.parent, starts).tolist() == [423.39, 446.25]


def test_the_fee_of_a_contract_is_paid_for_the_whole_time_like_its_price() -> None:
    found = numbers_of("jp_capacity_dr", contract_kw=1000.0, price_per_kw=2.0, fee_per_kw=0.1)
    assert (found.held * found.fee_per_kw).sum() == pytest.approx(0.1 * 7 * DAY)
