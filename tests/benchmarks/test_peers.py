"""Every tool gets the same problem: ebplan's statement of it has the optimum of the plain one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import problems
from benchmarks.peers.environments import REQUIREMENTS, short
from benchmarks.peers.page import check, sections
from benchmarks.peers.runs import Measured, run_all
from benchmarks.peers.tools import run, with_ebplan, with_highs
from benchmarks.peers.tools_list import PROBLEMS, TOOLS

pytest.importorskip("scipy")


def tiny(problem: str, folder: Path, steps: int) -> run.Data:
    """Return a problem cut down to its first or most telling steps."""
    arrays = dict(problems.arrays(problem))
    first = 120 if problem in ("day", "plant") else 0  # prices below zero
    arrays["price"] = arrays["price"][first : first + steps]
    path = folder / f"{problem}.npz"
    np.savez(path, **arrays)
    return run.Data(path)


@pytest.mark.parametrize(("problem", "steps"), [("day", 60), ("year", 96), ("rolling", 120)])
def test_the_optimum_is_that_of_the_plain_statement(
    problem: str, steps: int, tmp_path: Path
) -> None:
    plain = getattr(with_highs, problem)(tiny(problem, tmp_path, steps))
    ours = getattr(with_ebplan, problem)(tiny(problem, tmp_path, steps))
    assert ours == pytest.approx(plain, rel=1e-5)
    assert plain < 0.0, "nothing is earned: the problem asks nothing"


def small_loads(problem: run.Data) -> run.Data:
    """Return a plant whose loads fit into its steps."""
    problem.loads = np.array([[150.0, 12, 3, 3], [300.0, 9, 4, 2]])
    return problem


def test_every_statement_of_a_plant_has_one_optimum(tmp_path: Path) -> None:
    found = {
        statement: getattr(module, statement)(small_loads(tiny("plant", tmp_path, 48)))
        for module, statement in (
            (with_highs, "plant_naive"),
            (with_highs, "plant"),
            (with_highs, "plant_hull"),
            (with_ebplan, "plant_apart"),
            (with_ebplan, "plant"),
            (with_ebplan, "plant_paths"),
        )
    }
    assert found["plant"] < 0.0
    for statement, objective in found.items():
        assert objective == pytest.approx(found["plant"], rel=1e-5), statement


def test_a_shortest_path_may_be_cut_by_the_end_of_the_day() -> None:
    # three steps in runs of two or more: the two last are cheap, and one more run is cut to one
    assert with_ebplan.shortest_path(np.array([9.0, 1.0, 1.0, 9.0, 9.0, 2.0]), 3, 2, 2) == 4.0
    assert with_ebplan.shortest_path(np.array([9.0, 1.0, 1.0, 9.0, 9.0, 2.0]), 3, 3, 2) == 11.0


def test_prices_are_below_zero_where_binaries_are_needed() -> None:
    assert (problems.arrays("day")["price"] < 0.0).any()
    assert (problems.arrays("year")["price"] > 0.0).all()


def test_every_list_of_requirements_is_of_a_tool() -> None:
    assert {path.stem for path in REQUIREMENTS.glob("*.txt")} == set(TOOLS) - {"ebplan", "highs"}
    assert set(problems.NAMES) == set(PROBLEMS)


def a_run(objective: float, seconds: float) -> dict[str, float]:
    numbers = dict.fromkeys(
        ("solver_s", "import_s", "peak_mb", "rows", "columns", "nodes", "runs"), 0.5
    )
    return {"objective": objective, "total_s": seconds, **numbers}


def test_another_optimum_stops_the_page() -> None:
    same = [Measured("highs", "day", [a_run(-5.0, 1.0)]), Measured("ebplan", "day")]
    same[1].runs = [a_run(-5.0, 2.0)]
    page = sections(same, {"quest": "no such thing"})
    assert "| ebplan | 1.500 | 0.500 | 2.000 | 2.00 |" in page["peers: times"]
    assert "- QuESt: no such thing" in page["peers: times"]
    assert "HiGHS itself 1 s" in page["peers: where ebplan loses"]
    same[1].runs = [a_run(-5.01, 2.0)]
    with pytest.raises(ValueError, match="ebplan finds"):
        check(same)


def test_a_tool_that_solves_another_problem_is_left_out() -> None:
    found = [Measured("highs", "day", [a_run(-5.0, 1.0)]), Measured("pypsa", "day")]
    found[1].runs = [a_run(-5.01, 0.1)]
    page = sections(found, {})["peers: times"]
    assert "- PyPSA: finds -5.01 where HiGHS itself finds -5" in page
    assert "| PyPSA" not in page


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    lines: list[str] = []
    data = {"year": tmp_path / "year.npz"}
    tiny("year", tmp_path, 48)
    kept = tmp_path / "runs.jsonl"
    for rounds in (1, 2, 2):
        measured = run_all(
            [("highs", "year")], data, rounds=rounds, limit_s=60.0, kept=kept, told=lines.append
        )
    assert len(lines) == len(measured[0].runs) == 2
    assert measured[0].median("total_s") >= measured[0].median("solver_s") > 0.0


def test_an_error_is_told_without_paths() -> None:
    told = short("Traceback\nERROR: see https://example.org/a and /home/x/y.py for more\n\n")
    assert told == "ERROR: see ... and ... for more"
