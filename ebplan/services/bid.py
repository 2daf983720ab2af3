"""How much of an offer may be bid: least bid, step, largest bid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from ebplan.errors import InputError
from ebplan.services.definition import ServiceDefinition
from ebplan.services.values import needed


@dataclass(frozen=True)
class Bid:
    """The largest bid that a product allows and an offer covers."""

    kw: float
    """Its size, never above the offer."""
    reason: str
    """What set it: empty where the whole offer is bid."""


def bid(service: ServiceDefinition, offer_kw: float) -> Bid:
    """Return the largest allowed bid that is not above an offer, and what set it.

    Args:
        service: the product; needs ``min_bid_kw`` and ``step_kw``.
        offer_kw: what can be promised, >= 0.

    Raises:
        InputError: the offer is negative or no number, or the product's least bid or step is
            unknown.
    """
    if not (math.isfinite(offer_kw) and offer_kw >= 0.0):
        raise InputError(
            field="offer_kw",
            value=offer_kw,
            allowed="a finite number >= 0",
            remedy="give the size of the offer; the direction says whether it releases or absorbs",
        )
    least_kw, step_kw = needed(service, "min_bid_kw"), needed(service, "step_kw")
    if offer_kw < least_kw:
        return Bid(0.0, f"the offer of {offer_kw:g} kW is below the least bid of {least_kw:g} kW")
    most_kw = offer_kw if service.max_bid_kw is None else min(offer_kw, service.max_bid_kw)
    # in decimals, so that 0.3 kW is three steps of 0.1 kW
    step = Decimal(repr(step_kw))
    kw = float(Decimal(repr(most_kw)) // step * step)
    if kw < least_kw:
        return Bid(
            0.0,
            f"no whole number of steps of {step_kw:g} kW lies between the least bid of "
            f"{least_kw:g} kW and {most_kw:g} kW",
        )
    if most_kw < offer_kw and kw == most_kw:
        return Bid(kw, f"the largest bid is {most_kw:g} kW")
    if kw < offer_kw:
        return Bid(kw, f"a bid is a whole number of steps of {step_kw:g} kW")
    return Bid(kw, "")


def bid_kw(service: ServiceDefinition, offer_kw: float) -> float:
    """Return the size of ``bid``; 0 where nothing may be bid."""
    return bid(service, offer_kw).kw
