"""The interactive figures of a study, one function each; the message stands in the title."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ebplan.report.palette import COLOURS
from ebplan.report.study_results import CENTRAL, StudyResults, Table

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

EARNED, PAID, TOTAL = "#0072B2", "#D55E00", "#555555"
"""Told apart with every common colour vision."""
LAYER_WORDS = {
    "inference": "inference",
    "grid_services": "grid services",
    "arbitrage": "arbitrage",
    "lost_compute": "lost compute",
    "wear": "battery wear",
    "imbalance": "imbalance",
    "penalty": "penalties",
    "demand_charge": "demand charge",
    "wheeling": "wheeling",
    "carbon": "carbon",
    "fees": "fees",
    "stock": "stored energy",
}
"""Layers of the ledger as a reader knows them."""
BASE = {
    ("inference", "requests"),
    ("inference", "energy"),
    ("demand_charge", "without_actions"),
    ("wheeling", "without_actions"),
    ("carbon", "without_actions"),
}
"""What is earned and paid without any grid action."""
MOST_POINTS = 2_000
"""Points of a duration curve: a year's are thinned to these, both ends kept."""


def gains(results: StudyResults, policy: str, corner: str = CENTRAL) -> dict[str, float]:
    """Return what acting on the grid earned and cost in each layer."""
    ledger = results.of("ledger", policy, corner)
    moved: dict[str, float] = dict.fromkeys(LAYER_WORDS, 0.0)
    for layer, item, money in zip(ledger["layer"], ledger["item"], ledger["money"], strict=True):
        if (layer, item) not in BASE:
            moved[str(layer)] += float(money)
    return moved


def waterfall(results: StudyResults, policy: str) -> Figure:
    """Return what acting on the grid earns and costs, layer by layer, down to the gain."""
    import plotly.graph_objects as go

    moved = gains(results, policy)
    shown = {layer: money for layer, money in moved.items() if abs(money) > 0.5}
    gain = sum(moved.values())
    scale, unit = scale_of(max([abs(v) for v in shown.values()] + [abs(gain)]), results.currency)
    names = [LAYER_WORDS[layer] for layer in shown] + ["gain"]
    values = [money / scale for money in shown.values()]
    figure = go.Figure(
        go.Waterfall(
            x=names,
            y=[*values, gain / scale],
            measure=["relative"] * len(values) + ["total"],
            text=[signed(v) for v in (*values, gain / scale)],
            textposition="outside",
            constraintext="none",
            cliponaxis=False,
            increasing={"marker": {"color": EARNED}},
            decreasing={"marker": {"color": PAID}},
            totals={"marker": {"color": TOTAL}},
            connector={"line": {"color": "#999999", "width": 1}},
            hovertemplate="%{x}: %{text} " + unit + "<extra></extra>",
        )
    )
    best = max(shown, key=lambda layer: shown[layer], default=None)
    what = "nothing" if best is None else LAYER_WORDS[best]
    title = (
        f"Acting on the grid gains {signed(gain / scale, sign=False)} {unit}, most of it by {what}"
    )
    return laid(figure, title, None, unit)


def by_month(results: StudyResults, policy: str) -> Figure:
    """Return the gain of each month, by layer."""
    import plotly.graph_objects as go

    ledger = results.of("ledger", policy)
    months = sorted(set(ledger["month"].tolist()))
    acted = np.array(
        [pair not in BASE for pair in zip(ledger["layer"], ledger["item"], strict=True)]
    )
    sums = {
        layer: [
            float(
                ledger["money"][acted & (ledger["layer"] == layer) & (ledger["month"] == m)].sum()
            )
            for m in months
        ]
        for layer in LAYER_WORDS
    }
    total = np.sum(list(sums.values()), axis=0)
    scale, unit = scale_of(max(max(map(abs, of)) for of in sums.values()), results.currency)
    colours = [*COLOURS.values(), TOTAL]
    figure = go.Figure()
    for n, (layer, of) in enumerate(sums.items()):
        if max(map(abs, of)) > 0.5:
            figure.add_bar(
                x=months,
                y=np.array(of) / scale,
                name=LAYER_WORDS[layer],
                marker_color=colours[n % len(colours)],
                hovertemplate="%{x}: %{y:,.2f} " + unit,
            )
    figure.add_scatter(
        x=months, y=total / scale, name="gain", mode="lines+markers", line_color="#000000"
    )
    figure.update_layout(barmode="relative")
    figure.update_xaxes(type="category")
    best = months[int(np.argmax(total))]
    return laid(figure, f"{best} gains most", "month", unit)


def durations(results: StudyResults, policy: str) -> Figure:
    """Return draw, the same without grid actions, and battery power, each sorted."""
    import plotly.graph_objects as go

    steps, groups = results.of("steps", policy), results.of("groups", policy)
    names = dict.fromkeys(groups["group"].tolist())
    battery_kw = np.sum([groups["battery_kw"][groups["group"] == n] for n in names], axis=0)
    figure = go.Figure()
    curves = (
        ("draw", steps["grid_kw"], "#0072B2", "solid"),
        ("draw without grid actions", steps["baseline_kw"], "#000000", "dash"),
        ("battery, > 0 discharges", battery_kw, "#D55E00", "solid"),
    )
    for name, values, colour, dash in curves:
        share, kw = _sorted(values.astype(float))
        figure.add_scatter(
            x=share,
            y=kw,
            name=name,
            mode="lines",
            line={"color": colour, "dash": dash},
            hovertemplate="%{y:,.0f} kW or more for %{x:.1f} % of the time",
        )
    highest, before = float(steps["grid_kw"].max()), float(steps["baseline_kw"].max())
    title = f"The highest draw is {highest:,.0f} kW, {before:,.0f} kW without grid actions"
    return laid(figure, title, "share of the time in %", "power in kW")


