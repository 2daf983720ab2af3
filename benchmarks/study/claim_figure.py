"""The figure of where the hand-off pays; its message stands in its title."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ebplan.report.palette import COLOURS

ALONE, WITH = "#BBBBBB", COLOURS["battery"]
SMALL = "1 kWh, 8 kW"
"""The battery whose gains are drawn: the one for which compute matters."""
PRODUCTS = ("primary (300 s)", "30 minutes", "3 hours")
Gains = Mapping[str, tuple[float, float, float, float, float]]
Required = Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]]


def draw(gains: Gains, megawatt: Required, path: Path) -> None:
    """Draw gains and required batteries with and without compute.

    Args:
        gains: by battery and product: alone, with compute, and more.
        megawatt: battery that one megawatt takes: compute kW, battery kW, usable kWh.
        path: PNG to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
    at = np.arange(len(PRODUCTS))
    money = [gains[f"{SMALL}: {name}"] for name in PRODUCTS]
    for n, (words, colour) in enumerate((("battery alone", ALONE), ("with compute", WITH))):
        bars = left.barh(at + 0.2 - 0.4 * n, [m[n] / 1e6 for m in money], 0.38, color=colour)
        left.bar_label(bars, fmt="%.2g", padding=3)
        bars = right.barh(
            at + 0.2 - 0.4 * n,
            [megawatt[name][n][2] for name in PRODUCTS],
            0.38,
            color=colour,
            label=words,
        )
        right.bar_label(bars, fmt="{:,.0f}", padding=3)
    for axes in (left, right):
        axes.set_yticks(at, PRODUCTS)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.16)
    left.set_xlabel(f"gain in two weeks, M JPY ({SMALL} each)")
    right.set_xlabel("usable energy for 1 MW, kWh")
    right.set_yticklabels([])
    right.legend(frameon=False, loc="upper right")
    times = {name: both[1] / both[0] for name, both in zip(PRODUCTS, money, strict=True)}
    figure.suptitle(
        "The hand-off pays where a response lasts: a small battery gains "
        f"{times['3 hours']:.1f} times as much\nfrom 3 hours, {times['30 minutes']:.1f} times from "
        f"30 minutes, {times['primary (300 s)']:.1f} times from primary reserve",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)
