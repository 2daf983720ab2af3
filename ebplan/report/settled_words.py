"""Settled numbers in words: each with its interval."""

from __future__ import annotations

import math

from ebplan.settlement.number import Number
from ebplan.words import decimals_for, number_words, time_words


def interval_words(number: Number, unit: str, *, decimals: int | None = None) -> tuple[str, str]:
    """Return a number and its interval in words.

    Args:
        number: the number.
        unit: ``s`` (said as a time), ``share`` (said in percent), or any other.
        decimals: of any other; as many as its interval tells where absent.
    """
    digits = decimals_of(number) if decimals is None else decimals
    ends = [_one(end, unit, digits) for end in (number.low, number.high)]
    if number.value is None and number.low is None and number.high is None:
        return "never" if unit == "s" else "-", ""
    if ends[0] is None and ends[1] is None:
        return _one(number.value, unit, digits) or "-", ""
    span = f"{_without(ends[0], ends[1], unit) or 'any'} to {ends[1] or 'never'}"
    if number.value is None:
        return "-", span
    return _one(number.value, unit, digits) or "-", span


def number_line(number: Number, unit: str) -> str:
    """Return a number with its interval in one piece: ``20.1 kW (19.8 kW to 20.4 kW)``."""
    value, span = interval_words(number, unit)
    return f"{value} ({span})" if span else value


def _one(value: float | None, unit: str, decimals: int) -> str | None:
    if value is None:
        return None
    if unit == "s":
        return time_words(value)
    if unit == "share":
        return f"{number_words(100.0 * value, 1)} %"
    return f"{number_words(value, decimals)} {unit}"


def _without(low: str | None, high: str | None, unit: str) -> str | None:
    """Return the lower end without the unit that the upper end has."""
    mark = " %" if unit == "share" else f" {unit}"
    return low if low is None or high is None or unit == "s" else low.removesuffix(mark)


def decimals_of(number: Number) -> int:
    """Return how many decimals show the first digit of half the interval, at most 3."""
    ends = [end for end in (number.low, number.high) if end is not None]
    half = 0.5 * (ends[1] - ends[0]) if len(ends) == 2 else 0.0
    if half > 0.0:
        least = 1 if abs(number.value or 0.0) < 100.0 else 0
        return min(max(-math.floor(math.log10(half)), least), 3)
    return min(decimals_for(number.value if number.value is not None else sum(ends)), 2)
