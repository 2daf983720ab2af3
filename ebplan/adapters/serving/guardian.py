"""Who wakes engines when the controller is gone: a local agent, seen as the engines need it."""

from __future__ import annotations

from typing import Protocol

from ebplan.adapters.answers import Answer


class Guardian(Protocol):
    """A local agent that wakes sleeping engines when nobody renews."""

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease."""
        ...

    async def watch(self, name: str, url: str) -> Answer:
        """Look after an engine from now on."""
        ...

    async def release(self) -> Answer:
        """Wake whatever it watches, now."""
        ...
