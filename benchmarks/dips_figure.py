"""The figure of the hand-over: draw of the site, and power of its battery."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from ebplan.document import write_atomically
from ebplan.report.palette import COLOURS

if TYPE_CHECKING:
    from benchmarks.dips import Swap

GREY = "#666666"


def draw_swap(
    without: Swap, held: Swap, *, path: Path, overlap_s: tuple[float, float], end_s: float
) -> None:
    """Draw both runs.

    Args:
        without: the battery at rest.
        held: the battery holds the level.
        path: where the PNG is written.
        overlap_s: when both mechanisms act.
        end_s: end of what is drawn.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.6), dpi=150, layout="constrained")
    draw, battery = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    minutes = [t / 60.0 for t in without.t_s]
    draw.axhline(without.level_kw, color=GREY, ls=":", lw=1.2, label="level to be held")
    draw.plot(minutes, without.grid_kw, color=COLOURS["shortfall"], lw=1.8, label="battery at rest")
    draw.plot(
        minutes,
        held.grid_kw,
        color=COLOURS["battery"],
        lw=1.8,
        ls="--",
        label="battery holds the level",
    )
    draw.set_ylabel("draw at the connection point (kW)")
    draw.set_ylim(0.0, 1.1 * max(without.grid_kw))
    draw.legend(frameon=False, loc="lower left")
    battery.axhline(0.0, color=GREY, lw=0.8)
    battery.plot(minutes, held.battery_kw, color=COLOURS["battery"], lw=1.8, ls="--")
    battery.set_ylabel("battery (kW)\n> 0 discharges")
    battery.set_xlabel("minutes (shaded: caps and consolidation both act)")
    for axes in (draw, battery):
        axes.axvspan(*(t / 60.0 for t in overlap_s), color="#BBBBBB", alpha=0.4, zorder=0)
        axes.set_xlim(0.0, end_s / 60.0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"Caps hand over to consolidation: the draw dips by {without.dip_kw:.1f} kW for "
        f"{without.dip_s / 60.0:.1f} min,\nwith the battery holding the level by "
        f"{held.dip_kw:.1f} kW, at the same requests served (simulated)",
        fontsize=11,
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    write_atomically(path, picture.getvalue())
