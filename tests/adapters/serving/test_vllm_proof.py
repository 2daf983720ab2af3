"""What an engine is believed: nothing is applied without proof."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web
from serving_rigs import PROMPT, Agent, Strange, ask, made, post

from ebplan.adapters import Applied, Refused, Unreachable, Unverified
from ebplan.adapters.answers import Answer
from ebplan.adapters.serving.vllm import VllmServing
from ebplan.twin.wire.vllm_double import VllmDouble

# --- wake -----------------------------------------------------------------------------------------


async def test_an_engine_without_weights_is_not_woken(
    strange: Strange, device: VllmServing
) -> None:
    """Somebody has put it to level 2: it would write garbage, and nobody would notice."""
    await post(f"{strange.url}/sleep?level=2&mode=wait")
    for answer in (await device.wake(), await device.sleep(), await device.release()):
        assert isinstance(answer, Refused)
        assert "garbage" in answer.why
    assert strange.asleep
    assert strange.calls["/wake_up"] == 0


@pytest.mark.parametrize(
    "completion",
    [
        web.json_response({}),
        web.json_response([1]),
        web.Response(text="[" * 100_000),
        web.json_response({"choices": [{"text": "", "finish_reason": "abort"}], "usage": {}}),
        web.json_response(
            {"choices": [{"finish_reason": "length"}], "usage": {"completion_tokens": 0}}
        ),
        web.Response(status=500),
        web.Response(status=404),
    ],
    ids=["empty", "list", "deep", "cut", "no-token", "500", "404"],
)
async def test_a_wake_needs_a_token(
    completion: web.Response, strange: Strange, device: VllmServing
) -> None:
    await device.sleep()
    strange.answers["/v1/completions"] = completion
    answer = await device.wake()
    assert isinstance(answer, Unverified)
    assert not strange.asleep


async def test_a_wake_that_is_followed_by_silence(strange: Strange, device: VllmServing) -> None:
    """A paused engine says that it is awake, is healthy, and lets requests hang."""
    strange.pause()
    began_s = time.monotonic()
    answer = await device.wake()
    assert isinstance(answer, Unverified)
    assert "no answer in time" in answer.why
    assert time.monotonic() - began_s < 1.0
    strange.resume()
    assert isinstance(await device.wake(), Applied)


async def test_a_page_that_is_none_keeps_no_engine_asleep(
    strange: Strange, device: VllmServing
) -> None:
    await device.sleep()
    strange.answers["/metrics"] = web.Response(text="another_exporter 1.0\n")
    assert isinstance(await device.read(), Unreachable)
    assert isinstance(await device.wake(), Applied)
    answer = await device.sleep()
    assert isinstance(answer, Unreachable)
    assert not answer.executed


async def test_another_model_after_a_restart(leased_agent: Agent) -> None:
    async with Strange() as engine:
        device = made(engine.url, leased_agent)
        assert isinstance(await device.wake(), Applied)
        engine.answers["/v1/models"] = web.json_response({"data": [{"id": "other"}]})
        answer = await device.wake()
        assert isinstance(answer, Unverified)
        del engine.answers["/v1/models"]
        assert isinstance(await device.wake(), Applied)
        await device.close()


# --- sleep ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"), [(404, Refused), (400, Refused), (500, Unverified), (302, Unverified)]
)
async def test_what_an_engine_says_to_a_command(
    status: int, kind: type[Answer], strange: Strange, device: VllmServing
) -> None:
    strange.answers["/sleep"] = web.Response(
        status=status, headers={"Location": f"{strange.url}/wake_up"}
    )
    assert isinstance(await device.sleep(), kind)
    assert strange.calls["/sleep"] == 1
    assert strange.calls["/wake_up"] == 0


async def test_an_engine_that_says_yes_and_stays_awake(
    strange: Strange, device: VllmServing
) -> None:
    strange.answers["/sleep"] = web.Response()
    began_s = time.monotonic()
    answer = await device.sleep()
    assert isinstance(answer, Unverified)
    assert "still awake" in answer.why
    assert time.monotonic() - began_s < 1.0


async def test_an_engine_that_sleeps_is_watched_and_not_told_again(
    strange: Strange, device: VllmServing, leased_agent: Agent
) -> None:
    await post(f"{strange.url}/sleep?level=1&mode=wait")
    assert isinstance(await device.sleep(), Applied)
    assert strange.calls["/sleep"] == 1
    assert leased_agent.watched == {"llama-0": strange.url}


async def test_requests_that_come_while_the_agent_is_asked(
    strange: Strange, leased_agent: Agent
) -> None:
    class Slow(Agent):
        async def watch(self, name: str, url: str) -> Answer:
            requests.append(asyncio.create_task(ask(strange, max_tokens=100)))
            await asyncio.sleep(0.05)
            return await leased_agent.watch(name, url)

    requests: list[asyncio.Task[object]] = []
    device = made(strange.url, Slow())
    assert isinstance(await device.sleep(), Refused)
    await asyncio.gather(*requests)
    assert strange.calls["/sleep"] == 0
    await device.close()


async def test_a_lease_that_ends_while_the_engine_falls_asleep(leased_agent: Agent) -> None:
    """The agent has woken an engine that was still awake, and would never do so again."""

    class Forgets(Agent):
        async def watch(self, name: str, url: str) -> Answer:
            self.refuses = engine.asleep
            self._lapse = leased_agent._lapse
            return await super().watch(name, url)

    async with VllmDouble() as engine:
        device = made(engine.url, Forgets())
        answer = await device.sleep()
        assert isinstance(answer, Unverified)
        assert "nobody watches it" in answer.why
        assert not engine.asleep
        await device.close()


# --- warm -----------------------------------------------------------------------------------------


async def test_a_cold_prompt_takes_longer_than_a_warm_one(leased_agent: Agent) -> None:
    async with VllmDouble(prompt_token_s=0.002) as engine:
        device = made(engine.url, leased_agent)
        took_s = []
        for _ in range(2):
            began_s = time.monotonic()
            await ask(engine, max_tokens=1)
            took_s.append(time.monotonic() - began_s)
        assert took_s[1] < took_s[0] - 0.05
        assert isinstance(await device.warm([PROMPT]), Applied)
        await device.close()


async def test_an_engine_without_a_cache(strange: Strange, device: VllmServing) -> None:
    strange._read_prompt = lambda prompt: 0  # type: ignore[method-assign]
    answer = await device.warm([PROMPT])
    assert isinstance(answer, Unverified)
    assert answer.read_back == 0.0
    assert isinstance(await device.warm([]), Applied)


async def test_hits_that_show_late_on_the_page(strange: Strange, device: VllmServing) -> None:
    pages = [strange.page()]

    def late() -> str:
        pages.append(VllmDouble.page(strange))
        return pages.pop(0) if len(pages) > 2 else pages[0]

    strange.page = late  # type: ignore[method-assign]
    assert isinstance(await device.warm([PROMPT]), Applied)


async def test_a_prompt_that_cannot_be_read_is_refused(
    strange: Strange, device: VllmServing
) -> None:
    strange.answers["/v1/completions"] = web.Response(status=400)
    assert isinstance(await device.warm([PROMPT]), Refused)
    strange.answers["/v1/completions"] = web.Response(status=503)
    assert isinstance(await device.warm([PROMPT]), Unverified)


async def test_a_command_that_was_refused_is_not_undone(
    strange: Strange, device: VllmServing, leased_agent: Agent
) -> None:
    asked = 0

    async def once(name: str, url: str) -> Answer:
        nonlocal asked
        asked += 1
        return await Agent.watch(leased_agent, name, url)

    leased_agent.watch = once  # type: ignore[method-assign]
    strange.answers["/sleep"] = web.Response(status=404)
    assert isinstance(await device.sleep(), Refused)
    assert asked == 1
    assert strange.calls["/wake_up"] == 0
