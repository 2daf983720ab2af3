"""Guardians and clients that several tests of the serving adapter share."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from ebplan.adapters.answers import Answer, Applied, Refused
from ebplan.adapters.serving.vllm import VllmServing
from ebplan.twin.wire.vllm_double import VllmDouble


class Guard:
    """A guardian that says what it is told to, and remembers whom it watches."""

    def __init__(self, *, willing: bool = True) -> None:
        self.willing = willing
        self.watched: dict[str, str] = {}
        self.released = 0

    def _say(self, command: str, asked: Any) -> Answer:
        if self.willing:
            return Applied(device="guardian", command=command, asked=asked, confirmed=asked)
        return Refused(device="guardian", command=command, asked=asked, why="no lease is held")

    async def renew(self, ttl_s: float) -> Answer:
        return self._say("renew", ttl_s)

    async def watch(self, name: str, url: str) -> Answer:
        if self.willing:
            self.watched[name] = url
        return self._say("watch", name)

    async def release(self) -> Answer:
        self.released += 1
        return self._say("release", None)


@contextlib.asynccontextmanager
async def serving(
    url: str, guard: Guard | None = None, **settings: Any
) -> AsyncIterator[VllmServing]:
    known: dict[str, Any] = {"timeout_s": 0.5, "answer_timeout_s": 0.5, "wake_timeout_s": 1.0}
    engine = VllmServing("vllm-0", url, guard or Guard(), **(known | settings))
    try:
        yield engine
    finally:
        await engine.close()


async def completion(
    engine: VllmDouble, prompt: str = "a b", tokens: int = 1, timeout_s: float = 5.0
) -> dict[str, Any]:
    """Return what the engine itself answers."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(
            f"{engine.url}/v1/completions", json={"prompt": prompt, "max_tokens": tokens}
        ) as reply,
    ):
        assert reply.status == 200
        return await reply.json()


async def post(engine: VllmDouble, path: str) -> int:
    async with aiohttp.ClientSession() as http, http.post(engine.url + path, json={}) as reply:
        return reply.status


async def get(engine: VllmDouble, path: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(engine.url + path) as reply:
        assert reply.status == 200
        return await reply.text()
