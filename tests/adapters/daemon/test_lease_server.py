"""The socket of a daemon: who may hold the lease, when it ends, and what clumsy peers do to it."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from capd_rigs import until

from ebplan.adapters.daemon.client import DaemonClient, NoAnswer
from ebplan.adapters.daemon.server import MOST_CONNECTIONS, LeaseServer
from ebplan.adapters.daemon.wire import LINE_BYTES, Denied
from ebplan.errors import InputError


class Shelf:
    """Keeps what it is told, and forgets it slowly."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.ways: list[str] = []
        self.safe_s = 0.0
        self.set_s = 0.0
        self.sick = 0

    async def read(self) -> dict[str, Any]:
        return {"told": self.told}

    async def set(self, request: dict[str, Any]) -> dict[str, Any]:
        if "nonsense" in request:
            raise ValueError("nonsense")
        await asyncio.sleep(self.set_s)
        self.told.append(request)
        return {"kept": len(self.told)}

    async def safe(self, why: str) -> None:
        if self.sick:
            self.sick -= 1
            raise RuntimeError("sick")
        self.ways.append(why)
        await asyncio.sleep(self.safe_s)
        self.told.clear()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def server(shelf: Shelf, tmp_path: Path) -> AsyncIterator[LeaseServer]:
    server = LeaseServer(shelf, tmp_path / "d.sock", daemon="shelf", longest_s=5.0)
    await server.start()
    yield server
    await server.stop(1.0)


@pytest.fixture
async def client(server: LeaseServer) -> AsyncIterator[DaemonClient]:
    client = DaemonClient(server.path, "shelf")
    yield client
    await client.close()


async def raw(server: LeaseServer, *lines: bytes, answers: int = 1) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    writer.write(b"".join(lines))
    found = [json.loads(await reader.readline()) for _ in range(answers)]
    writer.close()
    await writer.wait_closed()
    return found


async def test_only_its_owner_may_open_the_socket(server: LeaseServer) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


async def test_only_users_that_are_allowed_are_heard(shelf: Shelf, tmp_path: Path) -> None:
    server = LeaseServer(
        shelf, tmp_path / "o.sock", daemon="shelf", allowed_uids=(os.getuid() + 1,)
    )
    await server.start()
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    assert json.loads(await reader.readline())["ok"] is False
    assert await reader.read() == b""
    writer.close()
    await server.stop(1.0)


async def test_one_socket_has_one_daemon(server: LeaseServer, shelf: Shelf) -> None:
    with pytest.raises(InputError, match="another process"):
        await LeaseServer(shelf, server.path, daemon="shelf").start()


async def test_a_socket_left_behind_is_replaced(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "d.sock").touch()
    server = LeaseServer(shelf, tmp_path / "d.sock", daemon="shelf")
    await server.start()
    await server.stop(1.0)
    assert not server.path.exists()


async def test_one_holds_and_others_read(server: LeaseServer, client: DaemonClient) -> None:
    other = DaemonClient(server.path, "shelf")
    with pytest.raises(Denied, match="no lease"):
        await client.ask("set", what={"a": 1})
    assert (await client.ask("renew", ttl_s=60.0))["ttl_s"] == 5.0
    await client.ask("set", what={"a": 1})
    for op, fields in (("renew", {"ttl_s": 1.0}), ("set", {"what": {}}), ("release", {})):
        with pytest.raises(Denied) as denied:
            await other.ask(op, **fields)
        assert denied.value.denial == "held"
    seen = await other.ask("read")
    assert (seen["leased"], seen["yours"], seen["state"]) == (True, False, {"told": [{"a": 1}]})
    await other.close()


async def test_hanging_up_ends_the_lease_at_once(
    server: LeaseServer, client: DaemonClient, shelf: Shelf
) -> None:
    await client.ask("renew", ttl_s=5.0)
    await client.close()
    assert await until(lambda: bool(shelf.ways)) < 0.2
    assert "hung up" in shelf.ways[0]


async def test_silence_ends_the_lease_at_its_term(client: DaemonClient, shelf: Shelf) -> None:
    await client.ask("renew", ttl_s=0.2)
    await asyncio.sleep(0.1)
    await client.ask("renew", ttl_s=0.2)
    await client.ask("read")  # is no renewal
    assert 0.12 < await until(lambda: bool(shelf.ways)) < 0.4
    with pytest.raises(Denied, match="no lease"):
        await client.ask("set", what={})
    assert (await client.ask("renew", ttl_s=0.2))["ttl_s"] == 0.2


async def test_a_renewal_does_not_wait_for_a_command(client: DaemonClient, shelf: Shelf) -> None:
    shelf.set_s = 0.4
    await client.ask("renew", ttl_s=0.25)
    setting = asyncio.create_task(client.ask("set", what={"a": 1}))
    for _ in range(5):
        await asyncio.sleep(0.08)
        await client.ask("renew", ttl_s=0.25)
    assert (await setting)["result"] == {"kept": 1}
    assert shelf.ways == []


async def test_a_lapse_ends_the_command_under_way(client: DaemonClient, shelf: Shelf) -> None:
    shelf.set_s = 5.0
    await client.ask("renew", ttl_s=0.15)
    with pytest.raises(Denied) as denied:
        await client.ask("set", what={"a": 1})
    assert denied.value.denial == "lapsed"
    await until(lambda: bool(shelf.ways))
    assert shelf.told == []


