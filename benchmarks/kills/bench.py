"""A whole site on loopback: converter, meter, GPUs behind their daemon, router, engines, agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from ebplan.adapters.modbus.commissioning import Commissioning, Probe
from ebplan.adapters.router.config import RouterConfig
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.document import write_atomically
from ebplan.twin.wire.haproxy_bench import HaproxyBench, free_port
from ebplan.twin.wire.nvml_stub import StubGpus, build
from ebplan.twin.wire.processes import start_daemon
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant
from ebplan.twin.wire.vllm_double import VllmDouble

ENGINES = tuple(f"llama-{i}" for i in range(4))
GPUS_EACH = 2
OTHER_KW = 0.55
DEMAND_W = 550.0
LIMIT_W = 600.0
RESTORE_S = 1.0
"""Over how long the GPUs come back."""


class SiteBench:
    """The site; ``devices_file`` says to a controller where everything is."""

    def __init__(self, folder: Path, lease_s: float, timeout_s: float) -> None:
        self.folder, self.lease_s, self.timeout_s = folder, lease_s, timeout_s
        self.devices_file = folder / "devices.toml"
        self.plant: SunSpecPlant
        self.gpus: StubGpus
        self.engines: dict[str, VllmDouble] = {}
        self.router: HaproxyRouter

    @property
    def battery_kw(self) -> float:
        """What the battery really does."""
        return self.plant.battery_kw

    @property
    def capped(self) -> int:
        """How many GPUs are limited below what was before."""
        return sum(limit_w < LIMIT_W for limit_w in self.gpus.limits_w())

    @property
    def asleep(self) -> int:
        """How many engines are asleep."""
        return sum(engine.asleep for engine in self.engines.values())

    def grid_kw(self) -> float:
        """Draw at the connection point."""
        compute_w = sum(min(DEMAND_W, limit_w) for limit_w in self.gpus.limits_w())
        return OTHER_KW + compute_w / 1000.0 - self.plant.battery_kw

    async def show_the_meter(self) -> None:
        """Let the meter show the draw, until cancelled."""
        while True:
            self.plant.meter_kw = self.grid_kw()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def site_bench(
    folder: Path, *, lease_s: float, timeout_s: float = 0.2
) -> AsyncIterator[SiteBench]:
    """Start everything; stop it, and every process, at the end.

    Args:
        folder: where sockets and files lie.
        lease_s: term of the leases.
        timeout_s: how long converter and router are waited for; longer where whoever speaks to them
            shares the process with them.
    """
    bench = SiteBench(folder, lease_s, timeout_s)
    async with AsyncExitStack() as stack:
        settings = PlantSettings(power_kw=10.0, energy_kwh=20.0)
        bench.plant = await stack.enter_async_context(SunSpecPlant(settings))
        for name in ENGINES:
            bench.engines[name] = await stack.enter_async_context(VllmDouble())
        library = build(folder)
        count = GPUS_EACH * len(ENGINES)
        bench.gpus = StubGpus.create(folder / "gpus", count, demand_w=DEMAND_W, limit_w=LIMIT_W)
        stack.callback(bench.gpus.close)
        config = _router_config(bench)
        await stack.enter_async_context(HaproxyBench(config))
        bench.router = HaproxyRouter(config)
        await start_daemon(
            stack,
            folder / "capd.sock",
            "ebplan.adapters.daemon.capd",
            *("--socket", str(folder / "capd.sock")),
            *("--baseline", str(folder / "limits.json"), "--restore-s", str(RESTORE_S)),
            environment=bench.gpus.environment(library),
        )
        watched = [f"--engine={name}={engine.url}" for name, engine in bench.engines.items()]
        await start_daemon(
            stack,
            folder / "waked.sock",
            "ebplan.adapters.daemon.waked",
            *("--socket", str(folder / "waked.sock")),
            *("--state", str(folder / "watched.json"), *watched),
        )
        _write_devices(bench)
        showing = asyncio.create_task(bench.show_the_meter())
        try:
            yield bench
        finally:
            showing.cancel()
            await asyncio.wait([showing])


def _router_config(bench: SiteBench) -> RouterConfig:
    folder = bench.folder
    config = RouterConfig.parse(
        {
            "name": "bench",
            "listen": f"127.0.0.1:{free_port()}",
            "socket": f"{folder}/admin.sock",
            "directory": str(folder),
            "pools": {
                "llama70b": {
                    "servers": {
                        name: {"address": f"127.0.0.1:{engine.port}"}
                        for name, engine in bench.engines.items()
                    }
                }
            },
            "classes": {
                "interactive": {"pool": "llama70b", "protected": True},
                "batch": {"pool": "llama70b", "protected": False, "paths": ["/batch"]},
            },
            "default_class": "interactive",
        }
    )
    write_atomically(folder / "router.json", config.to_json())
    return config


def _write_devices(bench: SiteBench) -> None:
    """Write the devices file, the commissioning record beside it."""
    folder = bench.folder
    record = Commissioning(
        device="battery",
        serial=bench.plant.settings.serial,
        at=datetime.now(UTC),
        probes=tuple(
            Probe.parse({"name": name, "outcome": "passed", "seen": "this bench's timer is real"})
            for name in ("set-point", "sign", "timer", "renewal")
        ),
        may_arm=True,
    )
    write_atomically(folder / "commissioning.json", record.to_json())
    address = {"host": "127.0.0.1", "port": bench.plant.port, "timeout_s": bench.timeout_s}
    spec = {
        "kind": "devices",
        "name": "bench",
        "lease_s": bench.lease_s,
        "battery": {
            "driver": "sunspec",
            "address": address,
            "settings": {
                "serial": bench.plant.settings.serial,
                "max_charge_kw": 7.0,
                "max_discharge_kw": 7.0,
                "first_term_s": 1,
            },
            "commissioning": "commissioning.json",
        },
        "meter": {"driver": "sunspec", "address": address},
        "router": {"driver": "haproxy", "config": "router.json", "timeout_s": bench.timeout_s},
        "nodes": {
            "node1": {"driver": "capd", "socket": str(folder / "capd.sock"), "cap_low_w": 300.0}
        },
        "waked": str(folder / "waked.sock"),
        "engines": {
            name: {
                "driver": "vllm",
                "pool": "llama70b",
                "url": bench.engines[name].url,
                "server": name,
                "node": "node1",
                "gpus": [GPUS_EACH * i, GPUS_EACH * i + 1],
            }
            for i, name in enumerate(ENGINES)
        },
    }
    bench.devices_file = folder / "devices.json"
    write_atomically(bench.devices_file, json.dumps(spec, indent=1))
