"""An event as the server wrote it: its own words, nothing understood yet.

Texts stay texts. Read as numbers where they look like ones, the ids "007" and "7" would be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class HeardInterval:
    """One interval of a signal."""

    start: str | None
    """When it starts, where it says so."""
    duration: str | None
    """How long it lasts."""
    value: str
    """Its payload."""


@dataclass(frozen=True)
class HeardSignal:
    """One signal."""

    name: str
    """``signalName``."""
    kind: str
    """``signalType``."""
    intervals: tuple[HeardInterval, ...]
    """In order of time."""
    quantity: str | None = None
    """What its numbers measure, e.g. ``powerReal``; None where that is left open."""
    units: str | None = None
    """``itemUnits``."""
    scale: str | None = None
    """``siScaleCode``."""
    device_classes: tuple[str, ...] = ()
    """Device classes that it is for; all if empty."""


@dataclass(frozen=True)
class HeardEvent:
    """One event."""

    uid: str
    """``eventID``."""
    revision: int
    """``modificationNumber``."""
    status: str
    """``eventStatus``."""
    market_context: str
    """The programme."""
    created: str
    """``createdDateTime``, by the server's clock."""
    start: str
    """Start of the active period."""
    duration: str
    """Length of the active period; 0 for an open end."""
    signals: tuple[HeardSignal, ...] = ()
    """What is asked."""
    targets: tuple[tuple[str, str], ...] = ()
    """Whom it is for, as (kind, id); kinds that are no ids have an empty one."""
    test: bool = False
    """Whether ``testEvent`` says anything but "false"."""
    start_after: str | None = None
    """Random delay of the start, at most."""
    recovery: str | None = None
    """``x-eiRecovery``."""
    priority: int = 0
    """``priority``: 1 is the highest, 0 says nothing."""
    answer: Literal["always", "never"] = "always"
    """Whether it is to be answered."""


@dataclass(frozen=True)
class Heard:
    """All events of one message."""

    request_id: str
    """What answers refer to."""
    vtn_id: str | None
    """Who sent it."""
    events: tuple[HeardEvent, ...]
    """As listed."""
