"""What every fake has: a clock, a lease, a time to answer, and a fault on cue."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Setting,
    Unreachable,
    Unverified,
    clamped,
    is_number,
)
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.lease import Lease

Fault = Literal["refuse", "silent", "deaf", "ignore"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
"""``refuse``: says no. ``silent``: executes, and the answer is lost. ``deaf``: cannot be reached at
all. ``ignore``: says yes and does nothing."""


class FakeDevice:
    """The part that fakes share.

    Args:
        name: what it is called in answers.
        clock: what time it is.
        timeout_s: how long a silent device keeps one waiting.
    """

    def __init__(self, name: str, clock: Clock | None, timeout_s: float) -> None:
        self.name = name
        self.fault: Fault | None = None
        """How it fails from now on; None for not at all."""
        self._clock = clock or MonotonicClock()
        self._timeout_s = timeout_s
        self._lease: Lease | None = None

    @property
    def leased(self) -> bool:
        """Whether it obeys now."""
        return self._lease is not None and self._lease.holds(self._clock.now_s())

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease."""
        if not (is_number(ttl_s) and ttl_s > 0.0):
            return Refused(device=self.name, command="renew", asked=ttl_s, why="no term")
        broken = await self._broken("renew", ttl_s)
        if self.fault in (None, "silent"):
            self._lease = Lease(ttl_s, self._clock.now_s())
        return broken or Applied(device=self.name, command="renew", asked=ttl_s, confirmed=ttl_s)

    async def release(self) -> Answer:
        """Go to the safe state now."""
        broken = await self._broken("release", None)
        if self.fault in (None, "silent"):
            self._lease = None
        return broken or Applied(device=self.name, command="release", asked=None, confirmed=None)

    async def close(self) -> None:
        """Nothing to give up: the lease lapses by itself."""

    async def _unreadable(self) -> Unreachable | None:
        if self.fault not in ("silent", "deaf"):
            return None
        await self._clock.sleep(self._timeout_s)
        return Unreachable(
            device=self.name, command="read", asked=None, why="no answer", executed=False
        )

    async def _broken(self, command: str, asked: Setting, part: str = "") -> Answer | None:
        """Return how it fails, waiting as long as that takes; None where it does not."""
        who = f"{self.name}/{part}" if part else self.name
        match self.fault:
            case None:
                return None
            case "refuse":
                return Refused(device=who, command=command, asked=asked, why="told to refuse")
            case "ignore":
                return Unverified(
                    device=who, command=command, asked=asked, why="read back as it was before"
                )
            case "silent" | "deaf":
                await self._clock.sleep(self._timeout_s)
                return Unreachable(
                    device=who,
                    command=command,
                    asked=asked,
                    why="no answer",
                    executed=self.fault == "silent",
                )

    async def _told(
        self, command: str, asked: float, feasible: Range, part: str = ""
    ) -> tuple[float | None, Answer]:
        """Return the value that holds from now on (None where none does) and the answer."""
        who = f"{self.name}/{part}" if part else self.name
        if not is_number(asked):
            return None, Refused(
                device=who, command=command, asked=asked, why="no number", feasible=feasible
            )
        if not self.leased:
            return None, Refused(
                device=who, command=command, asked=asked, why="no lease", feasible=feasible
            )
        broken = await self._broken(command, asked, part)
        value, cut = clamped(asked, feasible)
        if broken is not None:
            if isinstance(broken, Refused):
                broken = replace(broken, feasible=feasible)
            return (value if self.fault == "silent" else None), broken
        if cut:
            return value, AppliedInPart(
                device=who,
                command=command,
                asked=asked,
                confirmed=value,
                feasible=feasible,
                why="outside its range",
            )
        return value, Applied(device=who, command=command, asked=asked, confirmed=value)
