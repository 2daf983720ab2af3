"""The latest values that the site has reported, until the server asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ebplan.adapters.events.openadr2b.measures import POINTS, Point
from ebplan.adapters.events.site_report import SiteReport


@dataclass(frozen=True)
class Value:
    """One value."""

    start: datetime
    """When it starts to hold."""
    duration_s: float
    """For how long it holds; 0 for a moment."""
    number: float = 0.0
    """In kW or kWh."""
    online: bool = True
    """For the status: whether the site follows its plan."""


class KeptValues:
    """What is known of each point.

    Args:
        stale_s: a value that ended longer ago is no longer told.
    """

    def __init__(self, stale_s: float) -> None:
        self._stale = timedelta(seconds=stale_s)
        self._known: dict[Point, tuple[Value, ...]] = {}

    def keep(self, report: SiteReport) -> None:
        """Keep what a report tells; what it leaves out stays as it was."""
        for point in POINTS:
            if point == "storage_kwh":
                continue
            told = tuple(
                Value(stretch.start, stretch.duration_s, stretch.values[point])
                for stretch in report.stretches
                if point in stretch.values
            )
            if told:
                self._known[point] = told
        if report.storage_kwh is not None:
            self._known["storage_kwh"] = (Value(report.end, 0.0, report.storage_kwh),)
        self._known["status"] = (Value(report.at, 0.0, online=report.online),)

    def at(self, point: str, now: datetime) -> Value | None:
        """Return the value that began last; None where none is known, or it is stale."""
        known: tuple[Value, ...] = next((v for p, v in self._known.items() if p == point), ())
        begun = [value for value in known if value.start <= now]
        if not begun:
            return None
        last = begun[-1]
        ended = last.start + timedelta(seconds=last.duration_s)
        return None if ended + self._stale < now else last
