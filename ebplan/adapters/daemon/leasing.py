"""Who holds a daemon's lease, and what happens when nobody does any more: no sockets in here."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from ebplan.adapters.answers import is_number
from ebplan.adapters.clock import Clock
from ebplan.adapters.daemon.wire import Denied

LONGEST_TTL_S: Final = 60.0
"""No longer term is granted."""
RETRY_S: Final = 1.0
"""Between two attempts to reach the safe state where an attempt itself failed."""

_log = logging.getLogger(__name__)

_Tasks = set[asyncio.Task[Any]]


class Keeper(Protocol):
    """What a daemon keeps: the actions behind its lease."""

    async def read(self) -> dict[str, Any]:
        """Return how things are."""
        ...

    async def set(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what the holder asks; never called twice at once, nor while ``safe`` runs.

        Raises:
            ValueError: the request makes no sense; nothing was done.
        """
        ...

    async def safe(self, why: str) -> None:
        """Go to the safe state and return when it is reached, however long that takes.

        Called again at any time; cancelled where a controller returns in the middle, and what was
        not undone by then simply stays.
        """
        ...


class Tenancy:
    """One lease: at most one holder, who must renew it.

    Args:
        keeper: what is leased.
        clock: what time it is.
        longest_s: no longer term is granted.
    """

    def __init__(self, keeper: Keeper, clock: Clock, longest_s: float = LONGEST_TTL_S) -> None:
        self._keeper, self._clock, self._longest_s = keeper, clock, longest_s
        self.holder: object | None = None
        """Who holds it now."""
        self._ends_s = 0.0
        self._timer: asyncio.Task[None] | None = None
        self._safe: asyncio.Task[None] | None = None
        self._setting: _Tasks = set()
        self._order = asyncio.Lock()
        self._stopping = False

    @property
    def returning(self) -> bool:
        """Whether things are on their way to the safe state."""
        return self._safe is not None and not self._safe.done()

    async def renew(self, who: object, ttl_s: float) -> float:
        """Take the lease or extend it; return the term that is granted.

        Raises:
            Denied: the term is none, another one holds it, or the daemon ends.
        """
        if not (is_number(ttl_s) and ttl_s > 0.0):
            raise Denied("bad", "a term is a number of seconds, > 0")
        if self._stopping:
            raise Denied("stopping", "the daemon ends")
        self._expire()
        if self.holder not in (None, who):
            raise Denied("held", "another controller holds the lease")
        granted_s = min(ttl_s, self._longest_s)
        self._ends_s = self._clock.now_s() + granted_s
        if self.holder is None:
            self.holder = who
            self._timer = asyncio.create_task(self._count(), name="lease")
            if self._safe is not None:
                self._safe.cancel()
        await self._taken_over()
        return granted_s

    async def set(self, who: object, request: dict[str, Any]) -> dict[str, Any]:
        """Let the keeper do something for the holder.

        Raises:
            Denied: it is not the holder, or no longer; or the request makes no sense.
        """
        self._require(who)
        async with self._order:
            await self._taken_over()
            self._require(who)
            doing = asyncio.create_task(self._keeper.set(request), name="set")
            self._setting.add(doing)
            try:
                await asyncio.wait({doing})
            finally:
                self._setting.discard(doing)
                if not doing.done():
                    doing.cancel()
        if doing.cancelled():
            raise Denied("lapsed", "the lease ended in the middle")
        try:
            return doing.result()
        except ValueError as error:
            raise Denied("bad", str(error)) from None

    async def release(self, who: object) -> bool:
        """Give it back; return whether the safe state is reached.

        Raises:
            Denied: another one holds it.
        """
        self._expire()
        if self.holder not in (None, who):
            raise Denied("held", "another controller holds the lease")
        if self.holder is who:
            self._lapse("it was released")
        if self._safe is None:
            return True
        safe = self._safe
        await asyncio.wait({safe})
        return not safe.cancelled()

    def gone(self, who: object) -> None:
        """Note that somebody hung up."""
        if self.holder is who:
            self._lapse("the controller hung up")

    def go_safe(self, why: str) -> None:
        """Start for the safe state with nobody holding the lease: what a dead run left behind."""
        if self.holder is None:
            self._lapse(why)

    async def stop(self, within_s: float) -> bool:
        """End it and go to the safe state; return whether that was reached in time."""
        self._stopping = True
        if self.holder is not None:
            self._lapse("the daemon is told to end")
        safe = self._safe
        if safe is None:
            return True
        done, _ = await asyncio.wait({safe}, timeout=within_s)
        if not done:
            safe.cancel()
            await asyncio.wait({safe})
        return bool(done)

    def _require(self, who: object) -> None:
        self._expire()
        if self.holder is None:
            raise Denied("unleased", "no lease")
        if self.holder is not who:
            raise Denied("held", "another controller holds the lease")

    def _expire(self) -> None:
        """Notice a lapse before the timer does: a machine that was suspended wakes late."""
        if self.holder is not None and self._clock.now_s() >= self._ends_s:
            self._lapse("the controller fell silent")

    async def _taken_over(self) -> None:
        """Wait until a way to the safe state that a holder interrupted has ended."""
        if self.holder is not None and self._safe is not None:
            await asyncio.wait({self._safe})

    async def _count(self) -> None:
        while (left_s := self._ends_s - self._clock.now_s()) > 0.0:
            await self._clock.sleep(left_s)
        self._lapse("the controller fell silent")

    def _lapse(self, why: str) -> None:
        self.holder = None
        if self._timer is not None and self._timer is not asyncio.current_task():
            self._timer.cancel()
        self._timer = None
        before: _Tasks = set(self._setting)
        for doing in before:
            doing.cancel()
        if self._safe is not None and not self._safe.done():
            if not self._safe.cancelling():
                return
            before.add(self._safe)
        self._safe = asyncio.create_task(self._return(why, before), name="to the safe state")

    async def _return(self, why: str, before: _Tasks) -> None:
        if before:
            await asyncio.wait(before)
        _log.warning("safe state: %s", why)
        while True:
            try:
                await self._keeper.safe(why)
                break
            except Exception:
                _log.exception("the safe state was not reached; trying again")
                await self._clock.sleep(RETRY_S)
        _log.info("safe state reached")
