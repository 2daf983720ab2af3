"""Draw and baselines around an event, and how far each rule is off on like days."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.errors import InputError
from ebplan.report.baseline_table import rule_words, verdict
from ebplan.report.canvas import GREY, INK, blank, save, styled
from ebplan.report.gaps import shade_gaps
from ebplan.settlement.baseline_report import BaselineReport
from ebplan.settlement.baselines import Baseline
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.window import Window
from ebplan.words import time_words

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, readable in every common colour blindness."""
STYLES = ("-", "--", "-.", ":")
HOUR_S = 3600.0


def plot_baseline(
    report: BaselineReport,
    meter: MeterSeries,
    shown: Window,
    baselines: Sequence[Baseline],
    target: Path,
) -> None:
    """Draw what was drawn and what each rule says, above the errors of the rules.

    Args:
        report: the report.
        meter: the meter series.
        shown: the event with as much around it as is shown.
        baselines: of each rule that has one.
        target: file, its suffix says the format.

    Raises:
        InputError: another suffix, a folder that cannot be written, or no matplotlib.
    """
    with styled():
        figure = blank(8.4, 7.0)
        top, bottom = figure.subplots(2, 1, height_ratios=[3, 2])
        colours = {one.rule: COLOURS[i % len(COLOURS)] for i, one in enumerate(report.results)}
        _draw_day(top, report, meter, shown, baselines, colours)
        _draw_errors(bottom, report, colours)
        figure.suptitle(_title(report), fontweight="bold", x=0.02, ha="left")
    save(figure, target)


def _draw_day(
    ax: Any,
    report: BaselineReport,
    meter: MeterSeries,
    shown: Window,
    baselines: Sequence[Baseline],
    colours: dict[str, str],
) -> None:
    """Draw the hours around the event."""
    start = report.start
    ax.axvspan(0.0, report.duration_s / HOUR_S, color="#DDDDDD", linewidth=0, label="event")
    try:
        near = meter.between(shown.begin, shown.until)
    except InputError:  # an event still to come
        pass
    else:
        begins_s = near.time_s + (near.start - start).total_seconds()
        # both ends of each interval, and nothing across a gap
        apart = np.flatnonzero(np.diff(near.time_s) > 1.5 * near.interval_s) + 1
        ends_h = np.column_stack([begins_s, begins_s + near.interval_s]) / HOUR_S
        kw = np.column_stack([near.grid_kw, near.grid_kw])
        ax.plot(
            np.insert(ends_h, apart, np.nan, axis=0).ravel(),
            np.insert(kw, apart, np.nan, axis=0).ravel(),
            color=INK,
            linewidth=1.0,
            label="metered draw",
        )
        shade_gaps(ax, near, near.seconds(start), HOUR_S)
    for i, one in enumerate(baselines):
        edges_h = ((one.start - start).total_seconds() + one.interval_s * _edges(one)) / HOUR_S
        chosen = one.rule == report.rule
        ax.stairs(
            one.kw,
            edges_h,
            baseline=None,
            color=colours[one.rule],
            linewidth=2.2 if chosen else 1.3,
            linestyle=STYLES[i % len(STYLES)],
            label=rule_words(one.rule),
        )
        errors = report.result().errors
        if chosen and errors is not None:
            ax.fill_between(
                edges_h,
                np.r_[one.kw, one.kw[-1]] - errors.half_width_kw,
                np.r_[one.kw, one.kw[-1]] + errors.half_width_kw,
                step="post",
                color=colours[one.rule],
                alpha=0.18,
                linewidth=0,
                label="90 % of like slots",
            )
    ax.set_xlim(-shown.before_s / HOUR_S, (report.duration_s + shown.after_s) / HOUR_S)
    ax.set_xlabel(f"Hours from the start of the event, {start:%Y-%m-%d %H:%M %z}")
    ax.set_ylabel("Draw in kW")
    ax.legend(fontsize="small", ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _draw_errors(ax: Any, report: BaselineReport, colours: dict[str, str]) -> None:
    """Draw root mean squared error, 90 % half-width and bias of each rule."""
    tested = [one for one in report.results if one.errors is not None]
    for row, one in enumerate(tested):
        errors = one.errors
        assert errors is not None
        first = row == 0
        ax.barh(row, errors.rmse_kw, color=colours[one.rule], height=0.5)
        ax.plot(
            errors.half_width_kw,
            row,
            "|",
            color=INK,
            markersize=16,
            label="90 % within" if first else None,
        )
        ax.plot(
            abs(errors.bias_kw),
            row,
            "o",
            color="white",
            markeredgecolor=INK,
            markersize=5,
            label="bias, its size" if first else None,
        )
    ax.set_yticks(
        range(len(tested)),
        [
            rule_words(one.rule).replace(" on ", "\non ").replace(" and ", "\nand ")
            for one in tested
        ],
    )
    ax.invert_yaxis()
    ax.set_xlim(left=0.0)
    days = next((one.errors.days for one in tested if one.errors), 0)
    slot = time_words(report.slot_s)
    ax.set_xlabel(f"RMSE of a slot of {slot} in kW, on {days} like days without an event")
    if tested:
        ax.legend(fontsize="small", loc="lower right")
    else:
        ax.text(0.5, 0.5, "no like day to test on", color=GREY, transform=ax.transAxes, ha="center")


def _edges(baseline: Baseline) -> Any:
    return np.arange(len(baseline.kw) + 1)


def _title(report: BaselineReport) -> str:
    return verdict(report).replace("; ", "\n", 1)
