"""A plan as a figure: the draw, who carries the response, and the battery, on one time axis.

The axis is ``EventAxis``: 100 ms and hours both read on it.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.report.axis import EventAxis
from ebplan.report.canvas import GREY, INK, blank, check_suffix, save, styled
from ebplan.report.direction import ABSORB, EITHER_WAY, direction_of
from ebplan.report.palette import COLOURS, OTHER_COLOUR
from ebplan.report.phases import is_short, mechanism_kw, mechanism_names, message
from ebplan.words import time_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

SHADE = "#F1F1F1"


def plot_plan(plan: Plan, problem: Problem, path: Path) -> None:
    """Draw a plan into a file; the suffix chooses png, svg or pdf.

    Raises:
        InputError: another suffix, a folder that cannot be written, or no matplotlib.
    """
    check_suffix(path)
    save(draw_plan(plan, problem), path)


def draw_plan(plan: Plan, problem: Problem) -> Figure:
    """Return the figure of a plan, one panel above the other.

    Raises:
        InputError: matplotlib is not installed.
    """
    panels = [_draw_power, _draw_mechanisms] + [_draw_soc] * (problem.battery is not None)
    heights = [3.0, 3.2, 1.7][: len(panels)]
    if isinstance(problem.prices.energy_per_kwh, tuple):
        panels, heights = [_draw_price, *panels], [1.4, *heights]
    with styled():
        figure = blank(8.4, 1.2 + 0.75 * sum(heights))
        all_axes = figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, height_ratios=heights
        )[:, 0]
        for number, (axes, panel) in enumerate(zip(all_axes, panels, strict=True)):
            _draw_event(axes, plan, problem)
            panel(axes, plan, problem)
            axes.set_title(f"({'abcd'[number]}) {axes.get_title(loc='left')}", loc="left", size=9)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.6)
        _draw_time_axis(all_axes[-1], problem)
        _draw_title(figure, plan, problem)
    return figure


def _draw_title(figure: Figure, plan: Plan, problem: Problem) -> None:
    """Put the message over the figure, and under it how far the plan is proven."""
    gap = "no bound" if plan.gap is None else f"gap {100.0 * plan.gap:.2g} %"
    check = "checked" if plan.check.ok else "CHECK FAILED"
    length = time_words(problem.event_end_s - problem.event_start_s)
    proof = f"{plan.event_id}, {length}: {plan.status.replace('_', ' ')}, {gap}, {check}"
    lines = textwrap.wrap(message(plan, problem), 94)
    title = figure.suptitle("\n".join(lines), x=0.01, ha="left", size=10.5, weight="bold")
    title.set_parse_math(False)
    note = figure.supxlabel(proof, x=0.99, ha="right", size=7.5, color=GREY)
    note.set_parse_math(False)


def _draw_event(axes: Axes, plan: Plan, problem: Problem) -> None:
    """Shade the event and mark the hand-off."""
    axes.axvspan(problem.event_start_s, problem.event_end_s, color=SHADE, zorder=0)
    if plan.handoff.complete_s is not None:
        axes.axvline(plan.handoff.complete_s, color=INK, linewidth=0.8, linestyle=":", zorder=4)


def _draw_time_axis(axes: Axes, problem: Problem) -> None:
    """Give the shared axis its compressive scale and its labels."""
    axis = EventAxis.of(problem)
    axes.set_xscale("function", functions=(axis.position, axis.time_s))
    axes.set_xlim(0.0, axis.horizon_s)
    ticks = sorted(axis.ticks())
    axes.set_xticks([t_s for t_s, _ in ticks], [label for _, label in ticks])
    how = "" if axis.even else "compressed; "
    axes.set_xlabel(f"Time since the start of the event ({how}+ after its end)")


def _edges_s(plan: Plan) -> FloatArray:
    """Return the step edges in seconds, shape (T + 1,)."""
    last = plan.steps[-1]
    return np.array([*(step.t_s for step in plan.steps), last.t_s + last.duration_s])


def _column(plan: Plan, field: str) -> FloatArray:
    """Return one number of every step, shape (T,)."""
    return np.array([getattr(step, field) for step in plan.steps], dtype=float)


def _draw_price(axes: Axes, plan: Plan, problem: Problem) -> None:
    """Panel: what energy costs."""
    price = problem.energy_prices_per_kwh
    colour = COLOURS["shortfall"]
    axes.stairs(price, _edges_s(plan), baseline=None, color=colour, linewidth=1.6, label="price")
    axes.axhline(0.0, color=GREY, linewidth=0.6)
    axes.set_ylabel(f"{plan.currency} per kWh")
    axes.set_title("Price of energy (below zero: drawing is paid)", loc="left")


def _draw_power(axes: Axes, plan: Plan, problem: Problem) -> None:
    """Panel: baseline, what is asked, what is drawn."""
    edges_s, grid_kw = _edges_s(plan), _column(plan, "grid_kw")
    baseline_kw = _column(plan, "baseline_kw")
    asked_kw = baseline_kw + _column(plan, "target_kw")
    limit_kw = np.array(problem.import_limit_kw)
    lines = [
        (baseline_kw, "baseline", GREY, 1.0, "--"),
        (grid_kw, "draw", COLOURS["battery"], 2.4, "-"),
        (asked_kw, "asked", INK, 1.0, "-"),
    ]
    if problem.asks == "nothing":
        lines[2] = (limit_kw, "limit", COLOURS["shortfall"], 1.0, "-")
        asked_kw = limit_kw
    for kw, label, colour, width, line in lines:
        axes.stairs(
            kw, edges_s, baseline=None, label=label, color=colour, linewidth=width, linestyle=line
        )
    drawn_kw = np.concatenate([grid_kw, asked_kw, baseline_kw])
    low, high = float(drawn_kw.min()), float(drawn_kw.max())
    margin_kw = 0.12 * max(high - low, 0.05 * high)
    axes.set_ylim(low - margin_kw, high + 1.8 * margin_kw)
    axes.set_ylabel("Power in kW")
    axes.set_title("Draw at the connection point", loc="left")
    _annotate_handoff(axes, plan, problem, high + 0.9 * margin_kw)


def _annotate_handoff(axes: Axes, plan: Plan, problem: Problem, at_kw: float) -> None:
    """Say above the data and beside the line of the hand-off what it is."""
    complete_s = plan.handoff.complete_s
    if complete_s is None or complete_s <= problem.event_start_s:
        return
    covered = not any(one.to_s > complete_s for one in plan.shortfall)
    what = "hand-off to compute complete" if covered else "battery stops"
    left = EventAxis.of(problem).share(complete_s) > 0.5
    axes.annotate(
        f"{what} after {time_words(complete_s - problem.event_start_s)}",
        (complete_s, at_kw),
        xytext=(-5 if left else 5, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        size=8,
    )


def _draw_mechanisms(axes: Axes, plan: Plan, problem: Problem) -> None:
    """Panel: who carries the response; above zero in the direction asked, below zero against it."""
    edges_s, names, direction = _edges_s(plan), mechanism_names(plan), direction_of(problem)
    compute_first = sorted(names, key=lambda name: name == "battery")
    above = np.zeros(len(plan.steps))
    below = np.zeros(len(plan.steps))
    for name in compute_first:
        answer_kw = direction.sign * mechanism_kw(plan, name)
        top, bottom = above + np.maximum(answer_kw, 0.0), below + np.minimum(answer_kw, 0.0)
        told = "battery" if direction is EITHER_WAY and name == "battery" else direction.name(name)
        for values, base, label in ((top, above, told), (bottom, below, None)):
            colour = COLOURS.get(name, OTHER_COLOUR)
            axes.stairs(values, edges_s, baseline=base, color=colour, fill=True, label=label)
        above, below = top, bottom
    if is_short(plan):
        # from what is delivered up to what is asked: mechanisms that oppose count against
        delivered = above + below
        axes.stairs(
            delivered + _column(plan, "shortfall_kw"),
            edges_s,
            baseline=delivered,
            fill=True,
            facecolor="white",
            edgecolor=COLOURS["shortfall"],
            hatch="/////",
            label="shortfall",
        )
    asked_kw = direction.sign * _column(plan, "target_kw")
    if problem.asks != "nothing":
        axes.stairs(asked_kw, edges_s, baseline=None, color=INK, linewidth=1.0, label="asked")
    axes.axhline(0.0, color=GREY, linewidth=0.6)
    axes.set_ylabel(f"{direction.moved} in kW")
    title = "Who moves the draw" if direction is EITHER_WAY else "Who carries the response"
    axes.set_title(f"{title} (below zero: {direction.against})", loc="left")


def _draw_soc(axes: Axes, plan: Plan, problem: Problem) -> None:
    """Panel: state of charge with its limits and the reserve."""
    battery = problem.battery
    assert battery is not None, "drawn only for a site with a battery"
    start = battery.start_kwh / battery.energy_kwh
    soc = 100.0 * np.array([start, *_column(plan, "soc")])
    axes.plot(_edges_s(plan), soc, color=COLOURS["battery"], linewidth=2.0, label="SoC")
    low, reserve, high = (
        100.0 * kwh / battery.energy_kwh
        for kwh in (battery.min_kwh, battery.reserve_kwh, battery.max_kwh)
    )
    axes.axhline(
        reserve, color=COLOURS["shortfall"], linewidth=1.0, linestyle="--", label="reserve"
    )
    axes.axhline(low, color=GREY, linewidth=1.0, label="limits")
    axes.axhline(high, color=GREY, linewidth=1.0)
    axes.set_ylim(min(low, soc.min()) - 5.0, max(high, soc.max()) + 5.0)
    axes.set_ylabel("SoC in %")
    reached = f"{soc.min():.1f} % at its lowest"
    if direction_of(problem) is EITHER_WAY:
        reached = f"{soc.min():.1f} to {soc.max():.1f} %"
    elif direction_of(problem) is ABSORB:
        reached = f"{soc.max():.1f} % at its highest (limit {high:.3g} %)"
    title = f"Battery of {battery.energy_kwh:g} kWh: SoC {soc[0]:.1f} % at first, {reached}"
    axes.set_title(title, loc="left")
