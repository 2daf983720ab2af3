"""A replay as a figure: the draw of both sides against what was asked, and who carries it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebplan.mechanisms import MECHANISMS, least_impact_first, mechanism_words
from ebplan.replay.results import ReplaySummary
from ebplan.report.canvas import GREY, INK, blank, check_suffix, save, styled
from ebplan.report.palette import COLOURS, OTHER_COLOUR
from ebplan.report.replay_table import headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLANNED, KW = "ebplan_planned_", "_kw"
LEAST_KW = 1e-3
"""A mechanism that never moves more is not drawn."""
DRAWN = {mechanism.name for mechanism in MECHANISMS}


def plot_replay(summary: ReplaySummary, table: dict[str, Any], path: Path) -> None:
    """Draw a replay into a file; the suffix chooses png, svg or pdf.

    Args:
        summary: what was found.
        table: the intervals, as ``intervals_table`` has them.
        path: the file.

    Raises:
        InputError: another suffix, a folder that cannot be written, or no matplotlib.
    """
    check_suffix(path)
    with styled():
        save(_draw(summary, table), path)


def _draw(summary: ReplaySummary, table: dict[str, Any]) -> Figure:
    scale, unit = (3600.0, "h") if summary.duration_s > 7200.0 else (60.0, "min")
    count = len(table["time"])
    edges = summary.interval_s * np.arange(count + 1) / scale
    figure = blank(8.4, 5.6)
    draw, parts = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draws(draw, table, edges)
    _parts(parts, table, edges)
    parts.set_xlim(edges[0], edges[-1])
    clock = f"{summary.start:%Y-%m-%d %H:%M %z}"
    parts.set_xlabel(f"Time since {clock} in {unit}")
    title = "\n".join(textwrap.wrap(headline(summary), 88))
    shown = figure.suptitle(title, x=0.01, ha="left", size=10.5, weight="bold")
    shown.set_parse_math(False)
    below = figure.supxlabel(
        f"ebplan's side is simulated. Recording: {summary.recording_file}",
        x=0.99,
        ha="right",
        size=7.0,
        color=GREY,
    )
    below.set_parse_math(False)
    return figure


def _draws(axes: Axes, table: dict[str, Any], edges: Any) -> None:
    low, high = table["ebplan_least_kw"], table["ebplan_most_kw"]
    bottom, top = np.fmin(low, high), np.fmax(low, high)
    if np.isfinite(bottom).any():
        axes.fill_between(
            edges,
            np.r_[bottom, bottom[-1:]],
            np.r_[top, top[-1:]],
            step="post",
            color="#E3E3E3",
            linewidth=0.0,
            label="asked, with its tolerance",
        )
        axes.stairs(
            table["ebplan_baseline_kw"],
            edges,
            color=GREY,
            linestyle="--",
            linewidth=0.9,
            baseline=None,
            label="baseline",
        )
    axes.stairs(
        table["recorded_grid_kw"],
        edges,
        color=COLOURS["shortfall"],
        linewidth=1.2,
        baseline=None,
        label="recorded",
    )
    axes.stairs(
        table["ebplan_grid_kw"],
        edges,
        color=COLOURS["battery"],
        linewidth=1.2,
        baseline=None,
        label="ebplan, simulated",
    )
    axes.set_ylabel("Draw at the connection\npoint in kW")
    axes.legend(loc="upper center", ncols=4, bbox_to_anchor=(0.5, 1.16), fontsize=8.5)


def _parts(axes: Axes, table: dict[str, Any], edges: Any) -> None:
    """Draw what the plans told each mechanism to do, and the battery as it was."""
    names = [
        name.removeprefix(PLANNED).removesuffix(KW) for name in table if name.startswith(PLANNED)
    ]
    moved = [
        name
        for name in least_impact_first(names)
        if name in DRAWN and np.nanmax(np.abs(table[f"{PLANNED}{name}{KW}"])) > LEAST_KW
    ]
    for name in moved:
        axes.stairs(
            np.nan_to_num(table[f"{PLANNED}{name}{KW}"]),
            edges,
            color=COLOURS.get(name, OTHER_COLOUR),
            linewidth=1.4,
            baseline=None,
            label=mechanism_words(name),
        )
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.set_ylabel("Change planned, by\nmechanism, in kW")
    if moved:
        axes.legend(loc="lower left", fontsize=8.5, ncols=2)
