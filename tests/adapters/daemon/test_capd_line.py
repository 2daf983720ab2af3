"""The client of the daemon on a bad line, and over the daemon's own restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from capd_rigs import RememberingGpus, capd, until

from ebplan.adapters.answers import Applied, AppliedInPart, Refused, Unreachable
from ebplan.adapters.gpu.capd_client import CapdGpus
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy

Line = tuple[CapdGpus, FaultProxy, RememberingGpus]


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    listen = str(tmp_path / "line.sock")
    async with capd(tmp_path) as (server, gpus), FaultProxy(str(server.path), listen=listen) as bad:
        device = CapdGpus("node", Path(listen), timeout_s=0.15)
        assert isinstance(await device.renew(30.0), Applied)
        yield device, bad, gpus
        await device.close()


async def recovers(device: CapdGpus) -> None:
    """Ask until it answers again; the lease may have to be taken anew."""
    for _ in range(60):
        if isinstance(await device.renew(2.0), Applied):
            assert isinstance((await device.cap({0: 310.0}))[0], Applied)
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it never came back: {await device.renew(2.0)}")


@pytest.mark.parametrize(
    ("fault", "executed", "keeps"),
    [
        (Fault.SILENT, True, True),
        (Fault.HALF_OPEN, True, True),
        (Fault.SLOW, True, True),
        (Fault.GARBAGE, True, True),
        (Fault.PARTIAL, True, True),
        (Fault.REFUSE, False, False),
        (Fault.FLAPPING, False, False),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else "",
)
async def test_a_bad_line_is_said_and_got_over(
    line: Line, fault: Fault, executed: bool, keeps: bool
) -> None:
    device, bad, gpus = line
    bad.slow_s = 0.3
    await bad.turn(fault)
    await asyncio.sleep(0.02)
    answer = (await device.cap({0: 300.0}))[0]
    assert isinstance(answer, Unreachable), answer
    assert answer.executed is executed
    if fault is Fault.SILENT:
        assert gpus.caps_w[0] == 300.0
    assert device.daemon.connected is keeps
    assert isinstance(await device.read(), Unreachable)
    await bad.turn(Fault.NONE)
    await recovers(device)


async def test_one_late_answer_does_not_cost_the_lease(line: Line) -> None:
    device, bad, gpus = line
    await device.cap({0: 300.0})
    bad.slow_s = 0.2
    await bad.turn(Fault.SLOW)
    assert isinstance((await device.cap({1: 350.0}))[1], Unreachable)
    await bad.turn(Fault.NONE)
    await asyncio.sleep(0.1)
    assert isinstance((await device.cap({2: 400.0}))[2], Applied)
    assert gpus.caps_w[:3] == [300.0, 350.0, 400.0]
    assert bad.accepted == 1


async def test_a_line_that_answers_nothing_is_given_up(line: Line) -> None:
    device, bad, _ = line
    await bad.turn(Fault.HALF_OPEN)
    for _ in range(3):
        await device.renew(2.0)
    assert not device.daemon.connected
    await bad.turn(Fault.NONE)
    await recovers(device)


async def test_a_flapping_line_is_left_alone_in_between(line: Line) -> None:
    device, bad, _ = line
    await bad.turn(Fault.FLAPPING)
    await asyncio.sleep(0.02)
    for _ in range(100):
        await device.renew(2.0)
        await asyncio.sleep(0.005)
    assert bad.accepted < 10


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ebplan-capd", b"ebplan-what"),
        (b'"protocol":1', b'"protocol":2'),
        (b"instance", b"insultin"),
    ],
)
async def test_somebody_else_is_not_obeyed(tmp_path: Path, old: bytes, new: bytes) -> None:
    listen = str(tmp_path / "line.sock")
    async with capd(tmp_path) as (server, _), FaultProxy(str(server.path), listen=listen) as bad:
        bad.edit = lambda data: data.replace(old, new)
        await bad.turn(Fault.EDIT)
        device = CapdGpus("node", Path(listen))
        answer = await device.renew(2.0)
        assert isinstance(answer, Unreachable), answer
        assert not answer.executed
        assert not device.daemon.connected
        await device.close()


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"answers"', b'"wonders"'), (b'"is":"Applied"', b'"is":"Imagine"'), (b"[[0,", b"[[7,"),
     (b'"confirmed":300.0', b'"confirmed":{"a":1}')],
)  # fmt: skip
async def test_an_answer_that_makes_no_sense_may_have_been_executed(
    line: Line, old: bytes, new: bytes
) -> None:
    device, bad, _ = line
    bad.edit = lambda data: data.replace(old, new)
    await bad.turn(Fault.EDIT)
    answer = (await device.cap({0: 300.0}))[0]
    assert isinstance(answer, Unreachable), answer
    assert answer.executed


async def test_a_restart_of_the_daemon_is_noticed(tmp_path: Path) -> None:
    async with capd(tmp_path) as (server, _):
        device = CapdGpus("node", server.path)
        await device.renew(30.0)
    assert isinstance((await device.cap({0: 300.0}))[0], Unreachable)
    async with capd(tmp_path) as (server, gpus):
        await asyncio.sleep(0.1)
        refused = (await device.cap({0: 300.0}))[0]
        assert isinstance(refused, Refused), refused
        assert device.daemon.restarts == 1
        assert device.daemon.instance == server.instance
        await recovers(device)
        assert gpus.caps_w[0] == 310.0
        await device.close()


async def test_a_term_is_cut_and_said(tmp_path: Path) -> None:
    async with capd(tmp_path) as (server, _):
        device = CapdGpus("node", server.path)
        answer = await device.renew(1e6)
        assert isinstance(answer, AppliedInPart), answer
        assert answer.confirmed == 60.0
        await device.close()


async def test_a_second_controller_is_refused(tmp_path: Path) -> None:
    async with capd(tmp_path) as (server, gpus):
        first, second = CapdGpus("a", server.path), CapdGpus("b", server.path)
        await first.renew(5.0)
        await first.cap({0: 300.0})
        for answer in (
            await second.renew(5.0),
            (await second.cap({0: 600.0}))[0],
            await second.release(),
        ):
            assert isinstance(answer, Refused), answer
            assert "another" in answer.why
        assert (await second.read())[0].cap_w == 300.0  # type: ignore[index]
        await second.close()
        await asyncio.sleep(0.05)
        assert gpus.caps_w[0] == 300.0
        await first.close()


async def test_gpus_come_back_one_by_one_and_whoever_returns_takes_over(tmp_path: Path) -> None:
    async with capd(tmp_path, restore_s=1.0) as (server, gpus):
        device = CapdGpus("node", server.path)
        await device.renew(5.0)
        await device.cap(dict.fromkeys(range(4), 200.0))
        await device.close()
        await until(lambda: sum(gpus.caps_w) > 1200.0)
        assert isinstance(await device.renew(5.0), Applied)
        reached_w = gpus.caps_w
        assert 200.0 < sum(reached_w) / 4 < 600.0
        await asyncio.sleep(0.2)
        assert gpus.caps_w == reached_w
        await device.close()
        await until(lambda: gpus.caps_w == [600.0] * 4)


async def test_a_gpu_that_does_not_come_back_is_tried_again(tmp_path: Path) -> None:
    async with capd(tmp_path, restore_s=0.1) as (server, gpus):
        device = CapdGpus("node", server.path)
        await device.renew(5.0)
        await device.cap({0: 300.0})
        gpus.fault = "deaf"
        await device.close()
        await asyncio.sleep(0.4)
        gpus.fault = None
        assert gpus.caps_w[0] < 600.0
        await until(lambda: gpus.caps_w[0] == 600.0)
