"""What a device answers to a command: one of five things, and nobody can forget the partial case.

    match answer:
        case Applied(): ...        # written, read back and, where power is the point, measured
        case AppliedInPart(): ...  # clamped, or the device took less; says what holds now
        case Refused(): ...        # nothing changed; says what would be taken
        case Unreachable(): ...    # no answer; says whether the command may have been executed
        case Unverified(): ...     # told, but the read-back or the measured power says otherwise
        case _: assert_never(answer)

An answer is a value, never an exception: a device that fails is nothing out of the ordinary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite

RESTORING = frozenset({"admit", "cap", "lock_clock"})
"""Commands that restore what was before where no value is asked for."""

Setting = float | str | bool | None
"""A set-point in the unit its command names; None restores what was requested before ebplan."""


@dataclass(frozen=True)
class Range:
    """What a device takes now: every value from ``low`` to ``high``."""

    low: float
    high: float
    unit: str

    def clamp(self, value: float) -> float:
        """Return the nearest value within; a value that is no number has none.

        Raises:
            ValueError: the value is NaN.
        """
        if value != value:
            raise ValueError("NaN has no nearest feasible value")
        return min(max(value, self.low), self.high)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g} {self.unit}"


@dataclass(frozen=True, kw_only=True)
class _Answer:
    device: str
    """Who answers: the name of the device, and of its part where it has parts."""
    command: str
    """What it was asked, e.g. ``hold``."""
    asked: Setting
    """The value it was asked for."""
    took_s: float = field(default=0.0, compare=False)
    """From the call to this answer."""

    @property
    def _request(self) -> str:
        if self.asked is not None:
            return f"{self.device}: {self.command} {_shown(self.asked)}"
        restored = " what was before" if self.command in RESTORING else ""
        return f"{self.device}: {self.command}{restored}"


@dataclass(frozen=True, kw_only=True)
class Applied(_Answer):
    """The device does what was asked: written and read back."""

    confirmed: Setting
    """The value read back from the device."""
    measured_kw: float | None = None
    """Power measured after it, where that was waited for."""

    def __str__(self) -> str:
        power = "" if self.measured_kw is None else f", {self.measured_kw:g} kW measured"
        return f"{self._request}: applied{power}"


@dataclass(frozen=True, kw_only=True)
class AppliedInPart(_Answer):
    """The device does less than was asked, and that is confirmed."""

    confirmed: Setting
    """The value that holds now, read back."""
    feasible: Range | None
    """What it takes."""
    why: str
    """What limited it."""
    measured_kw: float | None = None
    """Power measured after it, where that was waited for."""

    def __str__(self) -> str:
        return f"{self._request}: applied in part, {_shown(self.confirmed)} ({self.why})"


@dataclass(frozen=True, kw_only=True)
class Refused(_Answer):
    """Nothing was changed."""

    why: str
    """Why not."""
    feasible: Range | None = None
    """What would be taken, where that is a range."""

    def __str__(self) -> str:
        taken = "" if self.feasible is None else f"; it takes {self.feasible}"
        return f"{self._request}: refused ({self.why}{taken})"


@dataclass(frozen=True, kw_only=True)
class Unreachable(_Answer):
    """The device did not answer in time."""

    why: str
    """What was seen instead of an answer."""
    executed: bool
    """Whether the command may have been executed all the same: if so, it is never sent again."""

    def __str__(self) -> str:
        maybe = "it may have been executed" if self.executed else "it was not sent"
        return f"{self._request}: unreachable ({self.why}; {maybe})"


@dataclass(frozen=True, kw_only=True)
class Unverified(_Answer):
    """The device took the command, and what it says or does afterwards is something else."""

    why: str
    """What was read back or measured instead."""
    read_back: Setting = None
    """The value read back, where there was one."""
    measured_kw: float | None = None
    """Power measured, where that was waited for."""

    def __str__(self) -> str:
        return f"{self._request}: unverified ({self.why})"


Answer = Applied | AppliedInPart | Refused | Unreachable | Unverified


def clamped(value: float, feasible: Range) -> tuple[float, bool]:
    """Return the nearest feasible value, and whether it is another one.

    Raises:
        ValueError: the value is NaN.
    """
    nearest = feasible.clamp(value)
    return nearest, nearest != value


def is_number(value: float) -> bool:
    """Whether a set-point is a finite number; no device is ever told anything else."""
    return isfinite(value)


def _shown(value: Setting) -> str:
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < inf else str(value)
    return str(value)
