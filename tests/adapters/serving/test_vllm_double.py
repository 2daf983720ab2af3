"""The double has the traps of a real engine, and writes the page that one writes."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from vllm_cases import completion, get, post

from ebplan.adapters.serving.metrics import percentile, read_metrics
from ebplan.twin.wire.vllm_double import GARBAGE, EngineSettings, VllmDouble

RECORDED = (Path(__file__).parent / "recordings" / "metrics_vllm_0.32.0_cpu_busy.prom").read_text()
LONG = " ".join(map(str, range(40)))


def families(page: str) -> dict[str, tuple[str, str, set[tuple[str, tuple[str, ...]]]]]:
    """Return type, text and the samples' names, labels and buckets of each family."""
    return {
        family.name: (
            family.type,
            family.documentation,
            {(s.name, (*sorted(s.labels), s.labels.get("le", ""))) for s in family.samples},
        )
        for family in text_string_to_metric_families(page)
    }


async def test_its_page_conforms_to_the_recording() -> None:
    async with VllmDouble() as engine:
        await completion(engine)
        ours, real = families(await get(engine, "/metrics")), families(RECORDED)
    assert len(ours) > 20
    for name, family in ours.items():
        assert family == real[name], name


async def test_it_counts() -> None:
    async with VllmDouble(EngineSettings(token_s=0.001)) as engine:
        await completion(engine, "a b c", tokens=5)
        metrics = read_metrics(await get(engine, "/metrics"))
    assert metrics.counters["prompt_tokens"] == 3.0
    assert metrics.counters["generated_tokens"] == 5.0
    assert metrics.counters["finished"] == 1.0
    assert (percentile(None, metrics.first_token_s, 0.5) or 0.0) > 0.005


async def test_a_request_beyond_its_places_waits() -> None:
    async with VllmDouble(EngineSettings(at_once=1, token_s=0.02)) as engine:
        asked = [asyncio.create_task(completion(engine, tokens=10)) for _ in range(3)]
        await asyncio.sleep(0.1)
        metrics = read_metrics(await get(engine, "/metrics"))
        assert (metrics.running, metrics.waiting) == (1, 2)
        await asyncio.gather(*asked)


async def test_trap_sleep_by_default_cuts_answers_off_and_calls_it_success() -> None:
    async with VllmDouble(EngineSettings(token_s=0.02)) as engine:
        asked = asyncio.create_task(completion(engine, tokens=50))
        await asyncio.sleep(0.1)
        assert await post(engine, "/sleep") == 200
        answer = await asked
        assert answer["choices"][0]["finish_reason"] == "abort"
        assert answer["usage"]["completion_tokens"] < 50


async def test_sleep_that_waits_loses_nothing() -> None:
    async with VllmDouble(EngineSettings(token_s=0.005)) as engine:
        asked = asyncio.create_task(completion(engine, tokens=30))
        await asyncio.sleep(0.05)
        assert await post(engine, "/sleep?level=1&mode=wait") == 200
        assert (await asked)["usage"]["completion_tokens"] == 30


async def test_trap_a_sleeping_engine_lets_requests_hang_and_looks_healthy() -> None:
    async with VllmDouble() as engine:
        await post(engine, "/sleep?level=1&mode=wait")
        assert await get(engine, "/health") == ""
        with pytest.raises(TimeoutError):
            await completion(engine, timeout_s=0.2)
        assert read_metrics(await get(engine, "/metrics")).awake is False
        asked = asyncio.create_task(completion(engine))
        await post(engine, "/wake_up")
        assert (await asked)["usage"]["completion_tokens"] == 1


async def test_trap_level_2_writes_garbage_until_weights_are_loaded() -> None:
    async with VllmDouble() as engine:
        await post(engine, "/sleep?level=2&mode=wait")
        await post(engine, "/wake_up")
        assert (await completion(engine))["choices"][0]["text"] == GARBAGE
        async with aiohttp.ClientSession() as http:
            asked = {"method": "reload_weights"}
            async with http.post(f"{engine.url}/collective_rpc", json=asked) as reply:
                assert reply.status == 200
        assert (await completion(engine))["choices"][0]["text"] != GARBAGE


async def test_trap_sleep_forgets_the_prefix_cache() -> None:
    async with VllmDouble() as engine:
        await completion(engine, LONG)
        details = (await completion(engine, LONG))["usage"]["prompt_tokens_details"]
        assert details["cached_tokens"] == 32
        await post(engine, "/sleep?level=1&mode=wait")
        await post(engine, "/wake_up")
        details = (await completion(engine, LONG))["usage"]["prompt_tokens_details"]
        assert details["cached_tokens"] == 0


async def test_without_development_mode_it_cannot_sleep() -> None:
    async with VllmDouble(EngineSettings(dev_mode=False)) as engine:
        assert await post(engine, "/sleep") == 404


async def test_a_key_is_asked_for() -> None:
    async with VllmDouble(EngineSettings(key="k")) as engine:
        assert await post(engine, "/v1/completions") == 401
        assert await get(engine, "/metrics")


async def test_it_runs_on_its_own() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ebplan.twin.wire.vllm_double",
        "--port",
        "0",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 20.0)
        url = f"http://127.0.0.1:{json.loads(line)['port']}"
        async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as reply:
            assert reply.status == 200
    finally:
        process.terminate()
        await process.communicate()
