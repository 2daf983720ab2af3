"""The router that plans are carried out with: HAProxy 2.4 or newer, changed while it runs.

Safe state: the static weights, no limit, nothing to the lower precision. HAProxy goes there by
itself when the lease ends (see ``config``), and at every restart, because a new process starts with
no lease and without the changes made at run time.

A new process is recognised by its number. Before a lease is extended on it everything that was
commanded is set again, and everything that was not is set to neutral: what an earlier controller
left behind never comes back to life. Every change is read back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import floor
from typing import Literal

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Setting,
    Unreachable,
    Unverified,
    is_number,
)
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.roles import RouterReading, ServerReading
from ebplan.adapters.router.config import ADMITTED, SLOTS, WINDOW_S, RouterConfig
from ebplan.adapters.router.readings import ServerRow, read_map, read_servers
from ebplan.adapters.router.runtime_commands import (
    FULL_WEIGHT,
    forget_rate,
    set_map,
    set_weight,
    show_map,
    show_servers,
)
from ebplan.adapters.router.runtime_socket import NoAnswer, NotTaken, RuntimeSocket

SHARE = Range(0.0, 1.0, "of the traffic")
MOST_PER_S = 1e9
"""Limits above it are none."""


@dataclass
class _Commanded:
    """What was confirmed, in the numbers that HAProxy holds."""

    weight: dict[str, int] = field(default_factory=dict)
    lower: dict[str, int] = field(default_factory=dict)
    admit: dict[str, int] = field(default_factory=dict)


class HaproxyRouter:
    """One HAProxy that runs a rendered configuration.

    Args:
        config: the configuration that it runs.
        socket: where its runtime socket is reached, if not where the configuration puts it.
        timeout_s: longest wait for one answer; a method asks at most a few things and stops at
            the first silence.
        clock: for how long things took.
        unix_s: the wall clock that HAProxy on the same machine sees, in s.
    """

    def __init__(
        self,
        config: RouterConfig,
        *,
        socket: str | None = None,
        timeout_s: float = 0.5,
        clock: Clock | None = None,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self.name = config.name
        self.restarts = 0
        """How often another process was found than before."""
        self._socket = RuntimeSocket(socket or config.socket, timeout_s)
        self._clock = clock or MonotonicClock()
        self._unix_s = unix_s
        self._backend = config.backend_of()
        self._pid: int | None = None
        self._commanded = _Commanded()
        self._one_change = asyncio.Lock()

    async def read(self) -> RouterReading | Unreachable:
        """Return weights, states and what is in flight; changes nothing."""
        try:
            await self._identify()
            rows = await self._rows()
            until_ms = (await self._entries("lease")).get("until_ms", 0)
            lower = await self._entries("lower")
            admit = await self._entries("admit")
        except NoAnswer as error:
            return Unreachable(
                device=self.name, command="read", asked=None, why=error.why, executed=False
            )
        left_s = until_ms / 1000.0 - self._unix_s()
        return RouterReading(
            servers={name: _reading(row) for name, row in rows.items()},
            leased=0.0 < left_s <= self.config.longest_lease_s,
            lower_share={c: lower.get(c, 0) / SLOTS for c in self.config.classes},
            admitted_per_s={c: _per_s(admit.get(c, -1)) for c in self.config.classes},
        )

    async def route(self, weight: Mapping[str, float]) -> Mapping[str, Answer]:
        """Give servers a share of a full server's traffic, in steps of 1 %; 0 drains.

        Weights that rise are set first. The last server of a pool that serves a protected class
        is not drained.
        """
        async with self._one_change:
            started_s = self._clock.now_s()
            answers: dict[str, Answer] = {}
            wanted: dict[str, int] = {}
            for server, share in weight.items():
                refusal = self._fault("route", server, share, self._backend, "server")
                if refusal is not None:
                    answers[server] = refusal
                else:
                    wanted[server] = _weight(SHARE.clamp(share))
            try:
                now = await self._brought_up() if wanted else {}
            except NoAnswer as error:
                silent = {s: self._silent("route", s, weight[s], error) for s in wanted}
                return _timed(answers | silent, self._clock.now_s() - started_s)
            for server in self._last_of_protected(wanted, now):
                del wanted[server]
                answers[server] = self._refused(
                    "route",
                    server,
                    weight[server],
                    "it is the last server of a pool that serves protected requests",
                )
            told, answers_told = await self._tell(
                "route",
                weight,
                sorted(wanted, key=lambda s: now[s].weight - wanted[s] if s in now else 0),
                lambda s: [set_weight(self._backend[s], s, wanted[s])],
            )
            answers |= answers_told
            try:
                after = await self._rows() if told else {}
            except NoAnswer as error:
                answers |= {s: self._silent("route", s, weight[s], error, True) for s in told}
            else:
                for s in told:
                    got = after[s].weight if s in after else None
                    answers[s] = self._confirm(
                        "route", s, weight[s], wanted[s], got, lambda w: w / FULL_WEIGHT
                    )
                    if got == wanted[s]:
                        self._commanded.weight[s] = wanted[s]
            return _timed({s: answers[s] for s in weight}, self._clock.now_s() - started_s)

    async def lower(self, share: Mapping[str, float]) -> Mapping[str, Answer]:
        """Send a share of request classes, in steps of 0.1 %, to the lower precision.

        While no server of the lower precision is up, everything stays with the pool's own.
        """

        def fault(name: str, value: float | None) -> str | None:
            if value is None:
                return "it takes a share"
            served = self.config.classes[name]
            if value > 0.0 and not self.config.pools[served.pool].lower:
                return f"pool {served.pool} has no server of a lower precision"
            return None

        return await self._set_in_map(
            "lower",
            share,
            fault,
            encode=lambda s: round(SHARE.clamp(s or 0.0) * SLOTS),
            decode=lambda steps: steps / SLOTS,
            remembered=self._commanded.lower,
        )

    async def admit(self, req_per_s: Mapping[str, float | None]) -> Mapping[str, Answer]:
        """Admit at most this rate of request classes, in steps of 0.1 per s; None: no limit.

        Held over 10 s, and over each second to the next whole number. A limit that changes starts
        to count anew; the same one sent again does not.
        """

        def fault(name: str, value: float | None) -> str | None:
            if value is not None and self.config.classes[name].protected:
                return "its requests are protected: none is turned away"
            if value is not None and value < 0.0:
                return "no rate is below 0"
            return None

        return await self._set_in_map(
            "admit",
            req_per_s,
            fault,
            encode=_per_window,
            decode=_per_s,
            remembered=self._commanded.admit,
        )

    async def renew(self, ttl_s: float) -> Answer:
        """Follow the plan for so long; without another renewal HAProxy then goes back by itself."""
        async with self._one_change:
            started_s = self._clock.now_s()
            if not is_number(ttl_s) or ttl_s <= 0.0:
                answer: Answer = self._refused("renew", "", ttl_s, "a lease needs a term")
            else:
                granted_s = min(ttl_s, self.config.longest_lease_s)
                answer = await self._lease("renew", ttl_s, granted_s)
            return _timed({"": answer}, self._clock.now_s() - started_s)[""]

    async def release(self) -> Answer:
        """End the lease now, then set everything to neutral."""
        async with self._one_change:
            started_s = self._clock.now_s()
            answer = await self._lease("release", None, 0.0)
            self._commanded = _Commanded()
            if isinstance(answer, Applied):
                try:
                    await self._settle()
                except (NoAnswer, NotTaken):
                    # the lease has ended: what is left is set before another one begins
                    self._pid = None
            return _timed({"": answer}, self._clock.now_s() - started_s)[""]

    async def close(self) -> None:
        """Do nothing: no connection is kept. The lease lapses by itself."""

    # -- changes ------------------------------------------------------------------------------

    async def _lease(self, command: str, asked: float | None, granted_s: float) -> Answer:
        try:
            if command == "renew":
                await self._brought_up()
            else:
                await self._identify()
            until_ms = round((self._unix_s() + granted_s) * 1000.0) if granted_s else 0
            path = self.config.map_path("lease")
            await self._socket.change(set_map(path, "until_ms", until_ms))
        except NoAnswer as error:
            return self._silent(command, "", asked, error)
        except NotTaken as error:
            return self._refused(command, "", asked, str(error))
        try:
            got = (await self._entries("lease")).get("until_ms")
        except NoAnswer as error:
            return self._silent(command, "", asked, error, True)
        if got != until_ms:
            return Unverified(
                device=self.name,
                command=command,
                asked=asked,
                why=f"the lease reads {got}, not {until_ms}",
            )
        if asked is not None and granted_s < asked:
            return AppliedInPart(
                device=self.name,
                command=command,
                asked=asked,
                confirmed=granted_s,
                feasible=Range(0.0, self.config.longest_lease_s, "s"),
                why="no longer lease is granted",
            )
        return Applied(device=self.name, command=command, asked=asked, confirmed=granted_s)

    async def _set_in_map(
        self,
        command: str,
        asked: Mapping[str, float | None],
        fault: Callable[[str, float | None], str | None],
        *,
        encode: Callable[[float | None], int],
        decode: Callable[[int], float | None],
        remembered: dict[str, int],
    ) -> Mapping[str, Answer]:
        """Set entries of the map that bears the command's name, and read them back."""
        async with self._one_change:
            started_s = self._clock.now_s()
            answers: dict[str, Answer] = {}
            wanted: dict[str, int] = {}
            for name, value in asked.items():
                refusal = self._fault(command, name, value, self.config.classes, "request class")
                why = None if refusal is not None else fault(name, value)
                if refusal is not None:
                    answers[name] = refusal
                elif why is not None:
                    answers[name] = self._refused(command, name, value, why)
                else:
                    wanted[name] = encode(value)
            if wanted:
                answers |= await self._write_map(command, asked, wanted, decode, remembered)
            return _timed({n: answers[n] for n in asked}, self._clock.now_s() - started_s)

    async def _write_map(
        self,
        command: str,
        asked: Mapping[str, float | None],
        wanted: Mapping[str, int],
        decode: Callable[[int], float | None],
        remembered: dict[str, int],
    ) -> dict[str, Answer]:
        path = self.config.map_path(command)
        try:
            await self._brought_up()
            before = await self._entries(command)
        except NoAnswer as error:
            return {n: self._silent(command, n, asked[n], error) for n in wanted}

        def lines(name: str) -> list[str]:
            anew = command == "admit" and before.get(name) != wanted[name]
            counted = [forget_rate(ADMITTED, name)] if anew else []
            return [*counted, set_map(path, name, wanted[name])]

        told, answers = await self._tell(command, asked, list(wanted), lines)
        try:
            after = await self._entries(command) if told else {}
        except NoAnswer as error:
            return answers | {n: self._silent(command, n, asked[n], error, True) for n in told}
        for name in told:
            got = after.get(name)
            answers[name] = self._confirm(command, name, asked[name], wanted[name], got, decode)
            if got == wanted[name]:
                remembered[name] = wanted[name]
        return answers

    async def _tell(
        self,
        command: str,
        asked: Mapping[str, float | None] | Mapping[str, float],
        names: list[str],
        lines: Callable[[str], list[str]],
    ) -> tuple[list[str], dict[str, Answer]]:
        """Send the lines of each name; return the names told, and answers of the others."""
        told: list[str] = []
        answers: dict[str, Answer] = {}
        silence: NoAnswer | None = None
        for name in names:
            if silence is not None:
                unsent = NoAnswer(silence.why, sent=False)
                answers[name] = self._silent(command, name, asked[name], unsent, False)
                continue
            try:
                for line in lines(name):
                    await self._socket.change(line)
            except NotTaken as error:
                answers[name] = self._refused(command, name, asked[name], str(error))
            except NoAnswer as error:
                silence = error
                answers[name] = self._silent(command, name, asked[name], error, error.sent)
            else:
                told.append(name)
        return told, answers

    # -- who answers, and in what state -------------------------------------------------------

    async def _identify(self) -> int:
        """Return the number of the process; it must run this configuration."""
        try:
            process = await self._socket.identity()
        except NoAnswer as error:
            raise NoAnswer(error.why, sent=False) from None
        if process.node != self.config.name:
            raise NoAnswer(f"router {process.node!r} answers", sent=False)
        if process.description != self.config.description:
            raise NoAnswer(
                f"it runs {process.description!r}, not {self.config.description!r}", sent=False
            )
        return process.pid

    async def _brought_up(self) -> dict[str, ServerRow]:
        """Return the servers, after a new process has been told everything again."""
        try:
            pid = await self._identify()
            if pid != self._pid:
                self.restarts += self._pid is not None
                self._pid = None
                await self._settle()
                self._pid = pid
            return await self._rows()
        except NotTaken as error:
            raise NoAnswer(f"what was commanded is not taken again: {error}", sent=False) from None
        except NoAnswer as error:
            raise NoAnswer(error.why, sent=False) from None

    async def _settle(self) -> None:
        """Set what was commanded, and everything else to neutral; read it back."""
        commanded = self._commanded
        weights = {s: commanded.weight.get(s, FULL_WEIGHT) for s in self._backend}
        for server in sorted(weights, key=lambda s: -weights[s]):
            line = set_weight(self._backend[server], server, weights[server])
            await self._socket.change(line)
        for name, values, neutral in (
            ("lower", commanded.lower, 0),
            ("admit", commanded.admit, -1),
        ):
            wanted = {c: values.get(c, neutral) for c in self.config.classes}
            for request_class, value in wanted.items():
                path = self.config.map_path(name)
                await self._socket.change(set_map(path, request_class, value))
            if await self._entries(name) != wanted:
                raise NotTaken(f"{name} reads otherwise")
        rows = await self._rows()
        if {s: rows[s].weight for s in rows} != weights:
            raise NotTaken("weights read otherwise")

    async def _rows(self) -> dict[str, ServerRow]:
        return read_servers(await self._socket.ask(show_servers()), self._backend)

    async def _entries(self, name: str) -> dict[str, int]:
        return read_map(await self._socket.ask(show_map(self.config.map_path(name))))

    # -- what is refused ----------------------------------------------------------------------

    def _fault(
        self,
        command: str,
        name: str,
        value: float | None,
        known: Mapping[str, object],
        what: str,
    ) -> Refused | None:
        if name not in known:
            why = f"no {what} of that name; known: {', '.join(sorted(known))}"
            return self._refused(command, name, value, why)
        if value is not None and not is_number(value):
            return self._refused(command, name, None, f"{value} is no number")
        return None

    def _last_of_protected(
        self, wanted: Mapping[str, int], now: Mapping[str, ServerRow]
    ) -> list[str]:
        """Return the servers whose draining would leave protected requests without any."""
        kept: list[str] = []
        for name in {c.pool for c in self.config.classes.values() if c.protected}:
            servers = self.config.pools[name].servers
            weights = {s: wanted.get(s, now[s].weight if s in now else 0) for s in servers}
            if not any(w and now[s].up for s, w in weights.items() if s in now):
                # those that serve now stay; where none does, draining changes nothing for them
                serving = [s for s in servers if s in now and now[s].up and now[s].weight]
                kept.extend(s for s in serving if wanted.get(s) == 0)
        return kept

    def _refused(self, command: str, part: str, asked: Setting, why: str) -> Refused:
        return Refused(device=self._device(part), command=command, asked=asked, why=why)

    def _silent(
        self, command: str, part: str, asked: Setting, error: NoAnswer, executed: bool | None = None
    ) -> Unreachable:
        return Unreachable(
            device=self._device(part),
            command=command,
            asked=asked,
            why=error.why,
            executed=error.sent if executed is None else executed,
        )

    def _confirm(
        self,
        command: str,
        part: str,
        asked: float | None,
        wanted: int,
        got: int | None,
        decode: Callable[[int], float | None],
    ) -> Answer:
        device = self._device(part)
        if got != wanted:
            why = "nothing is read back" if got is None else f"{decode(got)} is read back"
            return Unverified(
                device=device,
                command=command,
                asked=asked,
                why=why,
                read_back=None if got is None else decode(got),
            )
        confirmed = decode(got)
        if asked is not None and command != "admit" and not 0.0 <= asked <= 1.0:
            return AppliedInPart(
                device=device,
                command=command,
                asked=asked,
                confirmed=confirmed,
                feasible=SHARE,
                why="there is no such share",
            )
        return Applied(device=device, command=command, asked=asked, confirmed=confirmed)

    def _device(self, part: str) -> str:
        return f"{self.name} {part}".strip()


def _weight(share: float) -> int:
    """Return the weight of a share: only 0 drains, however small the share is."""
    return max(round(share * FULL_WEIGHT), 1) if share > 0.0 else 0


def _per_window(req_per_s: float | None) -> int:
    if req_per_s is None or req_per_s >= MOST_PER_S:
        return -1
    # 0.3 x 10 is 2.9999..., and a limit is never rounded up
    return max(floor(req_per_s * WINDOW_S + 1e-9), 0)


def _per_s(limit: int) -> float | None:
    return None if limit < 0 else limit / WINDOW_S


def _reading(row: ServerRow) -> ServerReading:
    state: Literal["up", "drained", "down"] = "down"
    if row.up:
        state = "up" if row.weight else "drained"
    return ServerReading(
        weight=row.weight / FULL_WEIGHT,
        state=state,
        in_flight=row.in_flight,
        queued=row.queued,
    )


def _timed(answers: Mapping[str, Answer], took_s: float) -> dict[str, Answer]:
    return {name: replace(answer, took_s=took_s) for name, answer in answers.items()}
