"""``ebplan listen``: what each message changes, one line each, until it is told to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from ebplan.cli import main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "sources.toml").write_text(
        'kind = "event_sources"\nsite = "hall-1"\ninbox = "inbox.json"\n'
        '[[sources]]\nkind = "folder"\nname = "calls"\npath = "calls"\npoll_s = 0.02\n'
    )
    return tmp_path / "sources.toml"


def drop(file: Path, uid: str = "dr-17") -> None:
    folder = file.parent / "calls"
    folder.mkdir(exist_ok=True)
    event = {
        "id": "dr-17",
        "type": "demand_response",
        "start": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "duration_s": 600.0,
        "target": {"delta_kw": -1.5},
    }
    call = {"kind": "grid_event", "uid": uid, "events": [event]}
    (folder / ".a.json").write_text(json.dumps(call))
    (folder / ".a.json").rename(folder / "a.json")


def run(file: Path, *options: str):
    return CliRunner().invoke(main, ["listen", str(file), "--for", "0.5", *options])


def test_what_is_heard_is_printed_and_kept(file: Path) -> None:
    drop(file)
    said = run(file)
    assert said.exit_code == 0
    head, line = said.output.splitlines()
    assert head == "listening to calls; 0 standing"
    assert line.startswith("new       calls dr-17: demand_response")
    assert line.endswith("for 600 s: delta_kw -1.5")
    assert "1 standing" in run(file).output


def test_json_is_a_line_each(file: Path) -> None:
    drop(file)
    (line,) = run(file, "--json").output.splitlines()
    said = json.loads(line)
    assert (said["outcome"], said["uid"], said["source"]) == ("new", "dr-17", "calls")


def test_a_hostile_name_is_one_line(file: Path) -> None:
    drop(file, uid="a\nERROR \x1b[31mb")
    lines = run(file).output.splitlines()
    assert len(lines) == 2
    assert "\x1b" not in lines[1]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(file: Path, how: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ebplan", "listen", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening")
    drop(file)
    assert process.stdout.readline().startswith("new")
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_wrong_file_is_one_line(file: Path) -> None:
    file.write_text(file.read_text().replace("folder", "pigeon"))
    said = run(file)
    assert said.exit_code == 2
    assert said.output.count("\n") == 1
    assert "sources.toml" in said.output
