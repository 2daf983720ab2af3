"""An agent and a client for tests of engines."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web

from ebplan.adapters import Applied, Refused
from ebplan.adapters.answers import Answer
from ebplan.adapters.health import BackOff
from ebplan.adapters.secrets import Secret
from ebplan.adapters.serving.vllm import VllmServing
from ebplan.twin.wire.vllm_double import VllmDouble

KEY = Secret("a-key-of-our-own")
AT_ONCE = BackOff(first_s=0.0)
PROMPT = "You are a helpful assistant that answers in one sentence. " * 4


class Agent:
    """A local agent: it wakes what it watches when nobody has renewed for a term."""

    def __init__(self) -> None:
        self.watched: dict[str, str] = {}
        self.refuses = False
        self._lapse: asyncio.Task[None] | None = None

    async def renew(self, ttl_s: float) -> Answer:
        await self.stop()
        self._lapse = asyncio.create_task(self._after(ttl_s))
        return Applied(device="agent", command="renew", asked=ttl_s, confirmed=ttl_s)

    async def watch(self, name: str, url: str) -> Answer:
        if self.refuses or self._lapse is None:
            return Refused(device="agent", command="watch", asked=name, why="no lease")
        self.watched[name] = url
        return Applied(device="agent", command="watch", asked=name, confirmed=url)

    async def release(self) -> Answer:
        await self.stop()
        return Applied(device="agent", command="release", asked=None, confirmed=None)

    async def stop(self) -> None:
        if self._lapse is not None:
            self._lapse.cancel()
            await asyncio.wait([self._lapse])

    async def _after(self, ttl_s: float) -> None:
        await asyncio.sleep(ttl_s)
        async with aiohttp.ClientSession() as http:
            for url in self.watched.values():
                async with http.post(f"{url}/wake_up"):
                    pass


async def ask(engine: VllmDouble, **body: object) -> dict[str, object]:
    async with aiohttp.ClientSession() as http:
        told = {"model": "double", "prompt": PROMPT, "max_tokens": 8, **body}
        async with http.post(f"{engine.url}/v1/completions", json=told) as got:
            answer: dict[str, object] = await got.json()
            return answer


async def post(url: str) -> int:
    """Post nothing; return the status."""
    async with aiohttp.ClientSession() as http, http.post(url) as got:
        return got.status


class Strange(VllmDouble):
    """An engine that answers some paths as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, web.Response] = {}

    @web.middleware
    async def _count(self, request: web.Request, handler: object) -> web.StreamResponse:
        if request.path in self.answers:
            self.calls[request.path] += 1
            told = self.answers[request.path]
            return web.Response(status=told.status, body=told.body, headers=told.headers)
        return await super()._count(request, handler)


def made(url: str, agent: Agent | None, timeout_s: float = 0.3) -> VllmServing:
    device = VllmServing(
        "llama-0", url, guardian=agent, api_key=KEY, timeout_s=timeout_s, policy=AT_ONCE
    )
    device.turn_s = 0.4
    return device
