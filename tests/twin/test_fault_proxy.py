"""The bad line itself: it does what it says, and leaves nothing behind."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ebplan.twin.wire.fault_proxy import Fault, FaultProxy


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(100):
            heard.append(data)
            writer.write(data)
            await writer.drain()
    writer.close()


heard: list[bytes] = []


@pytest.fixture(params=["tcp", "unix"])
async def line(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FaultProxy]:
    heard.clear()
    if request.param == "tcp":
        server = await asyncio.start_server(_echo, "127.0.0.1", 0)
        proxy = FaultProxy(server.sockets[0].getsockname()[:2], slow_s=0.1)
    else:
        server = await asyncio.start_unix_server(_echo, tmp_path / "there")
        proxy = FaultProxy(str(tmp_path / "there"), listen=str(tmp_path / "here"), slow_s=0.1)
    async with server, proxy:
        yield proxy


async def _connect(line: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(line.address, str):
        return await asyncio.open_unix_connection(line.address)
    return await asyncio.open_connection(*line.address)


async def _say(line: FaultProxy, what: bytes = b"hello!") -> bytes | None:
    """Return what came back; None where nothing did."""
    reader, writer = await _connect(line)
    try:
        writer.write(what)
        return await asyncio.wait_for(reader.read(100), 0.2)
    except TimeoutError:
        return None
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("fault", "answer", "arrived"),
    [
        (Fault.NONE, b"hello!", True),
        (Fault.SILENT, None, True),
        (Fault.HALF_OPEN, None, False),
        (Fault.SLOW, b"hello!", True),
        (Fault.GARBAGE, b"\xff\xfe\xfd\xfc\xfb\xfa", True),
        (Fault.PARTIAL, b"hel", True),
        (Fault.EDIT, b"HELLO!", True),
    ],
)
async def test_each_fault_is_what_it_says(
    line: FaultProxy, fault: Fault, answer: bytes | None, arrived: bool
) -> None:
    line.edit = bytes.upper
    await line.turn(fault)
    assert await _say(line) == answer
    assert bool(heard) == arrived
    await line.turn(Fault.NONE)
    assert await _say(line) == b"hello!"


async def test_a_refusing_line_cuts_what_is_open_and_comes_back_at_the_same_address(
    line: FaultProxy,
) -> None:
    reader, writer = await _connect(line)
    writer.write(b"a")
    assert await reader.read(1) == b"a"
    await line.turn(Fault.REFUSE)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read(1) == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await _connect(line)
    await line.turn(Fault.NONE)
    assert await _say(line) == b"hello!"


async def test_a_flapping_line_accepts_and_closes(line: FaultProxy) -> None:
    await line.turn(Fault.FLAPPING)
    for _ in range(3):
        reader, writer = await _connect(line)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read(1) == b""
        writer.close()
    assert line.accepted == 3


async def test_a_restart_is_away_and_comes_back(line: FaultProxy) -> None:
    away = asyncio.create_task(line.restart(0.05))
    await asyncio.sleep(0.01)
    with pytest.raises(ConnectionRefusedError):
        await _connect(line)
    await away
    assert await _say(line) == b"hello!"


async def test_nothing_is_left_behind(line: FaultProxy) -> None:
    for _ in range(20):
        await _say(line)
    await asyncio.sleep(0.02)
    assert line.open_connections == 0
    assert len(asyncio.all_tasks()) <= 3
