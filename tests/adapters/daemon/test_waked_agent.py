"""The agent wakes what was left asleep, and calls nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from capd_rigs import until
from engines import Engine

from ebplan.adapters.answers import Applied, Refused, Unreachable
from ebplan.adapters.daemon.engine_keeper import EngineKeeper, Patience
from ebplan.adapters.daemon.server import LeaseServer
from ebplan.adapters.daemon.waked_name import NAME
from ebplan.adapters.roles import Leased
from ebplan.adapters.serving.waked_client import WakeAgent

HASTE = Patience(wake_s=0.5, look_s=0.2, settle_s=0.05, first_s=0.02, longest_s=0.1)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@asynccontextmanager
async def agent(folder: Path, **engines: Engine) -> AsyncIterator[tuple[WakeAgent, EngineKeeper]]:
    keeper = EngineKeeper(
        {name: engine.url for name, engine in engines.items()}, folder / "state.json", HASTE
    )
    server = LeaseServer(keeper, folder / "waked.sock", daemon=NAME, safe_s=1.0)
    await server.start()
    client: Leased = WakeAgent(server.path)
    assert isinstance(client, WakeAgent)
    if keeper.watched:
        server.tenancy.go_safe("left behind")
    try:
        yield client, keeper
    finally:
        await client.close()
        await server.stop(1.0)


async def test_engines_are_woken_when_the_controller_hangs_up(
    tmp_path: Path, engine: Engine
) -> None:
    async with Engine() as other, agent(tmp_path, a=engine, b=other) as (client, keeper):
        await client.renew(5.0)
        assert isinstance(await client.watch("a", engine.url + "/"), Applied)
        await client.close()
        await until(lambda: not engine.asleep)
        await until(lambda: keeper.watched == set())
        assert other.asked == []


async def test_engines_are_woken_when_the_controller_falls_silent(
    tmp_path: Path, engine: Engine
) -> None:
    async with agent(tmp_path, a=engine) as (client, _):
        await client.renew(0.2)
        await client.watch("a", engine.url)
        assert engine.asleep
        assert 0.1 < await until(lambda: not engine.asleep) < 0.5


async def test_release_waits_until_they_are_awake(tmp_path: Path, engine: Engine) -> None:
    engine.wake_s = 0.2
    async with agent(tmp_path, a=engine) as (client, _):
        await client.renew(5.0)
        await client.watch("a", engine.url)
        assert isinstance(await client.release(), Applied)
        assert not engine.asleep


@pytest.mark.parametrize(
    ("name", "at"), [("a", "http://127.0.0.1:1"), ("b", ""), ("a", "file:///etc/passwd")]
)
async def test_no_other_url_is_ever_called(
    tmp_path: Path, engine: Engine, name: str, at: str
) -> None:
    async with agent(tmp_path, a=engine) as (client, keeper):
        await client.renew(5.0)
        answer = await client.watch(name, at or engine.url)
        assert isinstance(answer, Refused), answer
        assert keeper.watched == set()


async def test_nobody_is_watched_without_a_lease(tmp_path: Path, engine: Engine) -> None:
    async with agent(tmp_path, a=engine) as (client, _):
        assert isinstance(await client.watch("a", engine.url), Refused)


async def test_an_agent_that_is_away_is_said(tmp_path: Path) -> None:
    client = WakeAgent(tmp_path / "nobody.sock")
    answer = await client.watch("a", "http://127.0.0.1:1")
    assert isinstance(answer, Unreachable)
    assert not answer.executed
    assert isinstance(await client.renew(1.0), Unreachable)
    await client.close()


async def wakes(client: WakeAgent, keeper: EngineKeeper, engine: Engine) -> None:
    await client.renew(5.0)
    assert isinstance(await client.watch("a", engine.url), Applied)
    await client.close()


async def test_an_engine_that_goes_on_sleeping_is_woken_again(
    tmp_path: Path, engine: Engine
) -> None:
    engine.deaf_wakes = 2
    async with agent(tmp_path, a=engine) as (client, keeper):
        await wakes(client, keeper, engine)
        await until(lambda: keeper.watched == set())
    assert engine.woken == 3


async def test_an_engine_that_falls_asleep_meanwhile_is_caught(
    tmp_path: Path, engine: Engine
) -> None:
    async with agent(tmp_path, a=engine) as (client, keeper):
        await wakes(client, keeper, engine)
        await until(lambda: "GET /is_sleeping" in engine.asked)
        engine.asleep = True
        await until(lambda: keeper.watched == set())
    assert not engine.asleep
    assert engine.woken == 2


@pytest.mark.parametrize(
    "says", [b"", b"{}", b"[]", b'{"is_sleeping": "no"}', b'{"is_sleeping": 0}', b"x" * 100_000]
)
async def test_an_engine_that_does_not_say_so_is_not_awake(
    tmp_path: Path, engine: Engine, says: bytes
) -> None:
    engine.says = says
    async with agent(tmp_path, a=engine) as (client, keeper):
        await wakes(client, keeper, engine)
        await until(lambda: engine.woken > 1)
        assert keeper.watched == {"a"}
        assert (await keeper.read())["trouble"]["a"]
        engine.says = None
        await until(lambda: keeper.watched == set())


async def test_engines_that_fail_or_are_away_are_tried_again(
    tmp_path: Path, engine: Engine
) -> None:
    engine.status = "500 Internal Server Error"
    async with Engine() as away:
        pass
    async with agent(tmp_path, a=engine, b=away) as (client, keeper):
        await client.renew(5.0)
        await client.watch("b", away.url)
        await wakes(client, keeper, engine)
        await until(lambda: engine.woken > 1)
        engine.status = "200 OK"
        await until(lambda: keeper.watched == {"b"})
        async with away:
            await until(lambda: keeper.watched == set())


async def test_an_engine_that_hangs_delays_no_other(tmp_path: Path, engine: Engine) -> None:
    engine.wake_s = 0.4
    async with Engine() as quick, agent(tmp_path, a=engine, b=quick) as (client, keeper):
        await client.renew(5.0)
        await client.watch("b", quick.url)
        await wakes(client, keeper, engine)
        assert await until(lambda: not quick.asleep) < 0.2
        assert engine.asleep
        await until(lambda: keeper.watched == set())


async def test_a_controller_that_returns_stops_the_waking(tmp_path: Path, engine: Engine) -> None:
    engine.deaf_wakes = 1000
    async with agent(tmp_path, a=engine) as (client, keeper):
        await wakes(client, keeper, engine)
        await until(lambda: engine.woken > 0)
        assert isinstance(await client.renew(5.0), Applied)
        before = engine.woken
        await asyncio.sleep(0.3)
        assert engine.woken <= before + 1
        assert keeper.watched == {"a"}


async def test_its_own_restart_wakes_them(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "state.json").write_text(json.dumps({"watched": ["a", "gone"]}))
    async with agent(tmp_path, a=engine) as (_, keeper):
        await until(lambda: not engine.asleep)
        await until(lambda: keeper.watched == set())
    assert json.loads((tmp_path / "state.json").read_text()) == {"watched": []}


async def test_a_state_that_cannot_be_read_wakes_all(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "state.json").write_text('{"watched": ')
    async with agent(tmp_path, a=engine):
        await until(lambda: not engine.asleep)
