"""Margins in words: what is held back, for how much certainty, and what of it is not."""

from __future__ import annotations

from ebplan.plan import MarginResult
from ebplan.words import number_words, power_words

LEAST = 1e-6
"""A milliwatt, or a milliwatt-hour, is nothing."""


def margin_words(margin: MarginResult) -> str:
    """Return ``95 % confidence: 0.56 kW and 1.016 kWh, all held``, or what of it is not."""
    asked = (
        f"{100.0 * margin.confidence:g} % confidence: {power_words(margin.power_kw)} and "
        f"{number_words(margin.energy_kwh, 3)} kWh"
    )
    lacking = [
        words
        for amount, words in (
            (margin.missing_kw, power_words(margin.missing_kw)),
            (margin.missing_kwh, f"{number_words(margin.missing_kwh, 3)} kWh"),
        )
        if amount > LEAST
    ]
    return f"{asked}, {' and '.join(lacking)} not held" if lacking else f"{asked}, all held"
