"""What the router was told, kept on this side, because the router forgets it when it restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ebplan.adapters.router.config import ADMITTED, RouterConfig
from ebplan.adapters.router.readings import ServerRow, read_arrived, read_map, read_servers
from ebplan.adapters.router.runtime_commands import (
    FULL_WEIGHT,
    set_map,
    set_weight,
    show_map,
    show_servers,
    show_table,
)
from ebplan.adapters.router.runtime_socket import NoAnswer, NotTaken, RuntimeSocket

UNLIMITED = -1
NEUTRAL: Mapping[str, int] = {"lower": 0, "admit": UNLIMITED}
"""Entries of a map for a class of which nothing was asked."""


class Foreign(Exception):
    """Another router, or one with another configuration: it is told nothing."""


@dataclass
class Commanded:
    """What was confirmed, in the numbers that HAProxy holds."""

    weight: dict[str, int] = field(default_factory=dict)
    """By server."""
    entries: dict[str, dict[str, int]] = field(default_factory=lambda: {n: {} for n in NEUTRAL})
    """By map and request class."""


class Standing:
    """One router's standing.

    Args:
        config: what it must run.
        socket: its runtime socket.
    """

    def __init__(self, config: RouterConfig, socket: RuntimeSocket) -> None:
        self.commanded = Commanded()
        self._config = config
        self._socket = socket
        self._backend = config.backend_of()
        self._pid: int | None = None

    async def meet(self) -> int:
        """Look who answers; return the number of its process.

        Raises:
            NoAnswer: nobody answers; nothing was told.
            Foreign: it is not this router, or it runs another configuration.
        """
        try:
            found = await self._socket.identity()
        except NoAnswer as error:
            raise NoAnswer(error.why, sent=False) from None
        config = self._config
        if (found.node, found.description) != (config.name, config.description):
            raise Foreign(
                f"{found.node or 'another router'} answers with "
                f"{found.description or 'another configuration'}, not {config.description}: "
                "render its configuration again and reload it"
            )
        return found.pid

    async def bring_up(self) -> dict[str, ServerRow]:
        """Return the servers, after a new process has been told everything again.

        Raises:
            NoAnswer: it does not answer, or does not take what it took before; the command that
                this goes before was not sent.
            Foreign: see ``meet``.
        """
        try:
            pid = await self.meet()
            if pid != self._pid:
                await self.settle()
                self._pid = pid
            return await self.servers()
        except NotTaken as error:
            raise NoAnswer(f"it does not take again what it took: {error}", sent=False) from None
        except NoAnswer as error:
            raise NoAnswer(error.why, sent=False) from None

    async def settle(self) -> None:
        """Set what was commanded, and everything else to neutral; read it back.

        What an earlier controller left behind its lapsed lease thus never comes back to life.

        Raises:
            NoAnswer, NotTaken: it could not be set.
        """
        weights = {s: self.commanded.weight.get(s, FULL_WEIGHT) for s in self._backend}
        for server in sorted(weights, key=lambda s: -weights[s]):
            await self._socket.change(set_weight(self._backend[server], server, weights[server]))
        for name, neutral in NEUTRAL.items():
            told = self.commanded.entries[name]
            wanted = {c: told.get(c, neutral) for c in self._config.classes}
            for request_class, value in wanted.items():
                path = self._config.map_path(name)
                await self._socket.change(set_map(path, request_class, value))
            if await self.entries(name) != wanted:
                raise NotTaken(f"{name} reads otherwise")
        if {s: row.weight for s, row in (await self.servers()).items()} != weights:
            raise NotTaken("weights read otherwise")

    def forget(self) -> None:
        """Remember nothing that was commanded."""
        self.commanded = Commanded()

    def doubt(self) -> None:
        """Tell everything again before the next lease."""
        self._pid = None

    async def servers(self) -> dict[str, ServerRow]:
        """Return every server.

        Raises:
            NoAnswer: there is no such table, or a server is missing in it.
        """
        return read_servers(await self._socket.ask(show_servers()), self._backend)

    async def arrived(self) -> dict[str, float]:
        """Return how many requests came of each class since the router started.

        Raises:
            NoAnswer: there is no such table.
        """
        return read_arrived(await self._socket.ask(show_table(ADMITTED)))

    async def entries(self, name: str) -> dict[str, int]:
        """Return the entries of a map.

        Raises:
            NoAnswer: there is no such map.
        """
        return read_map(await self._socket.ask(show_map(self._config.map_path(name))))
