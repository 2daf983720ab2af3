"""Put what the commands print into the README: ``python docs/refresh.py``.

The plan between the README's ``text`` fences is the output of ``ebplan solve`` at a width of 100,
and the figure beside it that of ``--plot``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = "examples/under_frequency.json"
FIGURE = "docs/figures/under_frequency.png"
PLAN_BLOCK = re.compile(r"(?<=```text\n).*?(?=```)", re.DOTALL)


def printed_plan() -> str:
    """Return what ``ebplan solve`` prints for the example."""
    command = [sys.executable, "-m", "ebplan", "solve", EXAMPLE, "--plot", FIGURE]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def main() -> None:
    """Rewrite the README's plan."""
    readme = ROOT / "README.md"
    plan = printed_plan()
    readme.write_text(PLAN_BLOCK.sub(lambda _: plan, readme.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
