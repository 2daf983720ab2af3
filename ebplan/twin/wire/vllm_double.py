"""A stand-in for a vLLM engine: its metrics, its endpoints and its traps, without a model.

    async with VllmDouble() as engine:
        ...(engine.url)

Traps it has, as the real one: ``/sleep`` cuts answers short by default, with status 200 and
``finish_reason`` "abort"; requests to a sleeping or paused engine hang while ``/health`` says 200;
waking from level 2 yields garbage; sleep drops the prefix cache; without the development endpoints
nothing tells whether it sleeps. Its page of metrics is a recorded one with its own numbers put in.
``python -m ebplan.twin.wire.vllm_double --port 0`` prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from ebplan.twin.wire.vllm_line import VllmLine
from ebplan.twin.wire.vllm_page import EngineCounts

BLOCK_TOKENS = 16
"""So many tokens of a prompt are one block of the prefix cache."""
MODEL = "double"
GARBAGE = "\ufffd"


class VllmDouble:
    """One engine on loopback.

    Args:
        port: where it listens; 0 for a free one.
        token_s: how long a token takes to be written.
        prompt_token_s: how long a token takes to be read that is not in the cache.
        most_running: requests computed at once; more wait.
        most_waiting: requests that wait at most, more are turned away with 503; None for any.
        sleep_s: how long it takes to fall asleep.
        wake_s: how long it takes to wake.
        api_key: asked of every client where it is given.
        development: whether it has the endpoints for sleep.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        token_s: float = 0.002,
        prompt_token_s: float = 0.0,
        most_running: int = 96,
        most_waiting: int | None = None,
        sleep_s: float = 0.02,
        wake_s: float = 0.05,
        api_key: str | None = None,
        development: bool = True,
    ) -> None:
        self.port, self.token_s, self.prompt_token_s = port, token_s, prompt_token_s
        self.sleep_s, self.wake_s, self.api_key = sleep_s, wake_s, api_key
        self.development = development
        self.line = VllmLine(most_running, most_waiting)
        """Requests in it."""
        self.asleep = False
        self.level = 0
        """Level at which it sleeps, or last slept."""
        self.calls: Counter[str] = Counter()
        """Requests by path."""
        self.counts = EngineCounts(MODEL, BLOCK_TOKENS)
        self._cache: set[str] = set()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def in_flight(self) -> int:
        """Requests that it has taken and not answered."""
        return self.line.waiting + self.line.running

    @property
    def waiting(self) -> int:
        """Requests that it has not begun."""
        return self.line.waiting

    @property
    def running(self) -> int:
        """Requests that it is answering."""
        return self.line.running

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._count])
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._complete)
        if self.development:
            app.router.add_get("/is_sleeping", self._is_sleeping)
            app.router.add_post("/sleep", self._sleep)
            app.router.add_post("/wake_up", self._wake_up)
        # a client that gives up takes its request with it
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def pause(self) -> None:
        """Begin nothing new until ``resume``, and say so nowhere."""
        self.line.shut()

    def resume(self) -> None:
        """Go on."""
        self.line.open()

    # --- endpoints -------------------------------------------------------------------------------

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls[request.path] += 1
        wanted = self.api_key
        guarded = request.path.startswith("/v1/") and wanted is not None
        if guarded and request.headers.get("Authorization") != f"Bearer {wanted}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _is_sleeping(self, request: web.Request) -> web.Response:
        return web.json_response({"is_sleeping": self.asleep})

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.page(), content_type="text/plain")

    async def _sleep(self, request: web.Request) -> web.Response:
        mode, level = request.query.get("mode", "abort"), int(request.query.get("level", "1"))
        await self.line.stop(mode)
        await asyncio.sleep(self.sleep_s)
        self.level, self.asleep = max(self.level if self.asleep else 0, level), True
        self._cache.clear()
        return web.Response()

    async def _wake_up(self, request: web.Request) -> web.Response:
        if self.asleep:
            await asyncio.sleep(self.wake_s)
            self.asleep = False
            self.line.open()
        return web.Response()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if asked.get("model") != MODEL:
            return web.json_response({"error": {"code": 404, "message": "no model"}}, status=404)
        if self.line.full:
            self.counts.counters["admission_rejections"] += 1
            return web.json_response({"error": {"code": 503}}, status=503)
        came_s = _now_s()
        async with self.line.turn() as epoch:
            return await self._answer(request, asked, epoch, came_s)

    # --- one answer ------------------------------------------------------------------------------

    async def _answer(
        self, request: web.Request, asked: dict[str, Any], epoch: int, came_s: float
    ) -> web.StreamResponse:
        prompt, wanted = str(asked["prompt"]), int(asked.get("max_tokens", 16))
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        streamed = bool(asked.get("stream"))
        if streamed:
            await stream.prepare(request)
        await asyncio.sleep(self._read_prompt(prompt) * self.prompt_token_s)
        written, last_s = 0, came_s
        while written < wanted and self.line.goes_on(epoch):
            await asyncio.sleep(self.token_s)
            await self.line.unfrozen()
            written += 1
            name = "inter_token_latency" if written > 1 else "time_to_first_token"
            self.counts.observe(f"{name}_seconds", _now_s() - last_s)
            last_s = _now_s()
            if streamed:
                await stream.write(event(self._token(), None))
        reason = "length" if written == wanted else "abort"
        self._finish(prompt, written, reason, _now_s() - came_s)
        if not streamed:
            text = self._token() * written
            return web.json_response(completion(prompt, text, reason, written))
        await stream.write(event("", reason) + b"data: [DONE]\n\n")
        await stream.write_eof()
        return stream

    def _token(self) -> str:
        return GARBAGE if self.level == 2 else "a "

    def _finish(self, prompt: str, written: int, reason: str, took_s: float) -> None:
        self.counts.counters["generation_tokens"] += written
        self.counts.finished[reason] += 1
        self.counts.observe("e2e_request_latency_seconds", took_s)
        self.counts.observe("request_prompt_tokens", len(tokens_of(prompt)))
        self.counts.observe("request_generation_tokens", written)

    def _read_prompt(self, prompt: str) -> int:
        """Count a prompt; return how many of its tokens were not in the prefix cache.

        Found are whole blocks from the start; at least one token is always computed.
        """
        tokens = tokens_of(prompt)
        blocks = [
            "".join(tokens[:end]) for end in range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS)
        ]
        found = 0
        while found < (len(tokens) - 1) // BLOCK_TOKENS and blocks[found] in self._cache:
            found += 1
        self._cache.update(blocks)
        counters = self.counts.counters
        counters["prompt_tokens"] += len(tokens)
        counters["prefix_cache_queries"] += len(tokens)
        counters["prefix_cache_hits"] += found * BLOCK_TOKENS
        return len(tokens) - found * BLOCK_TOKENS

    def page(self) -> str:
        """Return the page of metrics."""
        gauges = {"num_requests_running": self.running, "num_requests_waiting": self.waiting}
        return self.counts.page(gauges, min(self.level, 2) if self.asleep else 0)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def tokens_of(prompt: str) -> list[str]:
    """Return the tokens of a prompt: four characters each, at least one."""
    return [prompt[i : i + 4] for i in range(0, max(len(prompt) // 4, 1) * 4, 4)]


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": reason}


def completion(prompt: str, text: str, reason: str, written: int) -> dict[str, Any]:
    """Return the document of an answer."""
    read = len(tokens_of(prompt))
    usage = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }
    return {
        "object": "text_completion",
        "model": MODEL,
        "choices": [_choice(text, reason)],
        "usage": usage,
    }


def event(text: str, reason: str | None) -> bytes:
    """Return a piece of an answer as a server-sent event."""
    return b"data: " + json.dumps({"choices": [_choice(text, reason)]}).encode() + b"\n\n"


async def _main(port: int) -> None:
    async with VllmDouble(port=port) as engine:
        print(json.dumps({"port": engine.port}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for a vLLM engine on loopback.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_main(parser.parse_args().port))
