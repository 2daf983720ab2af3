"""The mechanisms: every way in which a site answers, from least impact to most.

The order is the whitepaper's rule (least impact first) and the order in which reports list them. A
name is what plans, options and switches call a mechanism; what is in a problem depends on the site.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Mechanism:
    """One way in which a site answers."""

    name: str
    """What plans and options call it."""
    words: str
    """What sentences call it."""
    absorbing: str | None = None
    """What sentences call it where an event absorbs and it does the reverse of its name."""


MECHANISMS = (
    Mechanism("battery", "battery"),
    Mechanism("consolidation", "consolidation", "instances put to work"),
    Mechanism("sleep", "sleep"),
    Mechanism("precision", "lower precision"),
    Mechanism("power_cap", "power cap"),
    Mechanism("clock_lock", "clock lock"),
    Mechanism("prewarm", "pre-warm"),
    Mechanism("deferral", "deferral", "backlog worked off"),
    Mechanism("pull_forward", "work served ahead"),
    Mechanism("admission", "admission"),
)
"""From least impact to most."""

_BY_NAME = {mechanism.name: mechanism for mechanism in MECHANISMS}


def mechanism_words(name: str, *, absorbs: bool = False) -> str:
    """Return what sentences call a mechanism; a name that is none of them is spelt out."""
    known = _BY_NAME.get(name)
    if known is None:
        return name.replace("_", " ")
    return known.absorbing if absorbs and known.absorbing else known.words


def least_impact_first(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in the order of the mechanisms, each once; names of none come last."""
    place = {mechanism.name: i for i, mechanism in enumerate(MECHANISMS)}
    return tuple(sorted(dict.fromkeys(names), key=lambda name: place.get(name, len(place))))
