"""``ebplan twin up``, ``status``, ``down``: a site in real time, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner, Result

from ebplan.adapters.answers import Applied
from ebplan.adapters.devices import DevicesSpec
from ebplan.adapters.open_devices import open_devices
from ebplan.adapters.roles import RouterReading
from ebplan.cli import main
from ebplan.document import read_data
from ebplan.twin.live.control import read_state
from ebplan.twin.live.serve import started_at

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        which("haproxy") is None or which("gcc") is None,
        reason="haproxy or gcc is not installed: make test-adapters",
    ),
]


def ebplan(*words: str) -> Result:
    return CliRunner().invoke(main, ["twin", *words])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "t"
    yield path
    ebplan("down", "--folder", str(path))


def up(folder: Path) -> dict[str, Any]:
    started = ebplan("up", "--folder", str(folder))
    assert started.exit_code == 0, started.output
    state = read_state(folder)
    assert state is not None
    return state


def processes(state: dict[str, Any]) -> dict[int, int]:
    those = {state["pid"]: state["started"]}
    return those | {one["pid"]: one["started"] for one in state["processes"].values()}


def gone(those: dict[int, int]) -> bool:
    return all(started_at(pid) != started for pid, started in those.items())


async def test_a_site_is_there_once_and_leaves_nothing(folder: Path) -> None:
    state = await asyncio.to_thread(up, folder)
    twice = await asyncio.to_thread(ebplan, "up", "--folder", str(folder))
    assert twice.exit_code == 2
    assert "twin down" in twice.output
    await _it_is_one_plant(folder, state)
    shown = await asyncio.to_thread(ebplan, "status", "--folder", str(folder))
    assert shown.exit_code == 0
    assert f"ebplan run {folder}/run.toml" in shown.output
    ended = await asyncio.to_thread(ebplan, "down", "--folder", str(folder))
    assert ended.exit_code == 0
    assert not folder.exists()
    assert gone(processes(state))
    assert (await asyncio.to_thread(ebplan, "status", "--folder", str(folder))).exit_code == 1


async def _it_is_one_plant(folder: Path, state: dict[str, Any]) -> None:
    """What is told over one protocol shows over another."""
    spec = DevicesSpec.parse(read_data(folder / "devices.json"))
    devices = open_devices(spec, folder=folder)
    try:
        url = f"{state['addresses']['router']}/batch/v1/completions"
        body = {"model": "double", "prompt": "word" * 147, "max_tokens": 62}
        async with aiohttp.ClientSession() as http, http.post(url, json=body) as reply:
            answer = await reply.json()
        assert answer["usage"]["completion_tokens"] == 62
        assert devices.router is not None
        reading = await devices.router.read()
        assert isinstance(reading, RouterReading)
        assert reading.arrived["batch"] >= 1
        gpus = devices.nodes["node1"]
        assert isinstance(await gpus.renew(3.0), Applied)
        told = await gpus.cap(dict.fromkeys(range(8), 250.0))
        assert all(isinstance(one, Applied) for one in told.values()), told
        assert devices.battery is not None
        assert isinstance(await devices.battery.renew(3.0), Applied)
        await devices.battery.hold(1.0)
        until_s = time.monotonic() + 10.0
        while True:
            await gpus.renew(3.0)
            await devices.battery.renew(3.0)
            now = read_state(folder)
            assert now is not None
            seen = await gpus.read()
            assert not hasattr(seen, "why"), seen
            watts = [gpu.power_kw * 1e3 for gpu in seen.values()]  # type: ignore[union-attr]
            # a drained or an empty GPU draws 120 W, one under load its cap
            if abs(now["plant"]["battery_kw"] - 1.0) < 0.05 and max(watts) <= 255.0:
                break
            assert time.monotonic() < until_s, (now["plant"], watts)
            await asyncio.sleep(0.3)
        for one in (gpus, devices.battery):
            await one.release()
    finally:
        await devices.close()


def test_a_site_that_is_killed_takes_its_children_with_it(folder: Path) -> None:
    state = up(folder)
    there = processes(state)
    os.kill(state["pid"], signal.SIGKILL)
    until_s = time.monotonic() + 15.0
    while not gone(there) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert gone(there), "children go on without their parent"
    assert ebplan("up", "--folder", str(folder)).exit_code == 2  # what it left is in the way
    (folder / "audit").mkdir()
    (folder / "mine.txt").write_text("not ours")
    assert ebplan("down", "--folder", str(folder), "--keep").exit_code == 0
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["audit", "calls", "mine.txt", "site.key", "site.pub"]
    assert ebplan("down", "--folder", str(folder)).exit_code == 0
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"site": "nowhere"}, "site: got 'nowhere'"),
        ({"site": "two-pools"}, "twin.json"),
        ({"soc": 2.0}, "soc"),
        ({"meter": {"averaging_s": 0.0}}, "meter.averaging_s"),
        ({"step_s": float("nan")}, "NaN"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, spec: dict[str, object], said: str) -> None:
    file = tmp_path / "twin.json"
    file.write_text(json.dumps({"kind": "twin"} | spec))
    result = ebplan("up", str(file), "--folder", str(tmp_path / "f"))
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "f").exists()
