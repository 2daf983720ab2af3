"""Who wakes sleeping engines when the controller is gone: an engine holds no lease of its own."""

from __future__ import annotations

from typing import Protocol

from ebplan.adapters.answers import Answer


class Guardian(Protocol):
    """A process beside the engines that outlives the controller and wakes what sleeps."""

    async def renew(self, ttl_s: float) -> Answer:
        """Leave sleeping engines asleep for so long; ``confirmed`` is the term granted, in s."""
        ...

    async def watch(self, name: str, url: str) -> Answer:
        """Wake this engine when the lease lapses; applied only while a lease is held."""
        ...

    async def release(self) -> Answer:
        """Wake whatever sleeps now, and give the lease back."""
        ...
