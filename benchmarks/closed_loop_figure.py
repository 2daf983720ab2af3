"""The figure of the closed loop: some minutes around one event, second by second."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.closed_loop import Met, Run
from ebplan.document import write_atomically

# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
BEFORE_S, AFTER_S = 300.0, 900.0


def draw_event(run: Run, met: Met, path: Path) -> None:
    """Draw what was asked, drawn, and given around an event.

    Args:
        run: a controller's day.
        met: one of its events.
        path: where the PNG is written.
    """
    ends_s = met.began_s + met.problem.event_end_s
    times, asked, grid, battery, compute, soc = np.array(
        [row for row in run.trace if met.began_s - BEFORE_S <= row[0] <= ends_s + AFTER_S]
    ).T
    minutes = (times - met.began_s) / 60.0
    figure = Figure(figsize=(8.0, 6.4), dpi=150, layout="constrained")
    draw, parts, state = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.6))
    draw.plot(minutes, grid, color=BLUE, linewidth=1.2, label="drawn, as metered")
    draw.plot(minutes, asked, color=VERMILION, linestyle="--", linewidth=1.6, label="asked")
    draw.set_ylabel("draw of the site, kW")
    draw.legend(frameon=False, loc="best")
    parts.plot(minutes, compute, color=GREEN, linewidth=1.2, label="compute draws")
    parts.plot(minutes, battery, color=GREY, linewidth=1.2, label="battery gives (< 0: takes)")
    parts.axhline(0.0, color="black", linewidth=0.5)
    parts.set_ylabel("power, kW")
    parts.legend(frameon=False, loc="best")
    state.plot(minutes, 100.0 * soc, color=BLUE, linewidth=1.2)
    state.set_ylabel("state of\ncharge, %")
    state.set_xlabel("minutes since the event began")
    for axes in (draw, parts, state):
        axes.axvspan(0.0, (ends_s - met.began_s) / 60.0, color="#F0E442", alpha=0.15, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    kind = met.event_id.split("-", 1)[1].replace("_", " ")
    figure.suptitle(
        f"In closed loop the draw stays on target though models err by 5 % ({kind}),\n"
        "and the battery is made ready again afterwards"
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    write_atomically(path, picture.getvalue())


def telling(run: Run) -> Met:
    """Return the event in which compute moves most, one with a hand-off where there is any."""

    def moved_kw(met: Met) -> float:
        ends_s = met.began_s + met.problem.event_end_s
        inside = [row[4] for row in run.trace if met.began_s <= row[0] <= ends_s]
        return max(inside) - min(inside) if inside else 0.0

    calm = [met for met in run.met if not met.hit]
    handed_over = [met for met in calm if met.problem.handoff_from_s is not None]
    return max(handed_over or calm, key=moved_kw)
