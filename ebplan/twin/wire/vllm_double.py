"""A double of a vLLM engine: the same paths, the same numbers, and its traps.

    async with VllmDouble() as engine:
        ...  # engine.url

Copied from a real engine (0.32): ``/sleep`` without a mode cuts answers off with status 200 and
``finish_reason`` "abort"; a sleeping engine lets requests hang while ``/health`` stays 200; after
level 2 it writes garbage until its weights are loaded again; sleep forgets the prefix cache. It is
no model of speed: a token takes as long as it is told.

``python -m ebplan.twin.wire.vllm_double --port 0`` runs one and prints its port as a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from ebplan.twin.wire.vllm_metrics import EngineMetrics

GARBAGE: Final = " \ufffd"
CACHE_BLOCKS: Final = 4096


@dataclass(frozen=True)
class EngineSettings:
    """How the double behaves."""

    model: str = "tiny"
    """Name of the model."""
    at_once: int = 8
    """Requests computed at once; more wait."""
    first_token_s: float = 0.01
    """Time to the first token of a prompt that is not in the cache."""
    token_s: float = 0.002
    """Time between tokens."""
    block_tokens: int = 16
    """Tokens (words) per block of the prefix cache; shorter prompts are never found there."""
    wake_s: float = 0.02
    """Time to wake up."""
    key: str | None = None
    """API key that ``/v1`` asks for."""
    dev_mode: bool = True
    """Whether it can be put to sleep."""
    tells_cached: bool = True
    """Whether answers tell how many prompt tokens were cached."""


class VllmDouble:
    """One engine on the loopback.

    Args:
        settings: how it behaves.
        port: where it listens; 0 takes a free one.
    """

    def __init__(self, settings: EngineSettings | None = None, *, port: int = 0) -> None:
        self.settings = settings or EngineSettings()
        self.port = port
        self.posts: list[str] = []
        """Path and query of every POST so far."""
        self.headers: list[dict[str, str]] = []
        """Headers of every completion so far."""
        self._runner: web.AppRunner | None = None
        self._forget()

    def _forget(self) -> None:
        """Begin like a new process."""
        self.level = 0
        self.running = 0
        self.waiting = 0
        self._spoilt = False
        self._mode = ""
        self._cache: set[int] = set()
        self._awake = asyncio.Event()
        self._awake.set()
        self._aborted = asyncio.Event()
        self._places = asyncio.Semaphore(self.settings.at_once)
        self.metrics = EngineMetrics(
            self.settings.model,
            running=lambda: self.running,
            waiting=lambda: self.waiting,
            cache_used=lambda: len(self._cache) / CACHE_BLOCKS,
            level=lambda: self.level,
        )

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def restart(self, down_s: float = 0.0) -> None:
        """Die, stay away for a while, and come back with counters at zero."""
        await self._stop()
        await asyncio.sleep(down_s)
        self._forget()
        await self._start()

    async def _start(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.get("/v1/models", self._models),
                web.post("/v1/completions", self._completions),
            ]
        )
        if self.settings.dev_mode:
            app.add_routes(
                [
                    web.get("/is_sleeping", self._is_sleeping),
                    web.post("/sleep", self._sleep),
                    web.post("/wake_up", self._wake_up),
                    web.post("/collective_rpc", self._collective_rpc),
                ]
            )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            self._aborted.set()
            await self._runner.cleanup()
            self._runner = None

    # -- what a real engine answers -----------------------------------------------------------

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.metrics.page())

    async def _models(self, request: web.Request) -> web.Response:
        self._check_key(request)
        return web.json_response({"data": [{"id": self.settings.model}]})

    async def _is_sleeping(self, request: web.Request) -> web.Response:
        return web.json_response({"is_sleeping": self.level > 0})

    async def _sleep(self, request: web.Request) -> web.Response:
        self.posts.append(request.path_qs)
        mode = request.query.get("mode", "abort")
        self._awake.clear()
        if mode == "abort":
            self._aborted.set()
        if mode in ("abort", "wait"):
            self._mode = mode
            while self.running:
                await asyncio.sleep(0.001)
        self._mode = mode
        self._aborted.clear()
        self.level = int(request.query.get("level", "1"))
        self._cache.clear()
        return web.Response()

    async def _wake_up(self, request: web.Request) -> web.Response:
        self.posts.append(request.path_qs)
        await asyncio.sleep(self.settings.wake_s)
        self._spoilt = self._spoilt or self.level == 2
        self.level = 0
        self._mode = ""
        self._awake.set()
        return web.Response()

    async def _collective_rpc(self, request: web.Request) -> web.Response:
        self._spoilt = self._spoilt and (await request.json())["method"] != "reload_weights"
        return web.json_response({"results": [None]})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        self.posts.append(request.path_qs)
        self.headers.append(dict(request.headers))
        self._check_key(request)
        asked = await request.json()
        if asked.get("model", self.settings.model) != self.settings.model:
            raise web.HTTPNotFound(text="no such model")
        if not asked.get("stream"):
            text: list[str] = []

            async def keep(token: str) -> None:
                text.append(token)

            usage, reason = await self._compute(asked, keep)
            return web.json_response(self._answer("".join(text), reason, usage))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def send(token: str) -> None:
            await response.write(_event(self._answer(token, None, None)))

        usage, reason = await self._compute(asked, send)
        await response.write(_event(self._answer("", reason, usage)) + b"data: [DONE]\n\n")
        return response

    # -- computing ----------------------------------------------------------------------------

    async def _compute(
        self, asked: dict[str, Any], emit: Callable[[str], Awaitable[None]]
    ) -> tuple[dict[str, Any], str]:
        """Return the usage and why it ended, after each token has been emitted."""
        arrived_s = time.monotonic()
        prompt = str(asked["prompt"]).split()
        wanted = int(asked.get("max_tokens", 16))
        self.waiting += 1
        try:
            # asleep: this waits, and nobody is told
            await self._awake.wait()
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            cached = self._look_up(prompt)
            written = 0
            await self._pass(self.settings.first_token_s * (0.2 if cached else 1.0))
            before_s = time.monotonic()
            self.metrics.first_token.observe(before_s - arrived_s)
            while written < wanted and not self._aborted.is_set():
                if written:
                    await self._pass(self.settings.token_s)
                    self.metrics.between_tokens.observe(time.monotonic() - before_s)
                    before_s = time.monotonic()
                await emit(GARBAGE if self._spoilt else f" {len(prompt) + written + 1}")
                written += 1
                self.metrics.generated.inc()
        finally:
            self.running -= 1
            self._places.release()
        reason = "length" if written >= wanted else "abort"
        self.metrics.finished[reason].inc()
        self.metrics.whole.observe(time.monotonic() - arrived_s)
        usage: dict[str, Any] = {"prompt_tokens": len(prompt), "completion_tokens": written}
        if self.settings.tells_cached:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return usage, reason

    async def _pass(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._aborted.wait(), seconds)
        if self._mode == "keep":
            await self._awake.wait()

    def _look_up(self, prompt: list[str]) -> int:
        """Return the prompt tokens found in the cache; then keep the prompt's whole blocks."""
        size = self.settings.block_tokens
        blocks = [hash(tuple(prompt[:n])) for n in range(size, len(prompt) + 1, size)]
        # the last token is always computed
        found = sum(block in self._cache for block in blocks) * size
        cached = min(found, len(prompt) - 1) // size * size if prompt else 0
        self._cache.update(blocks)
        self.metrics.queried.inc(len(prompt))
        self.metrics.hits.inc(cached)
        self.metrics.prompt.inc(len(prompt))
        return cached

    def _answer(
        self, text: str, reason: str | None, usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        return {
            "object": "text_completion",
            "model": self.settings.model,
            "choices": [{"index": 0, "text": text, "finish_reason": reason}],
            "usage": usage,
        }

    def _check_key(self, request: web.Request) -> None:
        key = self.settings.key
        if key is not None and request.headers.get("Authorization") != f"Bearer {key}":
            raise web.HTTPUnauthorized(text='{"error":"Unauthorized"}')


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


async def _serve(port: int, settings: EngineSettings) -> None:
    async with VllmDouble(settings, port=port) as engine:
        print(json.dumps({"port": engine.port}), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run one until it is stopped."""
    parser = argparse.ArgumentParser(description="A double of a vLLM engine on the loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--model", default=EngineSettings.model)
    parser.add_argument("--at-once", type=int, default=EngineSettings.at_once)
    parser.add_argument("--token-s", type=float, default=EngineSettings.token_s)
    given = parser.parse_args()
    settings = EngineSettings(model=given.model, at_once=given.at_once, token_s=given.token_s)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(given.port, settings))


if __name__ == "__main__":
    main()
