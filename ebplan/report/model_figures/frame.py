"""What the figures of all models share: curve, interval and readings, title and note."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ebplan.models.card import ModelCard
from ebplan.models.curves import FloatArray
from ebplan.models.points import Points
from ebplan.report.canvas import GREY, INK, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, readable in every common colour blindness."""
LINES = ("-", "--", "-.", ":")
"""Where colour says something else already."""
MARKS = ("o", "s", "^", "D", "v", "P")
"""One a colour, so that a print in grey is still read."""
WIDTH_IN = 8.4
CURVE_POINTS = 120
"""Points of a curve."""
MANY = 100
"""From so many readings of a series on, marks are small."""
PERCENT = 100.0
W_PER_KW = 1000.0
TITLE_LETTERS, NOTE_LETTERS, KEY_LETTERS = 96, 150, 105
"""Letters that fit on a line."""
WEIGHT_ZERO = "weight zero"
NO_READINGS = "This artefact keeps no readings: fit it again to see them beside the curve."


T = TypeVar("T")


def chosen(series: Iterable[T], most: int = len(COLOURS)) -> list[T]:
    """Return the series that are drawn: as many as there are colours, evenly over all."""
    every = list(series)
    if len(every) <= most:
        return every
    return [every[i] for i in np.linspace(0, len(every) - 1, most).round().astype(int)]


def partly(shown: Sized, every: Sized, what: str) -> str:
    """Say how many series are drawn where not all are, to follow another sentence."""
    if len(shown) == len(every):
        return ""
    return f" {len(shown)} of {len(every)} {what} are shown."


def colour_of(number: int) -> str:
    """Return the colour of a series; they repeat after six."""
    return COLOURS[number % len(COLOURS)]


def mark_of(number: int) -> str:
    """Return the mark of a series."""
    return MARKS[number % len(MARKS)]


def panels(rows: int, columns: int = 1, *, height_in: float, **options: Any) -> tuple[Figure, Any]:
    """Return an empty figure and its axes, shape (rows, columns)."""
    figure = blank(WIDTH_IN, height_in)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _id(ax: Axes, what: str) -> str:
    """Return an id that nothing else in the figure has: in SVG, ids must be unique."""
    figure = ax.get_figure(root=True)
    assert figure is not None, "axes of a figure"
    panel = figure.axes.index(ax)
    return f"{what}-{panel}-{len(ax.lines) + len(ax.collections)}"


def band(ax: Axes, x: FloatArray, low: FloatArray, high: FloatArray, colour: str) -> None:
    """Draw an interval."""
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0.0, gid=_id(ax, "band"))


def bars(ax: Axes, x: FloatArray, low: FloatArray, high: FloatArray, colour: str) -> None:
    """Draw an interval at single places."""
    ax.vlines(x, low, high, color=colour, alpha=0.25, linewidth=6.0, gid=_id(ax, "bars"))


def curve(
    ax: Axes, x: FloatArray, y: FloatArray, colour: str, label: str = "", line: str = "-"
) -> None:
    """Draw the fitted law."""
    ax.plot(x, y, line, color=colour, linewidth=1.6, label=label or "_", gid=_id(ax, "curve"))


def readings(
    ax: Axes,
    x: FloatArray,
    y: FloatArray,
    used: NDArray[np.bool_],
    colour: str,
    mark: str = "o",
    hollow: NDArray[np.bool_] | None = None,
) -> None:
    """Draw readings: filled where they have weight, crosses where they have none.

    Args:
        ax: where.
        x: what was set, shape (N,).
        y: what was read, shape (N,).
        used: which have weight, shape (N,).
        colour: of the series.
        mark: of the series.
        hollow: which of those with weight are drawn open, shape (N,); none where absent.
    """
    size = 4.5 if used.sum() < MANY else 2.4
    filled = used if hollow is None else used & ~hollow
    if filled.any():
        gid = _id(ax, "readings")
        ax.plot(x[filled], y[filled], mark, color=colour, markersize=size, mew=0, gid=gid)
    if hollow is not None and (used & hollow).any():
        at, gid = used & hollow, _id(ax, "readings")
        ax.plot(x[at], y[at], mark, color=colour, markersize=size, mfc="white", gid=gid)
    if not used.all():
        ax.plot(
            x[~used],
            y[~used],
            "x",
            color=colour,
            markersize=6,
            markeredgewidth=1.6,
            gid=_id(ax, "weight-zero"),
        )


def key(ax: Axes, points: Iterable[Points] = ()) -> None:
    """Draw the legend above a panel, where no data are; crosses where a reading has weight zero."""
    if any(p.left_out for p in points):
        ax.plot([], [], "x", color=INK, markersize=6, markeredgewidth=1.6, label=WEIGHT_ZERO)
    labels = ax.get_legend_handles_labels()[1]
    if labels:
        columns = KEY_LETTERS // (max(len(label) for label in labels) + 8)
        ax.legend(
            fontsize="small",
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=max(1, min(columns, len(labels))),
            borderaxespad=0.1,
        )


def finish(
    figure: Figure,
    message: str,
    *,
    card: ModelCard,
    points: tuple[Points, ...],
    interval: str,
    unit: str = "readings",
) -> Figure:
    """Write what the figure says above it, and what it is made of below.

    Args:
        figure: the figure.
        message: the model's name and what it says, in a sentence.
        card: of the model.
        points: the readings drawn.
        interval: what the bands are.
        unit: what readings are, in words.
    """
    figure.suptitle(
        "\n".join(textwrap.wrap(message, TITLE_LETTERS)),
        fontweight="bold",
        fontsize=10,
        x=0.012,
        ha="left",
    )
    notes = [interval, counted(points, unit) if points else NO_READINGS]
    if card.excluded:
        entries = len(card.excluded)
        notes.append(f"The card names {entries} exclusion{'s' * (entries > 1)}.")
    figure.supxlabel(
        "\n".join(textwrap.wrap(" ".join(notes), NOTE_LETTERS)),
        fontsize=7.5,
        color=GREY,
        x=0.012,
        ha="left",
    )
    return figure


def counted(points: Iterable[Points], unit: str) -> str:
    """Say how many readings are drawn, of how many, and how many of them have no weight."""
    kept = list(points)
    drawn, there = sum(len(p) for p in kept), sum(p.readings for p in kept)
    zero = sum(len(p.left_out) for p in kept)
    said = f"{drawn:,} {unit}" + (f" of {there:,}" if there > drawn else "")
    return said + (f", {zero} of them with weight zero (crosses)." if zero else ".")


def span(values: Iterable[float], form: str = ".0f") -> str:
    """Return the lowest and the highest of some numbers, or the one that they all are."""
    listed = [f"{value:{form}}" for value in values]
    low, high = min(listed, key=float), max(listed, key=float)
    return low if low == high else f"{low} to {high}"


def by_series(points: Iterable[Points]) -> Mapping[str, Points]:
    """Return readings by their series."""
    return {p.series: p for p in points}


def letter(axes: Iterable[Axes], titles: Iterable[str]) -> None:
    """Letter the panels and give them their titles."""
    for ax, name, title in zip(axes, "abcdefgh", titles, strict=False):
        ax.set_title(f"({name}) {title}", loc="left", fontsize=9)


def logarithmic(ax: Axes) -> None:
    """Make the axis of loads logarithmic, with plain numbers: 20 and not 2 x 10^1."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
