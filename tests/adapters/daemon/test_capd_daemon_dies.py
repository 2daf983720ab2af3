"""The daemon of caps itself as a process, over GPUs that keep their caps when it dies."""

from __future__ import annotations

import asyncio
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from capd_rigs import until
from processes import controller, process

from ebplan.adapters.daemon.capd import main
from ebplan.adapters.daemon.notify import notify
from ebplan.twin.wire.nvml_stub import StubGpus, build, can_build

pytestmark = pytest.mark.real
START = "from ebplan.adapters.daemon.capd import main; main()"
BEFORE_W = [700.0, 650.0, 700.0, 600.0]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not can_build():
        pytest.skip("gcc is not installed: make test-adapters")
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def stub(library: Path, tmp_path: Path) -> Iterator[StubGpus]:
    gpus = StubGpus.create(tmp_path / "gpus", count=4)
    for slot, limit_w in enumerate(BEFORE_W):
        gpus.request_w(slot, limit_w)
    yield gpus
    gpus.close()


class Node:
    def __init__(self, folder: Path, stub: StubGpus, library: Path) -> None:
        self.folder, self.stub, self.environment = folder, stub, stub.environment(library)
        self.socket, self.baseline = folder / "capd.sock", folder / "limits.json"

    def run(self, *more: object, **environment: str) -> AbstractAsyncContextManager[Process]:
        return process(
            *("-c", START, "--socket", self.socket, "--baseline", self.baseline, *more),
            **{**self.environment, **environment},
        )

    @asynccontextmanager
    async def capd(self, *more: object, **environment: str) -> AsyncIterator[Process]:
        async with self.run("--restore-s", 0.4, *more, **environment) as started:
            await until(self.socket.exists, 10.0)
            yield started


@pytest.fixture
def node(tmp_path: Path, stub: StubGpus, library: Path) -> Node:
    return Node(tmp_path, stub, library)


async def test_told_to_end_it_restores_and_ends_well(node: Node) -> None:
    async with node.capd() as daemon, controller(node.socket, 20.0, 300.0):
        assert node.stub.limits_w()[:4] == [300.0] * 4
        began = len(node.stub.history())
        daemon.terminate()
        assert await asyncio.wait_for(daemon.wait(), 5.0) == 0
        assert node.stub.limits_w()[:4] == BEFORE_W
        back = node.stub.history()[began:]
        assert back[-1].at_s - back[0].at_s > 0.25
    assert not node.baseline.exists()
    assert not node.socket.exists()


async def test_told_twice_it_does_not_take_its_time(node: Node) -> None:
    async with node.capd("--restore-s", 30) as daemon, controller(node.socket, 20.0, 300.0):
        daemon.terminate()
        await until(lambda: node.stub.limits_w()[0] > 300.0)
        daemon.terminate()
        await asyncio.wait_for(daemon.wait(), 3.0)
        assert node.stub.limits_w()[:4] == BEFORE_W


async def test_its_next_start_restores_what_a_dead_run_left(node: Node) -> None:
    async with node.capd() as daemon, controller(node.socket, 20.0, 300.0):
        daemon.kill()
        await daemon.wait()
        assert node.stub.limits_w()[:4] == [300.0] * 4
        assert node.baseline.exists()
    node.socket.unlink()
    async with node.capd():
        await until(lambda: node.stub.limits_w()[:4] == BEFORE_W, 5.0)


async def test_restore_restores_at_once(node: Node) -> None:
    async with node.capd() as daemon, controller(node.socket, 20.0, 300.0):
        async with node.run("--restore") as refused:
            assert await asyncio.wait_for(refused.wait(), 5.0) == 2  # one that runs has them
        daemon.kill()
        await daemon.wait()
    async with node.run("--restore") as restoring:
        assert await asyncio.wait_for(restoring.wait(), 5.0) == 0
    assert node.stub.limits_w()[:4] == BEFORE_W
    assert not node.baseline.exists()
    async with node.run("--restore") as again:
        assert await asyncio.wait_for(again.wait(), 5.0) == 0


async def test_clocks_of_a_dead_run_are_unlocked(node: Node) -> None:
    async with node.capd() as daemon:
        from ebplan.adapters.gpu.capd_client import CapdGpus

        device = CapdGpus("node", node.socket, timeout_s=2.0)
        await device.renew(20.0)
        await device.lock_clock({1: 900.0})
        assert node.stub.locked_mhz(1) is not None
        daemon.kill()
        await daemon.wait()
        await device.close()
    async with node.run("--restore") as restoring:
        assert await asyncio.wait_for(restoring.wait(), 5.0) == 0
    assert node.stub.locked_mhz(1) is None


async def test_it_tells_systemd_that_it_is_ready_and_lives(node: Node) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(node.folder / "notify"))
        manager.settimeout(5.0)
        where = {"NOTIFY_SOCKET": str(node.folder / "notify"), "WATCHDOG_USEC": "150000"}
        async with node.capd(**where) as daemon:
            said = {await asyncio.to_thread(manager.recv, 100) for _ in range(6)}
            assert said == {b"READY=1", b"WATCHDOG=1"}
            daemon.terminate()
            await asyncio.wait_for(daemon.wait(), 5.0)


def test_nobody_is_told_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")


async def test_it_loads_little_and_so_is_back_quickly(node: Node) -> None:
    code = "import sys, ebplan.adapters.daemon.capd; sys.exit('numpy' in sys.modules)"
    async with process("-c", code) as started:
        assert await started.wait() == 0


@pytest.mark.parametrize(
    "arguments",
    [("--allow", "nobody-of-that-name"), ("--group", "no-such-group"), ("--socket", "/proc/x")],
)
def test_bad_input_ends_it(arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    from ebplan.adapters.fake import FakeGpus

    with pytest.raises(SystemExit) as ended:
        main(arguments, lambda options: FakeGpus({0: 300.0}))
    assert ended.value.code == 2
    assert arguments[0].strip("-") in capsys.readouterr().err
