"""Which engine is in which mode: names behind the counts of a pool.

The counts say how many instances are in each mode; the roster moves as few engines as that needs.
Engines with the fewest requests in service are taken out of service first, those with the most come
back first: they have the streams and the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ebplan.twin.pool_counts import PoolCounts

IN_SERVICE = ("active", "locked", "tier_active")
"""Modes that take requests."""
DRAINED = ("drained", "tier_drained")
"""Modes that take none, and may still have streams."""
EMPTY = ("asleep", "lost", "to asleep", "to awake", "to tier", "to own")
"""Modes in which an engine holds nothing."""
_OWN = frozenset(("active", "locked", "drained"))
_FROM: dict[str, frozenset[str]] = {
    **dict.fromkeys(("active", "locked", "drained"), _OWN | {"to awake", "to own", "lost"}),
    **dict.fromkeys(
        ("tier_active", "tier_drained"), frozenset(("tier_active", "tier_drained", "to tier"))
    ),
    "asleep": frozenset(("to asleep",)),
    "to asleep": frozenset(("drained",)),
    "to awake": frozenset(("asleep",)),
    "to tier": _OWN,
    "to own": frozenset(("tier_active", "tier_drained")),
}
"""Whence an engine can come into a mode."""


class Move(NamedTuple):
    """An engine that changed its mode."""

    engine: int
    before: str
    after: str


class Roster:
    """Modes of the engines of a pool.

    Args:
        counts: of the pool as it begins.
        in_service: requests in service of an engine.
    """

    def __init__(self, counts: PoolCounts, in_service: Callable[[int], int]) -> None:
        self._in_service = in_service
        self.modes: list[str] = []
        for mode, count in _numbers(counts).items():
            self.modes += [mode] * count

    def of(self, mode: str) -> list[int]:
        """Return the engines of a mode, in order."""
        return [i for i, m in enumerate(self.modes) if m == mode]

    def lose(self, taken: Mapping[str, int]) -> list[Move]:
        """Lose engines, so many of each mode; return who."""
        moves = []
        for mode, count in taken.items():
            moves += [self._move(i, "lost") for i in self.of(mode)[:count]]
        return moves

    def follow(self, counts: PoolCounts) -> list[Move]:
        """Bring the modes to the counts; return who moved."""
        wanted = _numbers(counts)
        leaving: dict[str, list[int]] = {}
        short: list[tuple[str, int]] = []
        for mode, count in wanted.items():
            here = self.of(mode)
            if len(here) > count:
                here.sort(key=lambda i: (self._in_service(i), -i))
                leaving[mode] = here[: len(here) - count]
            elif len(here) < count:
                short.append((mode, count - len(here)))
        moves = []
        for mode, count in short:
            can = [i for old in sorted(_FROM[mode]) for i in leaving.get(old, ())]
            # into service with the streams, out of it without
            sign = -1 if mode in IN_SERVICE else 1
            can.sort(key=lambda i: (sign * self._in_service(i), i))
            for i in can[:count]:
                leaving[self.modes[i]].remove(i)
                moves.append(self._move(i, mode))
        return moves

    def _move(self, engine: int, mode: str) -> Move:
        before, self.modes[engine] = self.modes[engine], mode
        return Move(engine, before, mode)


def _numbers(counts: PoolCounts) -> dict[str, int]:
    numbers = {
        "active": counts.active,
        "locked": counts.locked,
        "drained": counts.drained,
        "tier_active": counts.tier_active,
        "tier_drained": counts.tier_drained,
        "asleep": counts.asleep,
        "lost": counts.lost,
        **{f"to {to}": 0 for to in ("asleep", "awake", "tier", "own")},
    }
    for transit in counts.transit:
        numbers[f"to {transit.to}"] += transit.instances
    return numbers
