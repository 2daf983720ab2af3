"""An offer on the terminal: what can be promised, then costs, limits and levers of each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ebplan.mechanisms import least_impact_first, mechanism_words
from ebplan.offers.offer_document import Offer, OfferPoint
from ebplan.report.legible import HEAD_RULE, Legible
from ebplan.words import decimals_for, number_words, percent_words, power_words, time_words

MOST_LEVERS = 4
WIDE = 96
"""From this width on a cost table has room between its columns."""


def print_offer(offer: Offer, console: Console) -> None:
    """Print an offer within the console's width and encoding."""
    width = min(console.width, 110)
    parts: list[RenderableType] = [_headline(offer)]
    for group in _groups(offer.points):
        parts += ["", _promises(group, offer)]
        parts += [
            part for point in group if point.curve for part in ("", *_detail(point, offer, width))
        ]
        parts += [line for point in group if point.kw == 0.0 for line in _nothing(point)]
    parts += ["", *(Text(note, style="dim") for note in offer.notes)]
    console.print(Legible(Group(*parts), width), highlight=False, markup=False)


def _headline(offer: Offer) -> Text:
    errors = offer.errors
    return Text.assemble(
        (offer.site, "bold"),
        ": what can be promised\n",
        (
            f"Errors: load {percent_words(errors.load_std, 2)}, response "
            f"{percent_words(errors.response_std, 2)} (standard deviations). "
            f"{'; '.join(errors.sources)}.",
            "dim",
        ),
    )


def _groups(points: Sequence[OfferPoint]) -> list[list[OfferPoint]]:
    """Return the points of one direction, start and product after the other."""
    groups: dict[tuple[str, str, str], list[OfferPoint]] = {}
    for point in points:
        service = point.bid.service if point.bid else ""
        key = (point.direction, point.start.isoformat(), service)
        groups.setdefault(key, []).append(point)
    return list(groups.values())


def _percent(point: OfferPoint) -> str:
    return f"{100.0 * point.confidence:g} %"


def _promises(group: Sequence[OfferPoint], offer: Offer) -> RenderableType:
    """Return the promises: a row for each duration, a column for each confidence."""
    first = group[0]
    confidences = sorted({point.confidence for point in group})
    kw = {(p.duration_s, p.confidence): p for p in group}
    digits = min(decimals_for(max((p.kw for p in group), default=1.0)), 3)
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("for")
    for confidence in confidences:
        table.add_column(f"{100.0 * confidence:g} %", justify="right")
    if first.bid is not None:
        table.add_column("bid", justify="right")
        table.add_column("", overflow="fold")
    for duration_s in dict.fromkeys(p.duration_s for p in group):
        row = [time_words(duration_s)]
        row += [number_words(kw[duration_s, c].kw, digits) for c in confidences]
        if first.bid is not None:
            sized = kw[duration_s, offer.request.curve_at]
            row += _bid_cells(sized)
        table.add_row(*row)
    verb = "Release" if first.direction == "release" else "Absorb"
    what = f"{verb}, kW" if first.bid is None else f"{verb} for {first.bid.service}, kW"
    words = f"  from {first.start:%Y-%m-%d %H:%M %z}, kept with at least"
    calls = offer.request.calls.per_day
    words += f"; {calls} calls a day" if calls > 1 else ""
    return Group(Text.assemble((what, "bold"), (words, "dim")), table)


def _bid_cells(point: OfferPoint) -> list[str]:
    sized = point.bid
    assert sized is not None
    sites = "" if sized.sites in (None, 1) else f"; {sized.sites:,} such sites reach the least bid"
    return [number_words(sized.kw, 0 if sized.kw >= 100 else 2), f"{sized.why}{sites}"]


def _nothing(point: OfferPoint) -> list[RenderableType]:
    """Say why nothing can be promised, and what would change that."""
    why = "; ".join(point.limits)
    return [f"{time_words(point.duration_s)} at {_percent(point)}: {why}.", *_levers(point)]


def _detail(point: OfferPoint, offer: Offer, width: int) -> list[RenderableType]:
    """Return costs, limits and levers of a promise."""
    currency = offer.currency
    head = Text.assemble(
        (f"{time_words(point.duration_s)}, {power_words(point.kw)} at {_percent(point)}", "bold"),
        (
            f"  cost of a call, {currency}; kW by mechanism while the whole is asked",
            "dim",
        ),
    )
    return [head, _curve(point, currency, width), *_reasons(point)]


def _curve(point: OfferPoint, currency: str, width: int) -> Table:
    """Return a row for each level; where the page is narrow, one column says who carries it."""
    absorbs = point.direction == "absorb"
    digits = min(decimals_for(point.kw), 3)
    carried = [
        {n: number_words(kw, digits) for n, kw in level.mechanisms.items() if round(kw, digits)}
        for level in point.curve
    ]
    names = least_impact_first(n for kw in carried for n in kw)
    words = {name: mechanism_words(name, absorbs=absorbs) for name in names}
    headers = ["kW", "cost", f"next {currency}/kW", f"next {currency}/kWh"]
    rows = [
        [number_words(level.kw, digits), *map(_money, (level.money, level.per_kw, level.per_kwh))]
        for level in point.curve
    ]
    if any(level.requests_lost >= 1.0 for level in point.curve):
        headers.append("requests lost")
        for row, level in zip(rows, point.curve, strict=True):
            row.append(number_words(level.requests_lost, 0))
    gap = 2 if width >= WIDE else 1
    table = Table(box=HEAD_RULE, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    wide = [*headers, *words.values()]
    whole = [
        [*row, *(kw.get(n, "-") for n in names)] for row, kw in zip(rows, carried, strict=True)
    ]
    widths = _widths(wide, whole)
    if sum(widths) + gap * len(widths) > width:
        wide, widths = headers, _widths(headers, rows)
        whole = [
            [*row, ", ".join(f"{words[n]} {kw[n]}" for n in names if n in kw)]
            for row, kw in zip(rows, carried, strict=True)
        ]
    for header, cells in zip(wide, widths, strict=True):
        table.add_column(header, justify="right", width=cells)
    if wide is headers:
        table.add_column("carried by", overflow="fold")
    for line in whole:
        table.add_row(*line)
    return table


def _widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column: a header folds between its words, never inside one."""
    columns = zip(headers, *(row[: len(headers)] for row in rows), strict=True)
    return [max(map(len, [*cells[0].split(), *cells[1:]])) for cells in columns]


def _money(amount: float) -> str:
    return number_words(amount, min(decimals_for(amount), 2) if amount else 0)


def _reasons(point: OfferPoint) -> list[RenderableType]:
    binds = Text.assemble(("Limited by ", "dim"), "; ".join(point.limits), ".")
    return [*([binds] if point.limits else []), *_levers(point)]


def _levers(point: OfferPoint) -> list[RenderableType]:
    if not point.raised_by:
        return []
    told = ", ".join(
        f"{lever.words} (+{power_words(lever.kw)})" for lever in point.raised_by[:MOST_LEVERS]
    )
    return [Text.assemble(("Raised by, each by itself, ", "dim"), told, ".")]
