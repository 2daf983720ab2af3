"""One vLLM engine: read, put to sleep in the safe order, woken and warmed with proof.

**Safe state.** The engine knows no lease. A local agent (``Guardian``) counts it and wakes the
engine when it ends; the router's health check keeps a sleeping engine out of the pool. Without an
agent that watches it, an engine is not put to sleep.

A sleeping engine lets requests hang while its health says 200, so sleep is refused with anything in
flight, and traffic may return only after the engine has answered a request. Sleep is level 1 with
``mode=wait``: the default mode cuts answers short, and level 2 wakes with weights that are garbage,
so that an engine which somebody else has put there is not woken either. Sleep drops the cache;
whatever was warm is to be warmed again.

An engine that was started without its development endpoints cannot sleep; all else works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ebplan.adapters.answers import Answer, Applied, Refused, Setting, Unreachable, Unverified
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import BackOff
from ebplan.adapters.roles import ServingReading
from ebplan.adapters.secrets import Secret
from ebplan.adapters.serving.engine import POLL_S, EngineQuestions, Wrong, cache_hits
from ebplan.adapters.serving.engine_http import EngineHttp, NoAnswer
from ebplan.adapters.serving.guardian import Guardian

WAKE_S = 60.0
"""How long an engine may take to wake: a 70B model took 3 to 6 s."""
NO_SLEEP = "it cannot sleep: start it with VLLM_SERVER_DEV_MODE=1 on a network of its own"
GONE = "somebody has dropped its weights, it would write garbage: start it again"


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
        self._guardian = guardian
        self._timeout_s = timeout_s
        self.turn_s = WAKE_S
        """How long it may take to fall asleep, to wake, or to read a prompt."""
        self._clock = clock or MonotonicClock()
        self._http = EngineHttp(
            self.url,
            key=api_key,
            timeout_s=timeout_s,
            policy=policy or BackOff(longest_s=5.0, steady_s=1.0),
            clock=self._clock,
        )
        self._engine = EngineQuestions(self._http, self._clock, model=model)
        self._turning = asyncio.Lock()

    # --- readings --------------------------------------------------------------------------------

    async def read(self) -> ServingReading | Unreachable:
        """Return what it is doing."""
        try:
            metrics, asleep = await self._engine.metrics(), await self._engine.is_asleep()
        except (NoAnswer, Wrong) as error:
            return self._lost("read", error.why, executed=False)
        values = metrics.values
        return ServingReading(
            awake=not (metrics.sleep_level if asleep is None else asleep),
            running=round(values["num_requests_running"]),
            waiting=round(values["num_requests_waiting"]),
            kv_cache_used=values["kv_cache_usage_perc"],
            prompt_tokens=values["prompt_tokens"],
            generated_tokens=values["generation_tokens"],
            finished=metrics.finished,
            cache_hits=cache_hits(metrics),
            preempted=values.get("num_preemptions", 0.0),
        )

    # --- commands --------------------------------------------------------------------------------

    async def sleep(self) -> Answer:
        """Put it to sleep; refused while anything is in flight, or nobody would wake it."""
        async with self._turning:
            try:
                asleep = await self._may_sleep()
                if not asleep:
                    await self._engine.idle()  # the agent took its time: something may have come
            except NoAnswer as error:
                return self._lost("sleep", error.why, executed=False)
            except Wrong as error:
                if error.refused:
                    return self._refused("sleep", error.why)
                return self._lost("sleep", error.why, executed=False)
            if asleep:
                return Applied(device=self.name, command="sleep", asked=None, confirmed=None)
            answer = await self._turn("sleep", "/sleep?level=1&mode=wait", asleep=True)
            if isinstance(answer, Refused) or (
                isinstance(answer, Unreachable) and not answer.executed
            ):
                return answer
            return await self._still_watched() or answer

    async def wake(self) -> Answer:
        """Wake it; applied once it has answered a request."""
        async with self._turning:
            try:
                if await self._engine.sleep_level() == 2:
                    return self._refused("wake", GONE)
                able = await self._engine.is_asleep() is not None
            except (NoAnswer, Wrong) as error:
                return self._lost("wake", error.why, executed=False)
            if able:
                answer = await self._turn("wake", "/wake_up", asleep=False)
                if not isinstance(answer, Applied):
                    return answer
            try:
                model = await self._engine.model()
                await self._engine.complete(model, "1", within_s=self.turn_s)
            except (NoAnswer, Wrong) as error:
                return self._unverified("wake", f"awake, and does not answer: {error.why}")
            return Applied(device=self.name, command="wake", asked=None, confirmed=None)

    async def warm(self, prompts: Sequence[str]) -> Answer:
        """Load the working memory of these prompts; ``confirmed`` counts those found warm after.

        Each is sent twice, the second time after all others: what they have pushed out of the
        cache again is not counted as warm. Requests of others at the same time may count as well.
        """
        asked, told, warm = float(len(prompts)), False, 0
        try:
            if await self._engine.is_asleep():
                return self._refused("warm", "it is asleep", asked)
            model = await self._engine.model()
            for prompt in prompts:
                await self._engine.complete(model, prompt, within_s=self.turn_s)
                told = True
            for prompt in prompts:
                warm += await self._engine.is_warm(model, prompt, within_s=self.turn_s)
        except NoAnswer as error:
            return self._lost("warm", error.why, asked, executed=told or error.told)
        except Wrong as error:
            if error.refused and not told:
                return self._refused("warm", error.why, asked)
            return self._unverified("warm", error.why, asked, float(warm))
        if warm < len(prompts):
            why = f"{warm} of {len(prompts)} prompts are found in the cache"
            return self._unverified("warm", why, asked, float(warm))
        return Applied(device=self.name, command="warm", asked=asked, confirmed=float(warm))

    # --- lease -----------------------------------------------------------------------------------

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease that the local agent counts; without one, nothing is to be leased."""
        if not ttl_s > 0.0:
            return self._refused("renew", "no term", ttl_s)
        if self._guardian is None:
            return Applied(device=self.name, command="renew", asked=ttl_s, confirmed=ttl_s)
        return await self._guardian.renew(ttl_s)

    async def release(self) -> Answer:
        """Wake it, if it sleeps."""
        try:
            asleep = await self._engine.is_asleep()
        except (NoAnswer, Wrong) as error:
            return self._lost("release", error.why, executed=False)
        if asleep and not isinstance(answer := await self.wake(), Applied):
            return answer
        return Applied(device=self.name, command="release", asked=None, confirmed=None)

    async def close(self) -> None:
        """Close its connections; the agent's lease then ends by itself."""
        await self._http.close()

    # --- sleep and wake --------------------------------------------------------------------------

    async def _may_sleep(self) -> bool:
        """Make sure that it may be put to sleep, and return whether it sleeps already."""
        level, asleep = await self._engine.idle(), await self._engine.is_asleep()
        if asleep is None:
            raise Wrong(NO_SLEEP, refused=True)
        if level == 2:
            raise Wrong(GONE, refused=True)
        if unwatched := await self._unwatched():
            raise Wrong(f"nobody would wake it: {unwatched}", refused=True)
        return asleep

    async def _unwatched(self) -> str | None:
        """Have the agent watch it; return why it does not."""
        if self._guardian is None:
            return "there is no local agent"
        watched = await self._guardian.watch(self.name, self.url)
        return None if isinstance(watched, Applied) else str(watched)

    async def _still_watched(self) -> Answer | None:
        """Wake an engine whose lease ended while it fell asleep: the agent has passed already."""
        if (unwatched := await self._unwatched()) is None:
            return None
        woken = await self._turn("wake", "/wake_up", asleep=False)
        return self._unverified("sleep", f"nobody watches it any more ({unwatched}); then {woken}")

    async def _turn(self, command: str, path: str, *, asleep: bool) -> Answer:
        """Tell it once, and make sure that it has turned."""
        try:
            got = await self._http.ask("POST", path, within_s=self.turn_s)
        except NoAnswer as error:
            return self._lost(command, error.why, executed=error.told)
        if 400 <= got.status < 500:
            return self._refused(command, got.shown)
        if got.status != 200:
            return self._unverified(command, got.shown)
        until_s = self._clock.now_s() + self._timeout_s
        try:
            while await self._engine.is_asleep() is not asleep:
                if self._clock.now_s() >= until_s:
                    return self._unverified(
                        command, f"told, and still {'awake' if asleep else 'asleep'}"
                    )
                await self._clock.sleep(POLL_S)
        except (NoAnswer, Wrong) as error:
            return self._lost(command, f"told, and then: {error.why}", executed=True)
        return Applied(device=self.name, command=command, asked=None, confirmed=None)

    # --- answers ---------------------------------------------------------------------------------

    def _refused(self, command: str, why: str, asked: Setting = None) -> Refused:
        return Refused(device=self.name, command=command, asked=asked, why=why)

    def _lost(
        self, command: str, why: str, asked: Setting = None, *, executed: bool
    ) -> Unreachable:
        return Unreachable(
            device=self.name, command=command, asked=asked, why=why, executed=executed
        )

    def _unverified(
        self, command: str, why: str, asked: Setting = None, read_back: Setting = None
    ) -> Unverified:
        return Unverified(
            device=self.name, command=command, asked=asked, why=why, read_back=read_back
        )
