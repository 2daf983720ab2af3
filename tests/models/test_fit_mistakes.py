"""What a newcomer gets wrong in a spec or a table is one line that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fit_specs import OPTIONS, TABLES, precision, refusal, spec
from measured import measured

from ebplan.errors import InputError
from ebplan.models.fit.cap_sweep import CapSweepOptions, fit_cap_sweep


def test_from_python_a_board_fit_names_its_table(tmp_path: Path) -> None:
    data = measured(
        tmp_path,
        {
            "cap": [0.3, 0.4, 0.5, 0.6],
            "power": [0.29, 0.38, 0.48, 0.49],
            "throughput": [10, 5, 20, 1],
        },
    )
    options = CapSweepOptions(name="mine", title="Mine", hardware="a GPU")
    with pytest.raises(InputError, match=r"^table\.csv: workload all"):
        fit_cap_sweep(data, options)


def test_what_is_wrong_with_an_option_names_the_spec(tmp_path: Path) -> None:
    options = OPTIONS["precision"].replace('"fp8"', '"int4"')
    said = refusal(spec(tmp_path, "precision", precision(), {}, options))
    assert "fit.toml: options.lower: got 'int4'; allowed: bf16, fp8" in said


@pytest.mark.parametrize(
    ("fit", "old", "new", "said"),
    [
        ("caps", '"caps"', '"cap"', "did you mean 'caps'?"),
        ("serving", '= "throughput"', '= "Throughput"', "did you mean 'throughput'? Then correct"),
        ("serving", "[options]", "[where]\nconcurency = 4\n[options]", "mean 'concurrency'?"),
        ("serving", '= "throughput"', '= "power"', "columns.throughput: got 'power'; allowed: a c"),
        ("serving", "gpus = 1", "gpus = 8", "allowed: 14% to 110% of 5.6 kW"),
        ("serving", "\nparameters = 8", "\nparameters = 2", "0.active_parameters: got 8.0"),
        ("serving", "active_parameters = 8", "active_parameters = 2", "dense one uses all"),
        ("serving", 'source = "a test"', 'source = ""', "fit.toml: source: got ''"),
        ("precision", '"fp8"', '"bf16"', "options.lower: got 'bf16'; allowed: another precision"),
        ("precision", "0.08", "0.00008", "options.idle_kw_per_gpu: got 8e-05"),
        ("precision", "0.08", "80.0", "options.idle_kw_per_gpu: got 80.0"),
    ],
)
def test_mistakes_in_a_spec_are_said(
    tmp_path: Path, fit: str, old: str, new: str, said: str
) -> None:
    path = spec(tmp_path, fit, TABLES[fit](), {})
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert said in refusal(path)


@pytest.mark.parametrize(
    ("fit", "column", "change", "said"),
    [
        ("serving", "throughput", lambda x: x / 400.0, "columns.throughput: got"),
        ("calendar_ageing", "temperature", lambda t: 32.0 + 1.8 * t, "(degC, K or degF?)"),
        ("calendar_ageing", "capacity", lambda q: 1.001 - q, "what is left, not what is lost"),
        ("calendar_ageing", "soc", lambda s: 100.0 * s, "its unit (share, %)"),
    ],
    ids=["requests per second", "Fahrenheit", "loss", "percent"],
)
def test_mistakes_in_a_table_are_said(
    tmp_path: Path, fit: str, column: str, change: Callable[[float], float], said: str
) -> None:
    table = TABLES[fit]()
    table[column] = [change(value) for value in table[column]]
    assert said in refusal(spec(tmp_path, fit, table, {}))


def test_the_workload_that_was_measured_at_one_clock_is_named(tmp_path: Path) -> None:
    clocks = [500.0, 700.0, 900.0, 1100.0, 1300.0, 1500.0]
    table = {
        "workload": ["a"] * 6 + ["b"] * 6,
        "clock": clocks + [1500.0] * 6,
        "power": [120.0, 150.0, 190.0, 240.0, 300.0, 330.0] + [300.0 + i for i in range(6)],
        "throughput": [4.0, 5.4, 6.8, 8.0, 9.2, 10.0] + [7.0 + 0.01 * i for i in range(6)],
    }
    said = refusal(spec(tmp_path, "clocks", table, {}))
    assert "table.csv: workload b.clock: got 'one clock in every row'" in said
