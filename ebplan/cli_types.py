"""What several commands read from an option: durations."""

from __future__ import annotations

from math import isfinite

import click

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Return the seconds of a duration: ``90``, ``90s``, ``30min``, ``4h``.

    Raises:
        click.BadParameter: it is none.
    """
    plain = text.strip()
    unit = next((u for u in ("min", "h", "s") if plain.endswith(u)), "")
    try:
        seconds = float(plain.removesuffix(unit)) * UNITS.get(unit, 1.0)
    except ValueError:
        seconds = -1.0
    if not (isfinite(seconds) and seconds >= 0.0):
        raise click.BadParameter(f"got {text!r}; allowed: a duration, e.g. 10s, 30min, 4h")
    return seconds
