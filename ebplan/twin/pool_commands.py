"""What every pool takes from its commands: counts, caps, locked clocks, the cache, rates by class.

What becomes of the requests is left to those that build on it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ebplan.adapters.commands import (
    CapPower,
    Command,
    LimitAdmission,
    LoadWeights,
    LockClock,
    PaceBacklog,
    Route,
    RouteLower,
    ServeAhead,
    Sleep,
    Wake,
    WarmCache,
)
from ebplan.errors import InputError
from ebplan.state import PoolState
from ebplan.twin.plant import Refusal
from ebplan.twin.pool_counts import PoolCounts
from ebplan.twin.pool_truth import PoolTruth, Ways

SAME_TIME_S = 1e-9


@dataclass(kw_only=True)
class ClassControl:
    """What was told of one request class."""

    limit_req_per_s: float | None = None
    """Rate that is let in; None: all that comes."""
    pace_req_per_s: float = 0.0
    """Rate that is put off, or (< 0) served from the backlog."""
    ahead_req_per_s: float = 0.0
    """Rate that is served of what is queued for later."""
    lower_req_per_s: float = 0.0
    """Rate meant for the lower precision."""


class CommandedPool(ABC):
    """A pool as its commands leave it.

    Args:
        name: its name, for refusals and errors.
        truth: what no command changes.
        state: how it begins: settled, without caps or locked clocks.
        rng: decides which wakes fail.
    """

    def __init__(
        self, name: str, truth: PoolTruth, state: PoolState, rng: np.random.Generator
    ) -> None:
        self.name, self._truth = name, truth
        self.counts = PoolCounts(state, truth, rng)
        self.classes = tuple(truth.capacity_req_per_s)
        """Names of its request classes."""
        self._cap_kw: float | None = None
        self._clock_mhz: float | None = None
        self._tier_cap_kw: float | None = None
        self._warm_from_s, self._warm_until_s = 0.0, state.warm_remaining_s
        self._warming_until_s = 0.0

    @abstractmethod
    def _control(self, name: str) -> ClassControl:
        """Return what was told of a class that there is."""

    def controls(self, name: str) -> ClassControl:
        """Return what was told of a class.

        Raises:
            InputError: there is no such class.
        """
        if name not in self.classes:
            raise self._unknown(f"classes.{name}", ", ".join(self.classes))
        return self._control(name)

    def tell(self, command: Command, now_s: float) -> Refusal | None:
        """Take a command; ``settle`` must follow. Return what of it could not be done.

        Raises:
            InputError: the pool has no such class, clock or precision.
        """
        match command:
            case Route():
                return self._asked(command, command.active, self.counts.route(command.active))
            case Wake():
                warm = self._warm_from_s <= now_s + SAME_TIME_S and now_s < self._warm_until_s
                done = self.counts.wake(command.count, now_s, warm=warm)
                return self._asked(command, command.count, done)
            case Sleep():
                return self._asked(command, command.count, self._sleep(command.count, now_s))
            case CapPower():
                self._cap_kw = self._limit_kw(command.w_per_gpu)
            case LockClock():
                if command.active and not self._truth.may_lock:
                    raise self._unknown("clock_lock", "none: the site gives the pool no clock_lock")
                self._clock_mhz = command.clock_mhz
                return self._asked(command, command.active, self.counts.lock(command.active))
            case RouteLower():
                return self._route_lower(command)
            case LoadWeights():
                if not self._truth.has_tier:
                    raise self._unknown("tier", "none: the site gives the pool no tier")
                done = self._load_weights(command.precision, command.count, now_s)
                return self._asked(command, command.count, done)
            case LimitAdmission():
                self.controls(command.request_class).limit_req_per_s = command.req_per_s
            case PaceBacklog():
                self.controls(command.request_class).pace_req_per_s = command.req_per_s
            case ServeAhead():
                self.controls(command.request_class).ahead_req_per_s = command.req_per_s
            case WarmCache():
                self._warm(now_s)
        return None

    def _route_lower(self, command: RouteLower) -> Refusal | None:
        if command.active and not self._truth.has_tier:
            raise self._unknown("tier", "none: the site gives the pool no tier")
        for name in command.req_per_s:
            self.controls(name)
        for name in self.classes:
            self.controls(name).lower_req_per_s = command.req_per_s.get(name, 0.0)
        self._tier_cap_kw = self._limit_kw(command.w_per_gpu)
        return self._asked(command, command.active, self.counts.route_lower(command.active))

    def _warm(self, now_s: float) -> None:
        ready_s = now_s + self._truth.warm_lead_s
        if now_s >= self._warm_until_s:
            self._warm_from_s = ready_s
        self._warm_until_s = ready_s + self._truth.warm_expires_s
        self._warming_until_s = ready_s

    def _limit_kw(self, w_per_gpu: float | None) -> float | None:
        return None if w_per_gpu is None else w_per_gpu * self._truth.kw_per_w_per_gpu

    def _unknown(self, field: str, allowed: str) -> InputError:
        return InputError(
            field=f"pools.{self.name}.{field}",
            value="given",
            allowed=allowed,
            remedy="send the commands of a plan for this site",
        )

    def _asked(self, command: Command, asked: int, done: int) -> Refusal | None:
        return None if done >= asked else Refusal(command.command, self.name, asked, done)

    def _sleep(self, count: int, now_s: float) -> int:
        return self.counts.sleep(count, now_s)

    def _load_weights(self, precision: Literal["lower", "own"], count: int, now_s: float) -> int:
        load = self.counts.load_lower if precision == "lower" else self.counts.load_own
        return load(count, now_s)

    def _clock_kw(self, ways: Ways) -> float | None:
        """Return what the locked clock leaves an instance; None without one."""
        if self._clock_mhz is None or not self.counts.locked:
            return None
        return self._truth.clock_kw(ways, self._clock_mhz)

    def _idle_and_asleep_kw(self, now_s: float) -> float:
        warming = now_s + SAME_TIME_S < self._warming_until_s
        kw = self._truth.idle_kw * self.counts.awake + self._truth.asleep_kw * self.counts.asleep
        return kw + (self._truth.warm_kw if warming else 0.0)
