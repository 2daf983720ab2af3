"""Leases: an actuator obeys only while its lease is renewed; without, it goes to its safe state.

The safe state is static and lies in the device or beside it: nothing of the controller is needed to
reach it. The controller does one thing, it renews, at the latest after a third of the term, so that
two renewals may be lost. It renews only while its own loop beats: a controller that hangs with a
live timer must lapse as a dead one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Refused,
    Unreachable,
    Unverified,
)
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import BackOff, Health, after_failure, after_success, set_aside
from ebplan.adapters.roles import Leased

RENEWALS_PER_TERM = 3
"""So many renewals fall into one term: two may be lost."""


@dataclass(frozen=True)
class Lease:
    """A term that has been granted."""

    ttl_s: float
    """Length of the term."""
    renewed_s: float
    """When it was asked for: the device counts from later, so this side is the careful one."""

    @property
    def due_s(self) -> float:
        """When it is to be renewed."""
        return self.renewed_s + self.ttl_s / RENEWALS_PER_TERM

    @property
    def ends_s(self) -> float:
        """When it lapses."""
        return self.renewed_s + self.ttl_s

    def holds(self, now_s: float) -> bool:
        """Whether it has not lapsed."""
        return now_s < self.ends_s


class LeaseKeeper:
    """Renews the leases of a site's actuators, each on its own: a slow one delays no other.

    Args:
        actuators: by name.
        ttl_s: term of the leases.
        clock: what time it is.
        policy: how a device that does not renew is treated.

    Call ``beat`` in each cycle of the control loop. ``run`` ends when it is cancelled; ``release``
    hands every device back.
    """

    def __init__(
        self,
        actuators: Mapping[str, Leased],
        ttl_s: float,
        clock: Clock | None = None,
        policy: BackOff | None = None,
    ) -> None:
        if not ttl_s > 0.0:
            raise ValueError(f"a lease needs a term, got {ttl_s!r} s")
        self._actuators = dict(actuators)
        self.ttl_s = ttl_s
        self._clock = clock or MonotonicClock()
        self.policy = policy or BackOff(first_s=ttl_s / 20.0, longest_s=ttl_s / 3.0)
        self._beaten_s = self._clock.now_s()
        self.leases: dict[str, Lease] = {}
        """Terms that were granted, by actuator."""
        self.health: dict[str, Health] = {name: Health() for name in self._actuators}
        """What is remembered of each."""
        self.last: dict[str, Answer] = {}
        """The last answer to a renewal."""

    def beat(self) -> None:
        """Say that the control loop is alive."""
        self._beaten_s = self._clock.now_s()

    @property
    def loop_is_alive(self) -> bool:
        """Whether the control loop has beaten within one term."""
        return self._clock.now_s() - self._beaten_s < self.ttl_s

    def holds(self, name: str) -> bool:
        """Whether the actuator obeys now, as far as this side knows."""
        lease = self.leases.get(name)
        return lease is not None and lease.holds(self._clock.now_s())

    def usable(self) -> frozenset[str]:
        """Return the actuators that plans may count on."""
        return frozenset(
            name
            for name in self._actuators
            if self.holds(name) and not set_aside(self.health[name], self.policy)
        )

    async def run(self) -> None:
        """Renew until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name in self._actuators:
                group.create_task(self._keep(name), name=f"lease {name}")

    async def renew(self, name: str) -> Answer:
        """Renew one lease now and remember the answer."""
        asked_s = self._clock.now_s()
        try:
            answer = await self._actuators[name].renew(self.ttl_s)
        except Exception as error:  # one adapter's fault must not let every lease lapse
            why = f"{type(error).__name__}: {error}"
            answer = Unverified(device=name, command="renew", asked=self.ttl_s, why=why)
        self.last[name] = answer
        now_s = self._clock.now_s()
        match answer:
            case Applied() | AppliedInPart():
                self.leases[name] = Lease(_granted_s(answer, self.ttl_s), asked_s)
                self.health[name] = after_success(self.health[name], now_s, self.policy)
            case Refused() | Unreachable() | Unverified():
                self.health[name] = after_failure(self.health[name], now_s, str(answer))
            case _:
                assert_never(answer)
        return answer

    async def release(self) -> dict[str, Answer]:
        """Put every device into its safe state now; return the answers."""
        answers = await asyncio.gather(*(self._release(name) for name in self._actuators))
        self.leases.clear()
        return dict(zip(self._actuators, answers, strict=True))

    async def _release(self, name: str) -> Answer:
        try:
            return await self._actuators[name].release()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            return Unverified(device=name, command="release", asked=None, why=why)

    async def _keep(self, name: str) -> None:
        while True:
            if self.loop_is_alive:
                await self.renew(name)
            health = self.health[name]
            lease = self.leases.get(name)
            wait_s = (lease.ttl_s if lease else self.ttl_s) / RENEWALS_PER_TERM
            if health.failures and health.well_since_s > self._clock.now_s():
                wait_s = min(wait_s, self.policy.wait_s(health.failures))
            await self._clock.sleep(wait_s if self.loop_is_alive else self.ttl_s / 20.0)


def _granted_s(answer: Applied | AppliedInPart, asked_s: float) -> float:
    """Return the term that a device granted: devices count in steps of their own."""
    granted = answer.confirmed
    return min(float(granted), asked_s) if isinstance(granted, float | int) else asked_s
