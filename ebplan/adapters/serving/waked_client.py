"""The agent that wakes engines when the controller is gone: watched before they fall asleep.

    agent = WakeAgent(Path("/run/ebplan-wake/waked.sock"))
    await agent.renew(3.0)
    await agent.watch("a", "http://127.0.0.1:8100")     # Applied: now it may be put to sleep

**Safe state.** The agent counts the lease. When this connection ends, when the lease is not
renewed, or when the agent itself is told to end or starts again, it wakes every engine that it
watches and asks each whether it is awake.
"""

from __future__ import annotations

from pathlib import Path

from ebplan.adapters.answers import Answer, Applied, Refused, Unreachable, Unverified
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.daemon.client import DaemonClient, NoAnswer
from ebplan.adapters.daemon.lease_client import released, renewed
from ebplan.adapters.daemon.waked_name import NAME
from ebplan.adapters.daemon.wire import MAYBE_EXECUTED, Denied


class WakeAgent:
    """Implements ``Leased`` for the agent.

    Args:
        socket: the agent's.
        name: what it is called in answers.
        timeout_s: how long it may take to answer.
        clock: what time it is.
    """

    def __init__(
        self,
        socket: Path,
        *,
        name: str = "waked",
        timeout_s: float = 0.5,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._clock = clock or MonotonicClock()
        self.daemon = DaemonClient(socket, NAME, timeout_s=timeout_s, clock=self._clock)
        """The connection."""

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease, taking it where nobody holds it."""
        return await renewed(self.daemon, self.name, ttl_s, self._clock)

    async def watch(self, name: str, url: str) -> Answer:
        """Watch an engine; only after ``Applied`` may it be put to sleep.

        Args:
            name: what the agent calls it.
            url: where it is; the agent must know it as the same.
        """
        who = f"{self.name}/{name}"
        started_s = self._clock.now_s()
        try:
            body = await self.daemon.ask("set", what={"watch": {name: url}})
        except NoAnswer as error:
            return Unreachable(
                device=who, command="watch", asked=url, why=error.why, executed=error.executed
            )
        except Denied as denied:
            kind = Unverified if denied.denial in MAYBE_EXECUTED else Refused
            return kind(device=who, command="watch", asked=url, why=denied.why)
        took_s = self._clock.now_s() - started_s
        match body:
            case {"result": {"watched": list() as watched}} if name in watched:
                return Applied(device=who, command="watch", asked=url, confirmed=url, took_s=took_s)
        why = "the answer does not name it"
        return Unverified(device=who, command="watch", asked=url, why=why, took_s=took_s)

    async def release(self) -> Answer:
        """Give the lease back and wait until every engine that was watched is awake."""
        return await released(self.daemon, self.name, self._clock)

    async def close(self) -> None:
        """Hang up; the agent notices at once."""
        await self.daemon.close()
