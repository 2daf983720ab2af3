"""``ebplan offer`` as a trader meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ebplan.cli import main
from ebplan.offers import Offer

pytestmark = pytest.mark.slow

FILE = Path(__file__).parents[2] / "examples" / "offers" / "phase_a.json"
QUICK = ("--duration", "60s", "--duration", "1h", "--confidence", "0.9", "--jobs", "1")


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["offer", *args])


@pytest.fixture(scope="module")
def printed() -> str:
    result = run(str(FILE), *QUICK, "--direction", "release")
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_says_what_is_promised_and_why_no_more(printed: str) -> None:
    assert "Release, kW" in printed
    assert "1 min" in printed
    assert "1 h" in printed
    assert "Limited by energy: what the battery holds beyond its reserve and margins" in (
        " ".join(printed.split())
    )
    assert "Raised by, each by itself, no reserve kept in the battery (+" in " ".join(
        printed.split()
    )
    assert "next" in printed
    assert "JPY/kWh" in printed
    assert all(len(line) <= 110 for line in printed.splitlines())


def test_json_is_the_document() -> None:
    result = run(str(FILE), *QUICK, "--direction", "absorb", "--json")
    made = Offer.parse(json.loads(result.output))
    assert [point.duration_s for point in made.points] == [60.0, 3600.0]
    assert {point.direction for point in made.points} == {"absorb"}


def test_files_are_written_and_a_figure_is_drawn(tmp_path: Path) -> None:
    out, picture = tmp_path / "offer.json", tmp_path / "offer.png"
    result = run(str(FILE), *QUICK, "-o", str(out), "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert Offer.parse(json.loads(out.read_text())).points
    assert picture.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--duration", "soon"), "got 'soon'; allowed: a duration"),
        (("--service", "jp_none"), "jp_none"),
        (("--calls", "20", "--duration", "4h"), "calls.per_day"),
        (("--plot", "offer.gif"), ".png"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(args: tuple[str, ...], told: str) -> None:
    result = run(str(FILE), *args)
    assert result.exit_code == 2
    assert told in result.output
    assert "Traceback" not in result.output


def test_without_a_forecast_error_it_says_what_to_give(tmp_path: Path) -> None:
    data = json.loads(FILE.read_text())
    del data["load_forecast_std"]
    file = tmp_path / "question.json"
    file.write_text(json.dumps(data))
    result = run(str(file))
    assert result.exit_code == 2
    assert "--load-forecast-std" in result.output


def test_a_table_with_many_mechanisms_is_readable_at_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    pools = FILE.parents[1] / "mixed_pools.json"
    result = run(str(pools), *QUICK[2:], "--load-forecast-std", "0.02")
    assert result.exit_code == 0, result.output
    assert "carried by" in result.output
    assert "…" not in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_the_speed_may_be_asked_for() -> None:
    slow = ("--delay", "30s", "--activation", "50s")
    result = run(str(FILE), *QUICK, "--direction", "release", *slow, "--json")
    made = Offer.parse(json.loads(result.output))
    assert (made.request.speed.initial_delay_s, made.request.speed.full_activation_s) == (30, 50)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--set", "step_kw=1"), "name the service"),
        (("--rest", "1h"), "say how many"),
        (("-o", "offer.csv"), "ends in .json"),
    ],
)
def test_an_option_that_says_nothing_is_refused(args: tuple[str, ...], told: str) -> None:
    result = run(str(FILE), *args)
    assert result.exit_code == 2
    assert told in result.output
