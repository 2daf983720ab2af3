"""The draw of a pool, and how it follows what the pool does.

Whenever something changes, the settled draw is worked out anew and the difference is split by how
fast it follows:

- an instance that loses its load falls from what it drew to idle with ``route_response``: it
  finishes what it has in flight;
- everything else, other loads and caps of those that stay, instances put to work, sleep, a cache
  being warmed, follows with ``cap_response`` downwards and ``rise_response`` upwards;
- a lost instance draws nothing at once.

An instance put to work before it has finished falling goes on from where it is.
"""

from __future__ import annotations

from typing import NamedTuple

from ebplan.twin.lag import LaggedPower
from ebplan.twin.pool_truth import PoolTruth

OWN, LOCKED, TIER = 0, 1, 2
_GROUP_OF = {"active": OWN, "locked": LOCKED, "tier_active": TIER}


class Group(NamedTuple):
    """Active instances that run alike."""

    instances: int
    each_kw: float
    """Settled draw of one of them."""


class _Moves(NamedTuple):
    """What changes between two settled draws of instances that may change places."""

    others_kw: list[float]
    """Changes of those that stay active."""
    left: int
    """Instances that were drained."""
    left_kw: float
    """What they fall by, as a positive number."""
    joined: int
    """Instances put to work."""
    joined_kw: float
    """What they rise by from idle."""


class PoolPower:
    """Settled and present draw of a pool.

    Args:
        truth: idle power and responses.
        groups: active instances: own precision, locked clock, lower precision.
        base_kw: idle power of all instances awake, and all that is no active instance's.
    """

    def __init__(self, truth: PoolTruth, groups: list[Group], base_kw: float) -> None:
        self._truth, self._groups, self._base_kw = truth, groups, base_kw
        self.lag = LaggedPower(self._total_kw())

    def lose(self, mode: str, count: int) -> None:
        """Lose instances of a mode: what they drew is gone at once; ``settle`` must follow."""
        if mode in _GROUP_OF:
            group = self._groups[_GROUP_OF[mode]]
            self._groups[_GROUP_OF[mode]] = group._replace(instances=group.instances - count)
        each_kw = self._truth.asleep_kw if mode == "asleep" else self._truth.idle_kw
        self._base_kw -= count * each_kw

    def jump(self, groups: list[Group], base_kw: float, now_s: float) -> None:
        """Settle anew at once; what is on its way goes on. For arguments see ``settle``."""
        self._groups, self._base_kw = groups, base_kw
        self.lag.settle_to(self._total_kw(), now_s)

    def settle(self, groups: list[Group], base_kw: float, idle: int, now_s: float) -> None:
        """Settle anew, and let the difference follow at its speeds.

        Args:
            groups: active instances, as when the pool began.
            base_kw: as when the pool began.
            idle: instances awake without load.
            now_s: seconds of the plant.
        """
        changes, falls_kw = [base_kw - self._base_kw], 0.0
        for ways in ((OWN, LOCKED), (TIER,)):
            moves = self._moves([self._groups[w] for w in ways], [groups[w] for w in ways])
            changes += moves.others_kw
            falls_kw -= moves.left_kw
            if moves.joined:
                rising_kw = moves.joined_kw - self._still_falling_kw(moves.joined, idle)
                changes.append(rising_kw)
        self._groups, self._base_kw = groups, base_kw
        truth = self._truth
        self.lag.settle_to(
            self._total_kw(),
            now_s,
            (
                (sum(kw for kw in changes if kw < 0.0), truth.fall),
                (sum(kw for kw in changes if kw > 0.0), truth.rise),
                (falls_kw, truth.drain),
            ),
        )

    def _moves(self, before: list[Group], now: list[Group]) -> _Moves:
        """Return what changes; an instance that leaves one group for another is not drained."""
        idle_kw = self._truth.idle_kw
        left = joined = 0
        left_kw = joined_kw = 0.0
        others_kw = []
        for old, new in zip(before, now, strict=True):
            stay = min(old.instances, new.instances)
            others_kw.append(stay * (new.each_kw - old.each_kw))
            left, joined = left + old.instances - stay, joined + new.instances - stay
            left_kw += (old.instances - stay) * (old.each_kw - idle_kw)
            joined_kw += (new.instances - stay) * (new.each_kw - idle_kw)
        if over := min(left, joined):
            over_left_kw, over_joined_kw = over / left * left_kw, over / joined * joined_kw
            others_kw.append(over_joined_kw - over_left_kw)
            left_kw, joined_kw = left_kw - over_left_kw, joined_kw - over_joined_kw
        return _Moves(others_kw, left - over, left_kw, joined - over, joined_kw)

    def _still_falling_kw(self, joined: int, idle: int) -> float:
        """Take from the fall of drained instances what belongs to those put to work again."""
        return self.lag.take(self._truth.drain.time_constant_s, joined / (idle + joined))

    def _total_kw(self) -> float:
        idle_kw = self._truth.idle_kw
        return self._base_kw + sum(g.instances * (g.each_kw - idle_kw) for g in self._groups)
