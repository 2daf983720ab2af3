"""A saved problem or plan that someone edited is refused in one line, or checked."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ebplan.case import load_case
from ebplan.cli import main
from ebplan.planner import solve_problem
from ebplan.pose import pose

CASE = load_case(Path(__file__).parents[2] / "examples" / "under_frequency.json")
PROBLEM = pose(CASE.event, CASE.site, CASE.state)
PLAN = solve_problem(PROBLEM, method="merit_order")


def edited(data: dict[str, Any], edit: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with values replaced at dotted paths."""
    data = copy.deepcopy(data)
    for path, value in edit.items():
        inner: Any = data
        *way, last = (int(key) if key.isdigit() else key for key in path.split("."))
        for key in way:
            inner = inner[key]
        inner[last] = value
    return data


def one_line(result: Any, file: Path) -> str:
    """Return the one line of a refusal."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {file}: ")
    return str(line)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"schema_version": "3"}, "schema_version: got '3'; allowed: '1.0'"),
        ({"target_kw": [-1.0]}, "target_kw: got '1 values'"),
        ({"target_kw.5": 1.0}, "one direction: all <= 0 (release) or all >= 0 (absorb)"),
        ({"target_kw.5": "deep"}, "target_kw.5: got 'deep'; allowed: a number"),
        ({"grid.edges_s.0": 1.0}, "grid.edges_s: got (1.0,"),
        ({"grid.edges_s.2": 0.0}, "strictly increasing from 0"),
        ({"grid.epoch_steps": [0, 10_000]}, "grid.epoch_steps: got (0, 10000)"),
        ({"grid.epoch_steps": []}, "at least 1 item(s)"),
        ({"pools": []}, "pools: got []; allowed: at least 1 item(s)"),
        ({"pools.0.active_at_start": 3}, "pools.0.instances: got 4; allowed: 3, the sum of"),
        ({"pools.0.classes.0.max_rejected": 99.0}, "pools.0.classes.0.max_rejected: got 99.0"),
        ({"pools.0.load_curve.terms.0.exponent": 1.5}, "exponent: got 1.5; allowed: <= 1"),
        ({"battery.start_kwh": 0.0}, "battery.start_kwh: got 0.0"),
        ({"battery.cell_efficiency": 0.4}, "battery.cell_efficiency: got 0.4; allowed: > 0.5"),
        ({"start": "2026-06-01T12:00:00"}, "add the UTC offset"),
        ({"colour": "red"}, "colour: got 'red'"),
        ({"pools.0.min_utilisation": 0.0}, "pools.0.min_utilisation: got 0.0"),
        ({"asks": "more"}, "allowed: 'one_way', 'both_ways' or 'nothing'"),
        ({"asks": "nothing"}, "target_kw: got '-1 to 0'; allowed: 0 at every step"),
        ({"asks": "both_ways"}, "handoff_from_s: got 30.0; allowed: none where the event does not"),
        ({"tolerance_kw": -0.1}, "tolerance_kw: got -0.1; allowed: >= 0"),
        ({"restore_kwh": 9.6}, "restore_kwh: got 9.6; allowed: <= 9.5, what the battery can hold"),
        ({"restore_kwh": 1.0, "battery": None}, "restore_kwh: got 1.0; allowed: <= 0"),
        ({"prices.energy_per_kwh": [1.0]}, "prices.energy_per_kwh: got '1 values'"),
        ({"prices.energy_per_kwh": "cheap"}, "prices.energy_per_kwh"),
        ({"prices.soc_missing_per_kwh": -1.0}, "soc_missing_per_kwh: got -1.0; allowed: >= 0"),
    ],
)
def test_an_edited_problem_is_refused(tmp_path: Path, edit: dict[str, Any], says: str) -> None:
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(edited(PROBLEM.model_dump(mode="json"), edit)))
    result = CliRunner().invoke(main, ["solve", str(file), "-o", str(tmp_path / "plan.json")])
    assert says in one_line(result, file)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        ({"kind": "problem"}, "kind: got 'problem'; allowed: 'plan'"),
        ({"schema_version": "0"}, "allowed: '1.0'"),
        ({"status": "perfect"}, "allowed: 'optimal', 'gap'"),
        ({"steps": []}, "steps: got []; allowed: at least 1 item(s)"),
        ({"steps.3.grid_kw": None}, "steps.3.grid_kw: got nothing; allowed: a number"),
        ({"steps.3.grid_kw": float("nan")}, "finite numbers"),
        ({"pools.llama70b.0.active": 3.5}, "pools.llama70b.0.active: got 3.5"),
        ({"cost": []}, "cost: got []; allowed: an object {...}"),
        ({"converter.mode": "follow"}, "converter.mode: got 'follow'"),
    ],
)
def test_an_edited_plan_is_refused(tmp_path: Path, edit: dict[str, Any], says: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(edited(PLAN.model_dump(mode="json"), edit)))
    (tmp_path / "plan.problem.json").write_text(PROBLEM.to_json())
    assert says in one_line(CliRunner().invoke(main, ["check", str(file)]), file)


@pytest.mark.parametrize(
    ("edit", "law"),
    [
        ({"problem_hash": "0" * 64}, "problem_hash"),
        ({"event_id": "another"}, "identity"),
        ({"objective": PLAN.objective - 1.0}, "objective"),
        ({"cost.energy": PLAN.cost["energy"] - 1.0}, "cost"),
        ({"steps.4.grid_kw": PLAN.steps[4].grid_kw - 0.2}, "balance"),
        ({"steps.4.soc": 0.9}, "battery_energy"),
        ({"steps.4.shortfall_kw": 0.3}, "shortfall"),
        ({"pools.llama70b.0.active": 9}, "counts"),
        ({"service.llama70b.batch.served": 0.0}, "service"),
        ({"handoff.complete_s": 0.0}, "handoff"),
        ({"status": "optimal"}, "status"),
        ({"pools": {}}, "shape"),
    ],
)
def test_a_tampered_plan_breaks_a_law_by_name(
    tmp_path: Path, edit: dict[str, Any], law: str
) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(edited(PLAN.model_dump(mode="json"), edit)))
    (tmp_path / "plan.problem.json").write_text(PROBLEM.to_json())
    result = CliRunner().invoke(main, ["check", str(file)])
    assert result.exit_code == 4
    assert law in [line.split(":")[0] for line in result.stdout.splitlines()]
    as_json = CliRunner().invoke(main, ["check", str(file), "--json"])
    assert as_json.exit_code == 4
    verdict = json.loads(as_json.stdout)
    assert verdict["ok"] is False
    assert law in [violation["law"] for violation in verdict["violations"]]


def test_a_plan_without_its_problem_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(PLAN.to_json())
    line = one_line(CliRunner().invoke(main, ["check", str(file)]), tmp_path / "plan.problem.json")
    assert "No such file" in line
