"""The headline numbers of a study, each with its range over what is assumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite

from ebplan.report.study_figures import LAYER_WORDS, gains
from ebplan.report.study_results import StudyResults

FIRST_TILES = ("grid_services", "arbitrage", "lost_compute", "wear", "demand_charge")
NOTHING = 1e-6
"""A number smaller than this is what rounding left of zero."""
INDICATORS = {
    "npv": "present value",
    "irr": "internal rate",
    "payback_years": "payback",
    "battery_life_years": "battery life",
    "equivalent_cycles": "equivalent cycles",
}


def tiles(results: StudyResults, policy: str) -> Iterator[str]:
    """Show the gain and its layers, and what the battery is worth, each with its range."""
    corners = results.corners(policy)
    every = [gains(results, policy, corner) for corner in corners]
    shown = [("gain", [sum(of.values()) for of in every])]
    shown += [(LAYER_WORDS[layer], [of[layer] for of in every]) for layer in FIRST_TILES]
    for words, values in shown:
        yield _tile(words, values, results.currency)
    for name, words in INDICATORS.items():
        found = [results.kpis(policy, corner).get(name) for corner in corners]
        known = [value for value, _ in filter(None, found)]
        if known:
            unit = found[0][1] if found[0] else ""
            rate = name == "irr"
            yield _tile(
                words,
                [100.0 * v for v in known] if rate else known,
                "% a year" if rate else "" if unit == "1" else unit,
            )


def _tile(words: str, values: Sequence[float], unit: str) -> str:
    """Return one number, with its range where there is one."""
    over = ""
    if len(values) > 1:
        over = f"<small>{escape(f'{_brief(min(values))} to {_brief(max(values))}')}</small>"
    return (
        f"<li>{escape(words)}<b>{escape(_brief(values[0]))}</b><small>{escape(unit)}</small>"
        f"{over}</li>"
    )


def _brief(value: float) -> str:
    """Return a number as a headline: thousands and millions by their letters."""
    if not isfinite(value):
        return "never" if value > 0.0 else "none"
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {letter}"
    return number(value)


def number(value: float) -> str:
    """Return a number with as many digits as one reads."""
    size = abs(value)
    if size < NOTHING:
        return "0"
    if size >= 1000.0:
        return f"{value:,.0f}"
    return f"{value:,.2f}" if size >= 10.0 else f"{value:.3g}"
