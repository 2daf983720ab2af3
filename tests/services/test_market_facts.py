"""What definitions say about money: units, caps by date, clocks, exclusions, tariffs."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ebplan import cli
from ebplan.errors import InputError
from ebplan.services import (
    PriceUnit,
    ServiceDefinition,
    TariffDefinition,
    at_date,
    built_in_services,
    built_in_tariffs,
    load_service,
    load_tariff,
    needed,
    with_values,
)
from ebplan.services.evidence import WITHOUT_VALUE
from ebplan.services.market import Market, composite_kw
from ebplan.services.tariff import scarcity_at

SERVICES = [load_service(name) for name in built_in_services()]
TARIFFS = [load_tariff(name) for name in built_in_tariffs()]
OWN: dict[str, Any] = {
    "kind": "service",
    "id": "own",
    "name": "Own",
    "region": "here",
    "directions": ["release"],
    "trigger": "dispatch",
    "nominal_hz": [50],
}


@pytest.mark.parametrize(
    ("text", "currency", "kind", "factor"),
    [
        ("JPY/kW/30min", "JPY", "capacity", 2.0),
        ("JPY/ΔkW·30min", "JPY", "capacity", 2.0),
        ("¥/kWh", "JPY", "energy", 1.0),
        ("EUR/MW/4h", "EUR", "capacity", 1.0 / 4000.0),
        ("GBP/MW/h", "GBP", "capacity", 0.001),
        ("USD/MW/day", "USD", "capacity", 1.0 / 24_000.0),
        ("JPY/kW/year", "JPY", "capacity", 1.0 / 8760.0),
        ("JPY/kW/month", "JPY", "capacity", 1.0 / 730.0),
        ("EUR/MWh", "EUR", "energy", 0.001),
    ],
)
def test_units_come_to_money_per_kw_and_hour_or_per_kwh(
    text: str, currency: str, kind: str, factor: float
) -> None:
    unit = PriceUnit.parse(text)
    assert (unit.currency, unit.kind) == (currency, kind)
    assert unit.factor == pytest.approx(factor, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "JPY", "JPY/kW", "kW/JPY", "JPY/kW/0h", "yen/kWh", "JPY/kW/h/h", "JPY/kW/1.5h"]
)
def test_what_is_no_unit_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError, match="JPY/kW/30min"):
        PriceUnit.parse(text)


@given(hours=st.integers(1, 24), kw=st.sampled_from(["kW", "MW"]))
def test_a_longer_block_at_the_same_price_pays_less_per_hour(hours: int, kw: str) -> None:
    one, many = PriceUnit.parse(f"EUR/{kw}/h"), PriceUnit.parse(f"EUR/{kw}/{hours}h")
    assert many.factor * hours == pytest.approx(one.factor)


def test_a_mean_price_of_one_month_in_2026_is_6_5_yen_per_kw_and_hour() -> None:
    market = load_service("jp_fcr").market
    assert market.price_examples is not None
    first = market.price_examples[0]
    assert first.value * PriceUnit.parse(first.unit).factor == pytest.approx(6.54)


@pytest.mark.parametrize("name", ["jp_fcr", "jp_sfrr", "jp_composite"])
@pytest.mark.parametrize(
    ("day", "cap"),
    [
        ("2024-03-31", None),
        ("2024-04-01", 19.51),
        ("2026-03-13", 19.51),
        ("2026-03-14", 15.0),
        ("2026-08-31", 15.0),
        ("2026-09-01", 10.0),
        ("2030-01-01", 10.0),
    ],
)
def test_the_cap_of_japan_holds_by_date(name: str, day: str, cap: float | None) -> None:
    assert at_date(load_service(name).market.price_cap, date.fromisoformat(day)) == cap


def test_the_spot_position_is_fixed_before_the_reserve_bid() -> None:
    day = date(2026, 10, 5)
    spot, fcr = load_tariff("jp_jepx_spot").market, load_service("jp_fcr").market
    assert spot.gate is not None
    assert spot.award is not None
    assert fcr.gate is not None
    assert fcr.award is not None
    order = [one.moment(day) for one in (spot.gate, spot.award, fcr.gate, fcr.award)]
    assert order == sorted(order)
    assert order[0] == datetime(2026, 10, 4, 1, tzinfo=UTC)


def test_a_kw_is_in_one_of_two_exclusive_products_and_both_say_so() -> None:
    for one in SERVICES:
        for other in one.market.exclusive_with or ():
            assert one.id in (load_service(other).market.exclusive_with or ()), (one.id, other)


def test_a_composite_award_is_the_largest_of_its_members() -> None:
    members = load_service("jp_composite").market.members
    assert members == ("jp_fcr", "jp_sfrr", "jp_frr", "jp_rr")
    assert composite_kw([1000.0, 3000.0, 2000.0]) == 3000.0
    assert composite_kw([]) == 0.0


@pytest.mark.parametrize("service", SERVICES, ids=lambda one: one.id)
def test_what_is_held_is_never_shorter_than_what_must_be_sustained(
    service: ServiceDefinition,
) -> None:
    sustain_s, market = service.sustain_s, service.market
    held = [h for h in (market.reservoir_release_h, market.reservoir_absorb_h) if h]
    # the 4 h of aFRR are the block; how much of it is called at once is practice, not rule;
    # ERCOT clears 30 min of charge for 15 min of response
    if sustain_s is None or service.id.startswith("ce_afrr"):
        return
    for hours in held:
        assert hours * 3600.0 >= sustain_s - 1e-6


@pytest.mark.parametrize("tariff", TARIFFS, ids=lambda one: one.id)
def test_every_fact_of_a_tariff_says_where_it_comes_from(
    tariff: TariffDefinition, tmp_path: Path
) -> None:
    told = [name for entry in tariff.evidence for name in entry.fields]
    assert sorted(told) == sorted(tariff.fact_names())
    for name, value in tariff.facts().items():
        evidence = tariff.evidence_of(name)
        assert evidence is not None
        assert (value is None) == (evidence.confidence in WITHOUT_VALUE), name
    file = tmp_path / "tariff.json"
    file.write_text(tariff.to_json())
    assert load_tariff(file) == tariff


def test_the_scarcity_price_rises_as_reserve_falls_and_by_date() -> None:
    imbalance = load_tariff("jp_imbalance")
    before, after = (
        scarcity_at(imbalance, date(2026, 9, 30)),
        scarcity_at(imbalance, date(2026, 10, 1)),
    )
    assert before is not None
    assert after is not None
    assert [before.price(m) for m in (0.0, 0.03, 0.08, 0.10, 0.2)] == [200, 200, 45, 0, 0]
    assert [after.price(m) for m in (0.03, 0.055, 0.08)] == pytest.approx([300.0, 175.0, 50.0])
    assert scarcity_at(imbalance, date(2020, 1, 1)) is None


def test_the_demand_charge_of_tokyo_rises_in_november() -> None:
    tariff = load_tariff("jp_wheeling_tepco_xhv")
    assert at_date(tariff.rate, date(2026, 10, 31)) == 423.39
    assert at_date(tariff.rate, date(2026, 11, 1)) == 446.25


def test_who_needs_an_unknown_market_fact_hears_why_and_a_range_says_what_is_plausible() -> None:
    fcr = load_service("jp_fcr")
    with pytest.raises(InputError, match="energy of a call") as caught:
        needed(fcr, "market.energy_rule")
    assert "--set market.energy_rule" in str(caught.value)
    plausible = fcr.range_of("market.penalty_multiple")
    assert plausible is not None
    assert plausible.low <= 1.5 <= plausible.high
    given = with_values(fcr, {"market.penalty_multiple": 1.5})
    assert given.range_of("market.penalty_multiple") is None
    assert given.market.penalty_multiple == 1.5


@pytest.mark.parametrize(
    ("market", "told"),
    [
        ({"currency": "JPY", "capacity_unit": "EUR/MW/h"}, "a price of capacity in JPY"),
        ({"currency": "JPY", "energy_unit": "JPY/kW/h"}, "a price of energy in JPY"),
        ({"currency": "JPY", "capacity_unit": "yen"}, "e.g. JPY/kWh"),
        ({"currency": "yen"}, "market.currency"),
        (
            {
                "price_cap": [
                    {"from_date": "2026-09-01", "price": 10.0},
                    {"from_date": "2026-03-14", "price": 15.0},
                ]
            },
            "dates that rise",
        ),
        ({"gate": {"days_before": 1, "at": "25:00", "time_zone": "Asia/Tokyo"}}, "market.gate.at"),
        ({"gate": {"days_before": 1, "at": "14:00", "time_zone": "Tokyo"}}, "IANA"),
        ({"pays": ["tips"]}, "market.pays"),
    ],
)
def test_market_facts_that_contradict_are_refused(market: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        ServiceDefinition.parse({**OWN, "market": market}, file="own.toml")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("ranged", "told"),
    [
        ({"fact": "sustain_s", "value": 5, "low": 6, "high": 7, "why": "assumed"}, "between low"),
        ({"fact": "sustain", "value": 6, "low": 6, "high": 7, "why": "assumed"}, "without a value"),
    ],
)
def test_a_range_is_ordered_and_of_an_unknown_fact(ranged: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        ServiceDefinition.parse({**OWN, "ranges": [ranged]}, file="own.toml")
    assert told in str(caught.value)


def test_a_definition_without_market_facts_is_still_one() -> None:
    assert ServiceDefinition.parse(OWN).market == Market()


def test_the_command_line_prints_the_schema_of_tariffs() -> None:
    done = CliRunner().invoke(cli.main, ["schema", "tariff"])
    assert done.exit_code == 0
    assert "scarcity" in json.loads(done.output)["properties"]


def test_an_unknown_tariff_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="jp_jepx_spot"):
        load_tariff("jepx")
