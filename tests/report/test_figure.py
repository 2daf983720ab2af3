"""The figure: what its axes say, what its lines hold, which files it writes."""

from __future__ import annotations

import builtins
import sys
from itertools import pairwise

import numpy as np
import pytest
from sample_plan import Command, build, curtailment, infeasible, under_frequency

from ebplan.errors import InputError
from ebplan.report.axis import EventAxis
from ebplan.report.figure import draw_plan, plot_plan
from ebplan.report.phases import message
from ebplan.words import time_words

pytestmark = pytest.mark.slow

matplotlib = pytest.importorskip("matplotlib", reason="needs the plot extra")
SAMPLES = [under_frequency, curtailment, infeasible]


def stairs(axes, label):
    """Return values, edges and base of the stairs with that label."""
    return next(patch for patch in axes.patches if patch.get_label() == label).get_data()


@pytest.mark.parametrize("sample", SAMPLES)
def test_axes_say_what_they_show_and_in_which_unit(sample):
    problem, plan = sample()
    power, mechanisms, soc = draw_plan(plan, problem).axes
    assert [axes.get_ylabel() for axes in (power, mechanisms, soc)] == [
        "Power in kW",
        "Released in kW",
        "SoC in %",
    ]
    assert soc.get_xlabel().startswith("Time since the start of the event")
    labels = [label.get_text() for label in soc.get_xticklabels()]
    assert labels == [label for _, label in sorted(EventAxis.of(problem).ticks())]
    assert {"0", "1 s", "10 s"} <= set(labels)


@pytest.mark.parametrize("sample", SAMPLES)
def test_lines_hold_the_plan(sample):
    problem, plan = sample()
    power, mechanisms, soc = draw_plan(plan, problem).axes
    draw = stairs(power, "draw")
    np.testing.assert_allclose(draw.values, [s.grid_kw for s in plan.steps])
    np.testing.assert_allclose(draw.edges, problem.grid.edges_s)
    asked = stairs(power, "asked").values
    np.testing.assert_allclose(asked, [s.baseline_kw + s.target_kw for s in plan.steps])
    battery = stairs(mechanisms, "battery")
    discharge = [max(-s.mechanisms["battery"], 0.0) for s in plan.steps]
    np.testing.assert_allclose(battery.values - battery.baseline, discharge, atol=1e-12)
    line = next(line for line in soc.lines if line.get_label() == "SoC")
    np.testing.assert_allclose(line.get_ydata()[1:], [100.0 * s.soc for s in plan.steps])


def test_shortfall_is_hatched_up_to_what_is_asked():
    problem, plan = infeasible()
    mechanisms = draw_plan(plan, problem).axes[1]
    short = next(patch for patch in mechanisms.patches if patch.get_label() == "shortfall")
    assert short.get_hatch()
    values, _, base = short.get_data()
    missing = np.array([s.shortfall_kw for s in plan.steps])
    np.testing.assert_allclose(values - base, missing, atol=1e-12)
    asked = -np.array([s.target_kw for s in plan.steps])
    np.testing.assert_allclose(values[missing > 0.0], asked[missing > 0.0])
    met = draw_plan(*reversed(under_frequency())).axes[1]
    assert "shortfall" not in {patch.get_label() for patch in met.patches}


@pytest.mark.parametrize("sample", SAMPLES)
def test_title_is_the_message_of_the_plan(sample):
    problem, plan = sample()
    title = draw_plan(plan, problem).get_suptitle()
    assert " ".join(title.split()) == message(plan, problem)
    assert plan.currency in title


def test_event_is_shaded_and_handoff_marked():
    problem, plan = curtailment()
    for axes in draw_plan(plan, problem).axes:
        window = axes.patches[0]
        assert window.get_x() == problem.event_start_s
        assert window.get_x() + window.get_width() == pytest.approx(problem.event_end_s)
        marked = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
        assert marked == [plan.handoff.complete_s]


@pytest.mark.parametrize("sample", SAMPLES)
def test_legends_cover_no_data(sample):
    problem, plan = sample()
    figure = draw_plan(plan, problem)
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.get_legend().get_window_extent().x0 > axes.get_window_extent().x1
    page = figure.bbox
    boxes = [axes.get_legend().get_window_extent() for axes in figure.axes]
    assert all(box.x1 <= page.x1 for box in boxes)


@pytest.mark.parametrize(("notice_s", "length_s"), [(0.0, 60.0), (0.0, 10800.0), (900.0, 300.0)])
@pytest.mark.parametrize("recovery_s", [60.0, 120.0, 300.0])
def test_labels_of_the_time_axis_keep_apart(notice_s, length_s, recovery_s):
    problem, plan = build(
        "ticks", 1.0, length_s, (Command(0.0, 3),), notice_s=notice_s, recovery_s=recovery_s
    )
    figure = draw_plan(plan, problem)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[-1].get_xticklabels()]
    assert len(boxes) >= 5
    assert all(a.x1 < b.x0 for a, b in pairwise(sorted(boxes, key=lambda box: box.x0)))


def test_handoff_is_named_above_the_data():
    problem, plan = under_frequency()
    power = draw_plan(plan, problem).axes[0]
    note = next(text for text in power.texts if text.get_text())
    assert note.get_text().endswith(time_words(plan.handoff.complete_s))
    assert note.xy[1] > max(*(s.grid_kw for s in plan.steps), *problem.baseline_kw)


def test_without_a_battery_there_is_no_soc_panel():
    problem, plan = under_frequency()
    steps = tuple(s.model_copy(update={"soc": None, "battery_kw": 0.0}) for s in plan.steps)
    figure = draw_plan(
        plan.model_copy(update={"steps": steps}), problem.model_copy(update={"battery": None})
    )
    assert [axes.get_ylabel() for axes in figure.axes] == ["Power in kW", "Released in kW"]


@pytest.mark.parametrize(
    ("suffix", "starts"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_file_is_written_whole_and_equal_for_equal_plans(tmp_path, suffix, starts):
    problem, plan = under_frequency()
    path, again = tmp_path / f"plan{suffix}", tmp_path / f"again{suffix.upper()}"
    plot_plan(plan, problem, path)
    plot_plan(plan, problem, again)
    assert path.read_bytes().startswith(starts)
    assert path.read_bytes() == again.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([path, again]), "no half-written file is left"


def test_an_event_with_any_name_can_be_drawn(tmp_path):
    problem, plan = under_frequency()
    plot_plan(plan.model_copy(update={"event_id": "需給 $x$"}), problem, tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["plan.jpg", "plan", "plan.png.txt"])
def test_other_suffix_is_refused_before_anything_is_drawn(tmp_path, name):
    problem, plan = under_frequency()
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf"):
        plot_plan(plan, problem, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_refused(tmp_path):
    problem, plan = under_frequency()
    with pytest.raises(InputError, match="folder"):
        plot_plan(plan, problem, tmp_path / "nowhere" / "plan.svg")


def test_missing_matplotlib_names_the_remedy(tmp_path, monkeypatch):
    problem, plan = under_frequency()
    real_import = builtins.__import__

    def without_matplotlib(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(InputError, match=r"pip install ebplan\[plot\]"):
        plot_plan(plan, problem, tmp_path / "plan.png")


def test_pyplot_is_never_imported(tmp_path):
    problem, plan = under_frequency()
    plot_plan(plan, problem, tmp_path / "plan.png")
    assert "matplotlib.pyplot" not in sys.modules
