"""HAProxy as the router, told over its runtime socket.

**Safe state.** The configuration itself counts the lease (``config``): when it ends, static weights
choose the server, nothing is limited and nothing goes to the lower precision. A sleeping engine
leaves the pool by its own health check. Nothing of the controller is needed for that.

What is changed at run time is lost when the router restarts. Every command looks who answers first;
a new process is told everything again before its lease begins (``standing``). Changes are made one
call after the other, whoever makes them: a renewal never meets half a command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import floor
from typing import Literal

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Unreachable,
    Unverified,
    is_number,
)
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import BackOff
from ebplan.adapters.roles import RouterReading, ServerReading
from ebplan.adapters.router import runtime_commands as lines
from ebplan.adapters.router.answering import Answering, Asked
from ebplan.adapters.router.config import ADMITTED, SLOTS, WINDOW_S, RouterConfig
from ebplan.adapters.router.readings import ServerRow
from ebplan.adapters.router.runtime_socket import NoAnswer, NotTaken, RuntimeSocket
from ebplan.adapters.router.standing import UNLIMITED, Foreign, Standing

SHARE = Range(0.0, 1.0, "of a full server")
LOWER = Range(0.0, 1.0, "of the requests")
RATE = Range(0.0, 1e6, "req/s")
LEASE_KEY = "until_ms"


class HaproxyRouter:
    """Implements ``Router``.

    Args:
        config: the document that its configuration was rendered from.
        timeout_s: how long an answer is waited for; a call ends at the first silence.
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
        self._standing = Standing(config, self._socket)
        self._answers = Answering(
            config.name, policy or BackOff(longest_s=5.0), clock or MonotonicClock()
        )
        self._wall_ms = wall_ms or _wall_ms
        self._one_change = asyncio.Lock()

    # --- readings --------------------------------------------------------------------------------

    async def read(self) -> RouterReading | Unreachable:
        """Return weights, states and what is in flight; changes nothing."""
        standing = self._standing
        try:
            self._answers.guard()
            await standing.meet()
            rows = await standing.servers()
            until_ms = (await standing.entries("lease")).get(LEASE_KEY, 0)
            lower, admit = await standing.entries("lower"), await standing.entries("admit")
            arrived = await standing.arrived()
        except (NoAnswer, Foreign) as error:
            if isinstance(error, NoAnswer):
                self._answers.failed(error)
            return Unreachable(
                device=self.name, command="read", asked=None, why=str(error), executed=False
            )
        left_ms = until_ms - self._wall_ms()
        leased = 0 < left_ms <= self._config.longest_lease_s * 1000.0
        limit = {c: _rate(admit.get(c, UNLIMITED)) for c in self._config.classes}
        share = {c: lower.get(c, 0) / SLOTS for c in self._config.classes}
        return RouterReading(
            servers={name: _reading(row) for name, row in rows.items()},
            leased=leased,
            lower_share=share if leased else dict.fromkeys(share, 0.0),
            admitted_per_s=limit if leased else dict.fromkeys(limit),
            arrived={c: n for c, n in arrived.items() if c in self._config.classes},
        )

    # --- commands --------------------------------------------------------------------------------

    async def route(self, weight: Mapping[str, float]) -> Mapping[str, Answer]:
        """Give servers a share of a full server's traffic, in steps of 1 %; 0 drains.

        Weights that rise are set first. The last server of a pool that serves protected requests
        is not drained.
        """
        async with self._one_change:
            answers, wanted = self._sorted_out("route", weight, self._backend, SHARE, _weight)
            if not wanted:
                return answers
            try:
                self._answers.guard()
                now = await self._standing.bring_up()
            except (NoAnswer, Foreign) as error:
                return answers | self._answers.lost_all("route", weight, wanted, error)
            for server in self._last_of_protected(wanted, now):
                del wanted[server]
                why = "it is the last server up in a pool that serves protected requests"
                answers[server] = self._answers.refused("route", server, weight[server], why)
            rising = sorted(wanted, key=lambda s: now[s].weight - wanted[s])
            told, unsent = await self._tell(
                "route",
                weight,
                {s: [lines.set_weight(self._backend[s], s, wanted[s])] for s in rising},
            )
            answers |= unsent
            try:
                seen = {s: row.weight for s, row in (await self._standing.servers()).items()}
            except NoAnswer as error:
                return answers | self._answers.lost_all("route", weight, told, error, executed=True)
            kept = self._standing.commanded.weight
            for server in told:
                answers[server] = self._answers.confirm(
                    "route",
                    server,
                    weight[server],
                    SHARE,
                    wanted[server],
                    seen.get(server),
                    lambda w: w / lines.FULL_WEIGHT,
                    kept,
                )
            return answers

    async def lower(self, share: Mapping[str, float]) -> Mapping[str, Answer]:
        """Send a share of request classes, in steps of 0.1 %, to the lower precision.

        While no server of the lower precision is up, everything stays with the pool's own.
        """

        def why_not(name: str, asked: float) -> str | None:
            served = self._config.classes[name]
            if asked > 0.0 and not self._config.pools[served.pool].lower:
                return f"pool {served.pool} has no server of a lower precision"
            return None

        return await self._set_entries(
            "lower",
            share,
            LOWER,
            why_not,
            lambda value: round((value or 0.0) * SLOTS),
            lambda entry: entry / SLOTS,
        )

    async def admit(self, req_per_s: Mapping[str, float | None]) -> Mapping[str, Answer]:
        """Admit at most this rate of request classes, in steps of 0.1 per s; None: no limit.

        Held over 10 s, and over each second to the next whole number. A limit that changes is
        counted anew; one that is only said again is not, or it would never be held.
        """

        def why_not(name: str, asked: float) -> str | None:
            return "the class is protected" if self._config.classes[name].protected else None

        return await self._set_entries("admit", req_per_s, RATE, why_not, _limit, _rate)

    # --- lease -----------------------------------------------------------------------------------

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease; a router that has restarted is told everything again first."""
        if not (is_number(ttl_s) and ttl_s > 0.0):
            return self._answers.refused("renew", "", None, f"{ttl_s} s is no term")
        async with self._one_change:
            granted_s = min(ttl_s, self._config.longest_lease_s)
            try:
                self._answers.guard()
                await self._standing.bring_up()
                until_ms = self._wall_ms() + floor(granted_s * 1000.0)
                seen = await self._end_lease_at(until_ms)
            except (NoAnswer, NotTaken, Foreign) as error:
                return self._answers.lost("renew", "", ttl_s, error)
        self._answers.answered()
        if seen != until_ms:
            why = f"{seen} is read back"
            return Unverified(device=self.name, command="renew", asked=ttl_s, why=why)
        if granted_s < ttl_s:
            return AppliedInPart(
                device=self.name,
                command="renew",
                asked=ttl_s,
                confirmed=granted_s,
                feasible=Range(0.0, granted_s, "s"),
                why="no longer lease is granted",
            )
        return Applied(device=self.name, command="renew", asked=ttl_s, confirmed=granted_s)

    async def release(self) -> Answer:
        """End the lease now, however it has failed before; weights and limits go back with it."""
        async with self._one_change:
            self._standing.forget()
            self._standing.doubt()  # set to neutral before another lease, should it fail below
            try:
                await self._standing.meet()
                seen = await self._end_lease_at(0)
                await self._standing.settle()
            except (NoAnswer, NotTaken, Foreign) as error:
                return self._answers.lost("release", "", None, error)
        if seen != 0:
            why = f"{seen} is read back"
            return Unverified(device=self.name, command="release", asked=None, why=why)
        return Applied(device=self.name, command="release", asked=None, confirmed=None)

    async def close(self) -> None:
        """Nothing is open between calls; the lease lapses by itself."""

    async def _end_lease_at(self, until_ms: int) -> int | None:
        """Set when the lease ends; return what is read back."""
        path = self._config.map_path("lease")
        await self._socket.change(lines.set_map(path, LEASE_KEY, until_ms))
        try:
            return (await self._standing.entries("lease")).get(LEASE_KEY)
        except NoAnswer as error:
            raise NoAnswer(error.why, sent=True) from None

    # --- one change ------------------------------------------------------------------------------

    async def _set_entries(
        self,
        command: str,
        asked: Asked,
        feasible: Range,
        why_not: Callable[[str, float], str | None],
        encode: Callable[[float | None], int],
        decode: Callable[[int], float | None],
    ) -> Mapping[str, Answer]:
        """Set entries of the map that bears the command's name, and read them back."""
        async with self._one_change:
            answers, wanted = self._sorted_out(
                command, asked, self._config.classes, feasible, encode, why_not
            )
            if not wanted:
                return answers
            try:
                self._answers.guard()
                await self._standing.bring_up()
                before = await self._standing.entries(command)
            except (NoAnswer, Foreign) as error:
                return answers | self._answers.lost_all(
                    command, asked, wanted, error, executed=False
                )
            path = self._config.map_path(command)
            to_send = {name: [lines.set_map(path, name, wanted[name])] for name in wanted}
            for name in wanted if command == "admit" else ():
                if before.get(name) != wanted[name]:
                    to_send[name].insert(0, lines.forget_rate(ADMITTED, name))
            told, unsent = await self._tell(command, asked, to_send)
            answers |= unsent
            try:
                seen = await self._standing.entries(command)
            except NoAnswer as error:
                return answers | self._answers.lost_all(command, asked, told, error, executed=True)
            kept = self._standing.commanded.entries[command]
            for name in told:
                answers[name] = self._answers.confirm(
                    command, name, asked[name], feasible, wanted[name], seen.get(name), decode, kept
                )
            return answers

    def _sorted_out(
        self,
        command: str,
        asked: Asked,
        known: Mapping[str, object],
        feasible: Range,
        encode: Callable[[float | None], int],
        why_not: Callable[[str, float], str | None] = lambda name, asked: None,
    ) -> tuple[dict[str, Answer], dict[str, int]]:
        """Return answers to what is refused, and HAProxy's numbers for the rest."""
        answers: dict[str, Answer] = {}
        wanted: dict[str, int] = {}
        for name, value in asked.items():
            why: str | None = None
            if name not in known:
                why = f"known are {', '.join(known)}"
            elif value is not None and not is_number(value):
                why, value = f"{value} is no number", None
            elif value is not None:
                why = why_not(name, value)
            if why is not None:
                answers[name] = self._answers.refused(command, name, value, why)
            else:
                wanted[name] = encode(None if value is None else feasible.clamp(value))
        return answers, wanted

    async def _tell(
        self, command: str, asked: Asked, to_send: Mapping[str, list[str]]
    ) -> tuple[list[str], dict[str, Answer]]:
        """Send each name's lines till the first silence; return the names told, and answers."""
        told: list[str] = []
        answers: dict[str, Answer] = {}
        silence: NoAnswer | None = None
        for name, each in to_send.items():
            try:
                if silence is not None:
                    raise NoAnswer(silence.why, sent=False)
                for line in each:
                    await self._socket.change(line)
            except (NoAnswer, NotTaken) as error:
                first = silence is None
                silence = error if isinstance(error, NoAnswer) else silence
                answers[name] = self._answers.lost(command, name, asked[name], error, counts=first)
            else:
                told.append(name)
        return told, answers

    def _last_of_protected(
        self, wanted: Mapping[str, int], now: Mapping[str, ServerRow]
    ) -> list[str]:
        """Return the servers whose draining would leave protected requests without any."""
        kept: list[str] = []
        for name in {c.pool for c in self._config.classes.values() if c.protected}:
            servers = self._config.pools[name].servers
            serving = [s for s in servers if now[s].up and now[s].weight]
            if not any(now[s].up and wanted.get(s, now[s].weight) for s in servers):
                kept.extend(s for s in serving if wanted.get(s) == 0)
        return kept


def _reading(row: ServerRow) -> ServerReading:
    state: Literal["up", "drained", "down"] = "down"
    if row.up:
        state = "up" if row.weight and not row.draining else "drained"
    return ServerReading(
        weight=row.weight / lines.FULL_WEIGHT,
        state=state,
        in_flight=row.in_flight,
        queued=row.queued,
    )


def _weight(share: float | None) -> int:
    """Return the weight of a share: only 0 drains, however small the share is."""
    return max(round(share * lines.FULL_WEIGHT), 1) if share else 0


def _limit(req_per_s: float | None) -> int:
    # 0.3 x 10 may be 2.9999..., and a limit is never rounded up
    return UNLIMITED if req_per_s is None else floor(req_per_s * WINDOW_S + 1e-9)


def _rate(entry: int) -> float | None:
    return None if entry < 0 else entry / WINDOW_S


def _wall_ms() -> int:
    import time

    return time.time_ns() // 1_000_000