def soc_map(results: StudyResults, policy: str, group: str) -> Figure:
    """Return the state of charge of a group's battery by day and hour."""
    import plotly.graph_objects as go

    table = results.of("groups", policy)
    mine = table["group"] == group
    soc, starts = table["soc"][mine].astype(float), table["start"][mine]
    days, hours, grid = _by_day(starts, 100.0 * soc)
    figure = go.Figure(
        go.Heatmap(
            x=days,
            y=hours,
            z=grid,
            colorscale="Cividis",
            zmin=0.0,
            zmax=100.0,
            colorbar={"title": {"text": "SoC in %"}},
            hovertemplate="%{x} %{y:.1f} h: %{z:.1f} %<extra></extra>",
        )
    )
    title = (
        f"{group}: charge lies between {100 * np.nanmin(soc):.0f} and "
        f"{100 * np.nanmax(soc):.0f} %, {100 * np.nanmean(soc):.0f} % on average"
    )
    figure.update_yaxes(dtick=6)
    return laid(figure, title, "day", "hour of the day")


def size_value(results: StudyResults) -> Figure:
    """Return gain against the energy of the batteries, a line for each policy."""
    import plotly.graph_objects as go

    sizes = results.tables["sizes"]
    central = sizes["corner"] == "central"
    scale, unit = scale_of(float(np.abs(sizes["gain"][central]).max()), results.currency)
    figure = go.Figure()
    for n, policy in enumerate(results.policies):
        rows = central & (sizes["policy"] == policy)
        figure.add_scatter(
            x=sizes["energy_kwh"][rows],
            y=sizes["gain"][rows] / scale,
            customdata=sizes["power_kw"][rows],
            name=policy_words(policy),
            mode="lines+markers",
            line_color=list(COLOURS.values())[n],
            hovertemplate="%{x:,.0f} kWh, %{customdata:,.0f} kW: %{y:,.2f} " + unit,
        )
    first = central & (sizes["policy"] == results.policies[0])
    return laid(figure, _worth_of_more(sizes, first, results.currency), "energy in kWh", unit)


def signed(value: float, *, sign: bool = True) -> str:
    """Return a number with three digits, and its sign where that is asked for."""
    digits = 0 if abs(value) >= 100.0 else 1 if abs(value) >= 10.0 else 2
    return f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"


def policy_words(policy: str) -> str:
    """Return a policy as a reader knows it."""
    return policy.replace("_", " ")


def _worth_of_more(sizes: Table, rows: NDArray[np.bool_], currency: str) -> str:
    """Say what the last and the first kWh are worth."""
    energy, gain = sizes["energy_kwh"][rows].astype(float), sizes["gain"][rows].astype(float)
    if len(energy) < 2:
        return "Gain by size of the batteries"
    slopes = np.diff(gain) / np.diff(energy)
    return (
        f"A kWh more is worth {slopes[0]:,.0f} {currency} at first "
        f"and {slopes[-1]:,.0f} {currency} at the end"
    )


def scale_of(most: float, currency: str) -> tuple[float, str]:
    """Return what money is divided by, and its unit."""
    for factor, word in ((1e9, "billion "), (1e6, "million "), (1e3, "thousand ")):
        if most >= 2.0 * factor:
            return factor, f"{word}{currency}"
    return 1.0, currency


def _sorted(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return shares of the time in % and values, the highest first."""
    ordered = np.sort(values)[::-1]
    kept = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), MOST_POINTS)).astype(int))
    return 100.0 * (kept + 1) / len(ordered), ordered[kept]


def _by_day(
    starts: NDArray[Any], values: NDArray[np.float64]
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Return days, hours, and the values as (hours, days); what there is none of is NaN.

    An hour that a day has twice holds the later of both.
    """
    moments: list[datetime] = starts.tolist()
    days = sorted({moment.date().isoformat() for moment in moments})
    hours = sorted({moment.hour + moment.minute / 60.0 for moment in moments})
    column = {day: i for i, day in enumerate(days)}
    row = {hour: i for i, hour in enumerate(hours)}
    grid = np.full((len(hours), len(days)), np.nan)
    for moment, value in zip(moments, values, strict=True):
        place = row[moment.hour + moment.minute / 60.0], column[moment.date().isoformat()]
        grid[place] = round(float(value), 2)
    return days, np.array(hours), grid


def laid(figure: Figure, title: str, x: str | None, y: str) -> Figure:
    """Lay a figure out, its message and axes with it."""
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "x": 0.0, "xanchor": "left", "font": {"size": 16}},
        font={"family": "system-ui, sans-serif", "size": 13},
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        legend={"orientation": "h", "y": -0.2},
        height=430,
        hovermode="closest",
    )
    figure.update_xaxes(title_text=x, automargin=True)
    figure.update_yaxes(title_text=y, automargin=True)
    return figure
