"""One vLLM engine: read, put to sleep in the safe order, woken and warmed with proof.

**Safe state.** The engine knows no lease. A local agent (``Guardian``) counts it and wakes the
engine when it ends; the router's health check keeps a sleeping engine out of the pool. Without an
agent that watches it, an engine is not put to sleep.

A sleeping engine lets requests hang while its health says 200, so sleep is refused with anything in
flight, and traffic may return only after the engine has answered a request. Sleep is level 1 with
``mode=wait``: the default mode cuts answers short, and level 2 wakes with weights that are garbage.
Sleep drops the cache; whatever was warm is to be warmed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ebplan.adapters.answers import Answer, Applied, Refused, Unreachable, Unverified
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import BackOff, Health, after_failure, after_success, may_try
from ebplan.adapters.roles import ServingReading
from ebplan.adapters.secrets import Secret
from ebplan.adapters.serving.metrics import Metrics, NotVllm, read_metrics

if TYPE_CHECKING:
    from aiohttp import ClientSession

WAKE_S = 60.0
"""How long an engine may take to wake: a 70B model took 3 to 6 s."""
POLL_S = 0.05
MOST_BYTES = 4_000_000
"""A page of metrics has 50 kB."""


class Guardian(Protocol):
    """A local agent that wakes sleeping engines when nobody renews."""

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease."""
        ...

    async def watch(self, name: str, url: str) -> Answer:
        """Look after an engine from now on."""
        ...

    async def release(self) -> Answer:
        """Wake whatever it watches, now."""
        ...


class _NoAnswer(Exception):
    def __init__(self, why: str, *, sent: bool) -> None:
        self.why, self.sent = why, sent
        super().__init__(why)


@dataclass(frozen=True)
class _Got:
    status: int
    text: str


