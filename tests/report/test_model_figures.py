"""Figures of fitted models: every fit has one, with its readings, its interval and its units."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fitted_models import LOADS, MADE_UP, SERVED, fitted, serving

from ebplan.errors import InputError
from ebplan.models import library
from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.cap import CapModel
from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.models.fit.spec import COMPOSED, FITS
from ebplan.models.fitted_wear import wear_model
from ebplan.models.library import Artefact
from ebplan.models.points import WithPoints
from ebplan.models.ramp import RampModel
from ebplan.report.model_figures import FIGURES, draw_model, frame, plot_model

pytestmark = pytest.mark.slow

matplotlib = pytest.importorskip("matplotlib", reason="needs the plot extra")

TOLD = {
    "serving": ("within", "Power of an instance in kW (gpu)", "Requests in flight", 12, 1),
    "fleet": ("0.1 kW idle", "Power of the fleet in kW (gpu)", "Requests in flight in the", 12, 1),
    "caps": (
        "the lowest cap, 150 W",
        "Power of a GPU in W (gpu)",
        "Power cap of a GPU in W",
        16,
        2,
    ),
    "clocks": ("900 MHz leaves", "Power of a GPU in W (gpu)", "Locked SM clock in MHz", 14, 0),
    "precision": ("in fp8 serves 1.", "relative to\nthe base", "Requests in flight", 8, 0),
    "ramp": ("down within 2", "Share of the step down in %", "Time since the command in s", 0, 0),
    "standby": ("80 W idle", "Power of a GPU in W (gpu)", "Reading in order", 90, 0),
    "losses": ("ac draws 1.0", "Power at ac in kW", "Power at gpu in kW", 240, 2),
    "battery_series": ("kWh (", "Energy out over energy in, in %", "percentage points", 0, 0),
    "battery_cycles": ("kWh (", "Energy out over energy in, in %", "in kW (ac)", 80, 2),
    "calendar_ageing": (
        "is lost in 365 days",
        "Capacity left\nin %",
        "Time at rest in days",
        45,
        1,
    ),
    "cycle_ageing": ("lost in 1000 full", "Capacity left\nin %", "Full equivalent cycles", 45, 1),
}
"""By fit: words of the title, of the first panel's label and of one on the lower side, marks
drawn (readings times panels; 0 where the table is cut into pieces), crosses among them."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artefact]:
    """Every fit's artefact, as it is read back from its file."""
    made = {fit: fitted(tmp_path_factory.mktemp(fit), fit) for fit in MADE_UP}
    return {fit: type(m).parse(m.to_json().encode()) for fit, m in made.items()}


def is_a(artist: Any, kind: str) -> bool:
    """Tell what was drawn by its id."""
    return str(artist.get_gid()).startswith(f"{kind}-")


def drawn(figure: Any, gid: str) -> list[Any]:
    """Return lines of a kind with their axes."""
    return [line for ax in figure.axes for line in ax.lines if is_a(line, gid)]


def marks(figure: Any, *gids: str) -> int:
    return sum(len(line.get_xdata()) for gid in gids for line in drawn(figure, gid))


def note(figure: Any) -> str:
    """Return what stands below the panels, unwrapped."""
    return " ".join(figure.get_supxlabel().split())


