"""``ebplan run`` on a site on loopback, and what it says of wrong files."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which

import pytest
from click.testing import CliRunner
from test_controller_wire import LEASE_S, traffic

from benchmarks.kills.bench import site_bench
from ebplan.audit import SigningKey, verify
from ebplan.cli import main

KEY = SigningKey("bench", bytes(32))
ON_THE_WIRE = [
    pytest.mark.real,
    pytest.mark.skipif(
        which("haproxy") is None or which("gcc") is None,
        reason="haproxy or gcc is not installed: make test-adapters",
    ),
]


def write_run(folder: Path, **changes: object) -> Path:
    KEY.write(folder / "site.key")
    sources = {
        "kind": "event_sources",
        "site": "bench",
        "inbox": "inbox.json",
        "sources": [{"kind": "folder", "name": "calls", "path": "calls", "poll_s": 0.1}],
    }
    (folder / "sources.json").write_text(json.dumps(sources))
    run = {
        "kind": "run",
        "site": "powerd-lab-phase-a",
        "devices": "devices.json",
        "sources": "sources.json",
        "audit": {"folder": "audit", "key": "site.key"},
        "metrics": {"port": 0},
    } | changes
    (folder / "run.json").write_text(json.dumps(run))
    return folder / "run.json"


@pytest.mark.real
@ON_THE_WIRE[1]
async def test_a_site_is_run_and_handed_back(tmp_path: Path) -> None:
    async with site_bench(tmp_path, lease_s=LEASE_S, timeout_s=1.0) as bench, traffic(bench, 30.0):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ebplan", "run", str(write_run(tmp_path))),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": ""},
        )
        assert process.stdout is not None
        lines: list[str] = []

        async def until(said: str) -> None:
            async with asyncio.timeout(60.0):
                while not any(said in line for line in lines):
                    lines.append((await process.stdout.readline()).decode())

        await until("planned 4.")
        before_kw = bench.grid_kw()
        start = datetime.now(UTC) + timedelta(seconds=1.0)
        event = {
            "id": "dr-1",
            "type": "demand_response",
            "start": start.isoformat(),
            "duration_s": 60.0,
            "target": {"delta_kw": -1.0},
        }
        call = {"kind": "grid_event", "uid": "dr-1", "events": [event]}
        (tmp_path / "calls" / ".a.json").write_text(json.dumps(call))
        (tmp_path / "calls" / ".a.json").rename(tmp_path / "calls" / "a.json")
        await until("event dr-1")
        async with asyncio.timeout(30.0):
            while abs(bench.grid_kw() - (before_kw - 1.0)) > 0.15:
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert out.decode().splitlines()[-1] == "handed back"
        assert (bench.battery_kw, bench.capped, bench.asleep) == (0.0, 0, 0)
    verdict = verify(tmp_path / "audit", KEY.verify_key)
    assert verdict.ok
    assert verdict.unsigned == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"site": "nowhere"}, "run.json: site: got 'nowhere'"),
        ({"devices": "gone.json"}, "gone.json: (file)"),
        ({}, "router: got nothing"),
        ({"surprise": 1}, "surprise"),
        ({"cycle_s": 0.0}, "cycle_s"),
        ({"restoration": {"drained": {"b": 1}}}, "run.json: restoration.drained: got 'b'"),
        ({"sources": "gone.json"}, "gone.json: (file)"),
        (
            {"audit": {"folder": "audit", "key": "gone.key"}},
            "make one: ebplan audit keygen NAME -o ",
        ),
        ({"metrics": {"host": "203.0.113.1", "port": 1}}, "metrics.port: got '203.0.113.1:1'"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    (tmp_path / "devices.json").write_text('{"kind": "devices", "name": "bench"}')
    result = CliRunner().invoke(main, ["run", str(write_run(tmp_path, **changes))])
    assert result.exit_code == 2
    assert said in result.output
    assert result.stderr.count("\n") == 1


def test_it_does_not_run_for_no_number_of_seconds(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["run", str(write_run(tmp_path)), "--for", "nan"])
    assert told.exit_code == 2
    assert "--for is a finite number of seconds" in told.output


def test_what_could_not_be_handed_back_is_said(tmp_path: Path) -> None:
    """A site whose devices are all silent: nobody is told that it was handed back."""
    engines = {
        f"llama-{n}": {
            "driver": "vllm",
            "pool": "llama70b",
            "url": f"http://127.0.0.1:{9 + n}",
            "server": f"llama-{n}",
            "node": "node1",
            "gpus": [2 * n, 2 * n + 1],
        }
        for n in range(4)
    }
    router = {
        "kind": "router",
        "name": "silent",
        "listen": "127.0.0.1:1",
        "socket": str(tmp_path / "admin.sock"),
        "directory": str(tmp_path),
        "pools": {"llama70b": {"servers": {n: {"address": "127.0.0.1:1"} for n in engines}}},
        "classes": {"interactive": {"pool": "llama70b", "protected": True}},
        "default_class": "interactive",
    }
    (tmp_path / "router.json").write_text(json.dumps(router))
    devices = {
        "kind": "devices",
        "name": "silent",
        "router": {"driver": "haproxy", "config": "router.json"},
        "nodes": {
            "node1": {"driver": "capd", "socket": str(tmp_path / "none"), "cap_low_w": 300.0}
        },
        "engines": engines,
    }
    (tmp_path / "devices.json").write_text(json.dumps(devices))
    file = write_run(tmp_path)
    result = CliRunner().invoke(main, ["run", str(file), "--for", "2.5"])
    assert result.exit_code == 5, result.output
    assert "handed back, in part" in result.output
    assert "not handed back: " in result.output
    assert "no_plan: the load is not known" in result.output
    assert "battery silent" in result.output
