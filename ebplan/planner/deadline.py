"""How long a plan may take, and how long it takes to finish one.

Two clocks: seconds, or work (linear programs tried, checks of the search), which gives the same
bytes on every machine of the same versions.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import monotonic
from typing import Literal

import numpy as np

from ebplan.errors import InputError

Clock = Literal["seconds", "work"]

SPREADS = 2.0
"""Time kept to finish a plan: so many times its usual spread beyond what it usually takes."""
LONGER, SHORTER = 0.5, 0.2
"""Shares of a new time that are believed."""
FIRST_FINISH_S = 0.004
"""Time kept before any plan was finished."""
SWITCHES_S = 0.001
"""Time the operating system may take to wake this process."""


@dataclass
class Deadline:
    """How long a plan may take, in seconds or in work."""

    seconds: float | None = None
    """From now on; None where there is no limit."""
    clock: Clock = "seconds"
    cancelled: threading.Event | None = None
    """Set from outside: return what is in hand."""

    def __post_init__(self) -> None:
        if self.seconds is not None and np.isnan(self.seconds):
            raise InputError(
                field="deadline_s",
                value=self.seconds,
                allowed="a number of seconds",
                remedy="give the time that a plan may take",
            )
        self.began = monotonic()
        timed = self.clock == "seconds" and self.seconds is not None
        self.until = self.began + self.seconds if timed and self.seconds is not None else None

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return self.cancelled is not None and self.cancelled.is_set()

    def left_s(self) -> float:
        """Return the seconds left."""
        if self.is_cancelled:
            return 0.0
        return np.inf if self.until is None else self.until - monotonic()


@dataclass
class Finishing:
    """How long it takes to make a point a checked plan: learned, per column of the program."""

    per_column_s: float | None = None
    spread_s: float = 0.0
    """How far it is usually off that, per column."""

    def usual_s(self, columns: int) -> float:
        """Return the time that it takes."""
        return FIRST_FINISH_S if self.per_column_s is None else self.per_column_s * columns

    def seconds(self, columns: int) -> float:
        """Return the time to keep."""
        return self.usual_s(columns) + SPREADS * self.spread_s * columns + SWITCHES_S

    def took(self, seconds: float, columns: int) -> None:
        """Learn: soon when it took longer, slowly when it took less; one hiccup is no rule."""
        each = seconds / columns
        if self.per_column_s is None:
            self.per_column_s = each
            return
        off = each - self.per_column_s
        self.spread_s += SHORTER * (abs(off) - self.spread_s)
        self.per_column_s += (LONGER if off > 0.0 else SHORTER) * off
