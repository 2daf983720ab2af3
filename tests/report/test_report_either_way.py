"""Reports of plans that go both ways, or in which nothing is asked."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ebplan.case import Case, load_case
from ebplan.plan import Plan
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.report.axis import EventAxis
from ebplan.report.figure import draw_plan, plot_plan
from ebplan.report.terminal import print_plan

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("fcr_tracking", "price_window")


@cache
def solved(name: str) -> tuple[Plan, Problem]:
    case = load_case(EXAMPLES / f"{name}.json")
    problem = pose(case.event, case.site, case.state)
    return solve_problem(problem), problem


def page(name: str, width: int = 100) -> str:
    out = io.StringIO()
    print_plan(*solved(name), Console(file=out, width=width, color_system=None))
    return out.getvalue()


def test_a_followed_frequency_is_told_both_ways() -> None:
    text = page("fcr_tracking")
    assert "follow the frequency for 5 min" in text
    assert "Draw follows the frequency, 1.20 kW less and 0.70 kW more" in text
    for row in ("asked less", "asked more", "battery charge", "discharge"):
        assert row in text
    assert "battery gives" in text
    assert "battery takes" in text
    assert "Asked to release up to 1.20 kW" in text
    assert "Asked to absorb up to 0.70 kW" in text
    assert "60.0 % were to be restored" in text
    assert "Hand-off: none, the battery follows the target to the end." in text
    assert "One more kW" not in text


def test_a_price_window_is_told_by_its_prices() -> None:
    text = page("price_window")
    assert "energy at -100 to 45 JPY/kWh for 2 h" in text
    assert "at -100 JPY per kWh, the battery takes" in text
    assert "at 45 JPY per kWh, the battery gives" in text
    assert "asked " not in text.split("What happens when")[0]
    assert "Hand-off: none, nothing is to be carried." in text


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_80_columns(name: str) -> None:
    assert max(map(len, page(name, width=80).splitlines())) <= 80


@pytest.mark.parametrize("name", NAMES)
def test_the_time_axis_is_even(name: str) -> None:
    _, problem = solved(name)
    axis = EventAxis.of(problem)
    times = np.linspace(0.0, axis.horizon_s, 50)
    assert axis.time_s(axis.position(times)) == pytest.approx(times)
    assert axis.share(axis.horizon_s / 2.0) == pytest.approx(0.5)
    labels = [label for _, label in axis.ticks()]
    assert "0" in labels
    assert any(label.startswith("+") for label in labels)


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("fcr_tracking", ["Draw at", "Who moves the draw", "Battery of"]),
        ("price_window", ["Price of energy", "Draw at", "Who moves the draw", "Battery of"]),
    ],
)
def test_a_figure_has_its_panels(name: str, titles: list[str], tmp_path: Path) -> None:
    figure = draw_plan(*solved(name))
    shown = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(shown) == len(titles)
    for number, (title, begins) in enumerate(zip(shown, titles, strict=True)):
        assert title.startswith(f"({'abcd'[number]}) {begins}")
    assert "(+ after its end)" in figure.axes[-1].get_xlabel()
    plot_plan(*solved(name), tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 10_000


def test_an_import_limit_that_binds_nothing_is_said_to() -> None:
    case = load_case(EXAMPLES / "under_frequency.json").model_dump(mode="json")
    kept = {key: case["event"][key] for key in ("id", "start", "duration_s")}
    case["event"] = {**kept, "type": "import_limit", "target": {"import_limit_kw": 6.0}}
    new = Case.parse(case)
    problem = pose(new.event, new.site, new.state)
    plan, out = solve_problem(problem), io.StringIO()
    print_plan(plan, problem, Console(file=out, width=100, color_system=None))
    text = out.getvalue()
    assert "draw at most 6.00 kW for 5 min" in text
    assert "The draw stays at 4.95 kW; cost 0.00 JPY." in text
    assert "Nothing pays for a change" in text
    draw_plan(plan, problem)
