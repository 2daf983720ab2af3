"""What requests meet: a real HAProxy under load, with engines that stream behind it."""

import asyncio
import contextlib
import hashlib
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web
from bench import Bench, Engine, running

from ebplan.adapters.roles import RouterReading
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.twin.wire.haproxy_bench import can_run

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not can_run(), reason="haproxy is not installed: make test-adapters"),
]
KEY = "Bearer a-batch-tenant"
CLASSES = {
    "interactive": {"pool": "llama", "protected": True, "priority": -10},
    "batch": {
        "pool": "llama",
        "protected": False,
        "paths": ["/batch"],
        "key_sha256": [hashlib.sha256(KEY.encode()).hexdigest()],
    },
}
BATCH = {"Authorization": KEY}


def narrow(engines: dict[str, Engine], places: int) -> dict[str, object]:
    """Return pools whose servers take so many requests at once."""

    def server(name: str) -> dict[str, object]:
        return {"address": f"127.0.0.1:{engines[name].port}", "max_in_flight": places}

    return {
        "llama": {"servers": {n: server(n) for n in ("a", "b")}, "lower": {"low": server("low")}}
    }


async def leased(bench: Bench) -> bool:
    read = await bench.router.read()
    assert isinstance(read, RouterReading)
    return read.leased


async def test_the_lease_lapses_under_load_and_nobody_notices(tmp_path: Path) -> None:
    async with running(tmp_path) as bench:
        await bench.router.renew(0.5)
        await bench.router.route({"a": 0.0})
        answers: Counter[tuple[int, str]] = Counter()
        ends_s = time.monotonic() + 1.2

        async def client() -> None:
            while time.monotonic() < ends_s:
                answers[await bench.ask()] += 1

        await asyncio.gather(*(client() for _ in range(6)))
        assert {status for status, _ in answers} == {200}
        assert answers[200, "a"] > 10


async def test_without_a_lease_nothing_that_was_told_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as bench:
        await bench.router.route({"a": 0.0})
        await bench.router.lower({"batch": 1.0})
        await bench.router.admit({"batch": 0.0})
        split = await bench.split(60, "/batch/v1/completions")
        assert split["a"] + split["b"] == 60
        assert 10 < split["a"] < 50


async def test_a_restart_under_a_lease_falls_back_to_the_static_weights(tmp_path: Path) -> None:
    async with running(tmp_path) as bench:
        await bench.router.renew(30.0)
        await bench.router.route({"a": 0.0})
        await bench.haproxy.stop()
        await bench.haproxy.start()
        assert (await bench.split(40))["a"] > 0
        await bench.router.renew(30.0)
        assert (await bench.split(40)) == {"b": 40}


async def test_a_flood_does_not_starve_its_own_class(tmp_path: Path) -> None:
    """Asked ten times as often, a class still gets its rate: only what passes is counted."""
    async with running(tmp_path, classes=CLASSES) as bench:
        await bench.router.renew(30.0)
        await bench.router.admit({"batch": 20.0})
        statuses: Counter[int] = Counter()
        protected: Counter[int] = Counter()
        began_s = time.monotonic()

        async def client(seen: Counter[int], headers: dict[str, str]) -> None:
            while time.monotonic() - began_s < 3.0:
                seen[(await bench.ask(headers=headers))[0]] += 1
                await asyncio.sleep(0.02)

        await asyncio.gather(*(client(statuses, BATCH) for _ in range(6)), client(protected, {}))
        assert set(statuses) == {200, 429}
        assert statuses[429] > 2 * statuses[200]
        assert 0.8 * 60 <= statuses[200] <= 60 + 20
        assert set(protected) == {200}


async def test_who_is_turned_away_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with running(tmp_path) as bench:
        await bench.router.renew(30.0)
        await bench.router.admit({"batch": 0.0})
        url = f"http://{bench.config.listen}/batch/v1/completions"
        async with bench.http.post(url, json={}) as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (429, "2")


async def test_what_came_is_counted_by_class_turned_away_or_not(tmp_path: Path) -> None:
    async with running(tmp_path, classes=CLASSES) as bench:

        async def arrived() -> tuple[float, float]:
            read = await bench.router.read()
            assert isinstance(read, RouterReading)
            return read.arrived.get("interactive", 0.0), read.arrived.get("batch", 0.0)

        before = await arrived()
        await bench.router.renew(5.0)
        await bench.router.admit({"batch": 0.0})
        for _ in range(3):
            await bench.ask()
        statuses = [(await bench.ask(headers=BATCH))[0] for _ in range(2)]
        assert statuses == [429, 429]
        came = await arrived()
        assert (came[0] - before[0], came[1]) == (3.0, 2.0)


