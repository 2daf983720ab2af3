"""A small sweep: two days of one load, so that one frontier serves all of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebplan.document import read_data

ROOT = Path(__file__).parents[2]
AXES: dict[str, Any] = {
    "battery_energy_kwh": [2, 5, 10],
    "battery_power_kw": [4, 8],
    "services": [[], ["jp_fcr"]],
}


@dataclass(frozen=True)
class Done:
    """A finished sweep."""

    sweep: Path
    output: Path
    outcome: dict[str, Any]

    @property
    def sha256(self) -> str:
        return str(self.outcome["result_sha256"])


def write_sweep(folder: Path, *, days: int = 2, **more: Any) -> Path:
    """Write a study and a sweep of it; return the sweep's path."""
    study = read_data(ROOT / "examples" / "study_week.toml")
    study["period"]["days"] = days
    study["period"]["start"] = study["period"]["start"].isoformat()
    study["portfolio"][0]["load"]["share"] = 1.0
    study["policy"]["beside"] = ["myopic"]
    (folder / "study.json").write_text(json.dumps(study))
    sweep = {"kind": "sweep", "name": "small", "study": "study.json", "axes": AXES, **more}
    path = folder / "sweep.json"
    path.write_text(json.dumps(sweep))
    return path


def command(sweep: Path, output: Path, *options: str) -> list[str]:
    """Return the command line of a sweep."""
    return [sys.executable, "-m", "ebplan", "sweep", str(sweep), "-o", str(output), *options]


def run(sweep: Path, output: Path, *options: str) -> dict[str, Any]:
    """Run a sweep in a process of its own; return what it prints as JSON."""
    done = subprocess.run(
        command(sweep, output, "--json", *options),
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def environment() -> dict[str, str]:
    """Return an environment in which other processes import this ebplan."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def knowing(output: Path, other: Path) -> Path:
    """Return a folder of results that knows the frontiers of another, and no chunk."""
    shutil.copytree(other / "frontiers", output / "frontiers")
    return output
