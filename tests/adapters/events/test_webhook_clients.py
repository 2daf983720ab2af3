"""Clients that are slow, mute, many or mad: they hold up nobody, and nothing they say breaks it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from webhook_rigs import NOW, Line, call, event, running, secrets_in, signed

from ebplan.adapters.events.webhook import connections, doors

HEAD = (
    b"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-token-of-ours\r\n"
    b"Content-Type: application/json\r\n"
)


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, object]:
    return secrets_in(tmp_path)


@contextlib.asynccontextmanager
async def socket_to(
    line: Line, says: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", line.source.port)
    writer.write(says)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what the other says before it closes the connection."""
    said = bytearray()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10.0):
            while piece := await reader.read(2**16):
                said += piece
    return bytes(said)


async def test_a_slow_message_is_not_waited_for(secrets, monkeypatch) -> None:
    monkeypatch.setattr(doors, "BODY_WITHIN_S", 0.2)
    async with (
        running(secrets) as line,
        socket_to(line, HEAD + b"Content-Length: 100\r\n\r\n{") as (reader, _),
    ):
        assert (await line.send(body=call()))[0] == 202
        async with asyncio.timeout(5.0):
            assert b" 408 " in await reader.readline()


@pytest.mark.parametrize("says", [b"", b"POST /events HT", HEAD])
async def test_who_never_ends_his_headers_is_let_go(secrets, monkeypatch, says: bytes) -> None:
    monkeypatch.setattr(connections, "WITHIN_S", 0.2)
    async with running(secrets) as line, socket_to(line, says) as (reader, _):
        assert await ended(reader) == b""
        assert (await line.send(body=call()))[0] == 202


async def test_who_sends_a_header_now_and_then_is_let_go(secrets, monkeypatch) -> None:
    monkeypatch.setattr(connections, "WITHIN_S", 0.2)

    async def trickle(writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"X-More: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

    async with running(secrets) as line, socket_to(line, HEAD) as (reader, writer):
        task = asyncio.create_task(trickle(writer))
        assert await ended(reader) == b""
        task.cancel()
        await asyncio.wait([task])


async def test_who_does_not_read_his_answers_is_let_go(secrets, monkeypatch, caplog) -> None:
    monkeypatch.setattr(connections, "WITHIN_S", 0.2)
    events = [
        event(id=f"{n}", start=(NOW + timedelta(seconds=n)).isoformat(), duration_s=1.0)
        for n in range(1000)
    ]
    asks = b"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-token-of-ours\r\n\r\n"
    async with running(secrets) as line:
        assert (await line.send(body=call(events=events)))[0] == 202
        async with socket_to(line) as (reader, writer):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(asks * 1000)
            async with asyncio.timeout(10.0):
                while "not read" not in caplog.text:
                    await asyncio.sleep(0.01)
            reader._transport.resume_reading()  # type: ignore[attr-defined]
            assert (await ended(reader)).count(b"HTTP/1.1 200") < 1000
        assert (await line.send(body=call(uid="after")))[0] == 202


async def test_many_who_only_hold_a_connection_keep_nobody_out(secrets, monkeypatch) -> None:
    monkeypatch.setattr(connections, "WITHIN_S", 3600.0)
    async with running(secrets) as line, contextlib.AsyncExitStack() as held:
        holders = [
            await held.enter_async_context(socket_to(line)) for _ in range(3 * connections.MOST)
        ]
        async with aiohttp.ClientSession() as http:
            line.http = http
            assert (await line.send(body=call()))[0] == 202
        for reader, _ in holders[: connections.MOST]:
            assert await ended(reader) == b""


async def test_where_all_connections_are_in_use_a_new_one_is_turned_away(
    secrets, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(connections, "MOST", 4)
    async with running(secrets) as line, contextlib.AsyncExitStack() as held:
        half = HEAD + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n"
        asking = []
        for _ in range(4):
            reader, writer = await held.enter_async_context(socket_to(line, half))
            assert b"100 Continue" in await reader.readline()  # it is being heard
            asking.append((reader, writer))
        async with socket_to(line) as (reader, _):
            assert await ended(reader) == b""
        assert "turned away" in caplog.text
        reader, writer = asking[0]
        writer.write(b" " * 100)
        await reader.readline()
        assert b"HTTP/1.1 400" in await reader.readline()


async def test_a_handshake_that_never_ends_is_given_up(secrets, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(connections, "WITHIN_S", 0.2)
    ours = trustme.CA()
    server = ours.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    server.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    async with running(secrets | {"tls": tls}) as line:
        async with socket_to(line, b"\x16\x03\x01") as (reader, _):
            assert await ended(reader) == b""
        async with socket_to(line, b"GET /healthz HTTP/1.1\r\n\r\n") as (reader, _):
            assert b"200" not in await ended(reader)
        context = ssl.create_default_context()
        ours.configure_trust(context)
        url = f"https://127.0.0.1:{line.source.port}/healthz"
        async with line.http.get(url, ssl=context) as reply:
            assert reply.status == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
MAD = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.tuples(st.sampled_from(sorted(call()) + sorted(event())), JSON).map(
        lambda change: json.dumps(
            call(events=[event(**{change[0]: change[1]})])
            if change[0] in event()
            else call(**{change[0]: change[1]})
        ).encode()
    ),
)


async def test_nothing_that_is_said_breaks_it(secrets) -> None:
    known = {200, 202, 400, 409, 410}
    async with running(secrets) as line:
        loop = asyncio.get_running_loop()

        @settings(max_examples=100, deadline=None)
        @given(MAD)
        def say(body: bytes) -> None:
            sent = line.send(body=body, headers=signed(body))
            status, said = asyncio.run_coroutine_threadsafe(sent, loop).result(10.0)
            assert status in known
            if status == 400:
                assert said["remedy"]
                assert len(said["error"].splitlines()) == 1

        await asyncio.to_thread(say)
        assert (await line.send(body=call(uid="after")))[0] == 202
