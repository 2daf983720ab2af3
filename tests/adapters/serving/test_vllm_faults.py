"""Every fault of the line to an engine: an answer each time, in time, and no command sent twice."""

import asyncio
import gc
import os
import time

import pytest
from vllm_cases import Guard, serving

from ebplan.adapters.answers import Applied, Refused, Unreachable, Unverified
from ebplan.adapters.roles import ServingReading
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.vllm_double import VllmDouble

FAULTS = [f for f in Fault if f not in (Fault.NONE, Fault.EDIT)]
TIMEOUT_S = 0.2
LONG = " ".join(map(str, range(40)))
QUICK = {"timeout_s": TIMEOUT_S, "answer_timeout_s": TIMEOUT_S, "wake_timeout_s": TIMEOUT_S}


def line_to(engine: VllmDouble, **settings) -> FaultProxy:
    return FaultProxy(("127.0.0.1", engine.port), slow_s=5.0, **settings)


def url(line: FaultProxy) -> str:
    return f"http://127.0.0.1:{line.port}"


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_call_is_answered_in_time_and_works_again(fault: Fault) -> None:
    async with VllmDouble() as engine, line_to(engine) as line, serving(url(line), **QUICK) as it:
        assert isinstance(await it.read(), ServingReading)
        await line.turn(fault)
        for call in (it.read, it.sleep, it.wake, lambda: it.warm([LONG])):
            started_s = time.monotonic()
            answer = await call()
            assert isinstance(answer, Unreachable), answer
            assert not answer.executed
            assert time.monotonic() - started_s < TIMEOUT_S + 0.2
        assert not [p for p in engine.posts if not p.startswith("/v1")]
        await line.turn(Fault.NONE)
        assert isinstance(await it.read(), ServingReading)
        assert isinstance(await it.wake(), Applied)


class Losing(VllmDouble):
    """An engine that does what it is told and closes the connection instead of answering."""

    lost: frozenset[str] = frozenset()

    async def _sleep(self, request):
        await super()._sleep(request)
        return self._or_lost(request, "/sleep")

    async def _wake_up(self, request):
        await super()._wake_up(request)
        return self._or_lost(request, "/wake_up")

    def _or_lost(self, request, path: str):
        from aiohttp import web

        if path in self.lost:
            request.transport.abort()
        return web.Response()


async def test_a_sleep_whose_answer_is_lost_is_sent_once() -> None:
    async with Losing() as engine, serving(engine.url, **QUICK) as it:
        engine.lost = frozenset({"/sleep"})
        answer = await it.sleep()
        assert isinstance(answer, Unreachable)
        assert answer.executed
        assert engine.posts.count("/sleep?level=1&mode=wait") == 1
        # asked again, it finds it asleep and sends nothing
        assert isinstance(await it.sleep(), Applied)
        assert engine.posts.count("/sleep?level=1&mode=wait") == 1


async def test_a_wake_whose_answer_is_lost_is_sent_once() -> None:
    async with Losing() as engine, serving(engine.url, **QUICK) as it:
        engine.lost = frozenset({"/wake_up"})
        await it.sleep()
        answer = await it.wake()
        assert isinstance(answer, Unreachable)
        assert answer.executed
        assert engine.posts.count("/wake_up") == 1
        assert isinstance(await it.wake(), Applied)
        assert engine.posts.count("/wake_up") == 1


async def test_a_silence_after_the_completion_is_no_proof_of_life() -> None:
    """It wakes and then the line goes: it is not declared awake."""
    async with VllmDouble() as engine, line_to(engine) as line, serving(url(line), **QUICK) as it:
        await it.sleep()
        line.edit = lambda data: b"" if b"text_completion" in data else data
        await line.turn(Fault.EDIT)
        answer = await it.wake()
        assert isinstance(answer, Unverified)
        assert engine.level == 0


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data.replace(b"vllm:", b"sgln:"),
        lambda data: data.replace(b'"is_sleeping"', b'"is_slipping"'),
        lambda data: data.replace(b'"is_sleeping": false', b'"is_sleeping": "nope"'),
    ],
)
async def test_somebody_else_is_not_put_to_sleep(edit) -> None:
    async with (
        VllmDouble() as engine,
        line_to(engine, edit=edit) as line,
        serving(url(line), **QUICK) as it,
    ):
        await line.turn(Fault.EDIT)
        assert isinstance(await it.read(), Unreachable)
        assert isinstance(await it.sleep(), Unreachable | Refused)
        assert not [p for p in engine.posts if not p.startswith("/v1")]


@pytest.mark.parametrize("status", ["301 Moved Permanently", "500 Oops", "503 Busy"])
async def test_other_replies_are_none(status: str) -> None:
    def edit(data: bytes) -> bytes:
        head = f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:9/\r\n"
        return head.encode() + b"Content-Length: 0\r\nConnection: close\r\n\r\n"

    async with (
        VllmDouble() as engine,
        line_to(engine, edit=edit) as line,
        serving(url(line), **QUICK) as it,
    ):
        await line.turn(Fault.EDIT)
        answer = await it.read()
        assert isinstance(answer, Unreachable)
        assert status[:3] in answer.why


async def test_an_endless_reply_is_given_up() -> None:
    def edit(data: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 6_000_000

    async with (
        VllmDouble() as engine,
        line_to(engine, edit=edit) as line,
        serving(url(line), timeout_s=5.0) as it,
    ):
        await line.turn(Fault.EDIT)
        answer = await it.read()
        assert isinstance(answer, Unreachable)
        assert "bytes" in answer.why


async def test_an_engine_that_restarts_is_back_by_itself() -> None:
    async with VllmDouble() as engine, line_to(engine) as line, serving(url(line), **QUICK) as it:
        await it.sleep()
        await engine.restart()
        now = await it.read()
        assert isinstance(now, ServingReading)
        assert now.awake
        assert isinstance(await it.wake(), Applied)


async def test_a_guardian_that_cannot_be_reached_lets_nobody_sleep() -> None:
    class Away(Guard):
        async def watch(self, name: str, url: str):
            return Unreachable(
                device="guardian", command="watch", asked=name, why="refused", executed=False
            )

    async with VllmDouble() as engine, serving(engine.url, Away(), **QUICK) as it:
        answer = await it.sleep()
        assert isinstance(answer, Refused)
        assert engine.level == 0


async def test_a_bad_line_makes_nothing_grow() -> None:
    def held() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    quick = {"timeout_s": 0.03, "answer_timeout_s": 0.03}
    async with VllmDouble() as engine, line_to(engine) as line, serving(url(line), **quick) as it:
        await it.read()
        await asyncio.sleep(0.05)
        tasks, files = len(asyncio.all_tasks()), held()
        for fault in FAULTS * 3:
            await line.turn(fault)
            await asyncio.gather(*(it.read() for _ in range(3)))
        await line.turn(Fault.NONE)
        line.drop()
        await asyncio.sleep(0.2)
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert held() <= files + 3
