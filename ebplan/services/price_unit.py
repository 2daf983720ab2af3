"""Units of prices, brought to money per kW and hour, or per kWh.

A payment is stated for a power over a time (``JPY/kW/30min``, ``EUR/MW/4h``, ``USD/MW/day``,
``JPY/kW/year``) or for energy (``JPY/kWh``, ``EUR/MWh``). A year is one of 8,760 h and a month a
twelfth of it: over a calendar month of 31 days a monthly payment per hour is therefore 1.9 % high.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ebplan.errors import InputError

_KW = {"W": 0.001, "kW": 1.0, "MW": 1000.0, "GW": 1e6}
_HOURS = {"h": 1.0, "min": 1.0 / 60.0, "day": 24.0, "month": 730.0, "year": 8760.0}
_SAME = {"ΔkW": "kW", "dkW": "kW", "·": "/", "¥": "JPY", "€": "EUR", "£": "GBP", "$": "USD"}
ALLOWED = "e.g. JPY/kWh, EUR/MWh, JPY/kW/30min, EUR/MW/4h, GBP/MW/h, USD/MW/day, JPY/kW/year"


@dataclass(frozen=True)
class PriceUnit:
    """What a price counts."""

    text: str
    """As it was written, e.g. ``JPY/kW/30min``."""
    currency: str
    """ISO 4217 code."""
    kind: Literal["capacity", "energy"]
    """For a power over a time, or for energy."""
    factor: float
    """A price times this is money per kW and hour, or per kWh."""

    @classmethod
    def parse(cls, text: str, *, field: str = "unit", file: str | None = None) -> PriceUnit:
        """Read a unit.

        Args:
            text: ``CURRENCY/POWER/TIME`` or ``CURRENCY/ENERGY``; also with ``·``, ``ΔkW``, ``¥``.
            field: for the error.
            file: for the error.

        Raises:
            InputError: it is no such unit.
        """
        plain = text.replace(" ", "")
        for own, ours in _SAME.items():
            plain = plain.replace(own, ours)
        match plain.split("/"):
            case [currency, energy] if energy.endswith("h") and energy[:-1] in _KW:
                kind: Literal["capacity", "energy"] = "energy"
                factor = 1.0 / _KW[energy[:-1]]
            case [currency, power, time] if power in _KW and _hours(time) is not None:
                kind, factor = "capacity", 1.0 / _KW[power] / (_hours(time) or 1.0)
            case _:
                currency = kind = ""  # type: ignore[assignment]
                factor = 0.0
        if not kind or not re.fullmatch("[A-Z]{3}", currency):
            raise InputError(
                field=field, value=text, allowed=ALLOWED, remedy="write it so", file=file
            )
        return cls(text, currency, kind, factor)


def _hours(text: str) -> float | None:
    """Return the hours of ``30min``, ``4h``, ``day``; none for anything else."""
    found = re.fullmatch(r"(\d+)?(h|min|day|month|year)", text)
    if found is None or found[1] == "0":
        return None
    return float(found[1] or 1) * _HOURS[found[2]]
