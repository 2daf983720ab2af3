"""Whole processes: what a person at a prompt waits for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parent.parent

COMMANDS: dict[str, tuple[str, ...]] = {
    'python -c ""': ("-c", ""),
    "python -m ebplan --help": ("-m", "ebplan", "--help"),
    "python -m ebplan solve examples/under_frequency.json": (
        "-m",
        "ebplan",
        "solve",
        "examples/under_frequency.json",
    ),
}
"""Arguments of the interpreter by what one types; the first is the floor under the others."""


def measure_process(arguments: tuple[str, ...], repeats: int) -> list[float]:
    """Return the wall seconds of a Python process, by repeat.

    Raises:
        subprocess.CalledProcessError: the process failed, so its time means nothing.
    """
    seconds = []
    for _ in range(repeats):
        began = perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=True)
        seconds.append(perf_counter() - began)
    return seconds
