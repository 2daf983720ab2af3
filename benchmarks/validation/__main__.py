"""``python -m benchmarks.validation``: what the fitted models are worth, as a page.

Reads the published measurements from a folder that is not part of the project; where a file is
missing its sections are left out, with the reason.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from benchmarks.tables import table
from benchmarks.validation import battery, caps, drift, fleet_map, serving, steps
from benchmarks.validation.line import Line, Section
from ebplan.document import write_atomically

DATA = Path(os.environ.get("EBPLAN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SUBJECTS = {
    "serving": serving,
    "fleet_map": fleet_map,
    "caps": caps,
    "steps": steps,
    "battery": battery,
    "drift": drift,
}
FIGURES = {"caps": caps, "steps": steps, "battery": battery}
"""Subjects that are drawn too."""
HEAD = """# Validation

Written by `make validate`: what the fitted models are worth on measurements that they have not
seen. Every line is computed when the page is written; goals are fixed in the code and follow from
no value; a line without one only reports."""


def page(names: list[str], folder: Path, figures: Path | None) -> str:
    """Return the page.

    Args:
        names: subjects.
        folder: published data.
        figures: where figures are drawn; none are where absent.
    """
    parts, reached, goals = [], 0, 0
    for name in names:
        for section in SUBJECTS[name].SECTIONS:
            lines, text = _run(section, folder)
            goals += sum(line.reached is not None for line in lines)
            reached += sum(line.reached is True for line in lines)
            parts.append(f"## {section.title}")
            if lines:
                parts.append("\n".join(_table(lines)))
            parts += text
        if figures is not None and name in FIGURES:
            parts += _drawn(name, folder, figures)
    missed = f"{reached} of {goals} goals are reached." if goals else "No goal was measured."
    return "\n\n".join([HEAD, missed, f"Date: {datetime.now(UTC):%Y-%m-%d}.", *parts]) + "\n"


def _run(section: Section, folder: Path) -> tuple[list[Line], list[str]]:
    """Return lines and paragraphs of a section, or why it is left out."""
    missing = [file for file in section.files if not (folder / file).is_file()]
    if missing:
        return [], [f"Left out: {', '.join(missing)} is not there."]
    began_s = perf_counter()
    found = list(section.run(folder))
    print(f"{section.title}: {perf_counter() - began_s:.0f} s", file=sys.stderr, flush=True)
    return [x for x in found if isinstance(x, Line)], [x for x in found if isinstance(x, str)]


def _table(lines: list[Line]) -> list[str]:
    verdicts = {None: "", True: "yes", False: "**no**"}
    rows = [(line.what, line.value, line.goal, verdicts[line.reached]) for line in lines]
    return table(("what", "value", "goal", "reached"), rows)


def _drawn(name: str, folder: Path, figures: Path) -> list[str]:
    files = {file for section in SUBJECTS[name].SECTIONS for file in section.files}
    if any(not (folder / file).is_file() for file in files):
        return []
    target = figures / f"validation_{name}.png"
    FIGURES[name].plot(folder, target)
    return [f"![{name}]({figures.name}/{target.name})"]


def main() -> None:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []], help="all if absent")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the published data")
    parser.add_argument("--write", type=Path, help="write the page here")
    parser.add_argument("--figures", type=Path, help="draw figures into this folder")
    options = parser.parse_args()
    text = page(options.subjects or list(SUBJECTS), options.data, options.figures)
    if options.write:
        write_atomically(options.write, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
