"""Lines to an engine that fail, and engines that write back what they were sent."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web
from serving_rigs import KEY, PROMPT, Agent, Strange, made

from ebplan.adapters import Applied, Unreachable
from ebplan.adapters.serving.vllm import VllmServing
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.vllm_double import VllmDouble

# --- lines that fail ------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer_lost", "executed"), [(Fault.SILENT, True), (Fault.PARTIAL, True)])
@pytest.mark.parametrize("command", ["sleep", "wake"])
async def test_a_command_whose_answer_is_lost_is_told_once(
    answer_lost: Fault, executed: bool, command: str, leased_agent: Agent
) -> None:
    async with (
        VllmDouble(sleep_s=0.2, wake_s=0.2) as engine,
        FaultProxy(("127.0.0.1", engine.port)) as line,
    ):
        device = made(f"http://127.0.0.1:{line.port}", leased_agent)
        if command == "wake":
            await device.sleep()
        path = "/wake_up" if command == "wake" else "/sleep"
        told = asyncio.create_task(getattr(device, command)())
        while not engine.calls[path]:
            await asyncio.sleep(0.005)
        await line.turn(answer_lost)
        answer = await told
        assert isinstance(answer, Unreachable), answer
        assert answer.executed is executed
        assert engine.calls[path] == 1
        await device.close()


async def test_an_engine_that_goes_after_it_was_told(leased_agent: Agent) -> None:
    """What was told may have been done, though the line was down when it was to be read back."""
    async with VllmDouble(sleep_s=0.1) as engine, FaultProxy(("127.0.0.1", engine.port)) as line:
        device = made(f"http://127.0.0.1:{line.port}", leased_agent)
        told = asyncio.create_task(device.sleep())
        while not engine.calls["/sleep"]:
            await asyncio.sleep(0.005)
        await line.turn(Fault.REFUSE)
        answer = await told
        assert isinstance(answer, Unreachable)
        assert answer.executed
        await device.close()


@pytest.mark.parametrize("fault", [f for f in Fault if f not in (Fault.NONE, Fault.EDIT)])
@pytest.mark.parametrize("command", ["read", "sleep", "wake", "warm", "release"])
async def test_a_bad_line_is_answered_in_time(
    fault: Fault, command: str, leased_agent: Agent
) -> None:
    async with VllmDouble() as engine:
        proxy = FaultProxy(("127.0.0.1", engine.port), slow_s=1.0)
        async with proxy as line:
            device = made(f"http://127.0.0.1:{line.port}", leased_agent, timeout_s=0.1)
            asked = [[PROMPT]] if command == "warm" else []
            await line.turn(fault)
            for _ in range(3):
                began_s = time.monotonic()
                answer = await getattr(device, command)(*asked)
                assert time.monotonic() - began_s < 0.3
                assert isinstance(answer, Unreachable), answer
                assert not answer.executed  # it was only asked how it is
            assert line.open_connections <= 3
            assert engine.calls["/sleep"] + engine.calls["/wake_up"] == 0
            await line.restart(0.02)
            assert isinstance(await device.wake(), Applied)
            assert isinstance(await device.warm([PROMPT]), Applied)
            await device.close()
        assert line.open_connections == 0


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize("path", ["/metrics", "/is_sleeping", "/v1/models", "/v1/completions"])
async def test_an_engine_that_writes_the_key_back(
    path: str,
    status: int,
    strange: Strange,
    device: VllmServing,
    caplog: pytest.LogCaptureFixture,
) -> None:
    strange.answers[path] = web.Response(
        status=status, text=f"Bearer {KEY.reveal()}", reason=KEY.reveal()
    )
    answers = [await device.read(), await device.sleep(), await device.wake()]
    answers.append(await device.warm([PROMPT]))
    said = f"{answers}{[str(a) for a in answers]}{vars(device)}{caplog.text}"
    assert KEY.reveal() not in said
