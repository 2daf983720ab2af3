"""A fit reads each column that it is given, or refuses it; tokens are those measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from fit_specs import FLEET, described, refusal, serving, spec, sweep

from ebplan.models.fit.quantities import LABELS, QUANTITIES
from ebplan.models.fit.spec import FITS, run_spec


def cell(name: str, i: int) -> object:
    return "x" if name in LABELS else float(i + 1)


@pytest.mark.parametrize("fit", FITS)
def test_a_column_that_a_fit_does_not_read_is_refused(tmp_path: Path, fit: str) -> None:
    """Every quantity there is: read, or refused with what is read and by whom."""
    for name in {*QUANTITIES, *LABELS} - set(FITS[fit].columns):
        table = {
            column: [cell(column, i) for i in range(6)] for column in (*FITS[fit].columns, name)
        }
        said = refusal(spec(tmp_path, fit, table, {}))
        assert f"fit.toml: columns.{name}: got '{name}'" in said
        assert ", ".join(FITS[fit].columns) in said
        assert "remove the line" in said


def test_a_column_of_another_fit_names_that_fit_and_a_slip_its_near_one(tmp_path: Path) -> None:
    said = refusal(spec(tmp_path, "caps", {**sweep(), "itl": [1.0] * 6}, {}))
    assert "read by fit = 'serving', 'fleet'" in said
    table = sweep()
    said = refusal(spec(tmp_path, "caps", {"troughput": table.pop("throughput"), **table}, {}))
    assert "did you mean 'throughput'?" in said


@pytest.mark.parametrize("fit", ["serving", "fleet"])
def test_measured_tokens_are_the_workload(tmp_path: Path, fit: str) -> None:
    table = {**serving(), "tokens_out": [590.0, 600.0, 600.0, 605.0, 610.0, 700.0]}
    more = FLEET if fit == "fleet" else ""
    stated = run_spec(spec(tmp_path, fit, serving(), {}, more + described(tokens="tokens_out=600")))
    taken = run_spec(spec(tmp_path, fit, table, {}, more + described(tokens="")))
    if fit == "serving":
        assert taken.configuration("a").configuration.tokens_out == pytest.approx(602.5)
        assert taken.power_kw("a", 48.0).mean == pytest.approx(
            stated.power_kw("a", 48.0).mean, rel=0.01
        )
    else:
        assert taken.workloads["chat"].tokens_out_per_request == pytest.approx(602.5)
    ranges = {v.name: (v.low, v.high) for v in taken.card.validity}
    assert ranges["output tokens of a request, a"] == (590.0, 700.0)
    assert any("602.5 a request" in f.text for f in taken.card.findings)


def test_tokens_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    table = {**serving(), "tokens_out": [600.0] * 6}
    said = refusal(spec(tmp_path, "serving", table, {}))
    assert "fit.toml: options.configurations.0.tokens_out: got 400.0" in said
    assert "within 5% of 600" in said
    assert run_spec(spec(tmp_path, "serving", table, {}, described(tokens="tokens_out = 615.0")))


def test_tokens_that_nobody_says_are_asked_for(tmp_path: Path) -> None:
    said = refusal(spec(tmp_path, "serving", serving(), {}, described(tokens="")))
    assert "fit.toml: options.configurations.0.tokens_out: got nothing" in said
    assert "map the column tokens_out" in said


@pytest.mark.parametrize("column", ["tokens_out", "tokens_in"])
def test_runs_of_several_lengths_are_no_one_workload(tmp_path: Path, column: str) -> None:
    table = {**serving(), column: [100.0, 100.0, 100.0, 2000.0, 2000.0, 2000.0]}
    said = refusal(spec(tmp_path, "serving", table, {}, described()))
    assert f"table.csv: columns.{column}: got \"100 to 2000 tokens in the rows of 'a'\"" in said


def test_input_tokens_are_on_the_card(tmp_path: Path) -> None:
    table = {**serving(), "tokens_in": [500.0, 510.0, 520.0, 505.0, 500.0, 515.0]}
    card = run_spec(spec(tmp_path, "serving", table, {})).card
    assert ("input tokens of a request, a", 500.0, 520.0) in [
        (v.name, v.low, v.high) for v in card.validity
    ]
