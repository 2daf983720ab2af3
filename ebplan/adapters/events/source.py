"""What a source of events is to whoever runs it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ebplan.adapters.answers import Answer
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.site_report import SiteReport


@runtime_checkable
class EventSource(Protocol):
    """One source; what it hears it hands to the inbox."""

    @property
    def name(self) -> str:
        """What this site calls it."""
        ...

    async def run(self, inbox: Inbox) -> None:
        """Listen until cancelled. A source that fails tries again; it never ends by itself."""
        ...

    async def report(self, report: SiteReport) -> Answer:
        """Tell it; ``Refused`` where it takes no reports."""
        ...
