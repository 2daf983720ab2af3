"""A study in words: the terminal at 80 columns, and what its gain rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ebplan.cli import main
from ebplan.report.study_ranges import tornado
from ebplan.report.study_results import StudyResults
from ebplan.report.study_text import RANGE, _range, _short
from ebplan.study.corners import words_of

WEEK = Path(__file__).parents[2] / "examples" / "study_week.toml"


def test_what_is_printed_fits_into_80_columns_and_names_the_widest_range(tmp_path: Path) -> None:
    text = WEEK.read_text(encoding="utf-8").replace("days = 7", "days = 1")
    text = text.replace("levels = 4", "levels = 1").replace("receding", "myopic")
    text = text.replace('"perfect_foresight", "myopic"', '"myopic"')
    file = tmp_path / "one_day.toml"
    file.write_text(text, encoding="utf-8")
    run = CliRunner().invoke(main, ["study", str(file)], catch_exceptions=False)
    assert run.exit_code == 0
    lines = run.output.splitlines()
    assert max(map(len, lines)) <= 80
    said = "\n".join(lines)
    for words in (
        "gain",
        "grid services",
        "jp_fcr",
        "battery life, years",
        "15 years at 5 % a year",
    ):
        assert words in said
    first = lines.index(next(line for line in lines if line.startswith("Gain of"))) + 1
    assert "jp_fcr.price_per_kw, high" in lines[first]
    assert "Every year is taken to be like these 1 days." in said


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (-1e-9, "0"), (53.123, "53.1"), (1_234_567.0, "1,234,567"), (np.inf, "never")],
)
def test_a_number_is_as_short_as_one_reads(value: float, shown: str) -> None:
    assert _short(value) == shown


def test_a_corner_is_named_by_its_product() -> None:
    assert words_of("services.1.price_times:high", ["a", "b"], []) == "b.price_times, high"
    assert words_of("portfolio.0.wear:low", [], ["bench"]) == "bench.wear, low"
    assert words_of("market.intraday_spread_per_kwh:low", [], []).startswith("market.intraday")


def results(gains: dict[str, float]) -> StudyResults:
    kpi = {
        "policy": np.array(["receding"] * len(gains)),
        "corner": np.array(list(gains)),
        "kpi": np.array(["gain"] * len(gains)),
        "value": np.array(list(gains.values())),
        "unit": np.array(["JPY"] * len(gains)),
    }
    manifest = {"currency": "JPY", "services": [{"id": "jp_fcr"}], "groups": []}
    return StudyResults(Path(), manifest, {"kpi": kpi})


def test_the_widest_range_stands_on_top_and_in_the_title() -> None:
    found = results(
        {
            "central": 5e6,
            "services.0.price_times:low": 1e6,
            "services.0.price_times:high": 15e6,
            "services.0.penalty_per_kwh:high": 5e6,
            "market.intraday_spread_per_kwh:high": 4e6,
        }
    )
    figure = tornado(found, "receding")
    assert figure is not None
    title = figure.layout.title.text
    assert title == "jp_fcr.price_times moves the gain most: 1.00 to 15.0 million JPY"
    assert list(figure.data[1].y) == [
        "market<br>intraday_spread_per_kwh",
        "jp_fcr<br>price_times",
    ]
    assert list(figure.data[1].customdata) == [4.0, 15.0]
    assert tornado(results({"central": 5e6}), "receding") is None


def test_a_range_leaves_room_before_it() -> None:
    for ends in ((-0.00827, -0.000776), (-0.0119, 0.00115), (-5.61, -0.385), (-1e-5, 0.0)):
        assert len(_range(ends)) < RANGE
    assert _range((-1e-5, 0.0136)) == "0..0.014"
