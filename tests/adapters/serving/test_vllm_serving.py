"""An engine is put to sleep, woken and warmed with proof; its traps hurt nobody."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import scenarios
from scenarios import Rig

from ebplan.adapters import Applied, Refused, Serving, Unreachable, Unverified
from ebplan.adapters.answers import Answer
from ebplan.adapters.health import BackOff
from ebplan.adapters.secrets import Secret
from ebplan.adapters.serving.vllm import VllmServing
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.vllm_double import GARBAGE, VllmDouble

PROMPT = "You are a helpful assistant that answers in one sentence. " * 4


class Agent:
    """A local agent: it wakes what it watches when nobody has renewed for a term."""

    def __init__(self) -> None:
        self.watched: dict[str, str] = {}
        self.refuses = False
        self._lapse: asyncio.Task[None] | None = None

    async def renew(self, ttl_s: float) -> Answer:
        await self.stop()
        self._lapse = asyncio.create_task(self._after(ttl_s))
        return Applied(device="agent", command="renew", asked=ttl_s, confirmed=ttl_s)

    async def watch(self, name: str, url: str) -> Answer:
        if self.refuses or self._lapse is None:
            return Refused(device="agent", command="watch", asked=name, why="no lease")
        self.watched[name] = url
        return Applied(device="agent", command="watch", asked=name, confirmed=url)

    async def release(self) -> Answer:
        await self.stop()
        return Applied(device="agent", command="release", asked=None, confirmed=None)

    async def stop(self) -> None:
        if self._lapse is not None:
            self._lapse.cancel()
            await asyncio.wait([self._lapse])

    async def _after(self, ttl_s: float) -> None:
        await asyncio.sleep(ttl_s)
        async with aiohttp.ClientSession() as http:
            for url in self.watched.values():
                async with http.post(f"{url}/wake_up"):
                    pass


@pytest.fixture
async def engine() -> AsyncIterator[VllmDouble]:
    async with VllmDouble() as engine:
        yield engine


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    agent = Agent()
    yield agent
    await agent.stop()


@pytest.fixture
async def serving(engine: VllmDouble, agent: Agent) -> AsyncIterator[VllmServing]:
    device = VllmServing("llama-0", engine.url, guardian=agent, timeout_s=0.5)
    yield device
    await device.close()


async def ask(engine: VllmDouble, **body: object) -> dict[str, object]:
    async with aiohttp.ClientSession() as http:
        told = {"model": "double", "prompt": PROMPT, "max_tokens": 8, **body}
        async with http.post(f"{engine.url}/v1/completions", json=told) as got:
            answer: dict[str, object] = await got.json()
            return answer


@pytest.mark.parametrize("scenario", scenarios.SERVING, ids=lambda s: s.__name__)
async def test_it_keeps_the_contract(
    scenario: object, engine: VllmDouble, serving: VllmServing
) -> None:
    assert isinstance(serving, Serving)
    requests: list[asyncio.Task[object]] = []

    async def busy(at_work: bool) -> None:
        if at_work:
            requests.append(asyncio.create_task(ask(engine, max_tokens=100)))
            await asyncio.sleep(0.05)
        else:
            await asyncio.gather(*requests)

    rig = Rig(serving, asyncio.sleep, ttl_s=0.4, busy=busy)
    rig.lapse = lambda: asyncio.sleep(0.7)  # type: ignore[method-assign]
    await scenario(rig)  # type: ignore[operator]


async def test_what_it_reads_is_what_the_engine_did(
    engine: VllmDouble, serving: VllmServing
) -> None:
    await ask(engine)
    await ask(engine)
    reading = await serving.read()
    assert not isinstance(reading, Unreachable)
    assert reading.generated_tokens == 16.0
    assert reading.prompt_tokens == 2 * len(PROMPT) // 4
    assert reading.finished == 2.0
    assert reading.cache_hits > 0.0
    assert (reading.running, reading.waiting, reading.awake) == (0, 0, True)


async def test_an_engine_without_an_agent_is_never_put_to_sleep(engine: VllmDouble) -> None:
    device = VllmServing("llama-0", engine.url, guardian=None)
    answer = await device.sleep()
    assert isinstance(answer, Refused)
    assert "nobody would wake it" in answer.why
    assert engine.calls["/sleep"] == 0
    await device.close()


async def test_an_agent_that_does_not_watch_keeps_it_awake(
    engine: VllmDouble, agent: Agent, serving: VllmServing
) -> None:
    await serving.renew(5.0)
    agent.refuses = True
    assert isinstance(await serving.sleep(), Refused)
    assert engine.calls["/sleep"] == 0


async def test_no_answer_is_cut_short_by_a_sleep(engine: VllmDouble, serving: VllmServing) -> None:
    """The default mode would: here is what it does to others, and what this adapter does."""
    running = asyncio.create_task(ask(engine, max_tokens=100))
    await asyncio.sleep(0.05)
    async with aiohttp.ClientSession() as http, http.post(f"{engine.url}/sleep"):
        pass
    assert (await running)["choices"][0]["finish_reason"] == "abort"  # type: ignore[index]
    await serving.wake()
    await serving.renew(5.0)
    running = asyncio.create_task(ask(engine, max_tokens=100))
    await asyncio.sleep(0.05)
    assert isinstance(await serving.sleep(), Refused)
    assert (await running)["choices"][0]["finish_reason"] == "length"  # type: ignore[index]
    assert isinstance(await serving.sleep(), Applied)
    assert engine.level == 1


async def test_a_wake_is_applied_only_once_it_answers(
    engine: VllmDouble, serving: VllmServing
) -> None:
    await serving.renew(5.0)
    await serving.sleep()
    hanging = asyncio.create_task(ask(engine))
    await asyncio.sleep(0.1)
    assert not hanging.done()  # no error: it hangs
    async with aiohttp.ClientSession() as http, http.get(f"{engine.url}/health") as health:
        assert health.status == 200
    before = engine.calls["/v1/completions"]
    assert isinstance(await serving.wake(), Applied)
    assert engine.calls["/v1/completions"] == before + 1
    await hanging


async def test_level_two_would_yield_garbage(engine: VllmDouble) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{engine.url}/sleep?level=2&mode=wait"):
            pass
        async with http.post(f"{engine.url}/wake_up"):
            pass
    assert GARBAGE in json.dumps(await ask(engine), ensure_ascii=False)


async def test_sleep_drops_the_cache(engine: VllmDouble, serving: VllmServing) -> None:
    assert isinstance(await serving.warm([PROMPT]), Applied)
    await serving.renew(5.0)
    await serving.sleep()
    await serving.wake()
    hits = (await serving.read()).cache_hits  # type: ignore[union-attr]
    await ask(engine)
    assert (await serving.read()).cache_hits == hits  # type: ignore[union-attr]


async def test_a_prompt_that_fills_no_block_is_not_warm(serving: VllmServing) -> None:
    answer = await serving.warm(["short", PROMPT])
    assert isinstance(answer, Unverified)
    assert answer.read_back == 1.0


async def test_a_key_is_sent_and_never_said() -> None:
    async with VllmDouble(api_key="hunter2hunter2") as engine:
        for key, kind in ((Secret("hunter2hunter2"), Applied), (Secret("wrongwrong"), Unreachable)):
            device = VllmServing("llama-0", engine.url, guardian=None, api_key=key)
            answer = await device.warm([PROMPT])
            assert isinstance(answer, kind), answer
            assert key.reveal() not in repr(answer) + repr(vars(device))
            await device.close()


async def test_an_engine_without_its_development_endpoints_says_so() -> None:
    async with VllmDouble() as engine:
        device = VllmServing("llama-0", engine.url + "/v1", guardian=None)
        reading = await device.read()
        assert isinstance(reading, Unreachable)
        assert "VLLM_SERVER_DEV_MODE" in reading.why
        await device.close()


@pytest.mark.parametrize(
    ("fault", "executed"),
    [
        (Fault.REFUSE, False),
        (Fault.SILENT, False),
        (Fault.HALF_OPEN, False),
        (Fault.SLOW, False),
        (Fault.GARBAGE, False),
        (Fault.PARTIAL, False),
        (Fault.FLAPPING, False),
    ],
)
async def test_an_engine_that_misbehaves(
    fault: Fault, executed: bool, engine: VllmDouble, agent: Agent
) -> None:
    async with FaultProxy(("127.0.0.1", engine.port), slow_s=2.0) as line:
        device = VllmServing(
            "llama-0",
            f"http://127.0.0.1:{line.port}",
            guardian=agent,
            timeout_s=0.2,
            policy=BackOff(longest_s=0.4),
        )
        await device.renew(30.0)
        await line.turn(fault)
        for _ in range(5):
            began_s = time.monotonic()
            answer = await device.sleep()
            assert time.monotonic() - began_s < 0.6
            assert isinstance(answer, Unreachable), answer
            assert answer.executed is executed  # it was not even read: nothing was told
        assert engine.calls["/sleep"] == 0
        assert line.open_connections <= 2
        assert line.accepted < 15  # it is left alone between tries
        await line.turn(Fault.NONE)
        await asyncio.sleep(0.5)
        assert isinstance(await device.sleep(), Applied)
        await device.close()


async def test_a_command_whose_answer_is_lost_is_told_once(
    engine: VllmDouble, agent: Agent
) -> None:
    async with FaultProxy(("127.0.0.1", engine.port)) as line:
        device = VllmServing("llama-0", f"http://127.0.0.1:{line.port}", guardian=agent)
        device.turn_s = 0.3
        await line.turn(Fault.SILENT)
        answer = await device.wake()
        assert isinstance(answer, Unreachable)
        assert answer.executed
        assert engine.calls["/wake_up"] == 1
        await device.close()


async def test_a_real_engine_can_be_read() -> None:
    url = os.environ.get("EBPLAN_VLLM_URL")
    if url is None:
        pytest.skip("EBPLAN_VLLM_URL names no engine to read")
    device = VllmServing("real", url, guardian=None)
    assert not isinstance(await device.read(), Unreachable)
    await device.close()
