"""What the site tells a source: its baseline, what it could do, what it delivered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from ebplan.document import Document, Fraction, NonNegative, Part, Positive, Timestamp

Measure = Literal[
    "baseline_kw",
    "grid_kw",
    "delivered_kw",
    "available_release_kw",
    "available_absorb_kw",
    "available_release_kwh",
    "available_absorb_kwh",
]
"""``delivered_kw`` is the change against the baseline as metered: < 0 was released."""


class Stretch(Part):
    """Means over a stretch of time."""

    start: Timestamp
    """When it starts."""
    duration_s: Positive
    """How long it lasts."""
    values: dict[Measure, float]
    """What is told of it."""


class SiteReport(Document):
    """One report."""

    kind: Literal["site_report"] = "site_report"
    at: Timestamp
    """When it was made."""
    uid: str | None = None
    """The call that it is about, as its sender calls it; none where it is about no call."""
    stretches: Annotated[tuple[Stretch, ...], Field(min_length=1, max_length=10_000)]
    """In order of time."""
    soc: Fraction | None = None
    """State of charge at the end."""
    storage_kwh: NonNegative | None = None
    """Energy that the battery can still give at the end."""
    online: bool = True
    """Whether the site follows its plan; otherwise it is in its safe state."""

    @property
    def end(self) -> datetime:
        """When the last stretch ends."""
        last = self.stretches[-1]
        return last.start + timedelta(seconds=last.duration_s)
