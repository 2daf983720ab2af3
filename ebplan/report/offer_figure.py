"""An offer as a picture: promise against duration and confidence, and what its kilowatts cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ebplan.mechanisms import least_impact_first, mechanism_words
from ebplan.offers.offer_document import Offer, OfferPoint
from ebplan.report.canvas import GREY, INK, blank, save, styled
from ebplan.report.palette import COLOURS, OTHER_COLOUR
from ebplan.words import power_words, time_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGEND_COLUMNS = 4
SEEN = 0.005
"""A smaller share of a bar is not seen, and not named."""
SHADES = ("#56B4E9", "#0072B2", "#004B76", "#00263C")
"""From the least sure to the surest."""


def save_offer(offer: Offer, path: Path) -> None:
    """Draw an offer into a file; the suffix chooses png, svg or pdf.

    Raises:
        InputError: another suffix, no matplotlib, or a folder that cannot be written.
    """
    with styled():
        figure = draw_offer(offer)
    save(figure, path)


def draw_offer(offer: Offer) -> Figure:
    """Return the figure: a row for each direction at the first start, products left out."""
    first = offer.points[0].start
    rows = {
        direction: [
            p
            for p in offer.points
            if p.direction == direction and p.start == first and p.bid is None
        ]
        for direction in offer.request.directions
    }
    figure = blank(10.0, 3.6 * len(rows))
    axes = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(1.0, 1.15))
    for (left, right), points in zip(axes, rows.values(), strict=True):
        _against_duration(left, points)
        _merit_order(right, points, offer.currency)
    return figure


def _against_duration(axes: Axes, points: Sequence[OfferPoint]) -> None:
    confidences = sorted({p.confidence for p in points})
    shades = SHADES[-len(confidences) :] if len(confidences) <= len(SHADES) else SHADES * 4
    for confidence, shade in zip(confidences, shades, strict=False):
        own = sorted((p for p in points if p.confidence == confidence), key=lambda p: p.duration_s)
        axes.plot(
            [p.duration_s for p in own],
            [p.kw for p in own],
            marker="o",
            color=shade,
            label=f"{100.0 * confidence:g} %",
        )
    durations = sorted({p.duration_s for p in points})
    axes.set_xscale("log")
    axes.set_xticks(durations, [time_words(s) for s in durations])
    if any(later < 1.7 * earlier for earlier, later in pairwise(durations)):
        axes.tick_params(axis="x", rotation=45)  # neighbours would write over each other
    axes.minorticks_off()
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("how long it holds")
    axes.set_ylabel("promised power, kW")
    axes.legend(title="kept with at least")
    axes.set_title(_message(points), loc="left", fontsize=10, color=INK)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)


def _message(points: Sequence[OfferPoint]) -> str:
    """Return what the promises say: the shortest against the longest, at the costed confidence."""
    own = sorted((p for p in points if p.curve), key=lambda p: p.duration_s)
    verb = "Release" if points[0].direction == "release" else "Absorb"
    if not own:
        return f"{verb}: nothing can be promised"
    short, long = own[0], own[-1]
    sure = f"at {100.0 * short.confidence:g} %"
    told = f"{verb} {power_words(short.kw)} for {time_words(short.duration_s)}"
    if long is short:
        return f"{told}, {sure}"
    return f"{told}, {power_words(long.kw)} for {time_words(long.duration_s)}, {sure}"


def _merit_order(axes: Axes, points: Sequence[OfferPoint], currency: str) -> None:
    """Draw who carries each level of each promise as stacked bars, with its marginal price."""
    own = sorted((p for p in points if p.curve), key=lambda p: p.duration_s)
    names = least_impact_first(n for p in own for level in p.curve for n in level.mechanisms)
    absorbs = bool(own) and own[0].direction == "absorb"
    at, ticks, labelled, highest_kw = 0.0, [], set[str](), 1e-3
    for point in own:
        begin = at
        for level in point.curve:
            bottom = 0.0
            for name in names:
                kw = max(level.mechanisms.get(name, 0.0), 0.0)
                words = mechanism_words(name, absorbs=absorbs)
                axes.bar(
                    at,
                    kw,
                    bottom=bottom,
                    width=0.86,
                    color=COLOURS.get(name, OTHER_COLOUR),
                    label=None if words in labelled or kw < SEEN * level.kw else words,
                )
                labelled |= {words} if kw >= SEEN * level.kw else set()
                bottom += kw
            axes.annotate(
                _price(level.per_kwh),
                (at, bottom),
                textcoords="offset points",
                xytext=(0, 2),
                ha="center",
                va="bottom",
                rotation=90,
                fontsize=7,
                color=GREY,
            )
            highest_kw = max(highest_kw, bottom)
            at += 1.0
        ticks.append((0.5 * (begin + at - 1.0), time_words(point.duration_s)))
        at += 1.0
    axes.set_xticks([x for x, _ in ticks], [words for _, words in ticks])
    axes.set_ylim(0.0, 1.4 * highest_kw)  # room for the prices and, above them, who is who
    axes.set_xlabel("how long it holds; bars from a small promise to the whole")
    axes.set_ylabel("who carries it, kW")
    axes.set_title(
        f"What the next kWh costs (over the bars, {currency}/kWh)",
        loc="left",
        fontsize=10,
        color=INK,
    )
    if own:
        axes.legend(fontsize=8, loc="upper right", ncols=LEGEND_COLUMNS)


def _price(amount: float) -> str:
    return f"{amount:,.0f}" if abs(amount) >= 10.0 else f"{amount:.1f}"
