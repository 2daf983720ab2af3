"""The door of a request class: who is let in, put off, turned away, served from what waits.

Rates become single requests with a bucket that fills at the rate and holds two seconds of it: a
request that finds a whole one in it takes it. What is let out of a store at a rate, the backlog or
the queue for later, leaves one by one, evenly.

A limit turns away requests of classes that are not protected. Those of a protected class wait at
the door and are let in at the limit's rate: nobody is turned away whom an instance can serve.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from ebplan.twin.pool_commands import ClassControl
from ebplan.twin.requests.engine import Request

Verdict = Literal["goes on", "stored", "rejected"]
"""What the door does with a request."""
DEPTH_S = 2.0
"""What a bucket holds, in seconds of its rate; assumed."""
MEAN_OVER_S = 30.0
"""A measured rate forgets requests with this time constant; assumed."""


class Bucket:
    """Fills at a rate; holds a few seconds of it, one request at least."""

    def __init__(self) -> None:
        self._rate, self._level, self._at_s = 0.0, 0.0, 0.0

    def set_rate(self, rate: float, now_s: float) -> None:
        """Fill at another rate from now on."""
        if rate != self._rate:
            self._fill(now_s)
            self._rate = rate
            self._level = min(self._level, self._depth)

    def take(self, now_s: float) -> bool:
        """Take one request out, if there is a whole one; return whether there was."""
        self._fill(now_s)
        if self._level < 1.0 - 1e-9:
            return False
        self._level -= 1.0
        return True

    def next_s(self, now_s: float) -> float:
        """Return when there is a whole request in it."""
        if self._rate <= 0.0:
            return math.inf
        return max(self._at_s + max(1.0 - self._level, 0.0) / self._rate, now_s)

    @property
    def _depth(self) -> float:
        return max(DEPTH_S * self._rate, 1.0)

    def _fill(self, now_s: float) -> None:
        self._level = min(self._level + self._rate * (now_s - self._at_s), self._depth)
        self._at_s = now_s


class MeasuredRate:
    """Requests per second, as counted: each fades with ``MEAN_OVER_S``."""

    def __init__(self, req_per_s: float) -> None:
        self._value, self._at_s = req_per_s, 0.0

    def count(self, now_s: float) -> None:
        """Count a request."""
        self._value = self.at(now_s) + 1.0 / MEAN_OVER_S
        self._at_s = now_s

    def at(self, now_s: float) -> float:
        """Return the rate."""
        return self._value * math.exp(-(now_s - self._at_s) / MEAN_OVER_S)


class MeasuredMean:
    """Mean of what was counted, each fading with ``MEAN_OVER_S``."""

    def __init__(self) -> None:
        self._sum, self._count, self._at_s = 0.0, 0.0, 0.0

    def add(self, value: float, now_s: float) -> None:
        """Count a value."""
        left = math.exp(-(now_s - self._at_s) / MEAN_OVER_S)
        self._sum, self._count = self._sum * left + value, self._count * left + 1.0
        self._at_s = now_s

    @property
    def value(self) -> float | None:
        """The mean; None before anything was counted."""
        return self._sum / self._count if self._count > 0.0 else None


class Release:
    """Lets requests out of a store one by one, evenly, at a rate."""

    def __init__(self) -> None:
        self._rate, self._since_s = 0.0, 0.0

    def set_rate(self, rate: float, now_s: float) -> None:
        """Let out at another rate from now on, the first after the time between two."""
        if rate != self._rate:
            self._rate, self._since_s = rate, now_s

    def next_s(self) -> float:
        """Return when the next one leaves."""
        return self._since_s + 1.0 / self._rate if self._rate > 0.0 else math.inf

    def leave(self) -> None:
        """Let one leave at ``next_s``."""
        self._since_s = self.next_s()


@dataclass(kw_only=True)
class Door(ClassControl):
    """One request class at the router: what was told of it, what waits, what became of it."""

    protected: bool
    comes: MeasuredRate
    """What comes."""
    serves: MeasuredRate
    """What is answered."""
    lowers: MeasuredRate
    """What the lower precision is given."""
    ttft: MeasuredMean = field(default_factory=MeasuredMean)
    """Time to the first token of what is answered, in s."""
    queued: int = 0
    """Queued for later."""
    backlog: deque[Request] = field(default_factory=deque)
    """Put off, the oldest first."""
    held: deque[Request] = field(default_factory=deque)
    """Of a protected class beyond the limit, the oldest first."""
    in_service: int = 0
    arrived: int = 0
    served: int = 0
    rejected: int = 0
    limit_bucket: Bucket = field(default_factory=Bucket)
    put_off_bucket: Bucket = field(default_factory=Bucket)
    lower_bucket: Bucket = field(default_factory=Bucket)
    work_off: Release = field(default_factory=Release)
    ahead: Release = field(default_factory=Release)

    def follow(self, now_s: float) -> None:
        """Take over what was told."""
        if self.limit_req_per_s is not None:
            self.limit_bucket.set_rate(self.limit_req_per_s, now_s)
        self.put_off_bucket.set_rate(max(self.pace_req_per_s, 0.0), now_s)
        self.work_off.set_rate(max(-self.pace_req_per_s, 0.0), now_s)
        self.lower_bucket.set_rate(self.lower_req_per_s, now_s)
        self.ahead.set_rate(self.ahead_req_per_s, now_s)

    def arrive(self, request: Request, now_s: float) -> Verdict:
        """Take a request that comes; return what becomes of it."""
        self.arrived += 1
        self.comes.count(now_s)
        if self.limit_req_per_s is not None and (self.held or not self.limit_bucket.take(now_s)):
            if self.protected:
                self.held.append(request)
                return "stored"
            self.rejected += 1
            return "rejected"
        return "goes on" if self._not_put_off(request, now_s) else "stored"

    def answer(self, now_s: float) -> None:
        """Count an answer."""
        self.in_service -= 1
        self.served += 1
        self.serves.count(now_s)

    def next_s(self, now_s: float) -> float:
        """Return when the next stored request may go on."""
        first_s = math.inf
        if self.backlog:
            first_s = self.work_off.next_s()
        if self.queued:
            first_s = min(first_s, self.ahead.next_s())
        if self.held:
            no_limit = self.limit_req_per_s is None
            first_s = min(first_s, now_s if no_limit else self.limit_bucket.next_s(now_s))
        return first_s

    def let_out(self, now_s: float) -> list[Request]:
        """Return stored requests that go on now; ``queued`` ones are the caller's to make."""
        out = []
        while self.held and (self.limit_req_per_s is None or self.limit_bucket.take(now_s)):
            request = self.held.popleft()
            if self._not_put_off(request, now_s):
                out.append(request)
        if self.backlog and self.work_off.next_s() <= now_s:
            self.work_off.leave()
            out.append(self.backlog.popleft())
        return out

    def ahead_is_due(self, now_s: float) -> bool:
        """Take one of the queued requests out if it is due; return whether it is."""
        if not self.queued or self.ahead.next_s() > now_s:
            return False
        self.ahead.leave()
        self.queued -= 1
        return True

    def _not_put_off(self, request: Request, now_s: float) -> bool:
        if self.pace_req_per_s > 0.0 and self.put_off_bucket.take(now_s):
            self.backlog.append(request)
            return False
        return True
