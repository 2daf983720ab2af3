"""What one asks an engine: what it counts, whether it sleeps, one token for a prompt.

Nothing here turns it. A question ends in what was asked for, in ``NoAnswer``, or in ``Wrong``.
"""

from __future__ import annotations

from typing import Literal

from ebplan.adapters.clock import Clock
from ebplan.adapters.serving.engine_http import EngineHttp, Got
from ebplan.adapters.serving.metrics import Metrics, NotVllm, read_metrics

POLL_S = 0.05
LAG_S = 0.3
"""What an engine has counted shows so late on its page at most."""


class Wrong(Exception):
    """The engine answered, and not as it should.

    Args:
        why: what it answered.
        refused: whether it did nothing, by what it says.
    """

    def __init__(self, why: str, *, refused: bool = False) -> None:
        self.why, self.refused = why, refused
        super().__init__(why)


class EngineQuestions:
    """Asks one engine.

    Args:
        http: the line to it.
        clock: what time it is.
        model: name of the model that it serves; the first that it lists if absent.
    """

    def __init__(self, http: EngineHttp, clock: Clock, *, model: str | None) -> None:
        self._http, self._clock, self._model = http, clock, model

    async def metrics(self) -> Metrics:
        """Return its page of metrics."""
        try:
            return read_metrics((await self._get("/metrics")).text)
        except NotVllm as error:
            raise Wrong(str(error)) from None

    async def sleep_level(self) -> int:
        """Return the level at which it sleeps; a page that is none keeps no engine asleep: 0."""
        try:
            return (await self.metrics()).sleep_level
        except Wrong:
            return 0

    async def idle(self) -> int:
        """Make sure that nothing is in flight, and return the level at which it sleeps."""
        metrics = await self.metrics()
        running = round(metrics.values["num_requests_running"])
        waiting = round(metrics.values["num_requests_waiting"])
        if running or waiting:
            why = f"{running} running, {waiting} waiting: drain it first"
            raise Wrong(why, refused=True)
        return metrics.sleep_level

    async def is_asleep(self) -> bool | None:
        """Return whether it sleeps; None where it never does."""
        got = await self._http.ask("GET", "/is_sleeping")
        if got.status == 404:
            return None
        match got.document():
            case {"is_sleeping": bool() as asleep} if got.status == 200:
                return asleep
        raise Wrong("it does not say whether it sleeps")

    async def model(self) -> str:
        """Return the name of the model: another one may be served after a restart."""
        if self._model is not None:
            return self._model
        got = await self._get("/v1/models")
        match got.document():
            case {"data": [{"id": str() as model}, *_]}:
                return model
        raise Wrong("it does not list its models", refused=True)

    async def complete(self, model: str, prompt: str, *, within_s: float) -> None:
        """Let it write one token, and make sure that it has."""
        body = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0}
        got = await self._http.ask("POST", "/v1/completions", within_s=within_s, body=body)
        if got.status != 200:
            raise Wrong(got.shown, refused=400 <= got.status < 500)
        match got.document():
            case {
                "choices": [{"finish_reason": "stop" | "length"}, *_],
                "usage": {"completion_tokens": int() as written},
            } if written >= 1:
                return
        raise Wrong("it answers a request with no token")

    async def is_warm(self, model: str, prompt: str, *, within_s: float) -> bool:
        """Send a prompt again; return whether any of it was found in the cache."""
        before = cache_hits(await self.metrics())
        await self.complete(model, prompt, within_s=within_s)
        until_s = self._clock.now_s() + LAG_S
        while not cache_hits(await self.metrics()) > before:
            if self._clock.now_s() >= until_s:
                return False
            await self._clock.sleep(POLL_S)
        return True

    async def _get(self, path: Literal["/metrics", "/v1/models"]) -> Got:
        got = await self._http.ask("GET", path)
        if got.status != 200:
            raise Wrong(f"{path}: {got.shown}", refused=400 <= got.status < 500)
        return got


def cache_hits(metrics: Metrics) -> float:
    """Return how many tokens of prompts were found in the cache so far."""
    return metrics.values.get("prefix_cache_hits", 0.0)
