"""The serving part of the validation page, on a handful of the published configurations."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.validation import serving
from benchmarks.validation.line import Line
from ebplan.models.fit.held_out import HeldOut

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("EBPLAN_DATA", Path(__file__).parents[3] / "shared" / "data"))
MODELS = ("Llama-3.1-8B", "Llama-3.1-70B", "gpt-oss-20b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with a few models, so that learning takes a fraction of a second."""
    whole = DATA / serving.MLENERGY
    if not whole.is_file():
        pytest.skip(
            f"{serving.MLENERGY} is not at hand: published data are not part of the project"
        )
    few = tmp_path_factory.mktemp("data") / serving.MLENERGY
    few.parent.mkdir()
    with whole.open(newline="") as stream, few.open("w", newline="") as out:
        rows = csv.DictReader(stream)
        writer = csv.DictWriter(out, rows.fieldnames or ())
        writer.writeheader()
        writer.writerows(r for r in rows if any(name in r["model"] for name in MODELS))
    return few.parents[1]


def test_models_left_out_have_a_line_each_with_their_goal(folder: Path) -> None:
    said = list(serving.run_models(folder))
    lines = {line.what: line for line in said if isinstance(line, Line)}
    for law in ("power", "throughput", "median time between tokens"):
        mine = {what: line for what, line in lines.items() if what.startswith(law)}
        covered = [line for what, line in mine.items() if what.endswith("in the 90 % interval")]
        assert len(covered) == 6
        assert {line.goal for line in covered} == {"85 to 95 %"}
        errors = [line for what, line in mine.items() if "median error" in what]
        assert len(errors) == 5
        for line in (*covered, *errors):
            assert (line.reached is None) == (line.goal == "")
    goals = {line.goal for line in lines.values()}
    assert {"<= 2.5%", "<= 5.0%", "<= 2.0%", "<= 12.0%", "<= 3.0%"} <= goals
    # nothing is predicted by more than a few times itself
    assert all(float(v.value.rstrip("%")) < 100 for k, v in lines.items() if "error" in k)
    assert any(what.startswith("mean time between tokens by Little's law") for what in lines)
    assert "from nothing but the other models" in said[-1]


def test_kinds_left_out_are_predicted_by_those_that_are_left(folder: Path) -> None:
    lines = [line for line in serving.run_transfer(folder) if isinstance(line, Line)]
    for what, _ in serving.TRANSFERS[:1]:
        mine = [line for line in lines if f"a {what} left out" in line.what]
        assert len(mine) == 3 * 5


@pytest.mark.parametrize(("off", "reached"), [(0.0, False), (1.0, True)])
def test_intervals_that_hold_too_often_miss_their_goal(off: float, reached: bool) -> None:
    random = np.random.default_rng(1).standard_normal(1000)
    group = np.array(["a", "b"] * 500)
    line = serving._coverage("a law", HeldOut(group, off * random, np.ones(1000)))
    assert line.reached is reached
