"""All cases of an experiment in two figures: how deep and how fast, and the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ebplan.experiment.protocol import short_set_name
from ebplan.report.canvas import GREY, INK, blank, styled
from ebplan.report.model_figures.frame import MARKS
from ebplan.report.palette import COLOURS
from ebplan.words import number_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
DIRECTIONS = ("release", "absorb")
LEAST_S = 0.1


def sets_of(rows: Rows) -> list[str]:
    """Return the names of the sets of mechanisms, in order."""
    return list(dict.fromkeys(row["mechanisms"] for row in rows))


def depth_and_speed(rows: Rows) -> Figure | None:
    """Return depth against the time to nine tenths of it, a mark for each case; None without."""
    seen = [r for r in rows if r["noticeable"] and r["to_90_s"] is not None]
    if not seen:
        return None
    names = sets_of(seen)
    colours = list(COLOURS.values())
    with styled():
        figure = blank(8.4, 4.6)
        axes = figure.subplots()
        for i, name in enumerate(names):
            some = [r for r in seen if r["mechanisms"] == name]
            axes.scatter(
                [max(r["to_90_s"], LEAST_S) for r in some],
                [100.0 * r["depth_share"] for r in some],
                s=34,
                marker=MARKS[i % len(MARKS)],
                color=colours[i % len(colours)],
                edgecolor=INK,
                linewidth=0.5,
                label=short_set_name(name),
                zorder=3,
            )
        axes.axhline(0.0, color=GREY, lw=0.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("seconds to 90 % of the depth, from the first command")
        axes.set_ylabel("change of the fleet's draw, %")
        axes.grid(color="#E5E5E5", lw=0.6)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.0)
        fast = min(seen, key=lambda r: r["to_90_s"])
        deep = min(seen, key=lambda r: r["depth_share"])
        text = (
            f"Simulated: {short_set_name(fast['mechanisms'])} is there in "
            f"{number_words(fast['to_90_s'], 1)} s,\nthe deepest is "
            f"{100.0 * deep['depth_share']:.0f} % by {short_set_name(deep['mechanisms'])}"
        )
        figure.suptitle(text, x=0.01, ha="left", size=10.5, weight="bold").set_parse_math(False)
    return figure


def depth_map(rows: Rows, mechanisms: str) -> Figure | None:
    """Return the depth of a set on the map of shapes and concurrencies, by direction."""
    some = [r for r in rows if r["mechanisms"] == mechanisms and r["direction"] in DIRECTIONS]
    shapes = list(dict.fromkeys(r["shape"] for r in some))
    users = sorted({r["concurrency"] for r in some})
    directions = [d for d in DIRECTIONS if any(r["direction"] == d for r in some)]
    if len(shapes) * len(users) < 2:
        return None
    with styled():
        figure = blank(8.4, 1.6 + 0.42 * len(shapes))
        all_axes = figure.subplots(1, len(directions), squeeze=False)[0]
        for axes, direction in zip(all_axes, directions, strict=True):
            values = np.full((len(shapes), len(users)), np.nan)
            for r in some:
                if r["direction"] == direction:
                    place = shapes.index(r["shape"]), users.index(r["concurrency"])
                    values[place] = 100.0 * r["depth_share"]
            axes.imshow(np.abs(values), cmap="cividis", vmin=0.0, vmax=25.0, aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                if np.isfinite(value):
                    ink = "white" if abs(value) < 13.0 else "black"
                    axes.text(j, i, f"{value:+.0f} %", ha="center", va="center", color=ink, size=8)
            axes.set_xticks(range(len(users)), [str(n) for n in users])
            shown = [s.replace("_", " ") for s in shapes] if axes is all_axes[0] else []
            axes.set_yticks(range(len(shapes)) if shown else [], shown)
            axes.set_xlabel("requests at once")
            axes.set_title(direction, loc="left", size=9)
        text = f"Simulated: what {short_set_name(mechanisms)} changes of the fleet's draw"
        figure.suptitle(text, x=0.01, ha="left", size=10.5, weight="bold").set_parse_math(False)
    return figure
