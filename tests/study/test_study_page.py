"""The page of a study in a real browser: its figures draw, its numbers are the books'."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ebplan.cli import main
from ebplan.errors import InputError
from ebplan.report.study_figures import _by_day, _sorted
from ebplan.report.study_page import _assumptions, write_study_page
from ebplan.report.study_results import StudyResults, read_results
from ebplan.study.spec import Economics

pytestmark = pytest.mark.slow

WEEK = Path(__file__).parents[2] / "examples" / "study_week.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("study")
    short = place / "one_day.toml"
    text = WEEK.read_text().replace("days = 7", "days = 1").replace("levels = 4", "levels = 2")
    short.write_text(text)
    results = place / "results"
    told = CliRunner().invoke(
        main, ["study", str(short), "-o", str(results), "--no-ranges", "--sizes", "0,1,2"]
    )
    assert told.exit_code == 0, told.output
    return results


def test_every_figure_is_drawn(folder: Path, browser) -> None:
    from selenium.webdriver.common.by import By

    browser.get(f"file://{folder / 'report.html'}")
    policies = read_results(folder).policies
    assert len(policies) > 1
    for policy in policies[1:] + policies[:1]:
        browser.find_element(By.CSS_SELECTOR, f"button[data-policy={policy}]").click()
        figures = browser.find_elements(By.CLASS_NAME, "plotly-graph-div")
        seen = [figure.get_attribute("id") for figure in figures if figure.is_displayed()]
        assert seen == [f"waterfall-{policy}", f"durations-{policy}", f"soc-0-{policy}", "sizes"]
        for figure in figures:
            if figure.is_displayed():
                assert figure.find_elements(By.CSS_SELECTOR, "svg path")
                assert figure.size["width"] > 900
        bars = browser.find_elements(By.CSS_SELECTOR, f"#waterfall-{policy} .waterfalllayer .point")
        assert len(bars) >= 3
        assert browser.find_elements(By.CSS_SELECTOR, f"#soc-0-{policy} .heatmaplayer image")
    wider = browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wider <= 0


def test_it_asks_for_nothing_from_anywhere(folder: Path, browser) -> None:
    browser.get(f"file://{folder / 'report.html'}")
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert [name for name in asked if not name.startswith(("data:", "blob:"))] == []


def test_the_numbers_shown_are_those_of_the_books(folder: Path, browser) -> None:
    from selenium.webdriver.common.by import By

    browser.get(f"file://{folder / 'report.html'}")
    results = read_results(folder)
    policy = results.policies[0]
    money = results.of("ledger", policy)["money"].sum()
    text = browser.find_element(By.TAG_NAME, "body").text
    assert f"profit {money:,.0f}" in text.replace("\n", " ")
    last = browser.execute_script(
        "const d = document.getElementById(arguments[0]).data[0]; return d.y[d.y.length - 1]",
        f"waterfall-{policy}",
    )
    gain, _ = results.kpis(policy)["gain"]
    assert last == pytest.approx(gain / 1e3, rel=1e-9) or last == pytest.approx(gain, rel=1e-9)


def test_more_battery_never_gains_less(folder: Path) -> None:
    every = read_results(folder).tables["sizes"]
    rows = every["policy"] == "perfect_foresight"
    sizes = {name: values[rows] for name, values in every.items()}
    order = np.argsort(sizes["factor"])
    assert sizes["factor"][order].tolist() == [0.0, 1.0, 2.0]
    assert sizes["energy_kwh"][order].tolist() == [0.0, 2200.0, 4400.0]
    gain = sizes["gain"][order].astype(float)
    assert gain[1] > gain[0]
    assert gain[2] >= gain[1]


def test_the_wear_model_is_named_that_the_study_left_to_the_default(tmp_path: Path) -> None:
    spec = {"economics": {"life_model": Economics.model_fields["life_model"].default}}
    told = "".join(_assumptions(StudyResults(tmp_path, {"spec": spec}, {})))
    assert "<code>lfp-sony-us26650</code>" in told
    assert not list(_assumptions(StudyResults(tmp_path, {"spec": {"economics": None}}, {})))


def test_a_duration_curve_keeps_both_ends() -> None:
    values = np.sin(np.arange(17_520.0))
    share, ordered = _sorted(values)
    assert len(share) <= 2_000
    assert (ordered[0], ordered[-1]) == (values.max(), values.min())
    assert share[-1] == 100.0
    assert np.all(np.diff(ordered) <= 0.0)


def test_a_day_of_23_hours_leaves_a_hole() -> None:
    from datetime import UTC, datetime, timedelta
    from zoneinfo import ZoneInfo

    begin = datetime(2026, 3, 28, 23, tzinfo=UTC)
    starts = [(begin + timedelta(hours=h)).astimezone(ZoneInfo("Europe/Berlin")) for h in range(47)]
    days, hours, grid = _by_day(np.array(starts), np.arange(47.0))
    assert len(days) == 2
    assert len(hours) == 24
    assert np.isnan(grid[2, 0])
    assert np.isnan(grid).sum() == 1


@pytest.mark.parametrize("damage", ["manifest", "kind", "table", "missing"])
def test_damaged_results_are_one_clear_line(folder: Path, tmp_path: Path, damage: str) -> None:
    place = tmp_path / "results"
    shutil.copytree(folder, place)
    match damage:
        case "manifest":
            (place / "manifest.json").unlink()
        case "kind":
            (place / "manifest.json").write_text('{"kind": "plan"}')
        case "table":
            (place / "steps.parquet").write_bytes(b"PAR1 not")
        case "missing":
            (place / "kpi.parquet").unlink()
    with pytest.raises(InputError) as caught:
        write_study_page(place)
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sizes", ["a", "0,-1", "nan"])
def test_wrong_sizes_are_refused(tmp_path: Path, sizes: str) -> None:
    told = CliRunner().invoke(
        main, ["study", str(WEEK), "-o", str(tmp_path / "r"), "--sizes", sizes]
    )
    assert told.exit_code == 2
    assert "allowed: numbers >= 0" in told.output
    assert not (tmp_path / "r").exists()