class VllmServing:
    """Implements ``Serving`` for one engine at its own address.

    Args:
        name: what it is called.
        url: its own address, past the router: a warmed cache is of use on this engine only.
        guardian: who wakes it when nobody renews; without, it is never put to sleep.
        model: name of the model that it serves; the first that it lists if absent.
        api_key: its key, where it asks for one.
        timeout_s: how long an answer may take; waking and sleeping may take longer.
        policy: how long it is left alone after it did not answer.
        clock: what time it is.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        guardian: Guardian | None,
        model: str | None = None,
        api_key: Secret | None = None,
        timeout_s: float = 2.0,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name, self.url = name, url.rstrip("/")
        self._guardian, self._model, self._api_key = guardian, model, api_key
        self._timeout_s = timeout_s
        self.turn_s = WAKE_S
        """How long it may take to fall asleep, to wake, or to read a prompt."""
        self._clock = clock or MonotonicClock()
        self._policy = policy or BackOff(longest_s=5.0, steady_s=1.0)
        self._health = Health()
        self._session: ClientSession | None = None
        self._turning = asyncio.Lock()

    # --- readings --------------------------------------------------------------------------------

    async def read(self) -> ServingReading | Unreachable:
        """Return what it is doing."""
        try:
            asleep, metrics = await asyncio.gather(self._is_asleep(), self._metrics())
        except (_NoAnswer, NotVllm) as error:
            return Unreachable(
                device=self.name, command="read", asked=None, why=str(error), executed=False
            )
        values = metrics.values
        return ServingReading(
            awake=not asleep,
            running=round(values["num_requests_running"]),
            waiting=round(values["num_requests_waiting"]),
            kv_cache_used=values["kv_cache_usage_perc"],
            prompt_tokens=values["prompt_tokens"],
            generated_tokens=values["generation_tokens"],
            finished=metrics.finished,
            cache_hits=values.get("prefix_cache_hits", 0.0),
            preempted=values.get("num_preemptions", 0.0),
        )

    # --- commands --------------------------------------------------------------------------------

    async def sleep(self) -> Answer:
        """Put it to sleep; refused while anything is in flight, or nobody would wake it."""
        async with self._turning:
            reading = await self.read()
            if isinstance(reading, Unreachable):
                return self._lost("sleep", _NoAnswer(reading.why, sent=False))
            if reading.running or reading.waiting:
                why = f"{reading.running} running, {reading.waiting} waiting: drain it first"
                return self._refused("sleep", why)
            if self._guardian is None:
                return self._refused("sleep", "nobody would wake it: there is no local agent")
            watched = await self._guardian.watch(self.name, self.url)
            if not isinstance(watched, Applied):
                return self._refused("sleep", f"nobody would wake it: {watched}")
            return await self._turn("sleep", "/sleep?level=1&mode=wait", asleep=True)

    async def wake(self) -> Answer:
        """Wake it; applied once it has answered a request."""
        async with self._turning:
            answer = await self._turn("wake", "/wake_up", asleep=False)
            if not isinstance(answer, Applied):
                return answer
            try:
                await self._complete("1")
            except _NoAnswer as error:
                why = f"awake, and does not answer a request: {error.why}"
                return Unverified(device=self.name, command="wake", asked=None, why=why)
            return answer

    async def warm(self, prompts: Sequence[str]) -> Answer:
        """Load the working memory of these prompts; ``confirmed`` counts those found warm after."""
        asked = float(len(prompts))
        try:
            if await self._is_asleep():
                return Refused(device=self.name, command="warm", asked=asked, why="it is asleep")
            warm = 0
            for prompt in prompts:
                await self._complete(prompt)
                before = (await self._metrics()).values.get("prefix_cache_hits", 0.0)
                await self._complete(prompt)
                after = (await self._metrics()).values.get("prefix_cache_hits", 0.0)
                warm += after > before
        except (_NoAnswer, NotVllm) as error:
            lost = error if isinstance(error, _NoAnswer) else _NoAnswer(str(error), sent=True)
            return self._lost("warm", lost, asked)
        if warm < len(prompts):
            return Unverified(
                device=self.name,
                command="warm",
                asked=asked,
                why=f"{warm} of {len(prompts)} prompts are found in the cache",
                read_back=float(warm),
            )
        return Applied(device=self.name, command="warm", asked=asked, confirmed=float(warm))

    # --- lease -----------------------------------------------------------------------------------

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease that the local agent counts; without one, nothing is to be leased."""
        if not ttl_s > 0.0:
            return Refused(device=self.name, command="renew", asked=ttl_s, why="no term")
        if self._guardian is None:
            return Applied(device=self.name, command="renew", asked=ttl_s, confirmed=ttl_s)
        return await self._guardian.renew(ttl_s)

    async def release(self) -> Answer:
        """Wake it, if it sleeps."""
        try:
            asleep = await self._is_asleep()
        except _NoAnswer as error:
            return self._lost("release", error)
        if asleep and not isinstance(answer := await self.wake(), Applied):
            return answer
        return Applied(device=self.name, command="release", asked=None, confirmed=None)

    async def close(self) -> None:
        """Close its connections; the agent's lease then ends by itself."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- requests --------------------------------------------------------------------------------

    async def _turn(self, command: str, path: str, *, asleep: bool) -> Answer:
        """Tell it once, and make sure that it has turned."""
        try:
            got = await self._ask("POST", path, timeout_s=self.turn_s)
            if got.status != 200:
                return self._refused(command, f"it answers {got.status}: {got.text[:120].strip()}")
            until_s = self._clock.now_s() + self.turn_s
            while await self._is_asleep() != asleep:
                if self._clock.now_s() > until_s:
                    why = f"told, and still {'awake' if asleep else 'asleep'}"
                    return Unverified(device=self.name, command=command, asked=None, why=why)
                await self._clock.sleep(POLL_S)
        except _NoAnswer as error:
            return self._lost(command, error)
        return Applied(device=self.name, command=command, asked=None, confirmed=None)

    async def _complete(self, prompt: str) -> None:
        """Let it write one token."""
        model = self._model
        if model is None:
            listed = await self._ask("GET", "/v1/models")
            model = self._model = _first_model(listed.text)
        body = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0}
        got = await self._ask("POST", "/v1/completions", json=body, timeout_s=self.turn_s)
        if got.status != 200 or '"abort"' in got.text:
            raise _NoAnswer(f"it answers {got.status}: {got.text[:120].strip()}", sent=True)

    async def _is_asleep(self) -> bool:
        got = await self._ask("GET", "/is_sleeping")
        if got.status == 404:
            raise _NoAnswer(
                "it does not say whether it sleeps: start it with VLLM_SERVER_DEV_MODE=1 on a "
                "network of its own",
                sent=True,
            )
        said = "".join(got.text.split())
        if got.status != 200 or said not in ('{"is_sleeping":true}', '{"is_sleeping":false}'):
            raise _NoAnswer("it does not say whether it sleeps", sent=True)
        return "true" in said

    async def _metrics(self) -> Metrics:
        got = await self._ask("GET", "/metrics")
        if got.status != 200:
            raise _NoAnswer(f"/metrics answers {got.status}", sent=True)
        return read_metrics(got.text)

    async def _ask(
        self, method: str, path: str, *, timeout_s: float | None = None, **kwargs: Any
    ) -> _Got:
        """Send one request, once; an engine that did not answer is left alone for a while."""
        now_s = self._clock.now_s()
        if self._health.failures and not may_try(self._health, now_s, self._policy):
            raise _NoAnswer(f"left alone after a failure: {self._health.why}", sent=False)
        try:
            got = await self._send(method, path, timeout_s or self._timeout_s, **kwargs)
        except _NoAnswer as error:
            self._health = after_failure(self._health, self._clock.now_s(), error.why)
            raise
        self._health = after_success(self._health, self._clock.now_s(), self._policy)
        return got

    async def _send(self, method: str, path: str, within_s: float, **kwargs: Any) -> _Got:
        import aiohttp

        if self._session is None:
            key = self._api_key
            headers = {} if key is None else {"Authorization": f"Bearer {key.reveal()}"}
            # kept connections may be dead, and a request on one would be sent twice to find out
            connector = aiohttp.TCPConnector(force_close=True, limit=8)
            self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        limits = aiohttp.ClientTimeout(total=within_s, sock_connect=self._timeout_s)
        try:
            async with self._session.request(
                method, self.url + path, timeout=limits, allow_redirects=False, **kwargs
            ) as answer:
                raw = bytearray()
                async for piece in answer.content.iter_any():
                    raw += piece
                    if len(raw) > MOST_BYTES:
                        raise _NoAnswer(f"an answer of over {MOST_BYTES} bytes", sent=True)
                return _Got(answer.status, raw.decode("utf-8"))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise _NoAnswer(f"no connection: {_short(error)}", sent=False) from None
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as error:
            raise _NoAnswer(_short(error) or "no answer in time", sent=True) from None

    def _refused(self, command: str, why: str) -> Refused:
        return Refused(device=self.name, command=command, asked=None, why=why)

    def _lost(self, command: str, error: _NoAnswer, asked: float | None = None) -> Unreachable:
        return Unreachable(
            device=self.name, command=command, asked=asked, why=error.why, executed=error.sent
        )


def _first_model(text: str) -> str:
    import json

    try:
        return str(json.loads(text)["data"][0]["id"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise _NoAnswer("it does not list its models", sent=False) from None


def _short(error: BaseException) -> str:
    """Return what happened in a line; never the request, which may hold a key."""
    said = str(error).splitlines()
    return said[0][:120] if said else type(error).__name__
