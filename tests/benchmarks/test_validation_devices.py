"""What the caps', clocks' and ramps' part of the validation page says of the published records."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.validation import caps, steps
from benchmarks.validation.line import Line, Section
from ebplan.models.fit.board import not_binding
from ebplan.models.fit.ramp_table import alternate_errors, error_of, unbroken_s

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("EBPLAN_DATA", Path(__file__).parents[3] / "shared" / "data"))
QUICK = (*caps.SECTIONS[:2], *steps.SECTIONS)


@pytest.mark.parametrize("section", QUICK, ids=lambda section: section.title)
def test_goals_are_reached_on_the_published_records_but_for_the_ramp(section: Section) -> None:
    _skip_without(section.files)
    said = list(section.run(DATA))
    lines = [line for line in said if isinstance(line, Line)]
    assert lines
    assert any(isinstance(line, str) for line in said)
    assert [line.what for line in lines if line.reached is False] == [
        line.what for line in lines if "over the ramp alone" in line.what
    ]
    for line in lines:
        assert bool(line.goal) == (line.reached is not None)


def test_the_caps_that_do_nothing_are_those_above_the_draw() -> None:
    """On the V100 every cap beside a low clock, and 250 and 300 W beside the high one."""
    _skip_without((caps.GRID, caps.EMERALD))
    for readings in caps.grid(DATA).values():
        assert readings.clock is not None
        free = not_binding(readings, caps.OPTIONS.repeatability)
        assert free[readings.clock < 1380.0].all()
        high = readings.clock == 1380.0
        assert np.sort(readings.cap[high & free]).tolist() == [0.25, 0.3]
    for readings in caps.emerald(DATA).values():
        assert not not_binding(readings, caps.OPTIONS.repeatability).any()


def test_the_record_has_one_step_each_way_and_the_dips_are_the_workloads() -> None:
    _skip_without((steps.STEP,))
    data, series, model = steps.fitted(DATA)
    assert [step.direction for step in series.steps] == ["down", "up"]
    assert series.no_steps == ()
    idle = data.quantity("power") < 0.1
    assert series.in_dips[idle].all()
    assert model.down is not None
    assert model.up is not None
    assert model.down.upper_bound
    assert not model.up.upper_bound
    # Seen in the record: nothing of the step is there at 60 ms, most of it at half a second.
    assert 0.05 < model.up.response.delay_s < 0.12
    assert 0.35 < model.up.settle_s < 0.5
    up = steps.one(series, "up")
    assert error_of(model.up, up, 0.0, within_s=unbroken_s(up)) <= steps.GOAL


def test_a_ramp_is_not_judged_by_the_level_after_it() -> None:
    """The longer the window, the more of the level is in it, and the smaller the error."""
    _skip_without((steps.STEP,))
    up = steps.one(steps.fitted(DATA)[1], "up")
    ramp, clean = (
        max(alternate_errors(up, 0.0, within_s=within_s))
        for within_s in (steps.RAMP_S, unbroken_s(up))
    )
    assert up.made_s < steps.RAMP_S
    assert ramp > steps.GOAL > clean


def test_the_figures_are_drawn(tmp_path: Path) -> None:
    _skip_without((caps.EMERALD, caps.GRID, steps.STEP))
    for plot in (caps.plot, steps.plot):
        target = tmp_path / f"{plot.__module__}.png"
        plot(DATA, target)
        assert target.read_bytes().startswith(b"\x89PNG")


def test_the_interval_of_a_quantile_holds_it_in_nine_of_ten() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        low, middle, high = steps.quantile_interval(rng.standard_normal(90), 0.9)
        assert low <= middle <= high
        held += low <= 1.2815515655 <= high
    assert held >= 0.87 * 300


def _skip_without(files: tuple[str, ...]) -> None:
    missing = [file for file in files if not (DATA / file).is_file()]
    if missing:
        pytest.skip(f"published records that are not part of the project: {', '.join(missing)}")
