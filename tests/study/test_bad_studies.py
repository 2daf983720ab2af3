"""What is wrong with a study is one line that names it, before anything is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ebplan.errors import InputError
from ebplan.study.asked import Frontiers
from ebplan.study.build import build
from ebplan.study.frontier import Frontier
from ebplan.study.spec import StudySpec

FCR: dict[str, Any] = {
    "service": "jp_fcr",
    "price_per_kw": 3.0,
    "activation_share": 0.0,
    "energy_per_kwh": "none",
    "penalty_per_kwh": 0.0,
    "award_probability": 1.0,
}


class NoFrontier(Frontiers):
    """Compute that can do nothing: what is looked at here is decided before."""

    def of(self, site: Any, loads: Any, activations_s: Any, without: Any) -> list[Frontier]:
        return [Frontier(4.0, (), dict.fromkeys(activations_s, 0.0)) for _ in loads]


def document(**change: Any) -> dict[str, Any]:
    return {
        "kind": "study",
        "name": "bench",
        "currency": "JPY",
        "seed": 1,
        "period": {"start": "2026-10-05", "days": 1, "time_zone": "Asia/Tokyo"},
        "portfolio": [
            {
                "name": "bench",
                "site": "powerd-lab-phase-a",
                "count": 250,
                "load": {
                    "nominal_req_per_s": {"llama70b": {"interactive": 22.8, "batch": 8.0}},
                    "share": 1.0,
                },
                "demand_per_kw_month": 0.0,
            }
        ],
        "market": {
            "spot_per_kwh": 12.0,
            "imbalance_per_kwh": "spot",
            "intraday_spread_per_kwh": 0.5,
            "day_ahead": "jp_jepx_spot",
        },
        "services": [FCR],
        "policy": {"kind": "receding"},
        **change,
    }


def told(folder: Path, **change: Any) -> str:
    with pytest.raises(InputError) as caught:
        build(StudySpec.parse(document(**change)), folder, frontiers=NoFrontier())
    return str(caught.value)


def market(**change: Any) -> dict[str, Any]:
    return {**document()["market"], **change}


def test_the_study_itself_is_right(tmp_path: Path) -> None:
    built = build(StudySpec.parse(document()), tmp_path, frontiers=NoFrontier())
    assert built.numbers.steps == 48


def hourly(values: list[str], folder: Path, unit: str = "JPY/kWh") -> dict[str, Any]:
    rows = [f"2026-10-05T{h:02d}:00+09:00,{v}" for h, v in enumerate(values)]
    (folder / "p.csv").write_text("t,p\n" + "\n".join(rows) + "\n")
    return {
        "file": "p.csv",
        "column": "p",
        "unit": unit,
        "time": "t",
        "time_zone": "Asia/Tokyo",
        "step_s": 3600,
    }


@pytest.mark.parametrize(
    ("values", "unit", "said"),
    [
        (["12"] * 11 + [""] + ["12"] * 12, "JPY/kWh", "gap"),
        (["12"] * 24, "EUR/kWh", "a price in JPY"),
        (["12"] * 24, "JPY/MWh", "is it a price per MWh"),
        (["12"] * 24, "JPY/kW/h", "a price of energy"),
    ],
)
def test_a_file_of_prices_that_cannot_be_used(
    tmp_path: Path, values: list[str], unit: str, said: str
) -> None:
    assert said in told(tmp_path, market=market(spot_per_kwh=hourly(values, tmp_path, unit)))


@pytest.mark.parametrize("spot", [12_000.0, 0.012, {"by_hour": [12_000.0] * 24}])
def test_a_bare_price_for_megawatt_hours_is_refused(tmp_path: Path, spot: Any) -> None:
    assert "is it a price per MWh, or per kWh?" in told(tmp_path, market=market(spot_per_kwh=spot))


def test_prices_below_zero_are_used_and_counted(tmp_path: Path) -> None:
    file = hourly(["-3"] * 6 + ["12"] * 18, tmp_path)
    spec = StudySpec.parse(document(market=market(spot_per_kwh=file)))
    built = build(spec, tmp_path, frontiers=NoFrontier())
    assert built.series[0].negative == 12
    assert (built.numbers.market.spot_per_kwh < 0.0).sum() == 12


def test_a_price_for_an_hour_where_the_market_pays_half_hours_is_above_its_cap(
    tmp_path: Path,
) -> None:
    # a declared unit is converted: 13 for an hour are 6.5 for half of one; a bare 13 is refused
    fair = {**FCR, "price_per_kw": hourly(["13"] * 24, tmp_path, "JPY/kW/h")}
    built = build(StudySpec.parse(document(services=[fair])), tmp_path, frontiers=NoFrontier())
    assert set(built.numbers.services[0].price_per_kw.tolist()) == {6.5}
    assert "the cap of the product" in told(tmp_path, services=[{**FCR, "price_per_kw": 13.0}])


def test_sites_and_study_have_one_currency(tmp_path: Path) -> None:
    euro = {"currency": "EUR", "services": [], "policy": {"kind": "myopic"}}
    near = market(spot_per_kwh=0.1)
    assert "a tariff in EUR" in told(tmp_path, market=near, **euro)
    del near["day_ahead"]
    assert "JPY, the currency of the site" in told(tmp_path, market=near, **euro)


def test_a_period_in_which_clocks_are_changed_is_refused(tmp_path: Path) -> None:
    period = {"start": "2026-10-20", "days": 10, "time_zone": "Europe/Berlin"}
    assert "clocks are not changed" in told(tmp_path, period=period)


@pytest.mark.parametrize("share", [1.5, -0.1])
def test_a_share_is_one(tmp_path: Path, share: float) -> None:
    said = told(tmp_path, services=[{**FCR, "activation_share": share}])
    assert "0 to 1, a share of the award" in said


def test_an_unknown_product_is_refused_with_those_there_are(tmp_path: Path) -> None:
    assert "jp_fcr" in told(tmp_path, services=[{**FCR, "service": "jp_fcrr"}])


def test_carbon_with_a_price_needs_an_amount() -> None:
    with pytest.raises(InputError, match="carbon_kg_per_kwh"):
        StudySpec.parse(document(market=market(carbon_per_kg=4.0)))


def test_a_frequency_calls_by_the_curve_of_the_product(tmp_path: Path) -> None:
    # a quarter of each hour 0.2 Hz below: the whole award by a curve that is full there
    t = np.arange(0.0, 86_400.0 + 900.0, 900.0)
    low = np.arange(len(t)) % 4 == 1
    edges = [
        f"{a:g},{50.0 - 0.2 * on}\n{a + 899.9:g},{50.0 - 0.2 * on}"
        for a, on in zip(t, low, strict=True)
    ]
    (tmp_path / "hz.csv").write_text("t_s,freq_hz\n" + "\n".join(edges) + "\n")
    trace = {"frequency": "hz.csv", "nominal_hz": 50.0}
    curve = {"curve": {"shape": "droop", "dead_band_hz": 0.01, "full_hz": 0.2}}
    service = {**FCR, "activation_share": trace, "values": curve}
    built = build(StudySpec.parse(document(services=[service])), tmp_path, frontiers=NoFrontier())
    share = built.numbers.services[0].activation
    assert share.mean() == pytest.approx(0.25, abs=1e-3)
    assert built.series[0].unit == "Hz"
    assert "services.jp_fcr.values.curve" in told(
        tmp_path, services=[{**FCR, "activation_share": trace}]
    )
    assert "give the frequency to activation_share" in told(
        tmp_path, market=market(spot_per_kwh=trace)
    )


BELOW = {"value": 1.0, "low": -1.0, "high": 2.0, "why": "assumed"}


@pytest.mark.parametrize("wrong", [-1.0, BELOW])
@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("services", "penalty_per_kwh"),
        ("services", "fee_per_kw"),
        ("services", "unavailable_times"),
        ("services", "price_times"),
        ("portfolio", "demand_per_kw_month"),
        ("portfolio", "wear"),
        ("market", "intraday_spread_per_kwh"),
        ("market", "carbon_per_kg"),
        ("economics", "capex_per_kwh"),
        ("economics", "opex_per_kw_year"),
        ("economics", "discount_rate"),
    ],
)
def test_what_is_paid_has_no_sign(part: str, field: str, wrong: Any) -> None:
    with pytest.raises(InputError, match=rf"{field}.*got -1.*allowed: (>= 0|0 to 1)"):
        StudySpec.parse(changed(part, field, wrong))


@pytest.mark.parametrize("wrong", [5.0, {"value": 0.5, "low": 0.1, "high": 5.0, "why": "assumed"}])
@pytest.mark.parametrize(
    ("part", "field"), [("services", "award_probability"), ("economics", "discount_rate")]
)
def test_a_share_in_percent_is_refused(part: str, field: str, wrong: Any) -> None:
    with pytest.raises(InputError, match=rf"{field}.*got 5.*allowed: 0 to 1"):
        StudySpec.parse(changed(part, field, wrong))


def changed(part: str, field: str, value: Any) -> dict[str, Any]:
    """Return the study with one field of a part, or of its first entry, otherwise."""
    whole = document()
    inner = whole.get(part, ECONOMICS)
    one = {**(inner[0] if isinstance(inner, list) else inner), field: value}
    return {**whole, part: [one] if isinstance(inner, list) else one}


ECONOMICS: dict[str, Any] = {
    "capex_per_kwh": 1.0,
    "capex_per_kw": 1.0,
    "replacement_per_kwh": 1.0,
    "opex_per_kw_year": 1.0,
    "discount_rate": 0.05,
    "lifetime_years": 20,
    "temperature_c": 25.0,
}


@pytest.mark.parametrize("wrong", [431.0, -0.1])
def test_carbon_in_grams_is_refused(tmp_path: Path, wrong: float) -> None:
    said = told(tmp_path, market=market(carbon_kg_per_kwh=wrong, carbon_per_kg=3.0))
    assert "market.carbon_kg_per_kwh" in said
    assert "are these grams?" in said


def test_a_contract_above_all_there_is_is_refused(tmp_path: Path) -> None:
    yearly = {**FCR, "service": "jp_capacity_dr", "contract_kw": 1e6, "price_per_kw": 1.0}
    said = told(tmp_path, services=[{**yearly, "unavailable_times": 1.0, "fee_per_kw": 0.0}])
    assert "services.jp_capacity_dr.contract_kw" in said
    assert "allowed: up to" in said
