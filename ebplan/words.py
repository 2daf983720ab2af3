"""Numbers in words: times, powers, money."""

from __future__ import annotations

import math


def time_words(seconds: float) -> str:
    """Return a duration as a person says it: ``0.1 s``, ``31 s``, ``1 min 30 s``, ``3 h``."""
    sign, s = ("-", -seconds) if seconds < 0 else ("", seconds)
    if s < 59.5:
        digits = 0 if s >= 20 else 1 if s >= 1 else 2
        text = f"{s:.{digits}f}"
        return f"{sign}{text.rstrip('0').rstrip('.') if '.' in text else text} s"
    whole = round(s) if s < 3600.0 else 60 * round(s / 60.0)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [f"{hours} h"] if hours else []
    parts += [f"{minutes} min"] if minutes else []
    parts += [f"{rest} s"] if rest else []
    return sign + " ".join(parts)


def decimals_for(largest: float) -> int:
    """Return how many decimals show three digits of ``largest``, at most 3."""
    magnitude = abs(largest)
    return 3 if magnitude < 1e-2 else min(max(2 - math.floor(math.log10(magnitude)), 0), 3)


def power_words(kw: float) -> str:
    """Return a power with its unit: ``1.00 kW``, ``62.5 kW``."""
    return f"{number_words(kw, min(decimals_for(kw), 2))} kW"


def money_words(amount: float, currency: str) -> str:
    """Return an amount with its currency: ``2.13 JPY``, ``12,300 JPY``."""
    return f"{number_words(amount, min(decimals_for(amount), 2))} {currency}"


def number_words(value: float, decimals: int) -> str:
    """Return a number with a fixed number of decimals and no negative zero."""
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"


def percent_words(share: float, decimals: int = 0) -> str:
    """Return a share in percent: ``83 %``, ``0.016 %``."""
    return f"{number_words(100.0 * share, decimals)} %"
