"""An engine of the plant as a vLLM server: its page and endpoints, no physics of its own.

A completion sent to it is a request that the plant's engine serves: it is answered when the plant
has answered it, to within a step of the plant. Sleep and wake take the site's times.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ebplan.twin.live.named_pool import NamedPool
from ebplan.twin.live.plant import LivePlant
from ebplan.twin.requests.engine import Request
from ebplan.twin.wire.vllm_double import MODEL, VllmDouble, completion, event, tokens_of

LOOK_S = 0.02
CLASS_HEADER = "X-Ebplan-Class"
"""How the router says which class a request belongs to."""


class EngineServer(VllmDouble):
    """One engine.

    Args:
        plant: the site.
        pool: the engine's pool.
        index: its place in the pool.
        default_class: class of requests that do not come through the router.
    """

    def __init__(
        self, plant: LivePlant, pool: NamedPool, index: int, *, default_class: str
    ) -> None:
        super().__init__()
        self._plant, self._pool, self._index = plant, pool, index
        self._default_class = default_class

    @property
    def name(self) -> str:
        """Its name."""
        return self._pool.engines[self._index].name

    @property
    def waiting(self) -> int:
        """Requests that it has not begun."""
        return len(self._pool.engines[self._index].queue)

    @property
    def running(self) -> int:
        """Requests that it is answering."""
        return self._pool.engines[self._index].engine.in_service

    @property
    def in_flight(self) -> int:
        """Requests that it has taken and not answered."""
        return self.waiting + self.running

    @property
    def _mode(self) -> str:
        return self._pool.engines[self._index].mode

    @web.middleware
    async def _count(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self._mode == "lost" and request.transport is not None:
            request.transport.abort()  # as a process that is gone
        return await super()._count(request, handler)

    async def _is_sleeping(self, request: web.Request) -> web.Response:
        self.asleep = self._mode in ("to asleep", "asleep", "to awake")
        return await super()._is_sleeping(request)

    def page(self) -> str:
        """Return the page of metrics."""
        self.asleep = self._mode in ("to asleep", "asleep", "to awake")
        return super().page()

    async def _sleep(self, request: web.Request) -> web.Response:
        mode, level = request.query.get("mode", "abort"), int(request.query.get("level", "1"))
        while mode == "wait" and self.running:
            await asyncio.sleep(LOOK_S)
        self._pool.sleep(self._index)
        self._cache.clear()
        self.level = max(self.level if self.asleep else 0, level)
        await self._until("asleep")
        return web.Response()

    async def _wake_up(self, request: web.Request) -> web.Response:
        self._pool.wake(self._index)
        await self._until("awake")
        return web.Response()

    async def _until(self, mode: str) -> None:
        """Wait until it has arrived, or was sent elsewhere."""
        turning = ("to asleep", "to awake")
        while self._mode != mode and self._mode in turning:
            await asyncio.sleep(LOOK_S)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked: dict[str, Any] = await request.json()
        if asked.get("model") != MODEL:
            return web.json_response({"error": {"code": 404, "message": "no model"}}, status=404)
        prompt, wanted = str(asked["prompt"]), int(asked.get("max_tokens", 16))
        key = request.headers.get(CLASS_HEADER, self._default_class)
        came_s = self._plant.now_s
        ended: asyncio.Future[tuple[float, str]] = asyncio.get_running_loop().create_future()

        def done(one: Request, at_s: float, reason: str) -> None:
            if not ended.done():  # whoever asked may have given up
                ended.set_result((at_s, reason))

        tokens = float(len(tokens_of(prompt)))
        self._read_prompt(prompt)
        work = Request(key, tokens, float(max(wanted, 1)), came_s)
        self._pool.submit(self._index, work, done)
        at_s, reason = await ended
        written = wanted if reason == "length" else 0
        self._finish(prompt, written, reason, at_s - came_s)
        first_s = work.first_token_s
        if first_s is not None:
            self.counts.observe("time_to_first_token_seconds", first_s - came_s)
            if written > 1:
                each_s = (at_s - first_s) / (written - 1)
                self.counts.observe("inter_token_latency_seconds", each_s)
        text = self._token() * written
        if not asked.get("stream"):
            return web.json_response(completion(prompt, text, reason, written))
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(event(text, None) + event("", reason) + b"data: [DONE]\n\n")
        await stream.write_eof()
        return stream