async def test_a_controller_that_returns_takes_over(client: DaemonClient, shelf: Shelf) -> None:
    shelf.safe_s = 5.0
    await client.ask("renew", ttl_s=0.1)
    await client.ask("set", what={"a": 1})
    await until(lambda: bool(shelf.ways))
    assert (await client.ask("read"))["returning"]
    await client.ask("renew", ttl_s=5.0)
    assert (await client.ask("set", what={"b": 1}))["result"] == {"kept": 2}
    assert not (await client.ask("read"))["returning"]


async def test_a_keeper_that_fails_is_tried_again(client: DaemonClient, shelf: Shelf) -> None:
    shelf.sick = 1
    await client.ask("renew", ttl_s=5.0)
    assert (await client.ask("release", longer_s=2.0))["safe"]
    assert shelf.ways == ["it was released"]


async def test_told_to_end_it_goes_to_the_safe_state(
    server: LeaseServer, client: DaemonClient, shelf: Shelf
) -> None:
    await client.ask("renew", ttl_s=5.0)
    assert await server.stop(1.0)
    assert shelf.ways == ["the daemon is told to end"]
    with pytest.raises(NoAnswer):
        await client.ask("renew", ttl_s=5.0)


async def test_a_safe_state_that_takes_too_long_is_cut_short(
    server: LeaseServer, client: DaemonClient, shelf: Shelf
) -> None:
    shelf.safe_s = 60.0
    await client.ask("renew", ttl_s=5.0)
    assert not await server.stop(0.1)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[1]\n",
        b"\xff\xfe\n",
        b'{"id": 1}\n',
        b'{"op": "hello"}\n',
        b'{"id": true, "op": "hello"}\n',
        b'{"id": 1, "op": "renew", "ttl_s": NaN}\n',
        b'{"id": 1, "op": "renew", "ttl_s": true}\n',
        b'{"id": 1, "op": "renew", "ttl_s": -1}\n',
        b'{"id": 1, "op": "set", "what": 3}\n',
        b"[" * 50_000 + b"\n",
    ],
    ids=range(11),
)
async def test_nonsense_gets_one_line_and_does_no_harm(server: LeaseServer, line: bytes) -> None:
    first, second = await raw(server, line, b'{"id": 2, "op": "hello"}\n', answers=2)
    assert (first["ok"], first["error"]) == (False, "bad"), first
    assert second["daemon"] == "shelf"


async def test_a_command_that_makes_no_sense_is_denied(client: DaemonClient, shelf: Shelf) -> None:
    await client.ask("renew", ttl_s=5.0)
    with pytest.raises(Denied, match="nonsense"):
        await client.ask("set", what={"nonsense": 1})
    assert shelf.told == []


async def test_a_line_without_end_is_cut(server: LeaseServer) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    writer.write(b"x" * (2 * LINE_BYTES))
    assert not json.loads(await reader.readline())["ok"]
    assert await reader.read() == b""
    writer.close()
    await until(lambda: server.connections == 0)


async def test_who_never_reads_is_dropped(server: LeaseServer, shelf: Shelf) -> None:
    shelf.told = ["x" * 50_000]
    _, writer = await asyncio.open_unix_connection(str(server.path), limit=1024)
    for number in range(200):
        if server.connections == 0 and number > 20:
            break
        writer.write(b'{"id": 1, "op": "read"}\n')
        await asyncio.sleep(0.002)
    await until(lambda: server.connections == 0)
    writer.transport.abort()


async def test_too_many_requests_at_once_are_denied(client: DaemonClient, shelf: Shelf) -> None:
    shelf.set_s = 0.3
    await client.ask("renew", ttl_s=5.0)
    asked = [client.ask("set", what={"n": n}, longer_s=9.0) for n in range(20)]
    shelf.set_s = 0.01
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(a, Denied) and a.denial == "busy" for a in answers) == 4


async def test_connections_are_bounded_and_never_cost_the_lease(
    server: LeaseServer, client: DaemonClient, shelf: Shelf
) -> None:
    await client.ask("renew", ttl_s=5.0)
    crowd = [await asyncio.open_unix_connection(str(server.path)) for _ in range(60)]
    await asyncio.sleep(0.05)
    assert server.connections <= MOST_CONNECTIONS + 1
    await client.ask("set", what={"a": 1})
    assert shelf.ways == []
    newcomer = DaemonClient(server.path, "shelf")
    assert (await newcomer.ask("read"))["leased"]
    await newcomer.close()
    for _, writer in crowd:
        writer.transport.abort()
    await until(lambda: server.connections == 1)


async def test_many_peers_leave_nothing_behind(server: LeaseServer, shelf: Shelf) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def come_and_go() -> None:
        peer = DaemonClient(server.path, "shelf")
        await peer.ask("renew", ttl_s=5.0)
        await peer.ask("set", what={"a": 1})
        await peer.close()
        await until(lambda: server.connections == 0 and not server.tenancy.returning)

    await come_and_go()
    files, tasks = open_files(), len(asyncio.all_tasks())
    for _ in range(200):
        await come_and_go()
    assert (open_files(), len(asyncio.all_tasks())) == (files, tasks)
    assert len(shelf.ways) == 201
