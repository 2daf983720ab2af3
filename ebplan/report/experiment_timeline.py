"""A case of an experiment over time: frequency, draw, battery, mechanisms, requests, latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebplan.experiment.folder import read_table
from ebplan.experiment.protocol import short_set_name
from ebplan.mechanisms import least_impact_first, mechanism_words
from ebplan.report.canvas import GREY, INK, blank, save, styled
from ebplan.report.palette import COLOURS, OTHER_COLOUR
from ebplan.words import number_words, time_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
SHADE, BRIDGE_SHADE = "#F1F1F1", "#D9E8F3"
BEFORE_S = 20.0
DPI = 110
WITHIN = 0.05
"""Half width of the band about the target, as a share of it."""
PLANNED = "planned_"


def draw_case(folder: Path, measured: Mapping[str, Any], path: Path) -> None:
    """Draw the timeline of a case's folder into a file.

    Raises:
        InputError: matplotlib is not installed, or the file cannot be written.
    """
    rows = read_table(folder / "telemetry")
    save(timeline(rows, read_table(folder / "latency"), measured), path, dpi=DPI)


def timeline(
    rows: Mapping[str, Sequence[Any]],
    latency: Mapping[str, Sequence[Any]],
    measured: Mapping[str, Any],
) -> Figure:
    """Return the figure; second 0 is the trigger."""
    data = {name: np.array(values, dtype=float) for name, values in rows.items()}
    times = measured["times_s"]
    t_s = data["t_s"] + 0.5 * data["duration_s"] - times["triggered"]
    waits = {name: np.array(values, dtype=float) for name, values in latency.items()}
    with styled():
        figure = blank(8.4, 9.6)
        axes = figure.subplots(6, 1, sharex=True, height_ratios=[1.0, 1.7, 1.4, 1.7, 1.1, 1.1])
        for one in axes:
            _shade(one, times)
        _frequency(axes[0], t_s, data)
        _draw(axes[1], t_s, data, measured)
        _battery(axes[2], t_s, data)
        _mechanisms(axes[3], t_s, data, measured)
        _requests(axes[4], waits, times["triggered"])
        _latency(axes[5], waits, times["triggered"])
        for one in axes:
            if one.get_legend_handles_labels()[0]:
                one.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.4)
        first_s = times["injected"] - times["triggered"] - BEFORE_S
        axes[-1].set_xlim(first_s, times["over"] - times["triggered"])
        axes[-1].set_xlabel("seconds since the response began")
        figure.align_ylabels(axes)
        title = figure.suptitle(message(measured), x=0.01, ha="left", size=10.5, weight="bold")
        title.set_parse_math(False)
        case = measured["case"]
        note = figure.supxlabel(
            f"simulated: {case['shape']}, {case['concurrency']} at once, {case['event']}, "
            f"{short_set_name(case['set'])}, seed {case['seed']}. Grey: response, blue: battery "
            "alone",
            x=0.99,
            ha="right",
            size=7.5,
            color=GREY,
        )
        note.set_parse_math(False)
    return figure


def message(measured: Mapping[str, Any]) -> str:
    """Say what happened in a case, in two lines at most."""
    compute, handoff, target = measured["compute"], measured["handoff"], measured["target"]
    asked = f"{number_words(target['most_kw'], 2)} kW asked"
    battery = measured["battery"]["to_90_s"]
    first = asked if battery is None else f"{asked}, the battery there in {1000 * battery:.0f} ms"
    if measured["case"]["direction"] == "both":
        rest = f"compute {number_words(compute['depth_kw'], 2)} kW in the last third"
    elif not measured["case"]["mechanisms"]:
        rest = "the battery carries it to the end"
    elif not compute["noticeable"]:
        rest = "compute moves too little to be seen"
    else:
        speed = compute["to_90_s"]
        at = "" if speed is None else f", 90 % of it in {time_words(speed)}"
        rest = f"compute {number_words(compute['depth_kw'], 2)} kW{at}"
        free_s = handoff["after_trigger_s"]
        rest += (
            "; the battery is not free at the end"
            if free_s is None
            else f"; battery free after {time_words(free_s)}"
        )
    return f"Simulated: {first};\n{rest}"


def _shade(axes: Axes, times: Mapping[str, float]) -> None:
    zero = times["triggered"]
    end_s, start_s = times["response_ended"] - zero, times["mechanisms_started"] - zero
    axes.axvspan(0.0, end_s, color=SHADE, zorder=0, lw=0)
    axes.axvspan(0.0, start_s, color=BRIDGE_SHADE, zorder=0, lw=0)


def _frequency(axes: Axes, t_s: FloatArray, data: Mapping[str, FloatArray]) -> None:
    axes.plot(t_s, data["frequency_hz"], color=INK, lw=1.0)
    axes.set_ylabel("Hz")


def _draw(
    axes: Axes, t_s: FloatArray, data: Mapping[str, FloatArray], measured: Mapping[str, Any]
) -> None:
    base_kw = measured["baseline"]["grid_kw"]
    asked = data["target_kw"]
    wanted = np.where(asked != 0.0, base_kw + asked, np.nan)
    half = WITHIN * np.abs(asked)
    axes.fill_between(
        t_s,
        wanted - half,
        wanted + half,
        color=COLOURS["power_cap"],
        alpha=0.5,
        lw=0,
        label="asked, ±5 %",
        step=None,
    )
    axes.axhline(base_kw, color=GREY, lw=0.8, ls=":", label="baseline")
    axes.plot(t_s, data["fleet_kw"], color=COLOURS["consolidation"], lw=1.0, label="fleet alone")
    axes.plot(t_s, data["grid_kw"], color=INK, lw=1.2, label="drawn")
    axes.set_ylabel("kW")


def _battery(axes: Axes, t_s: FloatArray, data: Mapping[str, FloatArray]) -> None:
    axes.plot(t_s, data["battery_kw"], color=COLOURS["battery"], lw=1.2, label="")
    axes.axhline(0.0, color=GREY, lw=0.6)
    axes.set_ylabel("battery, kW")
    right = axes.twinx()
    right.plot(t_s, 100.0 * data["soc"], color=COLOURS["shortfall"], lw=1.0, ls="--")
    right.set_ylabel("charge, % (dashed)", color=COLOURS["shortfall"], size=8)
    right.spines["right"].set_visible(True)


def _mechanisms(
    axes: Axes, t_s: FloatArray, data: Mapping[str, FloatArray], measured: Mapping[str, Any]
) -> None:
    """Stack what the plans expected of each mechanism; over it what the fleet really did."""
    absorbs = measured["case"]["direction"] == "absorb"
    names = least_impact_first(
        name[len(PLANNED) : -len("_kw")] for name in data if name.startswith(PLANNED)
    )
    up, down = np.zeros_like(t_s), np.zeros_like(t_s)
    named = set[str]()
    for name in names:
        kw = np.nan_to_num(data[f"{PLANNED}{name}_kw"])
        if name == "battery" or np.abs(kw).max() < 0.01:
            continue
        for below, part in ((down, np.minimum(kw, 0.0)), (up, np.maximum(kw, 0.0))):
            if np.abs(part).max() < 0.01:
                continue
            axes.fill_between(
                t_s,
                below,
                below + part,
                color=COLOURS.get(name, OTHER_COLOUR),
                lw=0,
                alpha=0.8,
                label=None
                if name in named
                else f"{mechanism_words(name, absorbs=absorbs)}, planned",
            )
            named.add(name)
            below += part
    change = data["fleet_kw"] - measured["baseline"]["fleet_kw"]
    axes.plot(t_s, change, color=INK, lw=1.0, label="fleet, as it was")
    axes.axhline(0.0, color=GREY, lw=0.6)
    axes.set_ylabel("change, kW")


def _requests(axes: Axes, waits: Mapping[str, FloatArray], zero_s: float) -> None:
    rate = waits["answers"] / waits["duration_s"]
    axes.step(waits["t_s"] - zero_s, rate, where="post", color=INK, lw=1.1)
    axes.set_ylim(0.0, 1.15 * float(rate.max()))
    axes.set_ylabel("answers/s")


def _latency(axes: Axes, waits: Mapping[str, FloatArray], zero_s: float) -> None:
    at = waits["t_s"] - zero_s
    for column, label, colour, line in (
        ("ttft_p95_s", "first token, 95 %", COLOURS["battery"], "-"),
        ("e2e_p50_s", "whole answer, median", COLOURS["power_cap"], "--"),
        ("e2e_p95_s", "whole answer, 95 %", COLOURS["shortfall"], "-."),
    ):
        axes.step(at, waits[column], where="post", color=colour, lw=1.1, ls=line, label=label)
    axes.set_yscale("log")
    axes.set_ylabel("s")
