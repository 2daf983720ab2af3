"""Engines that stream, behind a real HAProxy on loopback."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from ebplan.adapters.router.config import RouterConfig
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.twin.wire.haproxy_bench import HaproxyBench, free_port

TOKENS = 10


class Engine:
    """Answers at once, or streams some tokens; may be asleep."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asleep = False
        self.token_s = 0.02
        self.held: asyncio.Event | None = None
        """Streams begin once this is set."""
        self.served: list[tuple[str, str]] = []
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/is_sleeping", self._is_sleeping)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/sleep", self._complete)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _is_sleeping(self, request: web.Request) -> web.Response:
        return web.json_response({"is_sleeping": self.asleep})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.served.append((request.headers["X-Ebplan-Class"], request.path))
        asked = await request.json()
        if not asked.get("stream"):
            return web.json_response({"server": self.name})
        answer = web.StreamResponse(headers={"X-Server": self.name})
        await answer.prepare(request)
        if self.held is not None:
            await self.held.wait()
        for token in range(TOKENS):
            await answer.write(f"data: {token}\n\n".encode())
            await asyncio.sleep(self.token_s)
        await answer.write_eof()
        return answer


class Bench:
    def __init__(self, engines: dict[str, Engine], haproxy: HaproxyBench) -> None:
        self.engines, self.haproxy = engines, haproxy
        self.config = haproxy.config
        self.router = HaproxyRouter(self.config, timeout_s=0.5)
        self.http: aiohttp.ClientSession

    async def ask(self, path: str = "/v1/completions", **kwargs: Any) -> tuple[int, str]:
        """Send one request; return the status and who answered."""
        async with self.http.post(f"http://{self.config.listen}{path}", json={}, **kwargs) as got:
            return got.status, (await got.json())["server"] if got.status == 200 else ""

    async def stream(self) -> int:
        """Return how many tokens of one streamed answer came."""
        url = f"http://{self.config.listen}/v1/completions"
        async with self.http.post(url, json={"stream": True}) as got:
            return (await got.text()).count("data:")

    async def split(self, count: int = 200, path: str = "/v1/completions") -> Counter[str]:
        """Send requests and count who answered."""
        answers = [await self.ask(path) for _ in range(count)]
        return Counter(server for status, server in answers if status == 200)


def config_of(engines: dict[str, Engine], folder: Path, **changes: Any) -> RouterConfig:
    def server(name: str) -> dict[str, Any]:
        return {"address": f"127.0.0.1:{engines[name].port}"}

    return RouterConfig.parse(
        {
            "name": "bench",
            "listen": f"127.0.0.1:{free_port()}",
            "socket": f"{folder}/admin.sock",
            "directory": str(folder),
            "pools": {
                "llama": {
                    "servers": {"a": server("a"), "b": server("b")},
                    "lower": {"low": server("low")},
                }
            },
            "classes": {
                "interactive": {"pool": "llama", "protected": True, "priority": -10},
                "batch": {"pool": "llama", "protected": False, "paths": ["/batch"]},
            },
            "default_class": "interactive",
            **changes,
        }
    )


@asynccontextmanager
async def running(folder: Path, **changes: Any) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        engines = {name: Engine(name) for name in ("a", "b", "low")}
        for engine in engines.values():
            await engine.start()
            stack.push_async_callback(engine.stop)
        haproxy = HaproxyBench(config_of(engines, folder, **changes))
        await stack.enter_async_context(haproxy)
        bench = Bench(engines, haproxy)
        bench.http = await stack.enter_async_context(aiohttp.ClientSession())
        yield bench
