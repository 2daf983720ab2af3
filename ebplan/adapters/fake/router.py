"""A router in memory: weights, shares and limits; without a lease, every server takes its part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ebplan.adapters.answers import Answer, Applied, Range, Refused, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.fake.faults import FakeDevice
from ebplan.adapters.roles import RouterReading, ServerReading

SHARE = Range(0.0, 1.0, "of a full server")
LOWER = Range(0.0, 1.0, "of the requests")
RATE = Range(0.0, 1e6, "req/s")


class FakeRouter(FakeDevice):
    """Safe state: every server with full weight, no class lowered, none limited.

    Args:
        servers: their names.
        classes: names of the request classes.
        name: what it is called.
        clock: what time it is.
        timeout_s: how long a silent one keeps one waiting.
    """

    def __init__(
        self,
        servers: Iterable[str],
        classes: Iterable[str] = ("interactive", "batch"),
        *,
        name: str = "router",
        clock: Clock | None = None,
        timeout_s: float = 0.2,
    ) -> None:
        super().__init__(name, clock, timeout_s)
        self.in_flight = dict.fromkeys(servers, 0)
        self.down: set[str] = set()
        self.arrived: dict[str, float] = dict.fromkeys(classes, 0.0)
        self._classes = tuple(classes)
        self._weight: dict[str, float] = {}
        self._lower: dict[str, float] = {}
        self._admit: dict[str, float] = {}

    def weight(self, server: str) -> float:
        """Return the weight that holds now."""
        return self._weight.get(server, 1.0) if self.leased else 1.0

    async def read(self) -> RouterReading | Unreachable:
        """Return weights, states and what is in flight."""
        if broken := await self._unreadable():
            return broken
        live = self.leased
        return RouterReading(
            servers={server: self._server(server) for server in self.in_flight},
            leased=live,
            lower_share={c: self._lower.get(c, 0.0) if live else 0.0 for c in self._classes},
            admitted_per_s={c: self._admit.get(c) if live else None for c in self._classes},
            arrived=dict(self.arrived),
        )

    async def route(self, weight: Mapping[str, float]) -> Mapping[str, Answer]:
        """Give servers this share of a full server's traffic."""
        return {
            s: await self._set("route", self._weight, s, w, SHARE, self.in_flight)
            for s, w in weight.items()
        }

    async def lower(self, share: Mapping[str, float]) -> Mapping[str, Answer]:
        """Send this share of classes to the lower precision."""
        return {
            c: await self._set("lower", self._lower, c, x, LOWER, self._classes)
            for c, x in share.items()
        }

    async def admit(self, req_per_s: Mapping[str, float | None]) -> Mapping[str, Answer]:
        """Admit at most this rate of classes; None lifts the limit."""
        return {
            c: await self._set("admit", self._admit, c, r, RATE, self._classes)
            for c, r in req_per_s.items()
        }

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease; what was set under one that has lapsed is forgotten."""
        if not self.leased:
            for held in (self._weight, self._lower, self._admit):
                held.clear()
        return await super().renew(ttl_s)

    def _server(self, server: str) -> ServerReading:
        weight = self.weight(server)
        state = "down" if server in self.down else "up" if weight > 0.0 else "drained"
        return ServerReading(
            weight=weight,
            state=state,  # type: ignore[arg-type]
            in_flight=self.in_flight[server],
            queued=0,
        )

    async def _set(
        self,
        command: str,
        held: dict[str, float],
        part: str,
        value: float | None,
        feasible: Range,
        known: Iterable[str],
    ) -> Answer:
        who = f"{self.name}/{part}"
        if part not in known:
            return Refused(
                device=who, command=command, asked=value, why=f"known are {', '.join(known)}"
            )
        if value is None:
            broken = await self._broken(command, None, part)
            if self.fault in (None, "silent"):
                held.pop(part, None)
            return broken or Applied(device=who, command=command, asked=None, confirmed=None)
        new, answer = await self._told(command, value, feasible, part)
        if new is not None:
            held[part] = new
        return answer
