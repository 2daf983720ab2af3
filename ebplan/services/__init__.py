"""Grid products as data: what each asks, what it allows, and how sure that is.

A definition is a file; what is not known in it is none on purpose, with the reason. Whoever needs
an unknown value gets an error that says how to give it.
"""

from ebplan.services.bid import Bid, bid, bid_kw
from ebplan.services.definition import Calls, Direction, Evidence, ServiceDefinition, Tolerance
from ebplan.services.event import event_of
from ebplan.services.evidence import Range
from ebplan.services.library import (
    built_in_services,
    built_in_tariffs,
    load_service,
    load_tariff,
)
from ebplan.services.market import Market, at_date
from ebplan.services.price_unit import PriceUnit
from ebplan.services.tariff import TariffDefinition
from ebplan.services.values import needed, parse_settings, with_values

__all__ = [
    "Bid",
    "Calls",
    "Direction",
    "Evidence",
    "Market",
    "PriceUnit",
    "Range",
    "ServiceDefinition",
    "TariffDefinition",
    "Tolerance",
    "at_date",
    "bid",
    "bid_kw",
    "built_in_services",
    "built_in_tariffs",
    "event_of",
    "load_service",
    "load_tariff",
    "needed",
    "parse_settings",
    "with_values",
]
