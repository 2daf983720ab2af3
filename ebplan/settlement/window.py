"""The time that a baseline is for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ebplan.errors import InputError

DAY_S = 86400.0


@dataclass(frozen=True)
class Window:
    """An event as a baseline sees it: its hours, and when the site heard of it."""

    start: datetime
    """Start of the event, with its zone."""
    duration_s: float
    """Its length, at most a day."""
    notice: datetime | None = None
    """When the site heard of it, and might have begun to react; its start where absent."""
    before_s: float = 0.0
    """The baseline is given from this long before the event on."""
    after_s: float = 0.0
    """The baseline is given until this long after the event."""

    def __post_init__(self) -> None:
        """Refuse what is no window.

        Raises:
            InputError: a naive time, a length that is none or longer than a day, or a notice
                after the start.
        """
        for name, moment in (("start", self.start), ("notice", self.known_at)):
            if moment.utcoffset() is None:
                raise InputError(
                    field=name,
                    value=moment.isoformat(),
                    allowed="a time with its zone",
                    remedy="add the UTC offset",
                )
        if not 0.0 < self.duration_s <= DAY_S:
            raise InputError(
                field="duration_s",
                value=self.duration_s,
                allowed=f"> 0, at most {DAY_S:g} s",
                remedy="settle a longer event day by day",
            )
        if self.known_at > self.start:
            raise InputError(
                field="notice",
                value=self.known_at.isoformat(),
                allowed=f"not after the start, {self.start.isoformat()}",
                remedy="correct one of the two",
            )

    @property
    def end(self) -> datetime:
        """End of the event."""
        return self.start + timedelta(seconds=self.duration_s)

    @property
    def known_at(self) -> datetime:
        """When the site heard of the event."""
        return self.start if self.notice is None else self.notice

    @property
    def begin(self) -> datetime:
        """From when on the baseline is given."""
        return self.start - timedelta(seconds=self.before_s)

    @property
    def until(self) -> datetime:
        """Until when the baseline is given."""
        return self.end + timedelta(seconds=self.after_s)

    def moved(self, start: datetime) -> Window:
        """Return the same window at another start, with as much notice."""
        notice = None if self.notice is None else start - (self.start - self.notice)
        return Window(start, self.duration_s, notice, self.before_s, self.after_s)
