"""The stand-in for an engine has the page of a real one, and its traps."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_rigs import PROMPT, ask, post

from ebplan.adapters.serving.metrics import read_metrics
from ebplan.twin.wire.vllm_double import GARBAGE, VllmDouble

BUSY = Path(__file__).parent / "recordings" / "metrics_vllm_0.32.0_cpu_busy.prom"


@pytest.fixture
async def engine() -> AsyncIterator[VllmDouble]:
    async with VllmDouble() as engine:
        yield engine


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


def families(page: str) -> dict[str, tuple[str, list[str]]]:
    """Return type and label sets of every family of an engine; the name of the model aside."""
    return {
        family.name: (
            family.type,
            sorted(
                str(
                    sorted(
                        (name, value) for name, value in sample.labels.items() if name in SAID_ALIKE
                    )
                    + sorted(sample.labels)
                )
                + sample.name
                for sample in family.samples
            ),
        )
        for family in text_string_to_metric_families(page)
        if family.name.startswith("vllm:")
    }


SAID_ALIKE = ("le", "engine", "reason", "finished_reason", "sleep_state", "source")


async def streamed(http: aiohttp.ClientSession, engine: VllmDouble, **body: Any) -> list[str]:
    told = {"model": "double", "prompt": PROMPT, "max_tokens": 8, "stream": True, **body}
    async with http.post(f"{engine.url}/v1/completions", json=told) as got:
        assert got.content_type == "text/event-stream"
        text = await got.text()
    events = text.removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    return [event.removeprefix("data: ") for event in events]


def reason(answer: Any) -> str:
    return str(answer["choices"][0]["finish_reason"])


async def until(engine: VllmDouble, running: int) -> None:
    async with asyncio.timeout(2.0):
        while engine.running != running:
            await asyncio.sleep(0.002)


async def test_its_page_is_that_of_a_real_engine(engine: VllmDouble) -> None:
    await ask(engine)
    assert families(engine.page()) == families(BUSY.read_text())
    assert 'model_name="tiny"' not in engine.page()


async def test_it_counts(engine: VllmDouble) -> None:
    before = read_metrics(engine.page())
    answers = [await ask(engine) for _ in range(3)]
    assert answers[0]["usage"] == {
        "prompt_tokens": len(PROMPT) // 4,
        "completion_tokens": 8,
        "total_tokens": len(PROMPT) // 4 + 8,
    }
    page = read_metrics(engine.page())
    assert page.finished == 3.0
    assert page.values["generation_tokens"] == 24.0
    for name, count in {
        "time_to_first_token_seconds": 3.0,
        "inter_token_latency_seconds": 21.0,
        "request_prompt_tokens": 3.0,
    }.items():
        histogram = page.histograms[name].since(before.histograms[name])
        assert histogram.upto[float("inf")] == count
    waits = page.histograms["inter_token_latency_seconds"]
    assert 0.0 < (waits.percentile(0.5) or 0.0) < 0.1


async def test_it_writes_at_the_rate_it_is_told(http: aiohttp.ClientSession) -> None:
    async with VllmDouble(token_s=0.01) as engine:
        began_s = time.monotonic()
        events = await streamed(http, engine, max_tokens=20)
        took_s = time.monotonic() - began_s
    assert 0.19 < took_s < 0.6
    assert events[-1] == "[DONE]"
    assert len(events) == 22
    assert reason(json.loads(events[-2])) == "length"


async def test_more_than_it_computes_at_once_waits_in_line() -> None:
    async with VllmDouble(most_running=2, most_waiting=1, token_s=0.01) as engine:
        requests = []
        for _ in range(3):
            requests.append(asyncio.create_task(ask(engine, max_tokens=20)))
            await asyncio.sleep(0.01)
        assert (engine.running, engine.waiting, engine.in_flight) == (2, 1, 3)
        told = {"model": "double", "prompt": "one too many"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{engine.url}/v1/completions", json=told) as got,
        ):
            assert got.status == 503
            assert "Retry-After" not in got.headers
        assert 'reason="max_num_queued_reqs"} 1.0' in engine.page()
        assert [reason(answer) for answer in await asyncio.gather(*requests)] == ["length"] * 3
        assert engine.in_flight == 0


async def test_its_cache_holds_whole_blocks_from_the_start(engine: VllmDouble) -> None:
    def hits() -> float:
        return read_metrics(engine.page()).values["prefix_cache_hits"]

    first = "".join(f"{i:04d}" for i in range(40))  # 40 tokens, two blocks and a half
    for prompt, found in (
        (first, 0.0),
        (first, 32.0),
        (first[:64] + "other" * 20, 16.0),
        ("x" + first, 0.0),
        (first[:64], 0.0),  # one block, and its last token is computed always
    ):
        before = hits()
        await ask(engine, prompt=prompt, max_tokens=1)
        assert hits() - before == found, prompt
    await post(f"{engine.url}/sleep?level=1&mode=wait")
    await post(f"{engine.url}/wake_up")
    before = hits()
    await ask(engine, prompt=first, max_tokens=1)
    assert hits() == before  # sleep has dropped it


@pytest.mark.parametrize("stream", [False, True])
async def test_sleep_by_default_cuts_answers_short(
    stream: bool, http: aiohttp.ClientSession
) -> None:
    async with VllmDouble(most_running=1) as engine:
        kind = streamed(http, engine, max_tokens=500) if stream else ask(engine, max_tokens=500)
        running = asyncio.create_task(kind)
        await until(engine, 1)
        waiting = asyncio.create_task(ask(engine, max_tokens=500))
        await asyncio.sleep(0.02)
        assert await post(f"{engine.url}/sleep") == 200
        answer: Any = await running
        assert reason(json.loads(answer[-2]) if stream else answer) == "abort"
        assert reason(await waiting) == "abort"
        assert engine.asleep
        page = engine.page()
        assert 'finished_reason="abort",model_name="double"} 2.0' in page
        assert read_metrics(page).finished == 0.0
        assert read_metrics(page).sleep_level == 1


async def test_a_sleep_that_waits_lets_answers_end_and_begins_none(engine: VllmDouble) -> None:
    running = asyncio.create_task(ask(engine, max_tokens=50))
    await until(engine, 1)
    falling = asyncio.create_task(post(f"{engine.url}/sleep?level=1&mode=wait"))
    await asyncio.sleep(0.02)
    late = asyncio.create_task(ask(engine))
    assert reason(await running) == "length"
    assert await falling == 200
    await asyncio.sleep(0.05)
    assert not late.done()
    await post(f"{engine.url}/wake_up")
    assert reason(await late) == "length"


async def test_a_sleep_that_keeps_freezes_answers(engine: VllmDouble) -> None:
    running = asyncio.create_task(ask(engine, max_tokens=50))
    await until(engine, 1)
    assert await post(f"{engine.url}/sleep?level=1&mode=keep") == 200
    await asyncio.sleep(0.15)
    assert not running.done()
    await post(f"{engine.url}/wake_up")
    assert reason(await running) == "length"


async def test_requests_to_a_sleeping_engine_hang(
    engine: VllmDouble, http: aiohttp.ClientSession
) -> None:
    await post(f"{engine.url}/sleep?level=1&mode=wait")
    hanging = asyncio.create_task(ask(engine))
    await asyncio.sleep(0.1)
    assert not hanging.done()
    for path in ("/health", "/metrics", "/v1/models"):
        async with http.get(engine.url + path) as got:
            assert got.status == 200
    hanging.cancel()
    await asyncio.wait([hanging])
    async with asyncio.timeout(1.0):
        while engine.in_flight:  # who gives up takes the request along
            await asyncio.sleep(0.01)


async def test_level_two_wakes_with_garbage(engine: VllmDouble) -> None:
    assert GARBAGE not in json.dumps(await ask(engine), ensure_ascii=False)
    await post(f"{engine.url}/sleep?level=2&mode=wait")
    assert read_metrics(engine.page()).sleep_level == 2
    await post(f"{engine.url}/wake_up")
    answer: Any = await ask(engine)
    assert GARBAGE in answer["choices"][0]["text"]
    assert reason(answer) == "length"  # nothing else tells


async def test_it_runs_as_a_process_of_its_own() -> None:
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
        async with asyncio.timeout(20.0):
            port = json.loads(await process.stdout.readline())["port"]
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{port}/is_sleeping") as got,
        ):
            assert await got.json() == {"is_sleeping": False}
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