def edges(ax: Any) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return x, low and high of each band of a panel."""
    found = []
    for shape in (c for c in ax.collections if is_a(c, "band")):
        corners = shape.get_paths()[0].vertices
        x = np.unique(corners[:, 0])
        sides = [corners[np.isclose(corners[:, 0], at)][:, 1] for at in x]
        found.append((x, np.array([s.min() for s in sides]), np.array([s.max() for s in sides])))
    return found


def test_every_fit_is_tried_and_every_kind_that_a_fit_writes_is_drawn(
    models: dict[str, Artefact],
) -> None:
    assert set(MADE_UP) == set(FITS) == set(TOLD)
    assert set(COMPOSED) == {"wear"}
    assert {model.kind for model in models.values()} | {"wear_model"} == set(FIGURES)


@pytest.mark.parametrize("fit", FITS)
def test_title_labels_and_readings(fit: str, models: dict[str, Artefact]) -> None:
    figure = draw_model(models[fit])
    title, first, last, count, crosses = TOLD[fit]
    assert figure.get_suptitle().startswith("made-up: ")
    assert title in " ".join(figure.get_suptitle().split())
    assert first in figure.axes[0].get_ylabel()
    assert any(last in ax.get_xlabel() for ax in figure.axes)
    assert "90%" in note(figure)
    assert frame.NO_READINGS not in note(figure)
    if count:
        assert marks(figure, "readings", "weight-zero") == count
        assert marks(figure, "weight-zero") == crosses
    else:
        model = models[fit]
        assert isinstance(model, WithPoints)
        kept = sum(len(p) for p in model.points)
        assert marks(figure, "readings", "weight-zero") == kept > 0
    if crosses:
        assert frame.WEIGHT_ZERO in note(figure)


@pytest.mark.parametrize("fit", FITS)
def test_the_interval_contains_the_curve(fit: str, models: dict[str, Artefact]) -> None:
    panels = [ax for ax in draw_model(models[fit]).axes if edges(ax)]
    assert panels
    for ax in panels:
        curves = [line for line in ax.lines if is_a(line, "curve")]
        assert len(curves) == len(edges(ax))
        for curve, (x, low, high) in zip(curves, edges(ax), strict=True):
            at, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
            slack = 1e-6 * np.abs(y).max()
            assert (np.interp(at, x, low) <= y + slack).all()
            assert (y <= np.interp(at, x, high) + slack).all()


@pytest.mark.parametrize("fit", sorted(set(FITS) - {"standby", "ramp", "battery_cycles"}))
def test_most_readings_lie_in_intervals_made_for_readings(
    fit: str, models: dict[str, Artefact]
) -> None:
    """The others' intervals are those of a mean, of a law, or of the ramp that a sensor hides."""
    inside = []
    for ax in draw_model(models[fit]).axes:
        for line in (line for line in ax.lines if is_a(line, "readings")):
            x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
            held = [
                (np.interp(x, at, low) <= y) & (y <= np.interp(x, at, high))
                for at, low, high in edges(ax)
            ]
            inside += np.any(held, axis=0).tolist()
    assert np.mean(inside) >= 0.75


@pytest.mark.parametrize("fit", FITS)
def test_an_artefact_from_before_readings_were_kept_is_drawn_and_says_so(
    fit: str, models: dict[str, Artefact]
) -> None:
    old = models[fit].model_copy(update={"points": ()})
    assert '"points"' not in old.to_json()
    figure = draw_model(type(old).parse(old.to_json().encode()))
    if fit == "serving":  # its curves have always kept what they were fitted to
        assert marks(figure, "readings") == 11
        return
    assert frame.NO_READINGS in note(figure)
    assert marks(figure, "readings", "weight-zero") == 0
    assert drawn(figure, "curve")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_every_format_is_written(suffix: str, tmp_path: Path, models: dict[str, Artefact]) -> None:
    plot_model(models["ramp"], tmp_path / f"m{suffix}")
    assert (tmp_path / f"m{suffix}").stat().st_size > 1000


def test_no_two_things_in_a_drawing_have_one_id(
    tmp_path: Path, models: dict[str, Artefact]
) -> None:
    plot_model(models["caps"], tmp_path / "m.svg")
    ids = re.findall(
        r' id="((?:curve|band|readings|weight-zero)[^"]*)"', (tmp_path / "m.svg").read_text()
    )
    assert len(set(ids)) == len(ids) > 4


@pytest.mark.parametrize("name", library.names())
def test_the_library_is_drawn_but_for_what_no_fit_writes(name: str) -> None:
    model = library.load(name)
    if model.kind in FIGURES:
        assert draw_model(model).get_suptitle().startswith(f"{name}: ")
        return
    with pytest.raises(InputError, match="leave --plot out"):
        draw_model(model)


def test_a_prior_alone_does_not_squeeze_what_was_measured(tmp_path: Path) -> None:
    large = {**SERVED, "parameters": 70.0, "active_parameters": 70.0}
    both = [{"name": "bf16", **SERVED}, {"name": "guess", **large}]
    table = {**serving(), "configuration": ["bf16"] * 6}
    model = fitted(tmp_path, "serving", table=table, options={"configurations": both})
    figure = draw_model(model)
    low, high = figure.axes[-1].get_xlim()
    assert low > 1.0
    assert high < 3.0 * 128.0
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert any(label.startswith("guess (prior), covers") for label in labels)
    assert "a prior's band may reach beyond" in note(figure)


