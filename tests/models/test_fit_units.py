"""Slips of the unit: whatever is 60 or 1,000 times off is refused where physics says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from fit_specs import OPTIONS, TABLES, at_rest, cycled, ramp, refusal, serving, spec, standby, sweep

from ebplan.models.fit.spec import run_spec


@pytest.mark.parametrize("fit", TABLES)
def test_tables_in_the_unit_said_are_fitted(tmp_path: Path, fit: str) -> None:
    assert run_spec(spec(tmp_path, fit, TABLES[fit](), {})).name == "mine"


@pytest.mark.parametrize("unit", ["mW", "kW"])
@pytest.mark.parametrize(
    ("fit", "names"),
    [
        ("standby", ("power",)),
        ("caps", ("power",)),
        ("caps", ("cap",)),
        ("caps", ("power", "cap")),
        ("clocks", ("power",)),
        ("ramp", ("power",)),
        ("ramp", ("command",)),
        ("ramp", ("power", "command")),
        ("precision", ("power",)),
        ("serving", ("power",)),
        ("fleet", ("power",)),
    ],
)
def test_watts_in_another_unit_are_refused(
    tmp_path: Path, fit: str, names: tuple[str, ...], unit: str
) -> None:
    table = sweep() if fit == "clocks" else TABLES[fit]()
    if fit == "clocks":
        table["clock"] = [500.0, 700.0, 900.0, 1100.0, 1300.0, 1500.0]
        del table["cap"]
    said = refusal(spec(tmp_path, fit, table, dict.fromkeys(names, unit)))
    assert said.startswith("table.csv: columns.")
    assert "unit" in said


def test_a_mode_in_a_unit_of_its_own_is_refused(tmp_path: Path) -> None:
    """280 times the others, it is neither left out by its row nor seen in the median of all."""
    table = standby()
    table["power"] = [w if i % 60 < 30 else 0.25 + w / 1e4 for i, w in enumerate(table["power"])]
    said = refusal(spec(tmp_path, "standby", table, {}))
    assert "columns.power: got 0.00026" in said
    assert "W or kW" in said


def test_a_ramp_of_several_gpus_says_how_many(tmp_path: Path) -> None:
    table = ramp()
    table["power"] = [8.0 * watts for watts in table["power"]]
    assert "gpus_per_row" in refusal(spec(tmp_path, "ramp", table, {}))
    options = OPTIONS["ramp"] + "\ngpus_per_row = 8"
    assert run_spec(spec(tmp_path, "ramp", table, {}, options))
    # the cap of a row, not that of a GPU
    table["command"] = [8.0 * watts for watts in table["command"]]
    assert run_spec(spec(tmp_path, "ramp", table, {}, options))


def test_a_converter_ramps_at_any_size(tmp_path: Path) -> None:
    table = ramp()
    assert run_spec(spec(tmp_path, "ramp", table, {"power": "kW", "command": "kW"}, point="ac"))


@pytest.mark.parametrize("unit", ["s", "ms", "min"])
def test_time_at_rest_in_another_unit_is_refused(tmp_path: Path, unit: str) -> None:
    said = refusal(spec(tmp_path, "calendar_ageing", at_rest(), {"elapsed": unit}))
    assert "columns.elapsed: got" in said
    assert "check its unit (s, min, h or d?)" in said


@pytest.mark.parametrize("written_s", [1.0, 60.0, 3600.0])
def test_seconds_to_hours_at_rest_read_as_days_are_refused(
    tmp_path: Path, written_s: float
) -> None:
    said = refusal(spec(tmp_path, "calendar_ageing", at_rest(written_s), {}))
    assert "allowed: 7 to 9.13e+03 d at the last check-up" in said


def test_cycles_that_the_time_does_not_hold_are_refused(tmp_path: Path) -> None:
    rest = run_spec(spec(tmp_path, "calendar_ageing", at_rest(), {}))
    (tmp_path / "rest.json").write_text(rest.to_json(), encoding="utf-8")
    alone = run_spec(spec(tmp_path, "cycle_ageing", cycled(), {}, ""))
    assert any("Not used without it: elapsed, soc." in f.text for f in alone.card.findings)
    options = 'calendar = "rest.json"'
    assert run_spec(spec(tmp_path, "cycle_ageing", cycled(), {}, options))
    said = refusal(spec(tmp_path, "cycle_ageing", cycled(), {"elapsed": "h"}, options))
    assert "columns.elapsed: got 0.1" in said
    assert "h for a full cycle" in said


def test_a_long_time_to_first_token_in_seconds_read_as_ms_is_refused(tmp_path: Path) -> None:
    """5 s, as where prompts are long: 5 ms would be less than one step of 8.5 ms."""
    table = {**serving(), "ttft": [5.0, 5.1, 5.3, 6.0, 7.0, 9.0]}
    said = refusal(spec(tmp_path, "serving", table, {"ttft": "ms"}))
    assert "columns.ttft: got 0.005" in said
