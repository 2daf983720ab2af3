"""One engine: asleep only where nothing is lost, awake only when it answers, warm when seen so."""

import asyncio
import json
import logging
import os

import pytest
from vllm_cases import Guard, completion, post, serving

from ebplan.adapters import Serving
from ebplan.adapters.answers import Applied, AppliedInPart, Refused, Unreachable, Unverified
from ebplan.adapters.roles import ServingReading
from ebplan.adapters.secrets import Secret
from ebplan.twin.wire.vllm_double import EngineSettings, VllmDouble

LONG = " ".join(map(str, range(40)))
OTHER = " ".join(map(str, range(100, 140)))
KEY = "a-key-nobody-may-see"


def sleeps(engine: VllmDouble) -> list[str]:
    return [path for path in engine.posts if path.startswith("/sleep")]


async def test_it_is_a_serving_engine() -> None:
    async with serving("http://127.0.0.1:1") as adapter:
        assert isinstance(adapter, Serving)


async def test_a_reading() -> None:
    async with VllmDouble(EngineSettings(token_s=0.02)) as engine, serving(engine.url) as adapter:
        await completion(engine, "a b c", tokens=2)
        asked = asyncio.create_task(completion(engine, tokens=20))
        await asyncio.sleep(0.1)
        now = await adapter.read()
        await asked
    assert isinstance(now, ServingReading)
    assert (now.awake, now.running, now.waiting, now.finished) == (True, 1, 0, 1.0)
    assert now.prompt_tokens == 5.0
    assert now.generated_tokens > 2.0


async def test_asleep_and_awake_again() -> None:
    guard = Guard()
    async with VllmDouble() as engine, serving(engine.url, guard) as adapter:
        assert isinstance(await adapter.sleep(), Applied)
        assert sleeps(engine) == ["/sleep?level=1&mode=wait"]
        assert guard.watched == {"vllm-0": engine.url}
        now = await adapter.read()
        assert isinstance(now, ServingReading)
        assert not now.awake
        answer = await adapter.wake()
        assert isinstance(answer, Applied)
        assert answer.took_s > 0.0
        # the last thing before it is declared awake is a token of it
        assert engine.posts[-1] == "/v1/completions"
        assert (await completion(engine))["usage"]["completion_tokens"] == 1


async def test_asleep_already_is_not_told_again() -> None:
    async with VllmDouble() as engine, serving(engine.url) as adapter:
        await adapter.sleep()
        assert isinstance(await adapter.sleep(), Applied)
        assert len(sleeps(engine)) == 1


async def test_awake_already_is_not_told_but_checked() -> None:
    async with VllmDouble() as engine, serving(engine.url) as adapter:
        assert isinstance(await adapter.wake(), Applied)
        assert engine.posts == ["/v1/completions"]


async def test_nobody_sleeps_whom_nobody_would_wake() -> None:
    async with (
        VllmDouble() as engine,
        serving(engine.url, Guard(willing=False)) as adapter,
    ):
        answer = await adapter.sleep()
        assert isinstance(answer, Refused)
        assert "guardian" in answer.why
        assert engine.level == 0
        assert not engine.posts


@pytest.mark.parametrize("at_once", [1, 8])
async def test_nobody_sleeps_with_requests_in_flight(at_once: int) -> None:
    settings = EngineSettings(at_once=at_once, token_s=0.01)
    async with VllmDouble(settings) as engine, serving(engine.url) as adapter:
        asked = [asyncio.create_task(completion(engine, tokens=60)) for _ in range(2)]
        await asyncio.sleep(0.05)
        answer = await adapter.sleep()
        assert isinstance(answer, Refused)
        assert "drain it first" in answer.why
        assert not sleeps(engine)
        for done in await asyncio.gather(*asked):
            assert done["choices"][0]["finish_reason"] == "length"


async def test_requests_between_two_scrapes_are_noticed() -> None:
    """Each is over in a few ms: the gauges read 0 nearly always, the counters move."""
    settings = EngineSettings(first_token_s=0.0, token_s=0.0)
    async with VllmDouble(settings) as engine, serving(engine.url) as adapter:
        done = False

        async def client() -> None:
            while not done:
                await completion(engine)
                await asyncio.sleep(0.05)

        asking = asyncio.create_task(client())
        await asyncio.sleep(0.1)
        assert isinstance(await adapter.sleep(), Refused)
        assert not sleeps(engine)
        done = True
        await asking


async def test_an_engine_without_development_mode_is_awake_and_stays_so() -> None:
    settings = EngineSettings(dev_mode=False)
    async with VllmDouble(settings) as engine, serving(engine.url) as adapter:
        now = await adapter.read()
        assert isinstance(now, ServingReading)
        assert now.awake
        assert isinstance(await adapter.sleep(), Refused)


async def test_garbage_after_level_2_is_noticed() -> None:
    """Somebody else put it to sleep the wrong way: no traffic returns to it."""
    async with VllmDouble() as engine, serving(engine.url) as adapter:
        await adapter.sleep()
        await adapter.wake()
        await post(engine, "/sleep?level=2&mode=wait")
        answer = await adapter.wake()
        assert isinstance(answer, Unverified)
        assert "something else" in answer.why