def test_a_median_time_between_tokens_is_drawn_where_it_was_measured(tmp_path: Path) -> None:
    """With its readings: six of them, one of which is far off the others."""
    itl_s = 0.008 + 0.00008 * np.array(LOADS)
    itl_s[3] *= 4.0
    figure = draw_model(fitted(tmp_path, "serving", table={**serving(), "itl": itl_s}))
    ax = figure.axes[2]
    assert ax.get_ylabel().startswith("Median time")
    marks_ms = {float(y) for line in ax.lines if line.get_gid() for y in line.get_ydata()}
    assert any(value == pytest.approx(1000.0 * itl_s[3]) for value in marks_ms)
    assert sum(len(line.get_xdata()) for line in ax.lines if is_a(line, "weight-zero")) == 1
    assert sum(len(line.get_xdata()) for line in ax.lines if is_a(line, "readings")) == 5
    assert "18 readings of power, throughput and latency" in note(figure)


def test_caps_that_do_nothing_are_drawn_open(models: dict[str, Artefact]) -> None:
    power = draw_model(models["caps"]).axes[0]
    hollow = [
        line
        for line in power.lines
        if is_a(line, "readings") and line.get_markerfacecolor() == "white"
    ]
    assert [len(line.get_xdata()) for line in hollow] == [3]
    assert min(hollow[0].get_xdata()) == pytest.approx(450.0)


def test_a_ramp_that_is_only_a_bound_says_so(models: dict[str, Artefact]) -> None:
    model = models["ramp"]
    assert isinstance(model, RampModel)
    assert model.down is not None
    bound = model.down.model_copy(update={"upper_bound": True})
    figure = draw_model(model.model_copy(update={"down": bound}))
    assert "s or less" in figure.get_suptitle()
    assert "slower than the readings" in figure.axes[0].get_legend_handles_labels()[1][0]


def test_many_conditions_are_thinned_and_that_is_said(models: dict[str, Artefact]) -> None:
    model = models["cycle_ageing"]
    assert isinstance(model, CycleAgeing)
    figure = draw_model(model.model_copy(update={"points": model.points * 4}))
    assert "18 of 36 conditions are shown." in note(figure)


def test_more_workloads_than_colours_are_not_all_drawn(models: dict[str, Artefact]) -> None:
    model = models["caps"]
    assert isinstance(model, CapModel)
    ((name, law),) = model.laws.items()
    many = {f"{name} {i}": law for i in range(20)}
    figure = draw_model(model.model_copy(update={"laws": many}))
    assert len(drawn(figure, "curve")) == 2 * len(frame.COLOURS)
    assert "6 of 20 workloads are shown." in note(figure)


@pytest.mark.parametrize("kept", [True, False])
def test_wear_shows_the_conditions_of_both_fits(models: dict[str, Artefact], kept: bool) -> None:
    rest, cycles = models["calendar_ageing"], models["cycle_ageing"]
    assert isinstance(rest, CalendarAgeing)
    assert isinstance(cycles, CycleAgeing)
    if not kept:
        rest, cycles = (m.model_copy(update={"points": ()}) for m in (rest, cycles))
    model = wear_model(rest, cycles, name="made-up", rest_counted_twice=True)
    figure = draw_model(type(model).parse(model.to_json().encode()))
    assert figure.get_suptitle().startswith("made-up: a life to 80 % of the capacity lasts")
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "Life lost by 1,000 cycles in %",
        "Life lost in a year at rest in %",
    ]
    assert marks(figure, "readings", "weight-zero") == (18 if kept else 0)
    assert (frame.NO_READINGS in note(figure)) is not kept
    for ax in figure.axes:
        curves = [line for line in ax.lines if is_a(line, "curve")]
        bars = [c for c in ax.collections if is_a(c, "bars")]
        assert len(bars) == (len(curves) if kept else 0)
        for curve, held in zip(curves, bars, strict=False):
            for (x, low), (_, high) in held.get_segments():
                y = np.interp(x, curve.get_xdata(), curve.get_ydata())
                assert low <= y + 1e-2 * high
                assert y <= high * 1.01
