"""One vLLM engine: read, put to sleep, woken, and its cache warmed.

Safe state: awake. A sleeping engine has no lease of its own, so it is put to sleep only while a
guardian watches it, which wakes it when the lease lapses.

The order is what keeps requests: whoever is asleep lets requests hang without an error, so the
router drains an engine first and this refuses while anything is in flight. Only level 1 is used
(after level 2 an engine writes garbage), and only the mode that waits (the default one cuts answers
off and calls that success). Traffic may return once ``wake`` is applied: the engine has then
written a token again, the same one as before it slept. Sleep forgets the cache: ``warm`` it.

A command that may have been carried out is never sent a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Setting,
    Unreachable,
    Unverified,
)
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.roles import ServingReading
from ebplan.adapters.secrets import Secret
from ebplan.adapters.serving.guardian import Guardian
from ebplan.adapters.serving.http import Asked, EngineHttp, NoReply
from ebplan.adapters.serving.metrics import ServingMetrics, read_metrics
from ebplan.errors import InputError

PROBE = "1 2 3 4 5 6 7 8"
"""What an engine is asked for one token of, to see that it answers."""
QUIET_S = 0.2
"""Nothing may move for so long before an engine sleeps: its gauges lag behind by a step."""
POLL_S = 0.05


class VllmServing:
    """One engine at its own address, not through the router.

    Args:
        name: what it is called in answers.
        url: e.g. ``http://10.0.0.5:8000``; its control paths ask for no key: own net only.
        guardian: who wakes it when the controller is gone.
        model: name of the model; None takes the first that it serves.
        key: its API key, where it asks for one.
        timeout_s: longest wait for one answer.
        answer_timeout_s: longest wait for one token after a prompt: a long prompt takes its time.
        wake_timeout_s: longest wait for it to fall asleep or wake up.
        clock: what time it is.
    """

    def __init__(
        self,
        name: str,
        url: str,
        guardian: Guardian,
        *,
        model: str | None = None,
        key: Secret | None = None,
        timeout_s: float = 1.0,
        answer_timeout_s: float = 30.0,
        wake_timeout_s: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self.model = model
        self.answer_timeout_s = answer_timeout_s
        self.wake_timeout_s = wake_timeout_s
        self._guardian = guardian
        self._http = EngineHttp(url, key=key, timeout_s=timeout_s)
        self._clock = clock or MonotonicClock()
        self._one_change = asyncio.Lock()
        self._written_before: str | None = None

    async def read(self) -> ServingReading | Unreachable:
        """Return what it is doing."""
        try:
            metrics, asleep = await asyncio.gather(self._metrics(), self._asleep())
        except NoReply as error:
            return self._silent("read", None, error, executed=False)
        awake = metrics.awake if asleep is None else not asleep
        counters = metrics.counters
        return ServingReading(
            # an engine that cannot be put to sleep is awake
            awake=awake is not False,
            running=metrics.running,
            waiting=metrics.waiting,
            kv_cache_used=metrics.kv_cache_used,
            prompt_tokens=counters["prompt_tokens"],
            generated_tokens=counters["generated_tokens"],
            finished=counters["finished"],
            cache_hits=counters["cache_hits"],
            preempted=counters["preempted"],
        )

    async def sleep(self) -> Answer:
        """Put it to sleep; refused while anything is in flight or no guardian watches it."""
        async with self._one_change:
            started_s = self._clock.now_s()
            answer = await self._sleep()
            return replace(answer, took_s=self._clock.now_s() - started_s)

    async def wake(self) -> Answer:
        """Wake it and have it write one token: only then may traffic return."""
        async with self._one_change:
            started_s = self._clock.now_s()
            answer = await self._wake()
            return replace(answer, took_s=self._clock.now_s() - started_s)

    async def warm(self, prompts: Sequence[str]) -> Answer:
        """Load the cache with these prompts; ``confirmed`` counts those found in it afterwards.

        Each is sent twice, the second time to see that it is found. A prompt shorter than a block
        of the cache never is.
        """
        async with self._one_change:
            started_s = self._clock.now_s()
            answer = await self._warm(prompts)
            return replace(answer, took_s=self._clock.now_s() - started_s)

    async def renew(self, ttl_s: float) -> Answer:
        """Let the guardian leave it asleep for so long."""
        return await self._guardian.renew(ttl_s)

    async def release(self) -> Answer:
        """Have the guardian wake it, or wake it from here, and give the lease back."""
        released = await self._guardian.release()
        woken = await self.wake()
        return replace(woken, command="release") if isinstance(released, Applied) else released

    async def close(self) -> None:
        """Close the connections; what sleeps is woken by the guardian when the lease lapses."""
        await self._http.close()

    # -- sleep and wake -----------------------------------------------------------------------

    async def _sleep(self) -> Answer:
        watched = await self._guardian.watch(self.name, self.url)
        if not isinstance(watched, Applied):
            return self._refused("sleep", True, f"no guardian would wake it: {watched}")
        try:
            asleep = await self._asleep()
            if asleep is None:
                return self._refused("sleep", True, "it cannot be put to sleep")
            if asleep:
                return Applied(device=self.name, command="sleep", asked=True, confirmed=True)
            busy = await self._busy()
            if busy is not None:
                return self._refused("sleep", True, busy)
            self._written_before = await self._write_one(PROBE)
            busy = await self._busy()
            if busy is not None:
                return self._refused("sleep", True, busy)
        except NoReply as error:
            return self._silent("sleep", True, error, executed=False)
        try:
            await self._http.post("/sleep?level=1&mode=wait", timeout_s=self.wake_timeout_s)
        except NoReply as error:
            return self._silent("sleep", True, error)
        try:
            if await self._asleep():
                return Applied(device=self.name, command="sleep", asked=True, confirmed=True)
        except NoReply as error:
            return self._silent("sleep", True, error, executed=True)
        return Unverified(
            device=self.name,
            command="sleep",
            asked=True,
            why="it says that it is awake",
            read_back=False,
        )

    async def _wake(self) -> Answer:
        try:
            asleep = await self._asleep()
        except NoReply as error:
            return self._silent("wake", True, error, executed=False)
        if asleep:
            try:
                await self._http.post("/wake_up", timeout_s=self.wake_timeout_s)
            except NoReply as error:
                return self._silent("wake", True, error)
        try:
            if not await self._stays_awake():
                return self._not_awake("it says that it is asleep")
            written = await self._write_one(PROBE)
        except NoReply as error:
            return self._not_awake(error.why)
        if self._written_before not in (None, written):
            return self._not_awake("it writes something else than before it slept")
        return Applied(device=self.name, command="wake", asked=True, confirmed=True)

    async def _stays_awake(self) -> bool:
        until_s = self._clock.now_s() + self.wake_timeout_s
        while await self._asleep():
            if self._clock.now_s() >= until_s:
                return False
            await self._clock.sleep(POLL_S)
        return True

    async def _busy(self) -> str | None:
        """Return what keeps it from sleeping; looks twice, because short requests hide between."""
        first = await self._metrics()
        if first.running or first.waiting:
            return f"{first.running} running and {first.waiting} waiting: drain it first"
        await self._clock.sleep(QUIET_S)
        then = await self._metrics()
        if then.running or then.waiting:
            return f"{then.running} running and {then.waiting} waiting: drain it first"
        if then.counters != first.counters:
            return "requests still reach it: drain it first"
        return None

    # -- cache --------------------------------------------------------------------------------

    async def _warm(self, prompts: Sequence[str]) -> Answer:
        asked = float(len(prompts))
        sent = False
        try:
            if await self._asleep():
                return self._refused("warm", asked, "it sleeps: wake it first")
            if not prompts:
                return Applied(device=self.name, command="warm", asked=asked, confirmed=0.0)
            found = 0
            for prompt in prompts:
                sent = True
                await self._complete(prompt)
                found += await self._is_found(prompt)
        except NoReply as error:
            return self._silent("warm", asked, error, executed=sent)
        if found == len(prompts):
            return Applied(device=self.name, command="warm", asked=asked, confirmed=float(found))
        if found:
            return AppliedInPart(
                device=self.name,
                command="warm",
                asked=asked,
                confirmed=float(found),
                feasible=Range(0.0, asked, "prompts"),
                why=f"{len(prompts) - found} are not found in the cache",
            )
        return Unverified(
            device=self.name,
            command="warm",
            asked=asked,
            why="none is found in the cache",
            read_back=0.0,
        )

    async def _is_found(self, prompt: str) -> bool:
        """Send a prompt again; whether its tokens were in the cache."""
        before = (await self._metrics()).counters["cache_hits"]
        cached = (await self._complete(prompt)).cached_tokens
        if cached is not None:
            return cached > 0
        for _ in range(5):
            if (await self._metrics()).counters["cache_hits"] > before:
                return True
            await self._clock.sleep(POLL_S)
        return False

    # -- what it is asked ---------------------------------------------------------------------

    async def _metrics(self) -> ServingMetrics:
        page = await self._http.get("/metrics")
        try:
            return read_metrics(page, model=self.model)
        except InputError as error:
            raise NoReply(str(error), sent=True) from None

    async def _asleep(self) -> bool | None:
        """Whether it sleeps; None where it cannot."""
        return await self._http.is_sleeping()

    async def _write_one(self, prompt: str) -> str:
        """Have it write one token.

        Raises:
            NoReply: it wrote none.
        """
        done = await self._complete(prompt)
        if done.tokens < 1 or done.ended not in ("length", "stop"):
            raise NoReply(f"it wrote {done.tokens} tokens and ended by {done.ended!r}", sent=True)
        return done.text

    async def _complete(self, prompt: str) -> Asked:
        if self.model is None:
            self.model = await self._http.first_model()
        return await self._http.complete(self.model, prompt, timeout_s=self.answer_timeout_s)

    # -- answers ------------------------------------------------------------------------------

    def _refused(self, command: str, asked: Setting, why: str) -> Refused:
        return Refused(device=self.name, command=command, asked=asked, why=why)

    def _not_awake(self, why: str) -> Unverified:
        return Unverified(device=self.name, command="wake", asked=True, why=why, read_back=False)

    def _silent(
        self, command: str, asked: Setting, error: NoReply, executed: bool | None = None
    ) -> Unreachable:
        return Unreachable(
            device=self.name,
            command=command,
            asked=asked,
            why=error.why,
            executed=error.sent if executed is None else executed,
        )
