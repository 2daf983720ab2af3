"""A bench of engines behind a real HAProxy, and clients of it, that several tests share."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from ebplan.adapters.router.config import RoutedClass, ServedPool, Server
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.twin.wire.haproxy_bench import HaproxyBench, haproxy_path
from ebplan.twin.wire.vllm_double import EngineSettings, VllmDouble

BATCH_KEY = "Bearer a-batch-tenant"
CLASSES = {
    "interactive": RoutedClass(pool="chat", priority=0, protected=True),
    "batch": RoutedClass(
        pool="chat",
        priority=10,
        protected=False,
        paths=("/batch",),
        key_sha256=(hashlib.sha256(BATCH_KEY.encode()).hexdigest(),),
    ),
}


MARKS = [
    pytest.mark.real,
    pytest.mark.skipif(haproxy_path() is None, reason="haproxy is not installed"),
]


@dataclass
class Site:
    """Two engines, one of the lower precision, and the router before them."""

    bench: HaproxyBench
    engines: dict[str, VllmDouble]
    http: aiohttp.ClientSession

    def router(self, **settings) -> HaproxyRouter:
        return HaproxyRouter(self.bench.config, **settings)

    def counts(self) -> Counter[str]:
        return Counter({name: len(engine.headers) for name, engine in self.engines.items()})

    async def ask(
        self, path: str = "/v1/completions", headers: dict[str, str] | None = None, tokens: int = 1
    ) -> int:
        body = {"prompt": "a b", "max_tokens": tokens}
        async with self.http.post(self.bench.url + path, json=body, headers=headers) as reply:
            await reply.read()
            return reply.status

    async def stream(self, tokens: int, on_token: Callable[[], None] = lambda: None) -> int:
        """Return how many tokens came of a streamed answer; -1 where it ended otherwise."""
        body = {"prompt": "a b", "max_tokens": tokens, "stream": True}
        got, ended = 0, False
        async with self.http.post(self.bench.url + "/v1/completions", json=body) as reply:
            async for line in reply.content:
                if line.startswith(b"data: {"):
                    choice = json.loads(line[6:])["choices"][0]
                    got += bool(choice["text"])
                    ended = ended or choice["finish_reason"] == "length"
                    on_token()
        return got if ended else -1


@contextlib.asynccontextmanager
async def site(
    folder: Path,
    *,
    engine: EngineSettings | None = None,
    max_in_flight: int | None = None,
    longest_lease_s: float = 60.0,
) -> AsyncIterator[Site]:
    async with contextlib.AsyncExitStack() as stack:
        engines = {n: await stack.enter_async_context(VllmDouble(engine)) for n in ("a", "b", "c")}
        servers = {
            n: Server(address=e.address, max_in_flight=max_in_flight) for n, e in engines.items()
        }
        pool = ServedPool(servers={"a": servers["a"], "b": servers["b"]}, lower={"c": servers["c"]})
        bench = await stack.enter_async_context(
            HaproxyBench(
                folder,
                pools={"chat": pool},
                classes=CLASSES,
                default_class="interactive",
                longest_lease_s=longest_lease_s,
            )
        )
        # a connection pool of its own size: hundreds of clients at once
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        there = Site(bench, engines, http)
        await until(lambda: _all_up(there))
        yield there


async def _all_up(there: Site) -> bool:
    reading = await there.router().read()
    return all(server.state == "up" for server in reading.servers.values())


async def until(
    holds: Callable[[], Awaitable[bool]], within_s: float = 3.0, every_s: float = 0.02
) -> float:
    """Return how long it took until something holds."""
    started_s = time.monotonic()
    while not await holds():
        assert time.monotonic() - started_s < within_s, "it never came"
        await asyncio.sleep(every_s)
    return time.monotonic() - started_s
