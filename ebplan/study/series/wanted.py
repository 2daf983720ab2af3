"""What a study wants of a series, and whether the numbers can be that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from ebplan.errors import InputError
from ebplan.services import Market, PriceUnit, ServiceDefinition, at_date
from ebplan.services.market import Dated
from ebplan.solvers.program import FloatArray

Quantity = Literal["price_per_kwh", "price_per_kw", "power_kw", "carbon", "share"]
_POWER = {"W": 0.001, "kW": 1.0, "MW": 1000.0, "GW": 1e6}
_CARBON = {"kg/kWh": 1.0, "g/kWh": 0.001, "t/MWh": 1.0, "kg/MWh": 0.001}
_SHARE = {"1": 1.0, "%": 0.01}
PLAUSIBLE_PER_KWH = {
    "JPY": (0.5, 500.0),
    "EUR": (0.002, 3.0),
    "GBP": (0.002, 3.0),
    "USD": (0.002, 3.0),
}
"""Between which the mean size of an energy price lies; assumed, wide: a unit is 1,000 times off."""
SCALE_BAND = 100.0
"""The highest power may be so many times the declared scale, or the scale it, and no more."""


@dataclass(frozen=True)
class Grid:
    """The steps of a study."""

    start: datetime
    """Beginning of the first step, with its zone."""
    steps: int
    """Number T of steps."""
    step_s: int
    """Length of a step."""


@dataclass(frozen=True)
class Wanted:
    """What the values of a series shall be."""

    field: str
    """What it is used for, for errors."""
    quantity: Quantity
    """A price per kWh, a price per kW and step, a power in kW, kg of carbon per kWh, or a share."""
    currency: str = "JPY"
    """Of prices."""
    cap: Sequence[Dated] = ()
    """Highest price by date, in ``cap_unit``."""
    cap_unit: str | None = None
    """Unit of the cap."""
    scale_kw: float | None = None
    """Size of the site, where a power is wanted."""


def factor(unit: str, wanted: Wanted, step_s: int, file: str) -> float:
    """Return by what the file's values are multiplied.

    Raises:
        InputError: the unit is none of what is wanted, or of another currency.
    """
    if wanted.quantity == "power_kw":
        return _known(_POWER, unit, wanted, file)
    if wanted.quantity == "carbon":
        return _known(_CARBON, unit, wanted, file)
    if wanted.quantity == "share":
        return _known(_SHARE, unit, wanted, file)
    price = PriceUnit.parse(unit, field=f"{wanted.field}.unit", file=file)
    kind = "energy" if wanted.quantity == "price_per_kwh" else "capacity"
    if price.kind != kind:
        allowed = "a price of energy, e.g. JPY/kWh"
        if kind == "capacity":
            allowed = "a price of capacity with its time, e.g. JPY/kW/30min"
        raise InputError(
            field=f"{wanted.field}.unit",
            value=unit,
            allowed=allowed,
            remedy="correct the unit, or name another column",
            file=file,
        )
    if price.currency != wanted.currency:
        raise InputError(
            field=f"{wanted.field}.unit",
            value=unit,
            allowed=f"a price in {wanted.currency}, the currency of the study",
            remedy="study in the currency of the market, or convert the file",
            file=file,
        )
    return price.factor * (1.0 if kind == "energy" else step_s / 3600.0)


def _known(units: dict[str, float], unit: str, wanted: Wanted, file: str) -> float:
    if unit not in units:
        raise InputError(
            field=f"{wanted.field}.unit",
            value=unit,
            allowed=", ".join(units),
            remedy="correct the unit, or name another column",
            file=file,
        )
    return units[unit]


def check_size(values: FloatArray, unit: str, wanted: Wanted, file: str | None) -> None:
    """Refuse values that are a thousand times off.

    Args:
        values: in units of the study.
        unit: as declared, for the error.
        wanted: what they shall be.
        file: for the error, where there is one.

    Raises:
        InputError: an energy price that no market has, or a power far from the declared scale.
    """
    size = float(np.abs(values).mean())
    if wanted.quantity == "price_per_kwh" and wanted.currency in PLAUSIBLE_PER_KWH and size > 0.0:
        low, high = PLAUSIBLE_PER_KWH[wanted.currency]
        if not low <= size <= high:
            raise InputError(
                field=f"{wanted.field}.unit",
                value=unit,
                allowed=f"a unit in which the mean, now {size:g} {wanted.currency}/kWh, lies "
                f"between {low:g} and {high:g}",
                remedy="is it a price per MWh, or per kWh?",
                file=file,
            )
    if wanted.quantity == "power_kw" and wanted.scale_kw is not None:
        most = float(np.abs(values).max())
        if most > SCALE_BAND * wanted.scale_kw or 0.0 < most < wanted.scale_kw / SCALE_BAND:
            raise InputError(
                field=f"{wanted.field}.unit",
                value=unit,
                allowed=f"a unit in which the highest power, now {most:g} kW, is no more than "
                f"{SCALE_BAND:g} times off the site's {wanted.scale_kw:g} kW",
                remedy="is the file in kW, or in MW?",
                file=file,
            )


def caps(wanted: Wanted, starts: Sequence[datetime], step_s: int, file: str) -> FloatArray:
    """Return the cap at some times in units of the study, infinite where there is none.

    Args:
        wanted: says the caps.
        starts: local times: a cap holds from the beginning of a day on.
        step_s: length of the study's steps.
        file: for errors.
    """
    if not wanted.cap or wanted.cap_unit is None:
        return np.full(len(starts), np.inf)
    to_study = factor(wanted.cap_unit, wanted, step_s, file)
    by_day = {day: at_date(wanted.cap, day) for day in {at.date() for at in starts}}
    found = [by_day[at.date()] for at in starts]
    return np.array([np.inf if one is None else one * to_study for one in found])


def wanted_of(field: str, currency: str, services: Sequence[ServiceDefinition] = ()) -> Wanted:
    """Return what a field of a study's file wants.

    Args:
        field: dotted, e.g. ``services.jp_fcr.price_per_kw``.
        currency: of the study.
        services: products whose caps hold.
    """
    if field.endswith(".carbon_kg_per_kwh"):
        return Wanted(field, "carbon")
    if field.endswith("_per_kwh"):
        return Wanted(field, "price_per_kwh", currency)
    if not field.endswith(".price_per_kw"):
        return Wanted(field, "share")
    by_id = {service.id: service.market for service in services}
    market = by_id.get(field.split(".")[1], Market())
    cap = market.price_cap or ()
    return Wanted(field, "price_per_kw", currency, cap=cap, cap_unit=market.capacity_unit)
