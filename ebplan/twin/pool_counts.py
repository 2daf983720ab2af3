"""How many instances of a pool are in which mode, and who is on the way.

A router keeps as many instances active as it was told, while there are as many: an instance that
wakes late is loaded when it comes, one that returns takes a lost one's place.
"""

from __future__ import annotations

import math

import numpy as np

from ebplan.state import PoolState
from ebplan.twin.plant import Destination, Transit
from ebplan.twin.pool_truth import PoolTruth

SAME_TIME_S = 1e-9


class PoolCounts:
    """Whole instances by mode."""

    def __init__(self, state: PoolState, truth: PoolTruth, rng: np.random.Generator) -> None:
        self._truth, self._rng = truth, rng
        tier = state.tier
        self.active, self.locked, self.drained = state.active, 0, state.drained
        self.asleep, self.lost = state.asleep, 0
        self.tier_active = tier.active if tier else 0
        self.tier_drained = tier.drained if tier else 0
        self.transit = [Transit(t.remaining_s, t.to, t.count) for t in state.in_transit]
        self._wanted, self._wanted_locked, self._wanted_tier = self.active, 0, self.tier_active
        self._see_next()

    @property
    def awake(self) -> int:
        """Instances that draw at least idle power, on the way included."""
        here = self.active + self.locked + self.drained + self.tier_active + self.tier_drained
        return here + sum(t.instances for t in self.transit)

    def route(self, active: int) -> int:
        """Keep this many active at an unlocked clock; return how many there are."""
        self._wanted = active
        self._distribute()
        return self.active

    def lock(self, active: int) -> int:
        """Keep this many active under the locked clock; return how many there are."""
        self._wanted_locked = active
        self._distribute()
        return self.locked

    def route_lower(self, active: int) -> int:
        """Keep this many active in the lower precision; return how many there are."""
        self._wanted_tier = active
        self._distribute()
        return self.tier_active

    def sleep(self, count: int, now_s: float) -> int:
        """Put drained instances to sleep; return how many."""
        count = min(count, self.drained)
        self.drained -= count
        self._send("asleep", count, now_s + self._truth.sleep_s)
        return count

    def wake(self, count: int, now_s: float, *, warm: bool) -> int:
        """Wake sleeping instances; return how many."""
        count = min(count, self.asleep)
        self.asleep -= count
        lead_s = self._truth.warm_wake_s if warm else self._truth.wake_s
        self._send("awake", count, now_s + lead_s)
        return count

    def load_lower(self, count: int, now_s: float) -> int:
        """Load the weights of the lower precision on drained instances; return on how many."""
        count = min(count, self.drained)
        self.drained -= count
        self._send("tier", count, now_s + self._truth.swap_s)
        return count

    def load_own(self, count: int, now_s: float) -> int:
        """Load the pool's own weights again on drained instances; return on how many."""
        count = min(count, self.tier_drained)
        self.tier_drained -= count
        self._send("own", count, now_s + self._truth.swap_s)
        return count

    def arrive(self, now_s: float) -> None:
        """Let instances arrive that are due; a wake that fails is tried again."""
        due = [t for t in self.transit if t.arrive_s <= now_s + SAME_TIME_S]
        self.transit = [t for t in self.transit if t.arrive_s > now_s + SAME_TIME_S]
        for arrival in due:
            count = arrival.instances
            if arrival.to == "asleep":
                self.asleep += count
            elif arrival.to == "tier":
                self.tier_drained += count
            else:
                if arrival.to == "awake" and self._truth.wake_failure_probability > 0.0:
                    failed = int(self._rng.binomial(count, self._truth.wake_failure_probability))
                    self._send("awake", failed, arrival.arrive_s + self._truth.wake_s)
                    count -= failed
                self.drained += count
        self._distribute()
        self._see_next()

    def lose(self, mode: str, count: int) -> dict[str, int]:
        """Lose instances, first of a mode and then of the others; return how many of which."""
        taken: dict[str, int] = {}
        for name in (mode, "active", "locked", "tier_active", "drained", "tier_drained", "asleep"):
            here = min(getattr(self, name), count - sum(taken.values()))
            if here:
                setattr(self, name, getattr(self, name) - here)
                taken[name] = here
        self.lost += sum(taken.values())
        self._distribute()
        return taken

    def bring_back(self, count: int) -> None:
        """Let lost instances return, drained."""
        count = min(count, self.lost)
        self.lost -= count
        self.drained += count
        self._distribute()

    def _distribute(self) -> None:
        """Give the router as many instances as it was told to use, or as many as there are."""
        own = self.active + self.locked + self.drained
        self.active = min(self._wanted, own)
        self.locked = min(self._wanted_locked, own - self.active)
        self.drained = own - self.active - self.locked
        lower = self.tier_active + self.tier_drained
        self.tier_active = min(self._wanted_tier, lower)
        self.tier_drained = lower - self.tier_active

    def _send(self, to: Destination, count: int, arrive_s: float) -> None:
        if count:
            self.transit.append(Transit(arrive_s, to, count))
            self._see_next()

    def _see_next(self) -> None:
        self.next_arrival_s = min((t.arrive_s for t in self.transit), default=math.inf)
