"""The figure of cells at rest: measured, and predicted from the other conditions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.validation.battery_calendar import Trial, trials
from ebplan.document import write_atomically

# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
BLUE, VERMILION, BLACK = "#0072B2", "#D55E00", "#000000"
DAY_S = 86400.0
COLUMNS = 4


def plot(folder: Path, target: Path) -> None:
    """Draw each condition's check-ups over what the others say of it.

    Args:
        folder: the data folder.
        target: where the PNG is written.
    """
    found = sorted(trials(folder), key=lambda t: (t.temperature_c, t.soc))
    rows = -(-len(found) // COLUMNS)
    figure = Figure(figsize=(10.0, 2.35 * rows + 0.6), dpi=150, layout="constrained")
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True).flatten().tolist()
    for axes, trial in zip(panels, found, strict=False):
        _draw(axes, trial)
    for axes in panels[len(found) :]:
        axes.set_axis_off()
    # two panels, one of each kind, name all there is
    named = {
        label: handle
        for kind in (True, False)
        for panel, trial in zip(panels, found, strict=False)
        if trial.within is kind
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    panels[-1].legend(
        named.values(), named.keys(), frameon=False, loc="center", fontsize=8, borderpad=0.0
    )
    panels[-1 - COLUMNS].tick_params(labelbottom=True)
    figure.supxlabel("days at rest")
    figure.supylabel("capacity left, % of the initial")
    mean = np.mean([abs(trial.error) for trial in found])
    held = sum(abs(trial.error) <= trial.half_width for trial in found)
    figure.suptitle(
        f"Capacity after 885 days at rest, predicted from the other conditions, errs by "
        f"{mean:.1f} points in the mean;\n{held} of {len(found)} ends lie in their 90 % interval "
        "(inside, outside: of the others' temperatures and SoC)"
    )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    write_atomically(target, picture.getvalue())


def _draw(axes: Axes, trial: Trial) -> None:
    days = trial.seconds / DAY_S
    colour = BLUE if trial.within else VERMILION
    where = "inside" if trial.within else "outside"
    axes.fill_between(
        days, 100.0 * trial.said.low, 100.0 * trial.said.high, color=colour, alpha=0.2, linewidth=0,
        label=f"90 % interval, {where}",
    )  # fmt: skip
    axes.plot(
        days, 100.0 * trial.said.mean, color=colour, linewidth=1.4,
        linestyle="-" if trial.within else "--",
        label=f"from the others, {where}",
    )  # fmt: skip
    axes.plot(
        days, 100.0 * trial.measured, linestyle="none", marker="o", markersize=2.2, color=BLACK,
        label="measured",
    )  # fmt: skip
    axes.set_title(
        f"{trial.temperature_c:g} °C, SoC {100.0 * trial.soc:g} %: {trial.error:+.1f} points",
        fontsize=9,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.5)
