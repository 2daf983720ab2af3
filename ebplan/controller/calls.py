"""Which call of the grid is answered now. A site answers one at a time.

Of those that have begun it is the one that its sender ranks first; of the same rank the one that
began last, because who calls again knows of the earlier call. A call without a rank stands behind
every one that has one. Changes are not added up: each is against the same baseline, and two senders
of the same grid that both want a kilowatt less may well want the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from ebplan.adapters.events.grid_event import end
from ebplan.event import Event


class Turn(NamedTuple):
    """What changes in this cycle."""

    begins: Event | None = None
    """The event that is answered from now on, or anew because it was changed."""
    taken_back: Event | None = None
    """The event that was being answered and no longer stands."""
    passed_over: tuple[Event, ...] = ()
    """Events that stand and are not answered, because another one goes before them."""


class Calls:
    """Follows what stands in the inbox."""

    def __init__(self) -> None:
        self.running: Event | None = None
        """The event that is being answered."""
        self._before: Event | None = None
        """The event that was being answered before the last turn."""
        self._passed: set[str] = set()

    def turn(
        self,
        standing: tuple[Event, ...],
        now: datetime,
        rank: Mapping[str, int | None] | None = None,
    ) -> Turn:
        """Return what changes.

        Args:
            standing: every event that stands, by start.
            now: now.
            rank: how the sender of each ranks it, by event id, the lower number first; None or
                absent behind all others.
        """
        running = self.running
        if running is not None and end(running) <= now:
            self.running = running = None
        self._before = running
        current = [event for event in standing if event.start <= now < end(event)]
        ranks = {name: at for name, at in (rank or {}).items() if at is not None}
        # sorting is stable: of the same rank the one that began last stays last
        current.sort(key=lambda e: (e.id in ranks, -ranks.get(e.id, 0)))
        wanted = current[-1] if current else None
        passed = tuple(e for e in current[:-1] if e.id not in self._passed)
        self._passed = {event.id for event in current[:-1]}
        if wanted == running:
            return Turn(passed_over=passed)
        self.running = wanted
        if wanted is None:
            return Turn(taken_back=running)
        return Turn(begins=wanted, passed_over=passed)

    def put_back(self) -> None:
        """Undo the last turn, which could not be carried out: the next one says the same again."""
        self.running = self._before
