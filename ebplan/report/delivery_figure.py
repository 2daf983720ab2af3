"""What was delivered as a figure: the draw and its baseline, the response and what was asked."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.report.canvas import GREY, INK, blank, check_suffix, save, styled
from ebplan.report.delivery_table import headline, verdict_words
from ebplan.report.palette import COLOURS
from ebplan.settlement.asked import Asked, asked
from ebplan.settlement.delivery import Delivery, tolerance
from ebplan.settlement.series import FloatArray, MeterSeries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ebplan.event import Event
    from ebplan.services.definition import ServiceDefinition
    from ebplan.settlement.reference import Reference

SHADE = "#F1F1F1"
BEFORE_SHARE, AFTER_SHARE = 0.15, 0.3
"""How much is shown before and after, as shares of the event."""


def plot_delivery(
    found: Delivery,
    meter: MeterSeries,
    event: Event,
    baseline: Reference,
    path: Path,
    *,
    service: ServiceDefinition | None = None,
) -> None:
    """Draw a delivery into a file; the suffix chooses png, svg or pdf.

    Args:
        found: what was found.
        meter: the series.
        event: what was asked.
        baseline: what it was measured against.
        path: the file.
        service: the product, whose tolerance is drawn.

    Raises:
        InputError: another suffix, a folder that cannot be written, or no matplotlib.
    """
    check_suffix(path)
    late_s = 0.0 if service is None else service.full_activation_s or 0.0
    want = asked(meter, event, baseline.kw, late_s=late_s)
    under, over = tolerance(service, event, want)
    save(_draw(found, meter, want, baseline, under, over), path)


def _draw(
    found: Delivery,
    meter: MeterSeries,
    want: Asked,
    baseline: Reference,
    under: float | None,
    over: float | None,
) -> Figure:
    since_s = meter.time_s - want.start_s
    shown = (since_s >= -max(BEFORE_SHARE * want.end_s, 5.0 * meter.interval_s)) & (
        since_s <= (1.0 + AFTER_SHARE) * want.end_s
    )
    scale, unit = (60.0, "min") if want.end_s > 900.0 else (1.0, "s")
    since = since_s[shown] / scale
    edges = np.append(since, since[-1] + meter.interval_s / scale)
    with styled():
        figure = blank(8.4, 5.6)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.0, 1.3])
        for axes in (above, below):
            axes.axvspan(0.0, want.end_s / scale, color=SHADE, zorder=0)
        _draw_power(above, meter, baseline, shown, edges)
        _draw_response(below, meter, want, baseline, shown, edges, under, over)
        below.set_xlabel(f"Time since the start of the event in {unit} (event shaded)")
        for axes in (above, below):
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.6)
        simulated = "SIMULATED: " if found.simulated else ""
        lines = textwrap.wrap(f"{simulated}{headline(found)}: {verdict_words(found)}", 92)
        title = figure.suptitle("\n".join(lines), x=0.01, ha="left", size=10.5, weight="bold")
        title.set_parse_math(False)
        note = figure.supxlabel(
            f"{found.event_id}: {found.meter_file}; intervals hold {found.confidence:.0%}",
            x=0.99,
            ha="right",
            size=7.5,
            color=GREY,
        )
        note.set_parse_math(False)
    return figure


def _draw_power(
    axes: Axes, meter: MeterSeries, baseline: Reference, shown: NDArray[np.bool_], edges: FloatArray
) -> None:
    """Panel: the draw and what it would have been."""
    base_kw = baseline.kw[shown]
    half_kw = baseline.errors.quantile * baseline.errors.lasting_kw
    axes.fill_between(
        edges,
        np.append(base_kw, base_kw[-1]) - half_kw,
        np.append(base_kw, base_kw[-1]) + half_kw,
        step="post",
        color=GREY,
        alpha=0.25,
        linewidth=0.0,
    )
    axes.stairs(base_kw, edges, baseline=None, label="baseline", color=GREY, linestyle="--")
    axes.stairs(
        meter.grid_kw[shown],
        edges,
        label="metered",
        color=COLOURS["battery"],
        linewidth=1.4,
        baseline=None,
    )
    axes.set_ylabel("Draw in kW")
    axes.set_title("(a) Draw, and the baseline with its interval", loc="left", size=9)


def _draw_response(
    axes: Axes,
    meter: MeterSeries,
    want: Asked,
    baseline: Reference,
    shown: NDArray[np.bool_],
    edges: FloatArray,
    under: float | None,
    over: float | None,
) -> None:
    """Panel: the response in the direction asked, and the band that meets it."""
    sense = -1.0 if want.follows or want.sense[0] < 0.0 else 1.0
    moved = sense * (meter.grid_kw - baseline.kw)
    sides = np.where(want.sense == sense, 1.0, -1.0)
    least = np.where(sides > 0.0, want.least_kw, -want.most_kw)
    most = np.where(sides > 0.0, want.most_kw, -want.least_kw)
    low = least - np.where(sides > 0.0, under or 0.0, over or 0.0) * want.size_kw
    high = most + np.where(sides > 0.0, over or 0.0, under or 0.0) * want.size_kw
    inside = want.inside & shown
    band = np.where(inside, 1.0, np.nan)
    bottom, top = (np.append(kw[shown], kw[shown][-1]) for kw in (low * band, high * band))
    label = "asked" if under is None else "asked, with tolerance"
    axes.fill_between(
        edges,
        bottom,
        top,
        step="post",
        color=COLOURS["power_cap"],
        alpha=0.35,
        linewidth=0.0,
        label=label,
    )
    asked_kw = np.where(inside, sense * want.kw, np.nan)[shown]
    axes.stairs(asked_kw, edges, baseline=None, color=INK, linewidth=1.0, label="curve", zorder=5)
    axes.stairs(
        moved[shown],
        edges,
        baseline=None,
        color=COLOURS["battery"],
        linewidth=1.4,
        label="delivered",
    )
    if meter.battery_kw is not None:
        usual = float(meter.battery_kw[baseline.quiet].mean())
        battery_kw = -sense * (meter.battery_kw - usual)[shown]
        axes.stairs(
            battery_kw,
            edges,
            baseline=None,
            color=COLOURS["consolidation"],
            linewidth=1.0,
            label="of it battery",
        )
    axes.axhline(0.0, color=GREY, linewidth=0.6)
    verb = "Released" if sense < 0.0 else "Absorbed"
    axes.set_ylabel(f"{verb} in kW")
    axes.set_title(f"(b) {verb} against what was asked", loc="left", size=9)
