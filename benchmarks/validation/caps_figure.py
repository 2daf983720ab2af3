"""The figure of the caps: throughput against cap, the fitted law, its interval, what binds."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.validation.caps import OPTIONS, W_PER_KW, Workloads, fitted
from ebplan.document import write_atomically
from ebplan.models.fit.board import Readings, not_binding

# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^")
TITLES = {
    "infer_llama_8b": "inference, Llama 8B",
    "ft_llama_8b_p3": "fine-tuning, Llama 8B",
    "pt_mpt_13b_sm": "training, MPT 13B",
    "matmul_compute_bound": "V100, matrix products",
    "bursty_alternating": "V100, bursts",
}


def draw(cluster: Workloads, board: Workloads, target: Path) -> None:
    """Draw one panel for each workload.

    Args:
        cluster: workloads under caps.
        board: workloads under caps and locked clocks.
        target: where the PNG is written.
    """
    figure = Figure(figsize=(11.0, 6.6), dpi=150, layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    both = {**cluster, **board}
    for axes, (name, readings) in zip(panels, both.items(), strict=False):
        _panel(axes, readings)
        axes.set_title(TITLES.get(name, name), fontsize=10)
        axes.set_xlabel("power cap, W per GPU")
        axes.set_ylabel("throughput over that\nat the highest power")
    _legend(panels[len(both)])
    loose = sum(int(not_binding(r, OPTIONS.repeatability).sum()) for r in both.values())
    total = sum(len(r.cap) for r in both.values())
    figure.suptitle(
        "One law per workload gives throughput under every cap and clock; "
        f"{loose} of {total} readings stand under a cap that does nothing",
        fontsize=12,
    )
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    write_atomically(target, drawn.getvalue())


def _panel(axes: Axes, readings: Readings) -> None:
    """Draw the readings of one workload, by clock, with the law."""
    law = fitted(readings).law
    free = not_binding(readings, OPTIONS.repeatability)
    full = float(np.exp(law.rate_law.theta[0]))
    caps = np.linspace(readings.cap.min(), readings.cap.max(), 200)
    clocks = [None] if readings.clock is None else sorted(set(readings.clock.tolist()))[::-1]
    for clock, colour, marker in zip(clocks, COLOURS, MARKERS, strict=False):
        at = np.ones(len(free), dtype=bool) if clock is None else readings.clock == clock
        told = law.throughput(caps, clock)
        axes.fill_between(
            caps * W_PER_KW,
            told.low / full,
            np.minimum(told.high / full, 1.25),
            color=colour,
            alpha=0.18,
            linewidth=0.0,
        )
        axes.plot(caps * W_PER_KW, told.mean / full, color=colour, linewidth=1.5)
        for chosen, face in ((at & ~free, colour), (at & free, "white")):
            axes.plot(
                readings.cap[chosen] * W_PER_KW,
                readings.rate[chosen] / full,
                linestyle="none",
                marker=marker,
                markersize=6,
                markeredgecolor=colour,
                markerfacecolor=face,
            )
        if clock is not None:
            axes.annotate(
                f"{clock:,.0f} MHz",
                (caps[-1] * W_PER_KW, float(told.mean[-1]) / full),
                xytext=(0, -13),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=colour,
            )
    axes.set_ylim(0.0, 1.15)
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(axes: Axes) -> None:
    """Say what the marks are."""
    axes.axis("off")
    axes.plot([], [], color=COLOURS[0], linewidth=1.5, label="fitted law")
    axes.fill_between([], [], [], color=COLOURS[0], alpha=0.18, label="90 % interval of a reading")
    axes.plot([], [], "o", color=COLOURS[0], label="measured, cap binds")
    axes.plot(
        [],
        [],
        "o",
        markeredgecolor=COLOURS[0],
        markerfacecolor="white",
        label="measured, cap does nothing:\npower below it, throughput\nthat under higher caps",
    )
    axes.legend(frameon=False, loc="center left", fontsize=10)