async def test_a_key_tells_the_class_and_another_one_does_not(tmp_path: Path) -> None:
    async with running(tmp_path, classes=CLASSES) as bench:
        for headers in (BATCH, {"Authorization": "Bearer nobody"}, {}):
            await bench.ask(headers=headers | {"X-Ebplan-Class": "batch"})
        served = [name for engine in bench.engines.values() for name, _ in engine.served]
        assert sorted(served) == ["batch", "interactive", "interactive"]


@pytest.mark.parametrize("how", ["asleep", "drained"])
async def test_without_a_lower_server_requests_stay_with_their_own(
    tmp_path: Path, how: str
) -> None:
    async with running(tmp_path) as bench:
        await bench.router.renew(30.0)
        await bench.router.lower({"batch": 1.0})
        assert await bench.split(20, "/batch/v1/completions") == {"low": 20}
        if how == "asleep":
            bench.engines["low"].asleep = True
            await asyncio.sleep(0.9)
        else:
            await bench.router.route({"low": 0.0})
        split = await bench.split(20, "/batch/v1/completions")
        assert split["a"] + split["b"] == 20


class Counting(Engine):
    """Streams, and counts how many requests it has at once."""

    now = most = 0

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super()._complete(request)
        finally:
            self.now -= 1


@contextlib.asynccontextmanager
async def narrow_bench(folder: Path, places: int):
    """A bench whose servers take so many requests at once."""
    engines = {name: Counting(name) for name in ("a", "b", "low")}
    async with contextlib.AsyncExitStack() as stack:
        for engine in engines.values():
            await engine.start()
            stack.push_async_callback(engine.stop)
        bench = await stack.enter_async_context(
            running(folder, pools=narrow(engines, places), classes=CLASSES)
        )
        await asyncio.sleep(0.3)
        yield bench, engines


async def test_places_are_counted_once_while_the_lease_lapses(tmp_path: Path) -> None:
    """Streams begun under the plan and those begun after it share each server's places."""
    async with narrow_bench(tmp_path, places=2) as (bench, engines):
        for engine in engines.values():
            engine.token_s = 0.06
        await bench.router.renew(0.3)
        streams = [asyncio.create_task(bench.stream()) for _ in range(6)]
        await asyncio.sleep(0.4)
        assert not await leased(bench)
        streams += [asyncio.create_task(bench.stream()) for _ in range(6)]
        assert await asyncio.gather(*streams) == [10] * 12
        assert max(engine.most for engine in engines.values()) == 2


async def test_the_queue_serves_those_first_who_come_first(tmp_path: Path) -> None:
    """One place per engine, and 40 streams: those that wait are interactive first, then batch."""
    async with narrow_bench(tmp_path, places=1) as (bench, engines):
        held = asyncio.Event()
        for engine in engines.values():
            engine.held = held
        await bench.router.renew(30.0)
        order: list[str] = []
        url = f"http://{bench.config.listen}/v1/completions"

        async def ask(name: str, headers: dict[str, str]) -> None:
            async with bench.http.post(url, json={"stream": True}, headers=headers) as reply:
                await reply.read()
            order.append(name)

        async def arrived(name: str) -> None:
            async with asyncio.timeout(20.0):
                while True:
                    read = await bench.router.read()
                    if isinstance(read, RouterReading) and read.arrived.get(name, 0) >= 20:
                        return
                    await asyncio.sleep(0.02)

        batch = [asyncio.create_task(ask("batch", BATCH)) for _ in range(20)]
        await arrived("batch")
        interactive = [asyncio.create_task(ask("interactive", {})) for _ in range(20)]
        await arrived("interactive")
        held.set()
        await asyncio.gather(*interactive, *batch)
        # two were being served when the others came; two servers end in any order
        assert order[:24].count("interactive") >= 19


async def test_a_configuration_that_haproxy_refuses_is_said(tmp_path: Path) -> None:
    pools = {"llama": {"servers": {"a": {"address": "127.0.0.1:99999"}}}}
    with pytest.raises(RuntimeError, match="does not start"):
        async with running(tmp_path, pools=pools):
            pass


async def test_a_dead_socket_is_no_dead_router(tmp_path: Path) -> None:
    """The controller loses the socket; requests are served, and the plan ends with its lease."""
    async with running(tmp_path) as bench:
        await bench.router.renew(0.5)
        await bench.router.route({"a": 0.0})
        Path(bench.config.socket).unlink()
        gone = HaproxyRouter(bench.config)
        assert "unreachable" in str(await gone.renew(5.0))
        assert await bench.split(10) == {"b": 10}
        await asyncio.sleep(0.5)
        assert (await bench.split(40))["a"] > 0
