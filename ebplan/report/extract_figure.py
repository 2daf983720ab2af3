"""An event as its meter series tells it, as a figure: readings, the fit, what it is made of."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ebplan.report.canvas import GREY, INK, blank, check_suffix, save, styled
from ebplan.report.extract_table import headline
from ebplan.report.gaps import shade_gaps
from ebplan.report.palette import COLOURS
from ebplan.settlement.extract import Extracted, fitted_kw
from ebplan.settlement.series import MeterSeries
from ebplan.words import time_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_extracted(found: Extracted, meter: MeterSeries, path: Path, *, note: str = "") -> None:
    """Draw an extracted event into a file; the suffix chooses png, svg or pdf.

    Args:
        found: what was extracted.
        meter: the series.
        path: the file.
        note: what stands below: source and licence.

    Raises:
        InputError: another suffix, a folder that cannot be written, or no matplotlib.
    """
    check_suffix(path)
    save(_draw(found, meter, note), path)


def _draw(found: Extracted, meter: MeterSeries, note: str) -> Figure:
    scale, unit = (3600.0, "h") if meter.end_s > 7200.0 else (60.0, "min")
    with styled():
        figure = blank(8.4, 4.4)
        axes = figure.subplots()
        middle = (meter.time_s + 0.5 * meter.interval_s) / scale
        fit = fitted_kw(meter)
        axes.plot(
            middle, meter.grid_kw, ".", color=COLOURS["battery"], markersize=3.5, label="metered"
        )
        axes.plot(middle, fit, color=COLOURS["shortfall"], linewidth=1.4, label="fit")
        shade_gaps(axes, meter, 0.0, scale)
        far = np.zeros(len(middle), dtype=bool)
        for e in found.excursions:
            far |= (meter.time_s >= e.at_s - 1e-6) & (meter.time_s < e.at_s + e.duration_s - 1e-6)
        if far.any():
            axes.plot(
                middle[far],
                meter.grid_kw[far],
                "o",
                color=COLOURS["power_cap"],
                markersize=4.5,
                markerfacecolor="none",
                label="dip or peak",
            )
        _annotate(axes, found, scale, float(meter.grid_kw.min()), float(meter.grid_kw.max()))
        axes.set_xlim(0.0, meter.end_s / scale)
        clock = f"{found.start:%H:%M} ({found.start:%z})"
        axes.set_xlabel(f"Time since {found.start:%Y-%m-%d} {clock} in {unit}")
        axes.set_ylabel(f"Draw in kW (metered at {found.measurement_point.replace('_', ' ')})")
        axes.legend(loc="lower right")
        lines = textwrap.wrap(headline(found), 92)
        title = figure.suptitle("\n".join(lines), x=0.01, ha="left", size=10.5, weight="bold")
        title.set_parse_math(False)
        if note:
            below = figure.supxlabel(note, x=0.99, ha="right", size=7.0, color=GREY)
            below.set_parse_math(False)
    return figure


def _annotate(axes: Axes, found: Extracted, scale: float, low: float, high: float) -> None:
    """Say at the fit how deep, how fast and how long."""
    begins, back = found.ramp_begins_s.value or 0.0, found.return_begins_s.value or 0.0
    base, hold = found.baseline_at_start_kw.value or 0.0, found.hold_kw.value or 0.0
    middle = (begins + 0.62 * (back - begins)) / scale
    axes.plot(
        [begins / scale, back / scale], [base, base], color=GREY, linewidth=0.8, linestyle="--"
    )
    axes.annotate(
        "", (middle, hold), xytext=(middle, base), arrowprops={"arrowstyle": "<->", "color": INK}
    )
    depth = found.depth_kw
    axes.text(
        middle,
        0.5 * (base + hold),
        f" {depth.value:.1f} kW\n ({depth.low:.1f} to {depth.high:.1f})",
        va="center",
        size=8.5,
    )
    for at, settled, word in (
        (begins, found.settled_s.value, "settled"),
        (back, found.return_settled_s.value, "settled"),
    ):
        if settled is None:
            continue
        axes.axvspan(at / scale, (at + settled) / scale, color="#F1F1F1", zorder=0)
        axes.text(
            (at + settled) / scale,
            low + 0.42 * (high - low),
            f" {word} after\n {time_words(settled)}",
            size=8.0,
            color=INK,
        )
