"""Requests of a pool as flows: what comes, is let in, put off, served, and what waits.

By class j, in requests per second:

    admitted = min(comes, limit)
    demand   = admitted - put off + from the backlog + from the queue for later
    lowered  = min(told, demand), as far as the lower precision's instances can serve it
    own      = demand - lowered

What the instances cannot serve waits and is served as soon as they can; the classes share what is
served in proportion to what they ask for. All rates are constant until something changes, and
everything that waits moves on straight lines, so the instant at which it runs out is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ebplan.state import PoolState
from ebplan.twin.pool_commands import ClassControl

NONE_LEFT = 1e-9
"""Fewer requests than this wait no more."""
SAME_TIME_S = 1e-9
"""What runs out sooner has run out: late in a run the clock cannot tell such instants apart."""


@dataclass(kw_only=True)
class ClassFlow(ClassControl):
    """One request class: what was told of it, what waits, what has become of it."""

    capacity: float
    """Requests per second that one instance-equivalent serves."""
    base_req_per_s: float
    """Forecast of what comes."""
    backlog: float = 0.0
    queued: float = 0.0
    waiting: float = 0.0
    served: float = 0.0
    rejected: float = 0.0
    lowered_req_per_s: float = 0.0
    """What the lower precision serves now."""
    rates: dict[str, float] = field(default_factory=dict)
    """Change per second of ``backlog``, ``queued``, ``waiting``, ``served``, ``rejected``."""


class PoolFlows:
    """The requests of a pool."""

    def __init__(self, state: PoolState, capacity_req_per_s: Mapping[str, float]) -> None:
        lowered = state.tier.load_req_per_s if state.tier else {}
        self.noise = 1.0
        """What comes, as a multiple of the forecast."""
        self.empties_in_s = math.inf
        """Seconds until something that waits runs out."""
        self.classes = {
            name: ClassFlow(
                capacity=capacity,
                base_req_per_s=state.load_req_per_s[name],
                lower_req_per_s=lowered.get(name, 0.0),
                backlog=state.backlog_requests.get(name, 0.0),
                queued=state.queued_requests.get(name, 0.0),
            )
            for name, capacity in capacity_req_per_s.items()
        }

    def drift(self, factor: float) -> None:
        """Let an instance serve this many times what it did; ``settle`` must follow."""
        for c in self.classes.values():
            c.capacity *= factor

    def comes(self) -> dict[str, float]:
        """Return the requests per second that come, by class."""
        return {name: c.base_req_per_s * self.noise for name, c in self.classes.items()}

    def work(self) -> dict[str, float]:
        """Return what comes in instance-equivalents, by class."""
        return {
            name: c.base_req_per_s * self.noise / c.capacity for name, c in self.classes.items()
        }

    def settle(self, own_capacity: float, tier_capacity: float) -> tuple[float, float]:
        """Set all rates, and return what own and lower precision serve in instance-equivalents.

        Args:
            own_capacity: what the active instances of the pool's own precision can serve.
            tier_capacity: what those of the lower precision can serve.
        """
        demand, lowered = dict[str, float](), dict[str, float]()
        for name, c in self.classes.items():
            demand[name], lowered[name] = self._told(c)
        asked = sum(lowered[name] / c.capacity for name, c in self.classes.items())
        fits = min(1.0, tier_capacity / asked) if asked > 0.0 else 0.0
        own = dict[str, float]()
        for name, c in self.classes.items():
            c.lowered_req_per_s = lowered[name] * fits
            own[name] = (demand[name] - c.lowered_req_per_s) / c.capacity
        wanted = sum(own.values())
        waiting = sum(c.waiting / c.capacity for c in self.classes.values())
        served = own_capacity if waiting > 0.0 or wanted > own_capacity else wanted
        for name, c in self.classes.items():
            self._wait(c, own[name], waiting, wanted - served, wanted)
            c.rates["served"] = demand[name] - c.rates["waiting"]
        self._see_next()
        return served, asked * fits

    def _told(self, c: ClassFlow) -> tuple[float, float]:
        """Set what the router does with a class; return demand and what is meant to be lowered."""
        comes = c.base_req_per_s * self.noise
        admitted = comes if c.limit_req_per_s is None else min(comes, c.limit_req_per_s)
        put_off = min(max(c.pace_req_per_s, 0.0), admitted)
        worked_off = max(-c.pace_req_per_s, 0.0) if c.backlog > 0.0 else 0.0
        ahead = c.ahead_req_per_s if c.queued > 0.0 else 0.0
        demand = admitted - put_off + worked_off + ahead
        c.rates = {
            "backlog": put_off - worked_off,
            "queued": -ahead,
            "rejected": comes - admitted,
        }
        return demand, min(c.lower_req_per_s, demand)

    @staticmethod
    def _wait(c: ClassFlow, own: float, waiting: float, excess: float, wanted: float) -> None:
        """Share what cannot be served, or is made up for, among the classes; all work."""
        if excess >= 0.0:
            share = own / wanted if wanted > 0.0 else 0.0
        else:  # those that wait are served in proportion, so that they are all done at once
            share = c.waiting / c.capacity / waiting if waiting > 0.0 else 0.0
        c.rates["waiting"] = excess * share * c.capacity

    def advance(self, seconds: float) -> bool:
        """Let time pass; return whether something that waited ran out."""
        done = False
        for c in self.classes.values():
            rates = c.rates
            c.served += rates["served"] * seconds
            if rates["rejected"]:
                c.rejected += rates["rejected"] * seconds
            for name in ("backlog", "queued", "waiting"):
                if rates[name]:
                    left = getattr(c, name) + rates[name] * seconds
                    if rates[name] < 0.0 and left <= NONE_LEFT - rates[name] * SAME_TIME_S:
                        left, done = 0.0, True
                    setattr(c, name, left)
        self.empties_in_s -= seconds
        return done

    def _see_next(self) -> None:
        self.empties_in_s = min(
            (
                getattr(c, name) / -c.rates[name]
                for c in self.classes.values()
                for name in ("backlog", "queued", "waiting")
                if c.rates[name] < 0.0
            ),
            default=math.inf,
        )
