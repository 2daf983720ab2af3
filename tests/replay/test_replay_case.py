"""A case of an experiment, replayed: its plans are made again from its own inputs."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from ebplan.audit import SigningKey
from ebplan.errors import InputError
from ebplan.experiment.campaign import run_campaign
from ebplan.experiment.folder import ReportFolder
from ebplan.plan import Plan
from ebplan.replay.case import case_again, read_case

CASES = Path(__file__).parents[1] / "experiment" / "experiment_cases.py"


def experiment_cases() -> ModuleType:
    found = importlib.util.spec_from_file_location("experiment_cases_of_replay", CASES)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    protocol = experiment_cases().protocol(telemetry="csv")
    key = folder / "case.key"
    SigningKey("ebplan.example.com/case", bytes(range(32))).write(key)
    done = run_campaign(protocol, ReportFolder(folder / "report"), base=folder, key=key)
    assert done.failed == {}
    (name,) = done.finished
    return folder / "report" / "cases" / name


def test_the_plans_of_a_case_are_made_again(case: Path) -> None:
    made = case_again(case)
    assert {one.verdict for one in made} == {"same"}
    assert len(made) == len(list((case / "plans").iterdir()))


def test_another_plan_is_found_out(case: Path) -> None:
    file = sorted((case / "plans").iterdir())[0]
    before = file.read_bytes()
    plan = Plan.parse(gzip.decompress(before))
    changed = plan.model_copy(update={"objective": plan.objective + 1.0})
    try:
        file.write_bytes(gzip.compress(changed.to_json().encode()))
        first = case_again(case)[0]
    finally:
        file.write_bytes(before)
    assert first.verdict == "another_plan"
    assert first.apart[0].startswith("objective")


def test_a_case_becomes_a_recording(case: Path) -> None:
    own = read_case(case, 5.0)
    (event,) = own.events
    since_s = own.meter.seconds(event.start)
    assert since_s % 5.0 == pytest.approx(0.0, abs=1e-6)
    drawn = own.meter.grid_kw[(own.meter.time_s >= since_s) & (own.meter.time_s < since_s + 60.0)]
    assert event.baseline.kw is not None
    # it asks for 8 % less, and got them
    assert drawn.mean() == pytest.approx(0.92 * event.baseline.kw, rel=0.02)


def test_another_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text('{"kind": "event"}', "utf-8")
    with pytest.raises(InputError, match="REPORT/cases/CASE"):
        read_case(tmp_path, 10.0)
