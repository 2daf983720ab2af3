"""The same sweep on a Dask cluster of two workers on loopback: the same hash."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from sweep_cases import Done, command, environment, knowing, run

from ebplan.cli import main

pytestmark = pytest.mark.slow

pytest.importorskip("distributed", reason="the extra dask is not installed")


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and two workers as docs/sweeps.md says."""
    address = f"tcp://127.0.0.1:{_free_port()}"
    scheduler = ("distributed.cli.dask_scheduler", "--no-dashboard", "--host", address)
    worker = (
        *("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"),
        *("--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(folder)),
    )
    with ExitStack() as stack:
        stack.enter_context(started(*scheduler))
        workers = [stack.enter_context(started(*worker)) for _ in range(2)]
        yield address, workers


def test_a_cluster_gives_the_same_also_when_a_worker_is_killed(done: Done, tmp_path: Path) -> None:
    with cluster(tmp_path) as (address, workers):
        output = knowing(tmp_path / "whole", done.output)
        assert run(done.sweep, output, "--scheduler", address)["result_sha256"] == done.sha256

        output = knowing(tmp_path / "killed", done.output)
        sweep = subprocess.Popen(
            command(done.sweep, output, "--scheduler", address, "--json"),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        until = time.monotonic() + 200.0
        while not list((output / "chunks").glob("*.parquet")):
            assert sweep.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        workers[0].send_signal(signal.SIGKILL)
        out, _ = sweep.communicate(timeout=240)
        assert sweep.returncode == 0
        assert json.loads(out)["result_sha256"] == done.sha256
        assert len(list((output / "chunks").iterdir())) == 12


def test_nobody_at_the_address(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebplan.sweep.farm.CONNECT_S", 1.0)
    address = f"tcp://127.0.0.1:{_free_port()}"
    output = str(knowing(tmp_path / "out", done.output))
    result = CliRunner().invoke(
        main, ["sweep", str(done.sweep), "-o", output, "--scheduler", address]
    )
    assert result.exit_code == 2
    assert "allowed: the address of a Dask scheduler that answers" in result.stderr
