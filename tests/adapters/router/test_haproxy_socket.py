"""The runtime socket: only lines from the list leave, and only whole answers count."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.router.readings import read_map, read_servers
from ebplan.adapters.router.runtime_commands import (
    forget_rate,
    is_allowed,
    set_map,
    set_weight,
    show_info,
    show_map,
    show_servers,
)
from ebplan.adapters.router.runtime_socket import NoAnswer, NotTaken, RuntimeSocket

Says = Callable[[asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def somebody(folder: Path, answer: bytes, pause_s: float = 0.0) -> AsyncIterator[str]:
    """Listen on a unix socket and answer every line with the same bytes."""
    path = str(folder / "s")
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await reader.readline()
            for piece in (answer[: len(answer) // 2], answer[len(answer) // 2 :]):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield path
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


def test_the_lines_that_may_be_sent() -> None:
    lines = [
        show_info(),
        show_servers(),
        show_map("/etc/m.map"),
        set_weight("own_p", "a", 100),
        set_map("/etc/m.map", "batch", -1),
        forget_rate("admitted", "batch"),
    ]
    assert all(is_allowed(line) for line in lines)


@given(st.text(max_size=20), st.sampled_from([";", "\n", " ", "\r", "\x00", "\\", "<<", "\u2028"]))
def test_no_name_becomes_a_command(text: str, character: str) -> None:
    name = f"a{text}{character}"
    for build in (
        lambda: set_weight("own_p", name, 1),
        lambda: set_weight(name, "a", 1),
        lambda: set_map("/etc/m.map", name, 1),
        lambda: show_map(f"/{name}"),
        lambda: forget_rate("admitted", name),
    ):
        with pytest.raises(ValueError, match="not a line"):
            build()


@pytest.mark.parametrize(
    "line", ["", "disable frontend clients", "show info;quit", "show info\n", "set weight a/b 1 2"]
)
async def test_other_lines_are_never_sent(line: str) -> None:
    with pytest.raises(ValueError, match="not a line"):
        await RuntimeSocket("/nowhere").ask(line)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "without an answer"),
        (b"0x1 lease 0", "breaks off"),
        (b"0x1 lease 0\n", "breaks off"),
        (b"\xff\xfe\n\n", "not text"),
        (b"x" * 5_000_000 + b"\n\n", "over 4000000 bytes"),
    ],
)
async def test_what_is_no_whole_answer_counts_as_none(
    tmp_path: Path, answer: bytes, why: str
) -> None:
    async with somebody(tmp_path, answer) as path:
        with pytest.raises(NoAnswer, match=why) as caught:
            await RuntimeSocket(path, 2.0).ask(show_map("/m"))
        assert caught.value.sent


async def test_an_answer_in_pieces_is_put_together(tmp_path: Path) -> None:
    async with somebody(tmp_path, b"0x1 until_ms 12\n\n", pause_s=0.05) as path:
        assert read_map(await RuntimeSocket(path).ask(show_map("/m"))) == {"until_ms": 12}


async def test_a_trickle_ends_at_the_timeout(tmp_path: Path) -> None:
    async with somebody(tmp_path, b"0x1 a 1\n\n", pause_s=5.0) as path:
        started_s = time.monotonic()
        with pytest.raises(NoAnswer, match=r"within 0\.1 s"):
            await RuntimeSocket(path, 0.1).ask(show_map("/m"))
        assert time.monotonic() - started_s < 0.3


async def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer) as caught:
        await RuntimeSocket(str(tmp_path / "none")).ask(show_info())
    assert not caught.value.sent


async def test_an_error_text_is_no_success(tmp_path: Path) -> None:
    async with somebody(tmp_path, b"No such server.\n\n") as path:
        with pytest.raises(NotTaken, match=r"No such server\."):
            await RuntimeSocket(path).change(set_weight("b", "s", 1))


async def test_success_is_an_empty_line(tmp_path: Path) -> None:
    async with somebody(tmp_path, b"\n") as path:
        await RuntimeSocket(path).change(set_weight("b", "s", 1))


@pytest.mark.parametrize(
    "answer", [b"Name: Varnish\nPid: 1\n\n", b"Name: HAProxy\nPid: x\n\n", b"\n", b"hello\n\n"]
)
async def test_who_is_not_haproxy_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    async with somebody(tmp_path, answer) as path:
        with pytest.raises(NoAnswer, match="not HAProxy"):
            await RuntimeSocket(path).identity()


@given(st.text(max_size=200))
def test_any_text_is_a_table_or_no_answer(text: str) -> None:
    for read in (read_map, lambda t: read_servers(t, {"a": "own_p"})):
        with contextlib.suppress(NoAnswer):
            read(text)


@pytest.mark.parametrize(
    ("row", "up"),
    [
        ("UP", True),
        ("UP 1/2", True),
        ("DRAIN", True),
        ("no check", True),
        ("DOWN", False),
        ("DOWN 1/2", False),
        ("MAINT", False),
        ("NOLB", False),
    ],
)
def test_states_of_servers(row: str, up: bool) -> None:
    table = f"# pxname,svname,status,weight,scur,qcur,\nown_p,a,{row},50,3,1,\n"
    (server,) = read_servers(table, {"a": "own_p"}).values()
    assert (server.up, server.weight, server.in_flight, server.queued) == (up, 50, 3, 1)


def test_a_missing_server_is_named() -> None:
    table = "# pxname,svname,status,weight,scur,qcur,\nother,a,UP,50,3,1,\n"
    with pytest.raises(NoAnswer, match="no server a"):
        read_servers(table, {"a": "own_p"})
