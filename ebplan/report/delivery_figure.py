"""What was delivered as a figure: the draw and its baseline, the response and what was asked."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ebplan.report.canvas import GREY, INK, blank, check_suffix, save, styled
from ebplan.report.delivery_table import headline, verdict_words
from ebplan.report.gaps import Shown, shade_gaps
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
    near = (since_s >= -max(BEFORE_SHARE * want.end_s, 5.0 * meter.interval_s)) & (
        since_s <= (1.0 + AFTER_SHARE) * want.end_s
    )
    scale, unit = (60.0, "min") if want.end_s > 900.0 else (1.0, "s")
    shown = Shown(meter, near, want.start_s, scale)
    with styled():
        figure = blank(8.4, 5.6)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.0, 1.3])
        for axes in (above, below):
            axes.axvspan(0.0, want.end_s / scale, color=SHADE, zorder=0)
            axes.set_xlim(shown.edges[0], shown.edges[-1])
        _draw_power(above, shown, baseline)
        _draw_response(below, shown, want, baseline, under, over)
        for axes in (above, below):
            shade_gaps(axes, meter, want.start_s, scale)
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


def _draw_power(axes: Axes, shown: Shown, baseline: Reference) -> None:
    """Panel: the draw and what it would have been."""
    half_kw = baseline.errors.quantile * baseline.errors.lasting_kw
    _area(axes, shown, baseline.kw - half_kw, baseline.kw + half_kw, color=GREY, alpha=0.25)
    _line(axes, shown, baseline.kw, "baseline", color=GREY, linestyle="--")
    _line(axes, shown, shown.meter.grid_kw, "metered", color=COLOURS["battery"], linewidth=1.4)
    axes.set_ylabel("Draw in kW")
    axes.set_title("(a) Draw, and the baseline with its interval", loc="left", size=9)


def _line(axes: Axes, shown: Shown, kw: FloatArray, label: str, **style: Any) -> None:
    """Draw a power in steps; the line breaks where nothing was metered."""
    axes.stairs(shown.values(kw), shown.edges, baseline=None, label=label, **style)


def _area(axes: Axes, shown: Shown, low_kw: FloatArray, high_kw: FloatArray, **style: Any) -> None:
    """Fill between two powers in steps, but where nothing was metered."""
    low, high = shown.values(low_kw), shown.values(high_kw)
    axes.stairs(high, shown.edges, baseline=low, fill=True, linewidth=0.0, **style)


def _draw_response(
    axes: Axes,
    shown: Shown,
    want: Asked,
    baseline: Reference,
    under: float | None,
    over: float | None,
) -> None:
    """Panel: the response in the direction asked, and the band that meets it."""
    meter = shown.meter
    sense = -1.0 if want.follows or want.sense[0] < 0.0 else 1.0
    low_kw, high_kw = _band(want, sense, under or 0.0, over or 0.0)
    label = "asked" if under is None else "asked, with tolerance"
    _area(axes, shown, low_kw, high_kw, color=COLOURS["power_cap"], alpha=0.35, label=label)
    asked_kw = np.where(want.inside, sense * want.kw, np.nan)
    _line(axes, shown, asked_kw, "curve", color=INK, linewidth=1.0, zorder=5)
    moved_kw = sense * (meter.grid_kw - baseline.kw)
    _line(axes, shown, moved_kw, "delivered", color=COLOURS["battery"], linewidth=1.4)
    if meter.battery_kw is not None and baseline.quiet.any():
        usual = float(meter.battery_kw[baseline.quiet].mean())
        battery_kw = -sense * (meter.battery_kw - usual)
        _line(axes, shown, battery_kw, "of it battery", color=COLOURS["consolidation"])
    axes.axhline(0.0, color=GREY, linewidth=0.6)
    verb = "Released" if sense < 0.0 else "Absorbed"
    axes.set_ylabel(f"{verb} in kW")
    axes.set_title(f"(b) {verb} against what was asked", loc="left", size=9)


def _band(want: Asked, sense: float, under: float, over: float) -> tuple[FloatArray, FloatArray]:
    """Return least and most that is within tolerance, NaN outside the event, each (n,).

    Both count in the direction ``sense``; where a response that follows the frequency is asked the
    other way, the two change places.
    """
    same = want.sense == sense
    low = np.where(same, want.least_kw, -want.most_kw)
    high = np.where(same, want.most_kw, -want.least_kw)
    low -= np.where(same, under, over) * want.size_kw
    high += np.where(same, over, under) * want.size_kw
    return np.where(want.inside, low, np.nan), np.where(want.inside, high, np.nan)
