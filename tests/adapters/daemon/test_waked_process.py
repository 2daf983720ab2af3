"""The agent as a process: told to end, killed, and started again."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import Process
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from capd_rigs import until
from engines import Engine
from processes import process

from ebplan.adapters.answers import Applied
from ebplan.adapters.daemon.http_ask import engine_url
from ebplan.adapters.daemon.waked import main
from ebplan.adapters.serving.waked_client import WakeAgent

START = "from ebplan.adapters.daemon.waked import main; main()"


def waked(folder: Path, engine: Engine) -> AbstractAsyncContextManager[Process]:
    return process(
        *("-c", START, "--socket", folder / "waked.sock", "--state", folder / "state.json"),
        *("--engine", f"a={engine.url}", "--wake-s", 3),
    )


async def watch(folder: Path, engine: Engine) -> WakeAgent:
    await until((folder / "waked.sock").exists, 10.0)
    client = WakeAgent(folder / "waked.sock", timeout_s=2.0)
    assert isinstance(await client.renew(30.0), Applied)
    assert isinstance(await client.watch("a", engine.url), Applied)
    return client


async def test_told_to_end_it_wakes_first(tmp_path: Path) -> None:
    async with Engine() as engine, waked(tmp_path, engine) as daemon:
        client = await watch(tmp_path, engine)
        daemon.terminate()
        assert await asyncio.wait_for(daemon.wait(), 5.0) == 0
        assert not engine.asleep
        await client.close()


async def test_killed_it_wakes_at_its_next_start(tmp_path: Path) -> None:
    async with Engine() as engine:
        async with waked(tmp_path, engine) as daemon:
            client = await watch(tmp_path, engine)
            daemon.kill()
            await daemon.wait()
            await client.close()
        assert engine.asleep
        assert json.loads((tmp_path / "state.json").read_text()) == {"watched": ["a"]}
        async with waked(tmp_path, engine):
            await until(lambda: not engine.asleep, 10.0)


@pytest.mark.parametrize(
    "url",
    ["ftp://a", "https://a", "http://", "http://u:p@a", "http://a?x=1", "http://a:x", "http://a b"],
)
def test_only_plain_urls_of_engines_are_taken(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        engine_url(url)


@pytest.mark.parametrize(
    "arguments", [(), ("--engine", "a"), ("--engine", "=http://a"), ("--engine", "a=ftp://b")]
)
def test_bad_input_ends_it(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
