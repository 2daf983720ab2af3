"""An import may only point down: the contracts of pyproject.toml hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = (ROOT / "pyproject.toml").read_text()
CONTRACTS = tomllib.loads(CONFIG)["tool"]["importlinter"]["contracts"]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package that lies in a folder."""
    pytest.importorskip("importlinter")
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache", "--config", "pyproject.toml"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in done.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("document.py", "from ebplan.planner import Planner"),
        ("adapters/__init__.py", "import ebplan.solvers.highs"),
        ("checker/__init__.py", "import ebplan.solvers.program"),
        ("planner.py", "import ebplan.cli"),
        ("twin/fluid.py", "import ebplan.pose"),
    ],
)
def test_an_upward_import_is_found(tmp_path: Path, module: str, line: str) -> None:
    """The contracts bite: a copy of the package with one bad import breaks one of them."""
    shutil.copytree(ROOT / "ebplan", tmp_path / "ebplan")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "ebplan" / module).open("a") as file:
        file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout
