"""What is wrong with a frequency response, a price window or a recovery is said in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ebplan.cli import main
from ebplan.document import read_json

EXAMPLES = Path(__file__).parents[2] / "examples"
GONE = object()
FREQUENCY = "target.frequency"
CURVE = f"{FREQUENCY}.curve"


def refusal(folder: Path, name: str, **event: Any) -> str:
    """Return the line that refuses an example with fields of its event changed or taken out."""
    case = read_json(EXAMPLES / f"{name}.json")
    for path, value in event.items():
        place = case["event"]
        *parents, last = path.split(".")
        for key in parents:
            place = place[key]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    file = folder / "event.json"
    file.write_text(json.dumps(case))
    result = CliRunner().invoke(main, ["solve", str(file)])
    assert result.exit_code == 2, result.output
    assert result.output.count("\n") == 1
    return result.output


WRONG_RESPONSES: list[tuple[dict[str, Any], str, str]] = [
    ({CURVE + ".shape": "square"}, "curve.shape", "'droop', 'knee' or 'threshold'"),
    ({CURVE + ".full_hz": 0.1}, "curve.full_hz", "dead_band_hz < knee_hz"),
    ({CURVE + ".full_hz": 0}, "curve.full_hz", "> 0"),
    ({CURVE + ".dead_band_hz": -0.01}, "curve.dead_band_hz", ">= 0"),
    ({CURVE + ".knee_hz": GONE}, "curve.knee_hz", "a value with shape 'knee'"),
    ({CURVE + ".knee_fraction": 1.2}, "curve.knee_fraction", "<= 1"),
    ({CURVE + ".shape": "droop"}, "curve.knee_hz", "none with the others"),
    (
        {CURVE: {"shape": "threshold", "full_hz": 0.3, "dead_band_hz": 0.1}},
        "curve.dead_band_hz",
        "0 with shape 'threshold'",
    ),
    ({FREQUENCY + ".release_capacity_kw": -1}, "release_capacity_kw", ">= 0"),
    ({FREQUENCY + ".tolerance_kw": 2.5}, "release_capacity_kw", "> tolerance_kw = 2.5"),
    ({FREQUENCY + ".nominal_hz": 60}, "trace.0", "54 to 66 Hz"),
    ({FREQUENCY + ".trace": [[0, 50], [0, 50]]}, "trace.1", "> 0 s, the time before it"),
    ({FREQUENCY + ".trace": [[0, 50.0], [10, 50.0]]}, "frequency.trace", "duration_s = 300 s"),
    ({FREQUENCY + ".trace": [[5, 50.0], [400, 50.0]]}, "frequency.trace", "from 0 s"),
    ({FREQUENCY + ".trace": [[0, 50.0, 1.0]]}, "frequency.trace.0", "at most 2 item(s)"),
    ({FREQUENCY + ".trace": GONE}, "frequency.trace", "either trace or trace_file"),
    ({FREQUENCY + ".trace_file": "x.csv"}, "frequency.trace", "either trace or trace_file"),
    ({"type": "under_frequency"}, "target.frequency", "with type frequency_response"),
    ({"target": {"delta_kw": -1}}, "target.frequency", "with type frequency_response"),
    ({"handoff": {"by_s": 30}}, "handoff", "no one response to hand over"),
    ({"response.full_activation_s": 3}, "response.full_activation_s", "the curve or the price"),
    ({"response.restore_soc": 1.5}, "response.restore_soc", "<= 1"),
    ({"response.restore_soc": 0.99}, "response.restore_soc", "0.1 to 0.95"),
    ({"price_per_kwh": 10}, "price_per_kwh", "with type price_window and no target"),
]

WRONG_PRICES: list[tuple[dict[str, Any], str, str]] = [
    ({"price_steps": GONE}, "target", "a target, or prices in a price window"),
    ({"price_steps": []}, "target", "a target, or prices in a price window"),
    ({"price_per_kwh": 12}, "price_per_kwh", "price_per_kwh or price_steps"),
    ({"price_steps": [[10, 5.0]]}, "price_steps", "rising from 0"),
    ({"price_steps": [[0, 5.0], [0, 6.0]]}, "price_steps", "rising from 0"),
    ({"price_steps": [[0, 5.0], [7200, 6.0]]}, "price_steps", "below duration_s = 7200"),
    ({"price_steps": [[0, "cheap"]]}, "price_steps.0.1", "a number, not text"),
    ({"price_steps": [[-1, 5.0]]}, "price_steps.0.0", ">= 0"),
    ({"type": "import_limit"}, "price_steps", "with type price_window"),
    ({"target": {"delta_kw": 1}}, "price_steps", "no target"),
    ({"response.initial_delay_s": 1, "response.full_activation_s": 1}, "initial_delay_s", "0 for"),
]


@pytest.mark.parametrize(("event", "field", "says"), WRONG_RESPONSES)
def test_a_wrong_frequency_response_is_named(
    tmp_path: Path, event: dict[str, Any], field: str, says: str
) -> None:
    line = refusal(tmp_path, "fcr_tracking", **event)
    assert f"{field}: got" in line
    assert says in line


@pytest.mark.parametrize(("event", "field", "says"), WRONG_PRICES)
def test_a_wrong_price_window_is_named(
    tmp_path: Path, event: dict[str, Any], field: str, says: str
) -> None:
    line = refusal(tmp_path, "price_window", **event)
    assert f"{field}: got" in line
    assert says in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        ("", "line 1: got nothing; allowed: the header t_s,hz"),
        ("t_s,hz\n", "line 2: got nothing"),
        ("time,hz\n0,50\n", "line 1: got ['time', 'hz']"),
        ("t_s,hz\n0,fifty\n", "line 2: got '0,fifty'"),
        ("t_s,hz\n0,nan\n", "line 2: got '0,nan'"),
        ("t_s,hz\n0,50\n300\n", "line 3: got '300'"),
    ],
)
def test_a_file_that_is_no_trace(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "trace.csv").write_text(content)
    event = {FREQUENCY + ".trace": GONE, FREQUENCY + ".trace_file": "trace.csv"}
    line = refusal(tmp_path, "fcr_tracking", **event)
    assert "trace.csv" in line
    assert says in line


def test_nan_in_a_price_is_refused(tmp_path: Path) -> None:
    assert "finite numbers" in refusal(tmp_path, "price_window", price_steps=[[0, float("nan")]])
