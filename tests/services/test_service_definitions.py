"""Definitions of grid products: facts with evidence, gaps with reasons, values of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ebplan import cli
from ebplan.errors import InputError
from ebplan.services import (
    ServiceDefinition,
    built_in_services,
    load_service,
    needed,
    parse_settings,
    with_values,
)
from ebplan.services.definition import FACTS, WITHOUT_VALUE

SERVICES = [load_service(name) for name in built_in_services()]
LEAST: dict[str, Any] = {
    "kind": "service",
    "id": "own",
    "name": "Own",
    "region": "here",
    "directions": ["release"],
    "trigger": "dispatch",
    "nominal_hz": [50],
}


def test_about_a_dozen_are_shipped_among_them_those_of_japan() -> None:
    assert len(SERVICES) >= 12
    assert {"jp_fcr", "jp_sfrr", "jp_frr", "jp_rr", "jp_rrfit", "jp_capacity_dr"} < set(
        built_in_services()
    )


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.id)
def test_every_fact_says_where_it_comes_from_and_every_gap_why(service: ServiceDefinition) -> None:
    told = [name for entry in service.evidence for name in entry.fields]
    assert sorted(told) == sorted(FACTS)
    for name, value in service.facts().items():
        evidence = service.evidence_of(name)
        assert evidence is not None
        assert (value is None) == (evidence.confidence in WITHOUT_VALUE), name


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.id)
def test_a_definition_round_trips_and_its_name_is_its_file(
    service: ServiceDefinition, tmp_path: Path
) -> None:
    assert service.id in built_in_services()
    file = tmp_path / "service.json"
    file.write_text(service.to_json())
    again = load_service(file)
    assert again == service
    assert again.digest() == service.digest()


def test_numbers_of_the_products_in_our_signs() -> None:
    fcr, dc = load_service("jp_fcr"), load_service("gb_dc_high")
    assert (fcr.directions, fcr.full_activation_s, fcr.sustain_s) == (("release",), 10.0, 300.0)
    assert (fcr.min_bid_kw, fcr.step_kw, fcr.block_s) == (1000.0, 1.0, 1800.0)
    assert fcr.curve is None
    assert dc.directions == ("absorb",)
    assert dc.curve is not None
    assert (dc.curve.dead_band_hz, dc.curve.knee_hz, dc.curve.full_hz) == (0.015, 0.2, 0.5)
    assert load_service("jp_capacity_dr").baseline == "high_4_of_5"


def test_who_needs_an_unknown_value_hears_why_and_how_to_give_it() -> None:
    with pytest.raises(InputError) as caught:
        needed(load_service("jp_fcr"), "tolerance.under")
    line = str(caught.value)
    assert line.startswith("jp_fcr: tolerance.under: got nothing")
    assert "numbers were not read" in line
    assert "--set tolerance.under=0.1" in line


def test_a_given_value_is_used_and_its_evidence_says_so() -> None:
    fcr = load_service("jp_fcr")
    own = with_values(fcr, parse_settings(["tolerance.under=0.1", "baseline=fixed"]))
    assert needed(own, "tolerance.under") == 0.1
    assert needed(own, "baseline") == "fixed"
    given, kept = own.evidence_of("tolerance.under"), own.evidence_of("tolerance.over")
    assert given is not None
    assert given.confidence == "given"
    assert kept is not None
    assert kept.confidence == "unknown"
    assert fcr.tolerance.under is None
    assert with_values(fcr, {}) is fcr


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"tolerance.undr": 0.1}, "did you mean 'tolerance.under'?"),
        ({"tolerance.under": 1.5}, "allowed: <= 1"),
        ({"sustain_s": "long"}, "a number"),
        ({"id": "other"}, "sustain_s"),
    ],
)
def test_a_value_that_cannot_be_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=r"^jp_fcr: ") as caught:
        with_values(load_service("jp_fcr"), values)
    assert told in str(caught.value)


@pytest.mark.parametrize("settings", [["a"], ["=1"], ["a="], ["a=1", "a=2"]])
def test_a_setting_is_name_and_value(settings: list[str]) -> None:
    with pytest.raises(InputError, match="NAME=VALUE"):
        parse_settings(settings)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"directions": []}, "directions: got []"),
        ({"directions": ["release", "release"]}, "each direction once"),
        ({"directions": ["up"]}, "'release' or 'absorb'"),
        ({"initial_delay_s": 5, "full_activation_s": 2}, "<= full_activation_s = 2"),
        ({"min_bid_kw": 5, "max_bid_kw": 2}, "<= max_bid_kw = 2"),
        ({"sustain": 5}, "did you mean 'sustain_s'?"),
        ({"evidence": [{"fields": ["sustain"], "confidence": "memory"}]}, "'sustain'"),
        (
            {"evidence": [{"fields": ["sustain_s", "sustain_s"], "confidence": "memory"}]},
            "name the fact once",
        ),
        ({"evidence": [{"fields": ["sustain_s"], "confidence": "unknown"}]}, "why it is unknown"),
        ({"evidence": [{"fields": ["sustain_s"], "confidence": "high"}]}, "at least one source"),
        (
            {
                "sustain_s": 5,
                "evidence": [{"fields": ["sustain_s"], "confidence": "unknown", "note": "?"}],
            },
            "its evidence calls it unknown",
        ),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        ServiceDefinition.parse({**LEAST, **change}, file="own.toml")
    assert str(caught.value).startswith("own.toml: ")
    assert told in str(caught.value)


def test_a_definition_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in LEAST.items()))
    own = load_service(file)
    assert own.id == "own"
    with pytest.raises(InputError, match="the definition does not say"):
        needed(own, "sustain_s")
    with pytest.raises(InputError, match="a built-in service"):
        load_service("jp_fcrr")


def test_the_command_line_prints_the_schema() -> None:
    done = CliRunner().invoke(cli.main, ["schema", "service"])
    assert done.exit_code == 0
    assert "tolerance" in json.loads(done.output)["properties"]
