"""HAProxy as the router, told over its runtime socket.

**Safe state.** The configuration itself counts the lease (``config``): when it ends, static weights
choose the server, nothing is limited and nothing goes to the lower precision. A sleeping engine
leaves the pool by its own health check. Nothing of the controller is needed for that.

What is changed at run time is lost when the router restarts. Each lease renewal looks who answers;
a new process is told everything again before its lease begins.
"""

from __future__ import annotations

import csv
from collections.abc import Awaitable, Callable, Mapping
from math import floor

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Unreachable,
    Unverified,
    clamped,
    is_number,
)
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import (
    BackOff,
    Health,
    after_failure,
    after_success,
    may_try,
    retry_at_s,
)
from ebplan.adapters.roles import RouterReading, ServerReading
from ebplan.adapters.router import runtime_commands as lines
from ebplan.adapters.router.config import ADMITTED, SLOTS, WINDOW_S, RouterConfig
from ebplan.adapters.router.runtime_socket import NoAnswer, NotTaken, Process, RuntimeSocket

SHARE = Range(0.0, 1.0, "of a full server")
LOWER = Range(0.0, 1.0, "of the requests")
RATE = Range(0.0, 1e6, "req/s")
UNLIMITED = -1
LEASE_KEY = "until_ms"


class HaproxyRouter:
    """Implements ``Router``.

    Args:
        config: the document that its configuration was rendered from.
        timeout_s: how long an answer is waited for.
        policy: how often one tries again where it does not answer.
        clock: what time it is.
        wall_ms: the wall clock in ms since 1970: the router counts the lease on its own, which is
            this machine's, for the socket is local.
    """

    def __init__(
        self,
        config: RouterConfig,
        *,
        timeout_s: float = 0.5,
        policy: BackOff | None = None,
        clock: Clock | None = None,
        wall_ms: Callable[[], int] | None = None,
    ) -> None:
        self.name = config.name
        self._config = config
        self._backend = config.backend_of()
        self._socket = RuntimeSocket(config.socket, timeout_s)
        self._policy = policy or BackOff(longest_s=5.0)
        self._clock = clock or MonotonicClock()
        self._wall_ms = wall_ms or _wall_ms
        self._health = Health()
        self._process: Process | None = None
        self._weight: dict[str, int] = {}
        self._entries: dict[str, dict[str, int]] = {"lower": {}, "admit": {}}

    # --- readings --------------------------------------------------------------------------------

    async def read(self) -> RouterReading | Unreachable:
        """Return weights, states and what is in flight."""
        try:
            self._guard()
            servers = await self._servers()
            until_ms = (await self._map("lease")).get(LEASE_KEY, 0)
            lower, admit = await self._map("lower"), await self._map("admit")
        except NoAnswer as error:
            self._failed(error)
            return Unreachable(
                device=self.name, command="read", asked=None, why=error.why, executed=False
            )
        left_ms = until_ms - self._wall_ms()
        leased = 0 < left_ms <= self._config.longest_lease_s * 1000.0
        limit = {c: _rate(admit.get(c, UNLIMITED)) for c in self._config.classes}
        share = {c: lower.get(c, 0) / SLOTS for c in self._config.classes}
        return RouterReading(
            servers=servers,
            leased=leased,
            lower_share=share if leased else dict.fromkeys(share, 0.0),
            admitted_per_s=limit if leased else dict.fromkeys(limit),
        )

    # --- commands --------------------------------------------------------------------------------

    async def route(self, weight: Mapping[str, float]) -> Mapping[str, Answer]:
        """Give servers this share of a full server's traffic, 0 to 1; 0 drains."""

        async def one(server: str, asked: float) -> Answer:
            who = f"{self.name}/{server}"
            if server not in self._backend:
                return _unknown(who, "route", asked, self._backend)

            async def write(value: float) -> float:
                told = round(value * lines.FULL_WEIGHT)
                if value > 0.0:
                    told = max(told, 1)  # 0 would drain it
                backend = self._backend[server]
                await self._socket.change(lines.set_weight(backend, server, told))
                self._weight[server] = told
                return (await self._servers())[server].weight

            return await self._write(who, "route", asked, SHARE, write, tolerance=0.006)

        return {server: await one(server, asked) for server, asked in weight.items()}

    async def lower(self, share: Mapping[str, float]) -> Mapping[str, Answer]:
        """Send this share of request classes to the servers of the lower precision."""

        async def one(name: str, asked: float) -> Answer:
            who = f"{self.name}/{name}"
            if name not in self._config.classes:
                return _unknown(who, "lower", asked, self._config.classes)

            async def write(value: float) -> float:
                await self._set("lower", name, round(value * SLOTS))
                return (await self._map("lower")).get(name, 0) / SLOTS

            return await self._write(who, "lower", asked, LOWER, write, tolerance=0.5 / SLOTS)

        return {name: await one(name, asked) for name, asked in share.items()}

    async def admit(self, req_per_s: Mapping[str, float | None]) -> Mapping[str, Answer]:
        """Admit at most this rate of request classes; None lifts the limit."""

        async def one(name: str, asked: float | None) -> Answer:
            who = f"{self.name}/{name}"
            served = self._config.classes.get(name)
            if served is None:
                return _unknown(who, "admit", asked, self._config.classes)
            if served.protected and asked is not None:
                return Refused(
                    device=who, command="admit", asked=asked, why="the class is protected"
                )
            if asked is None:
                return await self._lift(who, name)

            async def write(value: float) -> float:
                await self._set("admit", name, floor(value * WINDOW_S))
                await self._socket.change(lines.forget_rate(ADMITTED, name))
                return (await self._map("admit")).get(name, UNLIMITED) / WINDOW_S

            return await self._write(who, "admit", asked, RATE, write, tolerance=1.0 / WINDOW_S)

        return {name: await one(name, asked) for name, asked in req_per_s.items()}

    async def _lift(self, who: str, name: str) -> Answer:
        try:
            self._guard()
            await self._set("admit", name, UNLIMITED)
            seen = (await self._map("admit")).get(name)
        except (NoAnswer, NotTaken) as error:
            return self._lost(who, "admit", None, error)
        if seen != UNLIMITED:
            return Unverified(device=who, command="admit", asked=None, why=f"{seen} is read back")
        return Applied(device=who, command="admit", asked=None, confirmed=None)

    # --- lease -----------------------------------------------------------------------------------

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease; a router that has restarted is told everything again first."""
        if not (is_number(ttl_s) and ttl_s > 0.0):
            return Refused(device=self.name, command="renew", asked=ttl_s, why="no term")
        granted_s = min(ttl_s, self._config.longest_lease_s)
        until_ms = self._wall_ms() + floor(granted_s * 1000.0)
        try:
            self._guard()
            refused = await self._meet()
            if refused is not None:
                return Refused(device=self.name, command="renew", asked=ttl_s, why=refused)
            await self._set("lease", LEASE_KEY, until_ms)
            seen = (await self._map("lease")).get(LEASE_KEY)
        except (NoAnswer, NotTaken) as error:
            return self._lost(self.name, "renew", ttl_s, error)
        self._health = after_success(self._health, self._clock.now_s(), self._policy)
        if seen != until_ms:
            return Unverified(
                device=self.name, command="renew", asked=ttl_s, why=f"{seen} is read back"
            )
        return Applied(device=self.name, command="renew", asked=ttl_s, confirmed=granted_s)

    async def release(self) -> Answer:
        """End the lease now; weights, shares and limits go back with it."""
        try:
            self._guard()
            await self._set("lease", LEASE_KEY, 0)
            for server in list(self._weight):
                backend = self._backend[server]
                await self._socket.change(lines.set_weight(backend, server, lines.FULL_WEIGHT))
            for name, usual in (("lower", 0), ("admit", UNLIMITED)):
                for key in list(self._entries[name]):
                    await self._set(name, key, usual)
            seen = (await self._map("lease")).get(LEASE_KEY)
        except (NoAnswer, NotTaken) as error:
            return self._lost(self.name, "release", None, error)
        self._forget()
        if seen != 0:
            return Unverified(
                device=self.name, command="release", asked=None, why=f"{seen} is read back"
            )
        return Applied(device=self.name, command="release", asked=None, confirmed=None)

    async def close(self) -> None:
        """Nothing is open between calls; the lease lapses by itself."""

    async def _meet(self) -> str | None:
        """Look who answers; return why it must not be commanded, if so."""
        now = await self._socket.identity()
        config = self._config
        if (now.node, now.description) != (config.name, config.description):
            return (
                f"{now.node or 'another router'} answers with "
                f"{now.description or 'another configuration'}, not {config.description}: "
                "render its configuration again and reload it"
            )
        if self._process is not None and now.pid != self._process.pid:
            await self._tell_again()
        elif self._process is None:
            await self._start_clean()
        self._process = now
        return None

    async def _tell_again(self) -> None:
        for server, weight in self._weight.items():
            await self._socket.change(lines.set_weight(self._backend[server], server, weight))
        for name, entries in self._entries.items():
            for key, value in entries.items():
                await self._set(name, key, value)

    async def _start_clean(self) -> None:
        """Take back what a controller before this one may have left behind its lapsed lease."""
        for server, seen in (await self._servers()).items():
            if seen.weight != 1.0:
                backend = self._backend[server]
                await self._socket.change(lines.set_weight(backend, server, lines.FULL_WEIGHT))
        for name, usual in (("lower", 0), ("admit", UNLIMITED)):
            for key, value in (await self._map(name)).items():
                if value != usual:
                    await self._set(name, key, usual)
        self._forget()

    def _forget(self) -> None:
        self._weight.clear()
        for entries in self._entries.values():
            entries.clear()

    # --- one write -------------------------------------------------------------------------------

    async def _write(
        self,
        who: str,
        command: str,
        asked: float,
        feasible: Range,
        write: Callable[[float], Awaitable[float]],
        *,
        tolerance: float,
    ) -> Answer:
        """Clamp, write, read back."""
        if not is_number(asked):
            return Refused(
                device=who, command=command, asked=asked, why="no number", feasible=feasible
            )
        value, cut = clamped(asked, feasible)
        try:
            self._guard()
            seen = await write(value)
        except (NoAnswer, NotTaken) as error:
            return self._lost(who, command, asked, error)
        if abs(seen - value) > tolerance:
            return Unverified(
                device=who,
                command=command,
                asked=asked,
                why=f"told {value:g}, {seen:g} is read back",
                read_back=seen,
            )
        if cut:
            return AppliedInPart(
                device=who,
                command=command,
                asked=asked,
                confirmed=value,
                feasible=feasible,
                why="outside its range",
            )
        return Applied(device=who, command=command, asked=asked, confirmed=seen)

    async def _set(self, name: str, key: str, value: int) -> None:
        if name in self._entries:
            self._entries[name][key] = value
        await self._socket.change(lines.set_map(self._config.map_path(name), key, value))

    async def _map(self, name: str) -> dict[str, int]:
        """Return the entries of a map: lines of `reference key value`."""
        said = await self._socket.ask(lines.show_map(self._config.map_path(name)))
        entries = [line.split() for line in said.splitlines() if line.strip()]
        try:
            return {key: int(value) for _, key, value in entries}
        except ValueError:
            raise NoAnswer("the answer is no map", sent=False) from None

    async def _servers(self) -> dict[str, ServerReading]:
        """Return every server of the configuration.

        Raises:
            NoAnswer: the router did not answer, or does not know one of them.
        """
        said = await self._socket.ask(lines.show_servers())
        rows = {
            row.get("svname", ""): row
            for row in csv.DictReader(said.removeprefix("# ").splitlines())
            if self._backend.get(row.get("svname", "")) == row.get("# pxname", row.get("pxname"))
        }
        try:
            return {server: _server(rows[server]) for server in self._backend}
        except (KeyError, ValueError):
            raise NoAnswer("the answer does not list its servers", sent=False) from None

    # --- health ----------------------------------------------------------------------------------

    def _guard(self) -> None:
        """Leave a router that does not answer alone for a while.

        Raises:
            NoAnswer: the wait is not over.
        """
        now_s = self._clock.now_s()
        if not may_try(self._health, now_s, self._policy) and self._health.failures:
            left_s = retry_at_s(self._health, self._policy) - now_s
            raise NoAnswer(f"left alone for {left_s:.1f} s: {self._health.why}", sent=False)

    def _failed(self, error: NoAnswer) -> None:
        if not error.why.startswith("left alone"):
            self._health = after_failure(self._health, self._clock.now_s(), error.why)

    def _lost(
        self, who: str, command: str, asked: float | None, error: NoAnswer | NotTaken
    ) -> Refused | Unreachable:
        if isinstance(error, NotTaken):
            return Refused(device=who, command=command, asked=asked, why=str(error))
        self._failed(error)
        return Unreachable(
            device=who, command=command, asked=asked, why=error.why, executed=error.sent
        )


def _server(row: Mapping[str, str]) -> ServerReading:
    weight = int(row["weight"]) / lines.FULL_WEIGHT
    status = row["status"]
    if status.startswith(("DOWN", "MAINT", "NOLB")):
        state = "down"
    else:
        state = "drained" if weight == 0.0 or status.startswith("DRAIN") else "up"
    return ServerReading(
        weight=weight,
        state=state,  # type: ignore[arg-type]
        in_flight=int(row["scur"]),
        queued=int(row["qcur"]),
    )


def _rate(entry: int) -> float | None:
    return None if entry < 0 else entry / WINDOW_S


def _unknown(who: str, command: str, asked: float | None, known: Mapping[str, object]) -> Refused:
    return Refused(device=who, command=command, asked=asked, why=f"known are {', '.join(known)}")


def _wall_ms() -> int:
    import time

    return time.time_ns() // 1_000_000
