"""An environment for each tool, made from the list of what it needs.

A tool that does not install leaves the end of pip's answer in place of an environment.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
FOLDER = Path("build/peers/environments")
"""Below the folder of the project that git ignores."""
WORDS_OF_ERROR = 220
"""So many characters of an error are kept."""


def interpreter(tool: str, folder: Path = FOLDER) -> Path:
    """Return the Python of a tool; ebplan's own for ebplan and HiGHS itself."""
    if not requirements(tool).exists():
        return Path(sys.executable)
    return folder / tool / "bin" / "python"


def requirements(tool: str) -> Path:
    """Return the list of what a tool needs."""
    return REQUIREMENTS / f"{tool}.txt"


def install(tool: str, limit_s: float, folder: Path = FOLDER) -> str | None:
    """Make the environment of a tool unless it is there; return what went wrong, if anything."""
    wanted = requirements(tool)
    if not wanted.exists():
        return None
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    told = folder / f"{tool}.installed"
    if told.exists():
        known, _, error = told.read_text(encoding="utf-8").partition("\n")
        if known == digest:
            return error or None
    venv.create(folder / tool, with_pip=True, clear=True)
    pip = [str(interpreter(tool, folder)), "-m", "pip", "--disable-pip-version-check"]
    error = ""
    try:
        done = subprocess.run(
            [*pip, "install", "--quiet", "-r", str(wanted)],
            capture_output=True,
            text=True,
            timeout=limit_s,
        )
        if done.returncode:
            error = short(done.stderr)
    except subprocess.TimeoutExpired:
        error = f"not installed within {limit_s:g} s"
    told.write_text(f"{digest}\n{error}", encoding="utf-8")
    return error or None


def short(error: str) -> str:
    """Return the last line of an error that says something, without addresses and paths."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("ERROR:", "error:"))] or lines[-1:]
    words = re.sub(r"(https?://|/)[^\s'\"]+", "...", told[-1] if told else "no word")
    return words[:WORDS_OF_ERROR]
