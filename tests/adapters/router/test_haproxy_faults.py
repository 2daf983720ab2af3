"""Every fault of the line to the router: an answer each time, in time, and the safe state."""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator

import pytest
from haproxy_cases import MARKS, Site, site

from ebplan.adapters.answers import Applied, Unreachable
from ebplan.adapters.roles import RouterReading
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy

pytestmark = MARKS
TIMEOUT_S = 0.15
FAULTS = [f for f in Fault if f not in (Fault.NONE, Fault.EDIT)]
IMPOSTORS = {
    "another program": (b"Name: HAProxy", b"Name: Varnish"),
    "another router": (b"node: bench", b"node: other"),
    "another configuration": (b"description: ebplan", b"description: someone"),
}


@pytest.fixture
async def there(tmp_path_factory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("h")) as it:
        yield it


def line_to(there: Site, **settings) -> FaultProxy:
    config = there.bench.config
    return FaultProxy(config.socket, listen=f"{config.directory}/line", slow_s=5.0, **settings)


def over(there: Site, line: FaultProxy) -> HaproxyRouter:
    return there.router(socket=str(line.address), timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_call_is_answered_in_time_and_works_again(there: Site, fault: Fault) -> None:
    async with line_to(there) as line:
        router = over(there, line)
        assert isinstance(await router.renew(30.0), Applied)
        await line.turn(fault)
        for call in (
            lambda: router.read(),
            lambda: router.renew(30.0),
            lambda: router.route({"a": 0.0, "b": 0.5}),
            lambda: router.lower({"batch": 0.5}),
            lambda: router.admit({"batch": 1.0}),
            lambda: router.release(),
        ):
            started_s = time.monotonic()
            answer = await call()
            took_s = time.monotonic() - started_s
            answers = answer.values() if isinstance(answer, dict) else [answer]
            assert all(isinstance(a, Unreachable) for a in answers), answer
            # the first question already fails: nothing was commanded
            assert not any(a.executed for a in answers)
            assert took_s < TIMEOUT_S + 0.15
        await line.turn(Fault.NONE)
        assert isinstance(await router.renew(30.0), Applied)
        assert isinstance(await router.read(), RouterReading)


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.GARBAGE, Fault.PARTIAL])
async def test_a_line_lost_after_the_command_says_that_it_may_have_been_executed(
    there: Site, fault: Fault
) -> None:
    sent = 0

    def spoil(data: bytes) -> bytes:
        """Spoil what comes back once the command has been sent."""
        nonlocal sent
        sent += 1
        if sent < 3:  # who it is, and the servers as they are
            return data
        return {Fault.SILENT: b"", Fault.GARBAGE: b"\xff\xfe\n\n", Fault.PARTIAL: b"N"}[fault]

    async with line_to(there) as line:
        router = over(there, line)
        await router.renew(30.0)
        line.edit = spoil
        await line.turn(Fault.EDIT)
        answers = await router.route({"a": 0.5, "b": 0.5})
        first, second = answers["a"], answers["b"]
        assert isinstance(first, Unreachable)
        assert first.executed
        assert isinstance(second, Unreachable)
        assert not second.executed
    now = await there.router().read()
    assert now.servers["a"].weight == 0.5


@pytest.mark.parametrize("who", IMPOSTORS)
async def test_somebody_else_is_told_nothing(there: Site, who: str) -> None:
    real, false = IMPOSTORS[who]
    async with line_to(there, edit=lambda data: data.replace(real, false)) as line:
        router = over(there, line)
        await line.turn(Fault.EDIT)
        assert isinstance(await router.read(), Unreachable)
        answer = await router.renew(30.0)
        assert isinstance(answer, Unreachable)
        assert not answer.executed
    assert not (await there.router().read()).leased


async def test_a_silent_controller_loses_its_lease_and_the_drained_server_serves(
    there: Site,
) -> None:
    async with line_to(there) as line:
        router = over(there, line)
        await router.renew(0.6)
        await router.route({"a": 0.0})
        await line.turn(Fault.HALF_OPEN)
        before = there.counts()
        for _ in range(10):
            await there.ask()
        assert (there.counts() - before)["a"] == 0
        await asyncio.sleep(0.6)
        for _ in range(20):
            assert await there.ask() == 200
        assert (there.counts() - before)["a"] > 0


async def test_a_bad_line_makes_nothing_grow(there: Site) -> None:
    def held() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    async with line_to(there) as line:
        router = there.router(socket=str(line.address), timeout_s=0.02)
        await router.renew(30.0)
        tasks, files = len(asyncio.all_tasks()), held()
        for fault in FAULTS * 3:
            await line.turn(fault)
            await asyncio.gather(*(router.read() for _ in range(3)), router.renew(30.0))
        await line.turn(Fault.NONE)
        line.drop()
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) <= tasks
        assert held() <= files + 2
