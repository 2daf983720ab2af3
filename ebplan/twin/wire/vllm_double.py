"""A stand-in for a vLLM engine: its metrics, its endpoints and its traps, without a model.

    async with VllmDouble() as engine:
        ...(engine.url)

Traps it has, as the real one: ``/sleep`` cuts answers short by default, with status 200 and
``finish_reason`` "abort"; requests to a sleeping engine hang while ``/health`` says 200; waking
from level 2 yields garbage; sleep drops the prefix cache. Its page of metrics is a recorded one
with its own numbers put in. ``python -m ebplan.twin.wire.vllm_double --port 0`` prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

PAGE = Path(__file__).with_name("vllm_metrics.prom")
BLOCK_CHARACTERS = 64
"""So many characters of a prompt are one block of the prefix cache: some 16 tokens."""
CHARACTERS_PER_TOKEN = 4
MODEL = "double"
GARBAGE = "\ufffd"


class VllmDouble:
    """One engine on loopback.

    Args:
        port: where it listens; 0 for a free one.
        token_s: how long a token takes.
        most_running: requests computed at once; more wait.
        sleep_s: how long it takes to fall asleep.
        wake_s: how long it takes to wake.
        api_key: asked of every client where it is given.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        token_s: float = 0.002,
        most_running: int = 96,
        sleep_s: float = 0.02,
        wake_s: float = 0.05,
        api_key: str | None = None,
    ) -> None:
        self.port, self.token_s = port, token_s
        self.sleep_s, self.wake_s, self.api_key = sleep_s, wake_s, api_key
        self.asleep = False
        self.level = 0
        """Level at which it sleeps, or last slept."""
        self.calls: Counter[str] = Counter()
        """Requests by path."""
        self.waiting = self.running = 0
        self._slots = asyncio.Semaphore(most_running)
        self._awake = asyncio.Event()
        self._awake.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._epoch = 0
        """Grows whenever running answers are cut short."""
        self._cache: set[str] = set()
        self._counts: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def in_flight(self) -> int:
        """Requests that it has taken and not answered."""
        return self.waiting + self.running

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._count])
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/is_sleeping", self._is_sleeping)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/sleep", self._sleep)
        app.router.add_post("/wake_up", self._wake_up)
        app.router.add_post("/v1/completions", self._complete)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
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
        self._awake.set()
        assert self._runner is not None
        await self._runner.cleanup()

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

    async def _sleep(self, request: web.Request) -> web.Response:
        mode = request.query.get("mode", "abort")
        if mode == "abort":
            self._epoch += 1
        await self._empty.wait()
        await asyncio.sleep(self.sleep_s)
        self.level = int(request.query.get("level", "1"))
        self.asleep = True
        self._awake.clear()
        self._cache.clear()
        return web.Response()

    async def _wake_up(self, request: web.Request) -> web.Response:
        if self.asleep:
            await asyncio.sleep(self.wake_s)
        self.asleep = False
        self._awake.set()
        return web.Response()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.page(), content_type="text/plain")

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.waiting += 1
        self._empty.clear()
        began = False
        try:
            await self._awake.wait()  # it hangs: no error, no hint
            async with self._slots:
                self.waiting -= 1
                self.running += 1
                began = True
                return await self._answer(request, asked)
        finally:
            if began:
                self.running -= 1
            else:
                self.waiting -= 1
            if not self.in_flight:
                self._empty.set()

    # --- one answer ------------------------------------------------------------------------------

    async def _answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        prompt, wanted = str(asked["prompt"]), int(asked.get("max_tokens", 16))
        self._read_prompt(prompt)
        epoch, written = self._epoch, 0
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        streamed = bool(asked.get("stream"))
        if streamed:
            await stream.prepare(request)
        while written < wanted and epoch == self._epoch:
            await asyncio.sleep(self.token_s)
            written += 1
            if streamed:
                await stream.write(_event(self._token(), None))
        reason = "length" if written == wanted else "abort"
        self._counts["generation_tokens"] += written
        self._counts[reason] += 1
        if not streamed:
            text = self._token() * written
            usage = {"prompt_tokens": _tokens(prompt), "completion_tokens": written}
            return web.json_response({"choices": [_choice(text, reason)], "usage": usage})
        await stream.write(_event("", reason) + b"data: [DONE]\n\n")
        await stream.write_eof()
        return stream

    def _token(self) -> str:
        return GARBAGE if self.level == 2 else "a "

    def _read_prompt(self, prompt: str) -> None:
        """Count a prompt and what of it lies in the prefix cache: whole blocks from the start."""
        tokens = _tokens(prompt)
        self._counts["prompt_tokens"] += tokens
        self._counts["prefix_cache_queries"] += tokens
        ends = range(BLOCK_CHARACTERS, len(prompt) + 1, BLOCK_CHARACTERS)
        for end in ends:
            if prompt[:end] not in self._cache:
                break
            self._counts["prefix_cache_hits"] += BLOCK_CHARACTERS // CHARACTERS_PER_TOKEN
        self._cache.update(prompt[:end] for end in ends)

    def page(self) -> str:
        """Return the page of metrics: the recorded one, with the numbers of this engine."""
        states = ("awake", "weights_offloaded", "discard_all")
        state = states[min(self.level, 2)] if self.asleep else states[0]
        now: dict[str, float] = {
            "num_requests_running": self.running,
            "num_requests_waiting": self.waiting,
            **{f"{n}_total": self._counts[n] for n in ("prompt_tokens", "generation_tokens")},
            **{
                f"{n}_total": self._counts[n] for n in ("prefix_cache_queries", "prefix_cache_hits")
            },
        }

        def put(match: re.Match[str]) -> str:
            name, labels = match["name"], match["labels"]
            if name == "request_success_total":
                value = float(self._counts[_label(labels, "finished_reason")])
            elif name == "engine_sleep_state":
                value = float(_label(labels, "sleep_state") == state)
            elif name in now:
                value = float(now[name])
            else:
                return match[0]
            return f"vllm:{name}{{{labels}}} {value}"

        return _SAMPLE.sub(put, PAGE.read_text(encoding="utf-8"))


_SAMPLE = re.compile(r"^vllm:(?P<name>\w+)\{(?P<labels>[^}]*)\} \S+$", re.MULTILINE)


def _label(labels: str, name: str) -> str:
    found = re.search(rf'{name}="([^"]*)"', labels)
    return found[1] if found else ""


def _tokens(prompt: str) -> int:
    return max(len(prompt) // CHARACTERS_PER_TOKEN, 1)


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "finish_reason": reason}


def _event(text: str, reason: str | None) -> bytes:
    return b"data: " + json.dumps({"choices": [_choice(text, reason)]}).encode() + b"\n\n"


async def _main(port: int) -> None:
    async with VllmDouble(port=port) as engine:
        print(json.dumps({"port": engine.port}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for a vLLM engine on loopback.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_main(parser.parse_args().port))
