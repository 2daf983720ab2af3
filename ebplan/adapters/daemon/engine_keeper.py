"""What the daemon of sleeping engines does: remember them, and wake them when nobody else will."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.daemon.http_ask import HttpFault, ask_http
from ebplan.document import read_json, write_atomically
from ebplan.errors import InputError

_log = logging.getLogger(__name__)

Names = set[str]
"""Names of engines."""


@dataclass(frozen=True)
class Patience:
    """How engines are woken."""

    wake_s: float = 60.0
    """How long one may take to load its weights again."""
    look_s: float = 2.0
    """How long one may take to say whether it sleeps."""
    settle_s: float = 1.0
    """After so long it is asked again: one that was falling asleep is caught."""
    first_s: float = 0.2
    """Until the second attempt; the wait doubles."""
    longest_s: float = 10.0
    """At most."""


class EngineKeeper:
    """Keeps engines awake behind a lease; a ``Keeper``.

    An engine is woken from level 1, its weights in the host's memory: waking it twice, or waking
    one that is awake, does nothing. Level 2 needs its weights reloaded and is never used.

    Args:
        engines: URL by name: no other URL is ever called.
        state: file with the names of the engines that are watched.
        patience: how they are woken.
        clock: what time it is.
    """

    def __init__(
        self,
        engines: Mapping[str, str],
        state: Path,
        patience: Patience | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._engines, self._state = dict(engines), state
        self._patience, self._clock = patience or Patience(), clock or MonotonicClock()
        self.watched: Names = self._remembered()
        """Engines that may be asleep."""
        self._woken_last: dict[str, str] = {}

    async def read(self) -> dict[str, Any]:
        """Return the engines, those that are watched, and what the last attempts met."""
        return {
            "engines": self._engines,
            "watched": sorted(self.watched),
            "trouble": self._woken_last,
        }

    async def set(self, request: dict[str, Any]) -> dict[str, Any]:
        """Watch engines: ``{"watch": {"a": "http://127.0.0.1:8100"}}``; before they fall asleep."""
        match request:
            case {"watch": dict() as engines} if len(request) == 1:
                pass
            case _:
                raise ValueError("watch, URLs by name")
        for name, url in engines.items():
            known = self._engines.get(name)
            if not isinstance(url, str) or known is None or url.rstrip("/") != known:
                raise ValueError(f"no such engine; there are {', '.join(sorted(self._engines))}")
        self._watch(self.watched | set(engines))
        return {"watched": sorted(self.watched)}

    async def safe(self, why: str) -> None:
        """Wake every engine that is watched, each on its own, until all say that they are awake."""
        async with asyncio.TaskGroup() as group:
            for name in sorted(self.watched):
                group.create_task(self._wake(name), name=f"wake {name}")

    async def _wake(self, name: str) -> None:
        url, patience = self._engines[name], self._patience
        wait_s = patience.first_s
        while True:
            try:
                await ask_http("POST", f"{url}/wake_up", timeout_s=patience.wake_s)
                if await self._is_awake(url):
                    await self._clock.sleep(patience.settle_s)
                    if await self._is_awake(url):
                        break
                trouble = "it still sleeps"
            except HttpFault as fault:
                trouble = str(fault)
            if self._woken_last.get(name) != trouble:
                _log.warning("%s: %s", name, trouble)
            self._woken_last[name] = trouble
            await self._clock.sleep(wait_s)
            wait_s = min(2.0 * wait_s, patience.longest_s)
        self._woken_last.pop(name, None)
        _log.info("%s is awake", name)
        self._watch(self.watched - {name})

    async def _is_awake(self, url: str) -> bool:
        body = await ask_http("GET", f"{url}/is_sleeping", timeout_s=self._patience.look_s)
        try:
            said = json.loads(body)
        except ValueError:
            raise HttpFault("it does not say whether it sleeps") from None
        if not isinstance(said, dict) or not isinstance(said.get("is_sleeping"), bool):
            raise HttpFault("it does not say whether it sleeps")
        return said["is_sleeping"] is False

    def _watch(self, names: Names) -> None:
        if names != self.watched:
            write_atomically(self._state, json.dumps({"watched": sorted(names)}) + "\n")
            self.watched = names

    def _remembered(self) -> Names:
        """Return what a run before watched; where that cannot be read, it may be any of them."""
        if not self._state.exists():
            return set()
        try:
            names = read_json(self._state)["watched"]
            return {str(name) for name in names} & set(self._engines)
        except (InputError, KeyError, TypeError) as error:
            _log.error("%s: %s; every engine is woken", self._state, error)
            return set(self._engines)
