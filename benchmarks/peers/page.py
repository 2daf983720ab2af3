"""The page: what was measured, what each tool cannot say, and where ebplan is not first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from benchmarks.machine import processor
from benchmarks.peers.runs import THREADS, Measured
from benchmarks.peers.tools_list import BASELINE, PROBLEMS, TOOLS

SAME = 1e-4
"""Objectives that differ by more, relatively, are of different problems."""


WHY = """\
A window that is solved again is written whole, costs, bounds and right-hand sides, where one who
calls HiGHS by hand writes the numbers that changed: that is what one door for every study costs.
Importing ebplan brings its documents (pydantic) besides HiGHS and numpy. A large linear program is
built through named groups of rows, sorted into one matrix: HiGHS itself is given that matrix."""


def sections(measured: Sequence[Measured], errors: dict[str, str]) -> dict[str, str]:
    """Return the Markdown of each section by its name.

    Raises:
        ValueError: ebplan and HiGHS itself disagree about an optimum.
    """
    check(measured)
    return {"peers: times": _times(measured, errors), "peers: where ebplan loses": _lost(measured)}


def check(measured: Sequence[Measured]) -> None:
    """Hold every objective to that of HiGHS itself; of ebplan, where HiGHS was not run.

    A tool that differs by more than ``SAME`` has solved another problem and is left out.

    Raises:
        ValueError: it is ebplan, or another statement, that differs.
    """
    for problem in PROBLEMS:
        found = {
            m.tool if m.problem == problem else m.problem: run["objective"]
            for m in measured
            # other statements of a problem have its name in front
            if m.problem == problem or m.problem.startswith(f"{problem}_")
            for run in m.runs
        }
        if not found:
            continue
        truth = found.get(BASELINE, next(iter(found.values())))
        for tool, objective in found.items():
            if abs(objective - truth) <= SAME * abs(truth):
                continue
            if tool not in TOOLS or tool in (BASELINE, "ebplan"):
                raise ValueError(f"{problem}: {tool} finds {objective}, {BASELINE} {truth}")
            other = next(m for m in measured if (m.tool, m.problem) == (tool, problem))
            other.left_out = f"finds {objective:.6g} where HiGHS itself finds {truth:.6g}"
            other.runs.clear()


def _times(measured: Sequence[Measured], errors: dict[str, str]) -> str:
    count = max((len(m.runs) for m in measured), default=0)
    lines = [
        "## Times",
        "",
        f"Measured on {processor()}, {THREADS} thread, {datetime.now(UTC):%Y-%m-%d}. Medians of up "
        f"to {count} runs, each in a process of its own and by turns with the others.",
        "",
    ]
    for problem, words in PROBLEMS.items():
        rows = [m for m in measured if m.problem == problem]
        if rows:
            lines += _problem(problem, words, rows)
    if errors:
        lines += ["### Not installed", ""]
        lines += [f"- {TOOLS[tool]}: {error}" for tool, error in errors.items()]
    return "\n".join(lines)


def _problem(problem: str, words: str, rows: Sequence[Measured]) -> list[str]:
    ran = sorted((m for m in rows if m.runs), key=lambda m: m.median("total_s"))
    base = next((m.median("total_s") for m in ran if m.tool == BASELINE), None)
    lines = [
        f"### {words[0].upper()}{words[1:]} (`{problem}`)",
        "",
        "| tool | build, s | solver, s | total, s | of HiGHS | import, s | memory, MiB | rows "
        "| columns | nodes |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for m in ran:
        total, solver = m.median("total_s"), m.median("solver_s")
        ratio = "" if base is None else f"{total / base:.2f}"
        asked = ("peak_mb", "rows", "columns", "nodes")
        numbers = [f"{m.median(n):,.0f}" for n in asked]
        inside = [f"{total - solver:.3f}", f"{solver:.3f}"]
        if not m.median("runs"):  # another solver, which is not watched
            numbers[1:], inside = ["", "", ""], ["", ""]
        lines.append(
            f"| {TOOLS[m.tool]} | {' | '.join(inside)} | {total:.3f} | {ratio} "
            f"| {m.median('import_s'):.2f} | {' | '.join(numbers)} |"
        )
    left = [(m.tool, m.left_out) for m in rows if m.left_out is not None and not m.runs]
    if left:
        lines += ["", "Left out:", ""]
        lines += [f"- {TOOLS[tool]}: {why}" for tool, why in left]
    return [*lines, ""]


def _lost(measured: Sequence[Measured]) -> str:
    lines = ["## Where ebplan is not first", "", WHY, ""]
    for problem, words in PROBLEMS.items():
        rows = [m for m in measured if m.problem == problem and m.runs]
        ours = next((m for m in rows if m.tool == "ebplan"), None)
        if ours is None:
            continue
        for number, unit, name in (
            ("total_s", "s", "time"),
            ("peak_mb", "MiB", "memory"),
            ("import_s", "s", "import"),
        ):
            better = [m for m in rows if m.median(number) < ours.median(number)]
            told = [
                f"{TOOLS[m.tool]} {m.median(number):.3g} {unit}"
                for m in sorted(better, key=lambda m: m.median(number))
            ]
            if told:
                lines.append(
                    f"- {words}, {name}: {ours.median(number):.3g} {unit}; {', '.join(told)}"
                )
    return "\n".join(lines)
