"""The figure of the deadlines: cost over the best known, against deadline and size."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.deadlines import Sized
from ebplan.document import write_atomically

# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^")
LINEAR_PERCENT = 0.01
"""Below this the axis is linear: nought is on it."""


def draw(sized: Sequence[Sized], path: Path) -> None:
    """Draw the median and the ninth decile of the cost by deadline, the merit order beside.

    Args:
        sized: what was measured, by size.
        path: where the PNG is written.
    """
    figure = Figure(figsize=(7.5, 4.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    for size, colour, marker in zip(sized, COLOURS, MARKERS, strict=False):
        cells = [cell for cell in size.cells if not cell.arming]
        deadlines_ms = [1000.0 * cell.deadline_s for cell in cells]
        over = [np.quantile(cell.over(size.best), [0.5, 0.9]) for cell in cells]
        middle, high = 100.0 * np.array(over).T
        axes.plot(
            deadlines_ms, middle, color=colour, marker=marker, label=f"{size.instances:,} instances"
        )
        axes.fill_between(deadlines_ms, middle, high, color=colour, alpha=0.15, linewidth=0.0)
        rule = 100.0 * float(np.median(size.rule_over()))
        axes.axhline(rule, color=colour, linestyle="--", linewidth=1.0)
    axes.plot([], [], color="0.3", linestyle="--", linewidth=1.0, label="least impact first")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=LINEAR_PERCENT)
    ticks = [1000.0 * cell.deadline_s for cell in sized[0].cells]
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("deadline, ms")
    axes.set_ylabel("cost over the best plan known, %\n(median; band to the ninth decile)")
    axes.grid(visible=True, which="major", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right")
    figure.suptitle(_message(sized), fontsize=11)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    write_atomically(path, drawn.getvalue())


def _message(sized: Sequence[Sized]) -> str:
    """Say from which deadline on half of the plans cost at most 1 % over the best."""
    told = []
    for size in sized:
        cells = [cell for cell in size.cells if not cell.arming]
        good = [c.deadline_s for c in cells if np.median(c.over(size.best)) <= 0.01]
        when = f"{1000.0 * min(good):,.0f} ms" if good else "no deadline here"
        told.append(f"{when} at {size.instances:,} instances")
    return "Half of the plans are within 1 % of the best of their case from\n" + ", ".join(told)