class Liar(VllmDouble):
    """An engine that says it is awake and lets requests hang, or that never sleeps."""

    async def _is_sleeping(self, request):
        from aiohttp import web

        return web.json_response({"is_sleeping": False})


async def test_an_engine_that_only_says_it_is_awake_is_not() -> None:
    async with Liar() as engine, serving(engine.url) as adapter:
        await post(engine, "/sleep?level=1&mode=wait")
        answer = await adapter.wake()
        assert isinstance(answer, Unverified)
        assert "no reply" in answer.why


async def test_an_engine_that_says_it_is_awake_after_sleep_is_not_verified() -> None:
    async with Liar() as engine, serving(engine.url) as adapter:
        assert isinstance(await adapter.sleep(), Unverified)


@pytest.mark.parametrize("tells_cached", [True, False])
async def test_warm_is_what_is_found_in_the_cache_afterwards(tells_cached: bool) -> None:
    settings = EngineSettings(tells_cached=tells_cached)
    async with VllmDouble(settings) as engine, serving(engine.url) as adapter:
        answer = await adapter.warm([LONG, OTHER])
        assert isinstance(answer, Applied)
        assert answer.confirmed == 2.0
        partly = await adapter.warm([LONG, "too short"])
        assert isinstance(partly, AppliedInPart)
        assert partly.confirmed == 1.0
        assert isinstance(await adapter.warm(["short", "shorter"]), Unverified)
        assert isinstance(await adapter.warm([]), Applied)


async def test_warm_lasts_until_it_sleeps() -> None:
    async with VllmDouble() as engine, serving(engine.url) as adapter:
        await adapter.warm([LONG])
        await adapter.sleep()
        assert isinstance(await adapter.warm([LONG]), Refused)
        await adapter.wake()
        usage = (await completion(engine, LONG))["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == 0


async def test_warm_goes_to_this_replica_only() -> None:
    async with VllmDouble() as one, VllmDouble() as two, serving(one.url) as adapter:
        await adapter.warm([LONG])
        assert len(one.headers) == 2
        assert not two.headers


async def test_renew_and_release_go_to_the_guardian() -> None:
    guard = Guard()
    async with VllmDouble() as engine, serving(engine.url, guard) as adapter:
        assert (await adapter.renew(5.0)).device == "guardian"
        await adapter.sleep()
        answer = await adapter.release()
        assert isinstance(answer, Applied)
        assert guard.released == 1
        assert engine.level == 0


async def test_release_wakes_it_even_if_the_guardian_does_not_answer_well() -> None:
    guard = Guard()
    async with VllmDouble() as engine, serving(engine.url, guard) as adapter:
        await adapter.sleep()
        guard.willing = False
        assert isinstance(await adapter.release(), Refused)
        assert engine.level == 0


async def test_the_key_is_sent_to_completions_only_and_shown_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = EngineSettings(key=KEY)
    async with VllmDouble(settings) as engine, serving(engine.url, key=Secret(KEY)) as adapter:
        answers = [await adapter.warm([LONG]), await adapter.sleep(), await adapter.wake()]
        assert all(isinstance(a, Applied) for a in answers)
        shown = f"{answers} {adapter!r} {vars(adapter)} {vars(adapter._http)} {caplog.text}"
        assert KEY not in shown
    async with VllmDouble(settings) as engine, serving(engine.url) as adapter:
        answer = await adapter.warm([LONG])
        assert isinstance(answer, Unreachable)
        assert "401" in answer.why


async def test_of_another_model_nothing_is_read() -> None:
    async with VllmDouble() as engine, serving(engine.url, model="another") as adapter:
        answer = await adapter.read()
        assert isinstance(answer, Unreachable)
        assert "vllm:" in answer.why


async def test_a_restart_shows_in_the_counters() -> None:
    async with VllmDouble() as engine, serving(engine.url) as adapter:
        await completion(engine, tokens=5)
        before = await adapter.read()
        await engine.restart()
        after = await adapter.read()
        assert isinstance(before, ServingReading)
        assert isinstance(after, ServingReading)
        assert after.generated_tokens < before.generated_tokens


@pytest.mark.skipif("EBPLAN_VLLM_URL" not in os.environ, reason="EBPLAN_VLLM_URL is not set")
async def test_a_real_engine() -> None:
    """Needs VLLM_SERVER_DEV_MODE=1 and no other traffic; GPUs need --enable-sleep-mode."""
    url = os.environ["EBPLAN_VLLM_URL"]
    async with serving(url, timeout_s=5.0, answer_timeout_s=60.0, wake_timeout_s=120.0) as adapter:
        assert isinstance(await adapter.read(), ServingReading)
        warmed = await adapter.warm([json.dumps(list(range(1, 500)))])
        assert isinstance(warmed, Applied | Unverified | Unreachable), warmed
        slept = await adapter.sleep()
        assert isinstance(slept, Applied), slept
        asleep = await adapter.read()
        assert isinstance(asleep, ServingReading)
        assert not asleep.awake
        woken = await adapter.wake()
        assert isinstance(woken, Applied), woken
