"""A simulated site with the real controller on it: ``ebplan run`` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.on_the_wire.judge import Sample
from ebplan.case import load_site
from ebplan.event import Event
from ebplan.twin.live.bench import LiveBench, live_bench
from ebplan.twin.live.spec import TwinSpec
from ebplan.twin.plant import Measurements
from ebplan.twin.wire.fault_proxy import FaultProxy
from ebplan.twin.wire.processes import ends_with_parent, start_daemon

READY_S = 240.0
"""How long a controller may take to plan, on a machine that has other work."""
SAMPLE_S = 0.1
SLOW_S = 0.3
"""How late answers of a slow line come."""


@dataclass
class Operated:
    """The site; samples count from when it began."""

    bench: LiveBench
    battery_line: FaultProxy
    meter_line: FaultProxy
    stack: AsyncExitStack
    samples: list[Sample] = field(default_factory=list)
    controller: asyncio.subprocess.Process | None = None
    began_s: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.bench.places.folder

    def look(self, measured: Measurements) -> None:
        """Keep a sample."""
        t_s = time.monotonic() - self.began_s
        if not self.samples or t_s - self.samples[-1].t_s >= SAMPLE_S:
            plant = self.bench.plant
            seen = (plant.meter_kw, plant.grid_kw, plant.battery_kw, plant.soc)
            self.samples.append(Sample(t_s, *seen))

    async def start_controller(self) -> None:
        """Start ``ebplan run`` and wait until it has a plan."""
        log = self.folder / "controller.log"
        before = log.stat().st_size if log.exists() else 0
        with log.open("ab") as said:
            self.controller = await asyncio.create_subprocess_exec(
                *(sys.executable, "-u", "-m", "ebplan", "run", str(self.folder / "run.toml")),
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONWARNINGS": ""},
                preexec_fn=ends_with_parent(),
            )
        until_s = time.monotonic() + READY_S
        while time.monotonic() < until_s:
            lines = log.read_bytes()[before:].decode(errors="replace").splitlines()
            if any("(planned " in line and "(planned -)" not in line for line in lines):
                return
            if self.controller.returncode is not None:
                break
            await asyncio.sleep(0.1)
        raise RuntimeError(f"the controller does not start: {log.read_text()[-800:]}")

    async def kill_controller(self) -> None:
        """Kill it, as a machine does that loses its power."""
        assert self.controller is not None
        self.controller.kill()
        await self.controller.wait()

    async def end_controller(self) -> int:
        """Let it hand the site back; return its exit code."""
        assert self.controller is not None
        if self.controller.returncode is None:
            self.controller.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.controller.wait(), 30.0)

    async def restart_capd(self) -> None:
        """Start the daemon of the GPUs again; it restores what the one before left."""
        from ebplan.twin.wire import nvml_stub

        socket = self.folder / "node1.sock"
        socket.unlink(missing_ok=True)
        self.bench.daemons["node1"] = await start_daemon(
            self.stack,
            socket,
            "ebplan.adapters.daemon.capd",
            *("--socket", str(socket), "--baseline", str(self.folder / "node1.limits.json")),
            *("--restore-s", str(self.bench.spec.restore_s)),
            environment=self.bench.gpus["node1"].stub.environment(nvml_stub.build(self.folder)),
        )

    def call(self, event: Event, in_s: float) -> float:
        """Send a call that begins soon; return its start in seconds of the samples."""
        start = datetime.now(UTC) + timedelta(seconds=in_s)
        start_s = time.monotonic() - self.began_s + in_s
        told = event.model_copy(update={"start": start}).model_dump(mode="json", exclude_unset=True)
        grid_event = {"kind": "grid_event", "uid": event.id, "events": [told]}
        half = self.folder / "calls" / f".{event.id}.json"
        half.write_text(json.dumps(grid_event))
        half.rename(self.folder / "calls" / f"{event.id}.json")
        return start_s

    async def until(self, t_s: float) -> None:
        """Wait until a second of the samples."""
        await asyncio.sleep(max(t_s - (time.monotonic() - self.began_s), 0.0))

    def answers(self) -> dict[str, dict[str, int]]:
        """Return answers by class and status so far."""
        told: dict[str, dict[str, int]] = json.loads((self.folder / "traffic.json").read_text())[
            "answers"
        ]
        return told


@asynccontextmanager
async def operated(
    folder: Path, site: str, *, drained: Mapping[str, int] | None = None, **spec: object
) -> AsyncIterator[Operated]:
    """Run a site with a controller; the lines to converter and meter can be turned bad.

    Args:
        folder: where its files lie.
        site: the site.
        drained: instances that the controller is to keep standing by between calls, by pool.
        spec: of the simulation.
    """
    twin = TwinSpec.parse({"kind": "twin", "site": site, "ipmi": False, **spec})
    async with AsyncExitStack() as stack:
        bench = await stack.enter_async_context(live_bench(load_site(site), twin, folder))
        target = ("127.0.0.1", bench.places.modbus)
        lines = [
            await stack.enter_async_context(FaultProxy(target, slow_s=SLOW_S)) for _ in range(2)
        ]
        devices = json.loads((folder / "devices.json").read_text())
        for name, line in zip(("battery", "meter"), lines, strict=True):
            devices[name]["address"] = {**devices[name]["address"], "port": line.port}
        (folder / "devices.json").write_text(json.dumps(devices))
        if drained:
            kept = "".join(f"{pool} = {count}\n" for pool, count in drained.items())
            with (folder / "run.toml").open("a") as run:
                run.write(f"\n[restoration.drained]\n{kept}")
        made = Operated(bench, lines[0], lines[1], stack)
        bench.listeners.append(made.look)
        try:
            await made.start_controller()
            yield made
        finally:
            if made.controller is not None and made.controller.returncode is None:
                made.controller.kill()
                await made.controller.wait()
