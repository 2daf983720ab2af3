"""A real HAProxy under load: what is told happens, and nothing of a client's is lost."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import scenarios
from bench import TOKENS, Bench, running
from scenarios import Rig

from ebplan.adapters import Applied, Refused, Router, Unreachable
from ebplan.adapters.health import BackOff
from ebplan.adapters.router import runtime_commands
from ebplan.adapters.router.config import RouterConfig
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.haproxy_bench import can_run

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not can_run(), reason="haproxy is not installed: make test-adapters"),
]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with running(tmp_path) as bench:
        yield bench


@pytest.mark.parametrize("scenario", scenarios.ROUTER, ids=lambda s: s.__name__)
async def test_it_keeps_the_contract(scenario: object, bench: Bench) -> None:
    assert isinstance(bench.router, Router)
    rig = Rig(bench.router, asyncio.sleep, ttl_s=0.4, parts=("a", "b"))
    rig.lapse = lambda: asyncio.sleep(0.6)  # type: ignore[method-assign]
    await scenario(rig)  # type: ignore[operator]


async def test_the_socket_is_its_owners_only(bench: Bench) -> None:
    assert stat.S_IMODE(os.stat(bench.config.socket).st_mode) == 0o600


async def test_weights_move_traffic_at_once(bench: Bench) -> None:
    await bench.router.renew(10.0)
    await bench.router.route({"a": 0.1})
    split = await bench.split(400)
    # random(2) takes the less loaded of two that are drawn by weight
    assert split["a"] < 0.25 * split["b"]
    await bench.router.route({"a": 0.0})
    assert (await bench.split(100))["a"] == 0


async def test_a_drain_loses_no_stream(bench: Bench) -> None:
    await bench.router.renew(10.0)
    streams = [asyncio.create_task(bench.stream()) for _ in range(20)]
    await asyncio.sleep(0.05)
    await bench.router.route({"a": 0.0})
    before = await bench.router.read()
    assert not isinstance(before, Unreachable)
    assert before.servers["a"].in_flight > 0
    assert (await bench.split(50))["a"] == 0
    assert await asyncio.gather(*streams) == [TOKENS] * 20
    after = await bench.router.read()
    assert not isinstance(after, Unreachable)
    assert after.servers["a"].in_flight == 0


async def test_when_the_lease_ends_traffic_is_back_on_a_drained_server(bench: Bench) -> None:
    await bench.router.renew(0.5)
    await bench.router.route({"a": 0.0})
    await bench.router.admit({"batch": 0.0})
    await bench.router.lower({"interactive": 1.0})
    assert (await bench.split(30))["low"] == 30
    assert (await bench.ask("/batch/v1/completions"))[0] == 429
    await asyncio.sleep(0.6)
    split = await bench.split(200)
    assert split["low"] == 0
    assert 60 < split["a"] < 140
    assert (await bench.ask("/batch/v1/completions"))[0] == 200


async def test_a_clock_that_was_set_back_ends_the_lease(bench: Bench) -> None:
    ahead = HaproxyRouter(bench.config, wall_ms=lambda: time.time_ns() // 1_000_000 + 3_600_000)
    assert isinstance(await ahead.renew(10.0), Applied)
    await ahead.route({"a": 0.0})
    assert (await bench.split(50))["a"] > 0


async def test_the_share_of_the_lower_precision(bench: Bench) -> None:
    await bench.router.renew(10.0)
    await bench.router.lower({"interactive": 0.3})
    split = await bench.split(400)
    assert 0.2 * 400 < split["low"] < 0.4 * 400


async def test_the_admitted_rate_is_held_also_on_one_kept_connection(bench: Bench) -> None:
    await bench.router.renew(20.0)
    await bench.router.admit({"batch": 20.0})
    began_s, admitted = time.monotonic(), 0
    while time.monotonic() - began_s < 2.0:
        status, _ = await bench.ask("/batch/v1/completions")
        assert status in (200, 429)
        admitted += status == 200
        await asyncio.sleep(0.005)
    assert 25 <= admitted <= 62  # 20 a second; the window slides
    # protected requests pass all the while
    assert (await bench.ask())[0] == 200


async def test_clients_do_not_choose_their_class(bench: Bench) -> None:
    headers = {"X-Ebplan-Class": "interactive", "x_ebplan_class": "interactive"}
    await bench.router.renew(10.0)
    await bench.router.admit({"batch": 0.0})
    status, _ = await bench.ask("/batch/v1/completions", headers=headers)
    assert status == 429
    await bench.router.admit({"batch": None})
    assert (await bench.ask("/batch/v1/completions", headers=headers))[0] == 200
    served = [one for engine in bench.engines.values() for one in engine.served]
    assert served == [("batch", "/v1/completions")]


async def test_clients_do_not_reach_what_puts_an_engine_to_sleep(bench: Bench) -> None:
    for path in ("/sleep", "/batch/sleep", "/v1/../sleep"):
        assert (await bench.ask(path))[0] == 404
    assert not any(engine.served for engine in bench.engines.values())


async def test_a_sleeping_engine_leaves_the_pool_and_comes_back(bench: Bench) -> None:
    await bench.router.renew(30.0)
    bench.engines["a"].asleep = True
    await asyncio.sleep(0.9)
    reading = await bench.router.read()
    assert not isinstance(reading, Unreachable)
    assert reading.servers["a"].state == "down"
    assert (await bench.split(50)) == {"b": 50}
    await bench.router.release()
    assert (await bench.split(50)) == {"b": 50}  # the static choice passes over it as well
    bench.engines["a"].asleep = False
    await asyncio.sleep(0.6)
    assert (await bench.split(100))["a"] > 20


async def test_a_restarted_router_is_told_everything_again(bench: Bench) -> None:
    await bench.router.renew(10.0)
    await bench.router.route({"a": 0.0})
    await bench.router.admit({"batch": 3.0})
    await bench.haproxy.stop()
    assert isinstance(await bench.router.renew(10.0), Unreachable)
    bench.haproxy.write()
    await bench.haproxy.start()
    await asyncio.sleep(0.3)
    assert isinstance(await bench.router.renew(10.0), Applied)
    reading = await bench.router.read()
    assert not isinstance(reading, Unreachable)
    assert reading.servers["a"].weight == 0.0
    assert reading.admitted_per_s["batch"] == 3.0


async def test_a_controller_that_starts_takes_back_what_another_left(bench: Bench) -> None:
    await bench.router.renew(10.0)
    await bench.router.route({"a": 0.0})
    await bench.router.admit({"batch": 3.0})
    after = HaproxyRouter(bench.config)
    assert isinstance(await after.renew(10.0), Applied)
    reading = await after.read()
    assert not isinstance(reading, Unreachable)
    assert reading.servers["a"].weight == 1.0
    assert reading.admitted_per_s["batch"] is None


async def test_a_router_with_another_configuration_is_not_commanded(bench: Bench) -> None:
    changed = bench.config.model_copy(update={"retry_after_s": 9})
    answer = await HaproxyRouter(changed).renew(3.0)
    assert isinstance(answer, Refused)
    assert "reload" in answer.why


def test_only_listed_lines_are_sent() -> None:
    for line in ("shutdown frontend x", "show info; set weight a/b 1", "set weight a/b 1\nhelp"):
        assert not runtime_commands.is_allowed(line)
    for name in ("a;b", "a b", "a\nb", "", "a" * 65):
        with pytest.raises(ValueError, match="not a line"):
            runtime_commands.set_weight("own_llama", name, 5)


@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.NONE])
async def test_a_socket_that_misbehaves(fault: Fault, bench: Bench, tmp_path: Path) -> None:
    socket = str(tmp_path / "bad.sock")
    edit = _another_router
    async with FaultProxy(bench.config.socket, listen=socket, slow_s=2.0, edit=edit) as line:
        config = bench.config.model_copy(update={"socket": socket})
        policy = BackOff(first_s=0.2, longest_s=0.4, steady_s=0.1)
        router = HaproxyRouter(_as(config, bench.config), timeout_s=0.2, policy=policy)
        assert isinstance(await router.renew(5.0), Applied)
        await line.turn(fault)
        began_s = time.monotonic()
        answer = await router.renew(5.0)
        took_s = time.monotonic() - began_s
        assert took_s < 0.5
        if fault is Fault.EDIT:
            assert isinstance(answer, Refused), answer
        else:
            # already the question who is there went unanswered: nothing was commanded
            assert isinstance(answer, Unreachable), answer
            assert not answer.executed
        for _ in range(20):
            await router.route({"a": 0.5})
            assert isinstance(await router.read(), Unreachable) or fault is Fault.EDIT
        assert line.open_connections <= 1
        if fault is not Fault.EDIT:
            assert line.accepted < 25  # it is left alone between tries
        await line.turn(Fault.NONE)
        await asyncio.sleep(0.5)
        assert isinstance(await router.renew(5.0), Applied)


def _another_router(data: bytes) -> bytes:
    return data.replace(b"node: bench", b"node: other")


def _as(config: RouterConfig, like: RouterConfig) -> RouterConfig:
    """Let a configuration with another socket describe itself like the running one."""
    object.__setattr__(config, "digest", like.digest)
    return config
