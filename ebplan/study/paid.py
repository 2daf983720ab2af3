"""What a product pays and takes for each kW in each step: price below its cap, fee, by date."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np

from ebplan.errors import InputError
from ebplan.services import PriceUnit, ServiceDefinition, at_date
from ebplan.solvers.program import FloatArray
from ebplan.study.completed import wanted_fact
from ebplan.study.spec import Series, Service
from ebplan.study.stated import Assumed, Stated, central

ABOVE = 1.0 + 1e-9
"""A price above its cap only by rounding is not above it."""
Resolved = Callable[[Series, str], FloatArray]
"""Returns a series of the study, named by its field, over all steps."""


def fee_of(
    stated: Service, definition: ServiceDefinition, starts: Sequence[datetime], step_s: int
) -> FloatArray:
    """Return the fee for each kW in each step: stated, or the definition's by date."""
    if stated.fee_per_kw is not None:
        return np.full(len(starts), central(stated.fee_per_kw))
    evidence = definition.evidence_of("market.fee")
    if evidence is not None and evidence.confidence == "not_applicable":
        return np.zeros(len(starts))
    dated, unit = wanted_fact(definition, "market.fee"), definition.market.capacity_unit
    found = [at_date(dated, at.date()) for at in starts]
    if unit is None or any(one is None for one in found):
        raise InputError(
            field=f"services.{definition.id}.fee_per_kw",
            value=None,
            allowed=f"a fee on each day of the study; the first known is of {dated[0].from_date}",
            remedy="state the fee",
        )
    to_step = PriceUnit.parse(unit).factor * step_s / 3600.0
    return to_step * np.array(found, dtype=float)


def price_of(
    stated: Service,
    definition: ServiceDefinition,
    starts: Sequence[datetime],
    step_s: int,
    series: Resolved,
) -> tuple[FloatArray, int]:
    """Return the price of each kW in each step, and in how many it was cut down to the cap."""
    at = f"services.{definition.id}"
    base = series(stated.price_per_kw, f"{at}.price_per_kw")
    limit = _caps(definition, starts, step_s)
    price = base * central(stated.price_times)
    if stated.above_cap == "clip":
        return np.minimum(price, limit), int((price > limit * ABOVE).sum())
    own = stated.price_per_kw
    top = own.high / own.value if isinstance(own, Assumed) and own.value else 1.0
    for field, reach in (
        (f"{at}.price_per_kw", price),
        (f"{at}.price_per_kw.high", price * top),
        (f"{at}.price_times.high", base * _highest(stated.price_times)),
    ):
        over = np.flatnonzero(reach > limit * ABOVE)
        if len(over):
            first = int(over[0])
            raise InputError(
                field=field,
                value=float(reach[first]),
                allowed=f"up to {limit[first]:g} for each kW and step, the cap of the product on "
                f"{starts[first].date()}; {len(over)} steps are above it",
                remedy='lower it, or cut prices down to their cap: above_cap = "clip"',
            )
    return price, 0


def _highest(stated: Stated) -> float:
    return stated.high if isinstance(stated, Assumed) else stated


def _caps(definition: ServiceDefinition, starts: Sequence[datetime], step_s: int) -> FloatArray:
    """Return the cap of each step in money of the study, infinite where there is none."""
    dated, unit = definition.market.price_cap, definition.market.capacity_unit
    if not dated or unit is None:
        return np.full(len(starts), np.inf)
    to_step = PriceUnit.parse(unit).factor * step_s / 3600.0
    by_day = {day: at_date(dated, day) for day in {at.date() for at in starts}}
    found = [by_day[at.date()] for at in starts]
    return np.array([np.inf if one is None else one * to_step for one in found])
