"""What every meter of a node shares: a deadline, one question at a time, back-off, and sense.

A password that is refused is not tried again for minutes: controllers lock an account after a few
wrong ones, for everybody who uses it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from math import isfinite

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import BackOff, Health, after_failure, after_success, may_try
from ebplan.adapters.roles import NodePowerReading

W_PER_KW = 1000.0
REFUSED_WAIT_S = 300.0
"""How long a controller that refused the password is left alone. Assumed: lock-out thresholds of
3 to 10 attempts within minutes are usual."""


class NoReadingError(Exception):
    """The meter has no reading.

    Args:
        why: what was seen instead, in words of our own.
        refused: whether it refused who we are.
    """

    def __init__(self, why: str, *, refused: bool = False) -> None:
        self.why, self.refused = why, refused
        super().__init__(why)


class PolledNode(ABC):
    """A meter that is asked, and left alone for a while after it did not answer.

    Args:
        name: what it is called in answers.
        timeout_s: the deadline of a reading, opening a session included.
        most_kw: more than this is no reading.
        policy: how long it is left alone after it did not answer.
        refused_wait_s: the same after it refused the password.
        clock: what time it is.
    """

    def __init__(
        self,
        name: str,
        *,
        timeout_s: float,
        most_kw: float,
        policy: BackOff | None = None,
        refused_wait_s: float = REFUSED_WAIT_S,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._timeout_s, self._most_kw = timeout_s, most_kw
        self._policy = policy or BackOff()
        self._refused_wait_s = refused_wait_s
        self._clock = clock or MonotonicClock()
        self._health = Health()
        self._not_before_s = -float("inf")
        self._one_at_a_time = asyncio.Lock()

    async def read(self) -> NodePowerReading | Unreachable:
        """Return what the node draws, or why that is not known; by the deadline."""
        now_s = self._clock.now_s()
        waits = self._health.failures and not may_try(self._health, now_s, self._policy)
        if waits or now_s < self._not_before_s:
            return self._unreadable(f"left alone after a failure: {self._health.why}")
        try:
            async with asyncio.timeout(self._timeout_s), self._one_at_a_time:
                reading = await self._asked()
        except TimeoutError:
            return self._unreadable(self._failed(f"no answer within {self._timeout_s:g} s"))
        except NoReadingError as error:
            if error.refused:
                self._not_before_s = self._clock.now_s() + self._refused_wait_s
            return self._unreadable(self._failed(error.why))
        self._health = after_success(self._health, self._clock.now_s(), self._policy)
        return reading

    @abstractmethod
    async def close(self) -> None:
        """Give up the connection."""

    @abstractmethod
    async def _ask(self) -> NodePowerReading:
        """Return a reading.

        Raises:
            NoReadingError: there is none.
        """

    @abstractmethod
    def _drop(self) -> None:
        """Forget the connection without waiting: the next reading opens another."""

    async def _asked(self) -> NodePowerReading:
        try:
            return await self._ask()
        except BaseException:  # a session that was cut off may still get the answer meant for us
            self._drop()
            raise

    def _failed(self, why: str) -> str:
        self._health = after_failure(self._health, self._clock.now_s(), why)
        return why

    def _unreadable(self, why: str) -> Unreachable:
        return Unreachable(device=self.name, command="read", asked=None, why=why, executed=False)

    def _kw_of(self, watts: object) -> float:
        """Return a draw in kW.

        Raises:
            NoReadingError: it is none that a node can have. Nothing that answers draws nothing.
        """
        number = number_of(watts)
        if number is None:
            raise NoReadingError("it says no number where its power should stand")
        kw = number / W_PER_KW
        if not 0.0 < kw <= self._most_kw:
            raise NoReadingError(
                f"it says {number:g} W: allowed is more than 0 and at most {self._most_kw:g} kW"
            )
        return kw

    def _kw_or_none(self, watts: object) -> float | None:
        """Return a draw that is beside the point in kW; None where it makes no sense."""
        try:
            return self._kw_of(watts)
        except NoReadingError:
            return None


def number_of(value: object) -> float | None:
    """Return a finite number, or None where a value from outside is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None
