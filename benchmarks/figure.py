"""The figure of the comparison: cost against target depth."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.findings import missing_kwh, premium
from ebplan.document import write_atomically
from ebplan.plan import Plan

# Okabe and Ito's palette: told apart by every kind of colour vision, and in grey.
BLUE, VERMILION = "#0072B2", "#D55E00"
MISSED_KWH = 1e-6
"""Less is rounding of the solver."""


def draw_cost_against_depth(
    depths: Sequence[float], optimal: Sequence[Plan], rule: Sequence[Plan], path: Path
) -> None:
    """Draw both plans' money over the target's depth, and what the rule costs more.

    Args:
        depths: target depths as shares of the baseline, shape (n,).
        optimal: the optimal plans, shape (n,).
        rule: the rule's plans, shape (n,).
        path: where the PNG is written.
    """
    percent = [100.0 * depth for depth in depths]
    premiums = [100.0 * premium(a, b) for a, b in zip(optimal, rule, strict=True)]
    currency = optimal[0].currency
    figure = Figure(figsize=(7.5, 5.6), dpi=150, layout="constrained")
    cost, extra = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for plans, colour, marker, label in (
        (rule, VERMILION, "s", "least impact first"),
        (optimal, BLUE, "o", "cheapest mix"),
    ):
        money = [plan.money for plan in plans]
        cost.plot(percent, money, color=colour, marker=marker, markersize=4, label=label)
        short = [i for i, plan in enumerate(plans) if missing_kwh(plan) > MISSED_KWH]
        cost.plot(
            [percent[i] for i in short],
            [money[i] for i in short],
            linestyle="none",
            marker=marker,
            markersize=9,
            markerfacecolor="none",
            color=colour,
            label=f"{label}: target missed" if short else None,
        )
    cost.set_yscale("log")
    cost.yaxis.set_major_formatter("{x:g}")
    cost.set_ylabel(f"cost of the event, {currency}")
    cost.legend(frameon=False, loc="upper left")
    bars = extra.bar(percent, premiums, width=1.6, color=VERMILION)
    extra.bar_label(bars, fmt="{:.0f}", fontsize=8, padding=1)
    extra.margins(y=0.15)
    extra.set_ylabel("rule costs more, %")
    extra.set_xlabel(f"target depth of {optimal[0].event_id}, % of the baseline")
    worst = max(range(len(percent)), key=lambda i: premiums[i])
    deep = premiums[-1]
    figure.suptitle(
        f"Escalating by rule costs {premiums[worst]:.0f} % more at a depth of "
        f"{percent[worst]:.0f} %, {deep:.1f} % more at {percent[-1]:.0f} %",
        fontsize=11,
    )
    for axes in (cost, extra):
        axes.grid(visible=True, which="major", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    write_atomically(path, drawn.getvalue())
