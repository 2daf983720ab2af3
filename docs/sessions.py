"""Run a page of the documentation from top to bottom, and put in what its commands print.

A page that is a session has blocks of three kinds, run in order in one empty folder:

- a block with ``title="NAME"`` is a file that is written;
- ``python`` is run; the ``text`` block behind it, if there is one, is what it prints;
- ``text`` that begins with ``$`` is a run of commands and what they print.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
FILE = re.compile(r'```\w+ title="(?P<name>[\w./-]+)"\n(?P<text>.*?)```', re.DOTALL)
PYTHON = re.compile(r"```python\n(?P<code>.*?)```(?P<shown>\n\n```text\n(?!\$ ).*?```)?", re.DOTALL)
COMMANDS = re.compile(r"```text\n(?P<lines>\$ .*?)```", re.DOTALL)
BLOCK = re.compile(
    "|".join(
        re.sub(r"\?P<\w+>", "?:", pattern.pattern).join("()")
        for pattern in (FILE, PYTHON, COMMANDS)
    ),
    re.DOTALL,
)


def run_page(page: str) -> str:
    """Return the page with what its code prints now.

    Raises:
        CalledProcessError: something on it does not run.
    """
    with TemporaryDirectory() as folder:
        return BLOCK.sub(lambda block: _run(block[0], Path(folder)), page)


def _run(block: str, folder: Path) -> str:
    if file := FILE.fullmatch(block):
        (folder / file["name"]).write_text(file["text"], "utf-8")
        return block
    if python := PYTHON.fullmatch(block):
        printed = _printed([sys.executable, "-c", python["code"]], folder)
        code = f"```python\n{python['code']}```"
        return f"{code}\n\n```text\n{printed}```" if printed else code
    lines: list[str] = []
    commands = COMMANDS.fullmatch(block)
    assert commands is not None
    for line in commands["lines"].splitlines():
        if line.startswith("$ "):
            words = re.sub(r"^\$ ebplan\b", '"$PYTHON" -m ebplan', line)
            lines += [line, *_printed(["sh", "-c", words.removeprefix("$ ")], folder).splitlines()]
    return "\n".join(["```text", *lines, "```"])


def _printed(command: list[str], folder: Path) -> str:
    """Return what a command prints; ``$PYTHON`` is this Python, and no window is wider than 100."""
    environment = {
        **{"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        **{"COLUMNS": "100", "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "agg"},
    }
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
