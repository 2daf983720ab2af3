"""A campaign: kept, resumed, the same bytes again, and one line for what goes wrong."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from experiment_cases import ABSORB, SMALL

from ebplan.audit.keys import SigningKey, VerifyKey
from ebplan.audit.verification import verify
from ebplan.cli import main
from ebplan.experiment.folder import hashes_of, read_table, write_table
from ebplan.plan import Plan

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def toml(value: Any) -> str:
    """Write the little of TOML that a protocol needs."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return json.dumps(value)


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "protocol.toml"
    told = {**SMALL, **changes}
    path.write_text("\n".join(f"{name} = {toml(value)}" for name, value in told.items()))
    return path


def run(path: Path, *more: str) -> str:
    result = CliRunner().invoke(
        main, ["twin", "experiment", str(path), "--plain", "--jobs", "1", *more]
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases, run, with the page."""
    folder = tmp_path_factory.mktemp("once")
    SigningKey("ebplan.test/experiment", bytes(32)).write(folder / "key")
    path = write(folder, mechanisms=[[], ["power_cap"]], telemetry="csv")
    assert run(path, "--key", str(folder / "key")).count(" done in ") == 2
    return folder


def report(folder: Path) -> Path:
    return folder / "tiny-report"


def test_the_same_seed_and_key_give_the_same_bytes_also_side_by_side(
    once: Path, tmp_path: Path
) -> None:
    path = write(tmp_path, mechanisms=[[], ["power_cap"]], telemetry="csv")
    run(path, "--key", str(once / "key"), "--no-figures", "--jobs", "2")
    again, first = (hashes_of(report(folder)) for folder in (tmp_path, once))
    for named in ("timing.csv", "report.html"):  # wall time; figures were left out
        again.pop(named, None)
        first.pop(named, None)
    assert again == first


def test_finished_cases_are_kept(once: Path) -> None:
    before = hashes_of(report(once))
    said = run(once / "protocol.toml", "--key", str(once / "key"))
    assert said.count(" kept") == 2
    assert hashes_of(report(once)) == before


def test_logs_prove_themselves_and_plans_are_plans(once: Path) -> None:
    key = VerifyKey.read((report(once) / "verify.key").read_text())
    cases = sorted((report(once) / "cases").iterdir())
    assert len(cases) == 2
    for case in cases:
        assert verify(case / "audit", key).ok
        plans = sorted((case / "plans").iterdir())
        assert plans
        for plan in plans:
            assert Plan.parse(gzip.decompress(plan.read_bytes())).check.ok


def test_the_page_stands_alone_and_says_that_it_is_simulated(once: Path) -> None:
    page = (report(once) / "report.html").read_text()
    assert "simulated" in page.lower()
    assert page.count("data:image/png;base64,") >= 2
    for outside in ("http://", "https://", 'src="/', "<link"):
        assert outside not in page
    summary = (report(once) / "summary.csv").read_text().splitlines()
    assert len(summary) == 3
    assert all(line.startswith("True,") for line in summary[1:])


def test_a_changed_input_runs_again_and_only_there(once: Path, tmp_path: Path) -> None:
    path = write(tmp_path, mechanisms=[["power_cap"]])
    run(path, "--no-figures")
    path = write(tmp_path, mechanisms=[["power_cap"]], events=[*SMALL["events"], ABSORB])
    said = run(path, "--no-figures")
    assert (said.count(" kept"), said.count(" done in ")) == (1, 1)
    path = write(tmp_path, mechanisms=[["power_cap"]], soc=0.5)
    assert run(path, "--no-figures").count(" done in ") == 1
    # so does a file that was changed by hand
    (case,) = (report(tmp_path) / "cases").glob("*drop*")
    (case / "measured.json").write_text("{}")
    assert run(path, "--no-figures").count(" done in ") == 1


def test_a_killed_run_loses_only_what_was_running(tmp_path: Path) -> None:
    path = write(tmp_path, mechanisms=[[], ["power_cap"], ["admission"]])
    command = [sys.executable, "-m", "ebplan", "twin", "experiment", str(path), "--no-figures"]
    command += ["--jobs", "2"]
    with subprocess.Popen(command, env=os.environ, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"1/3" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    kept = len(json.loads((report(tmp_path) / "manifest.json").read_text())["cases"])
    assert kept in (1, 2)
    said = run(path, "--no-figures")
    assert (said.count(" kept"), said.count(" done in ")) == (kept, 3 - kept)
    assert not list((report(tmp_path) / "cases").glob(".unfinished*"))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    report(tmp_path).mkdir()
    (report(tmp_path) / "manifest.json").write_text('{"kind": "else"}')
    result = CliRunner().invoke(main, ["twin", "experiment", str(path)])
    assert result.exit_code == 2
    assert "experiment_manifest" in result.output
    assert "Traceback" not in result.output


def test_the_list_of_cases_runs_none(tmp_path: Path) -> None:
    said = run(write(tmp_path), "--list")
    assert said.split() == ["short_in_short_out.32.drop.power_cap.s0"]
    assert not report(tmp_path).exists()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_come_back_as_they_were(tmp_path: Path, form: Any) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    rows: list[dict[str, Any]] = [{"a": 1.0, "b": None}, {"a": 0.1, "c": 2.0}]
    write_table(tmp_path / "x", rows, form)
    assert read_table(tmp_path / "x") == {"a": [1.0, 0.1], "b": [None, None], "c": [None, 2.0]}
