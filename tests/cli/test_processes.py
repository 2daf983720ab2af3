"""The command line as a process of its own: exit codes, streams, and what it imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ebplan.document import read_json
from ebplan.plan import Plan

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "under_frequency.json"
HEAVY = {"cvxpy", "highspy", "matplotlib", "numpy", "pandas", "pydantic", "rich", "scipy"}

TELL_IMPORTS = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
"""


def python(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run this Python with arguments."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def heavy_imports(code: str, *arguments: object) -> set[str]:
    """Run code in a fresh process, and return which heavy packages it has imported."""
    done = python("-c", TELL_IMPORTS + code, *arguments)
    assert done.returncode == 0, done.stderr
    return HEAVY & set(json.loads(done.stderr.splitlines()[-1]))


CLI = "from ebplan.cli import main; main()"


def test_the_import_watch_sees_what_is_imported() -> None:
    assert heavy_imports("import numpy") == {"numpy"}


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("import ebplan; dir(ebplan); ebplan.__all__", ()),
        (CLI, ("--help",)),
        (CLI, ("solve", "--help")),
        (CLI, ("--version",)),
    ],
)
def test_help_is_light(code: str, arguments: tuple[str, ...]) -> None:
    assert heavy_imports(code, *arguments) == set()


def test_solve_imports_only_what_it_needs() -> None:
    assert heavy_imports(CLI, "solve", EXAMPLE) == {"highspy", "numpy", "pydantic", "rich"}
    assert heavy_imports(CLI, "solve", EXAMPLE, "--json") == {"highspy", "numpy", "pydantic"}


def test_python_m_ebplan_solves(tmp_path: Path) -> None:
    done = python("-m", "ebplan", "solve", EXAMPLE, "--json", "-o", "plan.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert Plan.parse(json.loads(done.stdout)) == Plan.parse(read_json(tmp_path / "plan.json"))
    done = python("-m", "ebplan", "check", "plan.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = python("-m", "ebplan", "solve", "none.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: none.json: (file): got 'No such file or directory'; allowed: a readable UTF-8 "
        "file; remedy: check the path and the encoding\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_write_leaves_the_old_plan(tmp_path: Path) -> None:
    """The process dies in the middle of writing: the reader still sees the whole old file."""
    file = tmp_path / "plan.json"
    file.write_text("old")
    code = """
import os, signal, sys
from pathlib import Path
import ebplan.document as document
replace = os.replace
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
os.replace = die
document.write_atomically(Path(sys.argv[1]), "new" * 1000)
"""
    assert python("-c", code, file).returncode == -signal.SIGKILL
    assert file.read_text() == "old"
