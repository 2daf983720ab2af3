"""What is not as it should be, by name: each is said when it begins and when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Name = Literal[
    "device_lost",
    "not_leased",
    "stale_telemetry",
    "clock_jump",
    "model_in_doubt",
    "no_plan",
    "slow_cycle",
    "audit_behind",
]
CLOCK_JUMP_S = 1.0
"""The wall clock moved by so much against the clock that is never set back."""


@dataclass(frozen=True)
class Degradation:
    """One thing that is not as it should be."""

    name: Name
    """What it is called."""
    of: str
    """Of what: a device, a pool, or empty."""
    why: str
    """What was seen."""

    def __str__(self) -> str:
        of = f" {self.of}" if self.of else ""
        return f"{self.name}{of}: {self.why}"


class Degradations:
    """What is wrong now."""

    def __init__(self) -> None:
        self.now: dict[tuple[str, str], Degradation] = {}
        """By name and what it is of."""
        self._ahead_s: float | None = None

    def update(
        self, found: Mapping[tuple[Name, str], str]
    ) -> tuple[list[Degradation], list[Degradation]]:
        """Take what is wrong now; return what began and what is over."""
        began = [
            Degradation(name, of, why)
            for (name, of), why in found.items()
            if (name, of) not in self.now
        ]
        over = [known for key, known in self.now.items() if key not in found]
        self.now = {(name, of): Degradation(name, of, why) for (name, of), why in found.items()}
        return began, over

    def clock_jump_s(self, now: datetime, monotonic_s: float) -> float:
        """Return by how much the wall clock jumped since the last call; 0 where it did not."""
        ahead_s = now.timestamp() - monotonic_s
        before, self._ahead_s = self._ahead_s, ahead_s
        jump_s = 0.0 if before is None else ahead_s - before
        return jump_s if abs(jump_s) >= CLOCK_JUMP_S else 0.0
