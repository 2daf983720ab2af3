"""The figure: seconds of each tool on each problem, with what of it is the solver's."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks.peers.runs import Measured
from benchmarks.peers.tools_list import BASELINE, PROBLEMS, TOOLS
from ebplan.document import write_atomically
from ebplan.report.palette import COLOURS

OURS, OTHERS, HIGHS = COLOURS["shortfall"], COLOURS["battery"], COLOURS["consolidation"]


def draw(measured: Sequence[Measured], path: Path) -> None:
    """Draw a panel for each problem, tools from fast to slow, and write the PNG."""
    names = [n for n in PROBLEMS if any(m.problem == n and m.runs for m in measured)]
    figure = Figure(figsize=(9.0, 2.9 * ((len(names) + 1) // 2) + 0.6), dpi=150)
    figure.set_layout_engine("constrained")
    grid = figure.subplots((len(names) + 1) // 2, 2, squeeze=False).ravel()
    for axes, name in zip(grid, names, strict=False):
        _panel(axes, name, [m for m in measured if m.problem == name and m.runs])
    for axes in grid[len(names) :]:
        axes.axis("off")
        _legend(axes)
    figure.suptitle(_message(measured, names), fontsize=11)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    write_atomically(path, drawn.getvalue())


def _panel(axes: Axes, name: str, rows: list[Measured]) -> None:
    rows = sorted(rows, key=lambda m: m.median("total_s"), reverse=True)
    for at, m in enumerate(rows):
        solver, total = m.median("solver_s"), m.median("total_s")
        colour = _colour(m.tool)
        if solver > 0.0:  # else it has a solver of its own
            axes.plot([solver, total], [at, at], color=colour, linewidth=2.0)
            axes.plot([solver], [at], "o", color=colour, markersize=5, markerfacecolor="white")
        axes.plot([total], [at], "o", color=colour, markersize=6)
        axes.annotate(
            f"{total:.2f} s" if total < 10.0 else f"{total:.0f} s",
            (total, at),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(rows)), [TOOLS[m.tool] for m in rows], fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xscale("log")
    low = min(m.median("solver_s") or m.median("total_s") for m in rows)
    high = max(m.median("total_s") for m in rows)
    axes.set_xlim(low / 1.5, max(high * 4.0, low * 30.0))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("processor time, s", fontsize=8)
    axes.set_title(PROBLEMS[name], fontsize=9, loc="left")
    axes.grid(visible=True, axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _colour(tool: str) -> str:
    return {"ebplan": OURS, BASELINE: HIGHS}.get(tool, OTHERS)


def _legend(axes: Axes) -> None:
    for marker, face, label in (
        ("o", "white", "inside the solver"),
        ("o", "0.3", "model stated, solved, answer in hand"),
    ):
        axes.plot([], [], marker, color="0.3", markerfacecolor=face, label=label)
    for colour, label in ((OURS, "ebplan"), (HIGHS, "HiGHS itself"), (OTHERS, "other tools")):
        axes.plot([], [], "s", color=colour, label=label)
    axes.legend(frameon=False, loc="center left", fontsize=8)


def _message(measured: Sequence[Measured], names: list[str]) -> str:
    first, worst = 0, 0.0
    for name in names:
        total = {m.tool: m.median("total_s") for m in measured if m.problem == name and m.runs}
        others = [s for tool, s in total.items() if tool not in ("ebplan", BASELINE)]
        first += all(total["ebplan"] < s for s in others)
        worst = max(worst, total["ebplan"] / total[BASELINE])
    return (
        f"ebplan is ahead of every other tool on {first} of {len(names)} problems, and takes at "
        f"most {worst:.2f}x of HiGHS itself"
    )
