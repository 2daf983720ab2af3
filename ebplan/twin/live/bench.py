"""Everything of a live site, started and ended together.

async with live_bench(site, spec, folder, say=print) as bench:
bench.plant.grid_kw         # the truth
bench.places.router         # where requests go
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ebplan.adapters.roles import RouterReading
from ebplan.adapters.router.config import RouterConfig
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.document import write_atomically
from ebplan.models import library
from ebplan.site import Site
from ebplan.twin.live.certificate import own_certificate
from ebplan.twin.live.converter import PlantConverter
from ebplan.twin.live.engine_server import EngineServer
from ebplan.twin.live.gpus import PlantGpus
from ebplan.twin.live.named_pool import NamedPool, named
from ebplan.twin.live.plant import LivePlant
from ebplan.twin.live.site_files import SERIAL, Places, default_class, router_config, write_files
from ebplan.twin.live.spec import TwinSpec
from ebplan.twin.plant import Measurements
from ebplan.twin.wire import ipmi_sim, nvml_stub, redfish_double
from ebplan.twin.wire.haproxy_bench import HaproxyBench, free_port
from ebplan.twin.wire.processes import start_daemon, start_process
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant

NODE_GPUS = 8
"""GPUs of a node at most."""
ROUTER_EVERY_S = 0.25
"""How often the router is asked which engines it sends nothing."""
SHOW_EVERY_S = 0.2
"""How often nodes show another power."""


@dataclass
class LiveBench:
    """A live site that runs."""

    site: Site
    spec: TwinSpec
    plant: LivePlant
    places: Places
    converter: SunSpecPlant | None = None
    """Converter and meter."""
    engines: dict[str, EngineServer] = field(default_factory=dict)
    gpus: dict[str, PlantGpus] = field(default_factory=dict)
    """The GPUs of each node."""
    router: HaproxyBench | None = None
    config: RouterConfig | None = None
    daemons: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    """Daemons and traffic, by name."""
    left_out: list[str] = field(default_factory=list)
    """What is not there, and why."""
    listeners: list[Callable[[Measurements], None]] = field(default_factory=list)
    """Hear what was measured after each step of the plant."""

    def after(self, measured: Measurements) -> None:
        """Exchange with the GPUs, and tell who listens."""
        for gpus in self.gpus.values():
            gpus.exchange()
        for listen in self.listeners:
            listen(measured)

    def node_w(self, node: str) -> float:
        """Return what a node draws at the input of its power supplies."""
        watts = self.gpus[node].node_w()
        at = "gpu"
        for _ in self.site.losses:
            stage = next((s for s in self.site.losses if s.inner == at), None)
            if stage is None or at == "ac":
                break
            watts = watts * stage.factor + 1e3 * stage.offset_kw / len(self.gpus)
            at = stage.outer
        return watts


@asynccontextmanager
async def live_bench(
    site: Site, spec: TwinSpec, folder: Path, *, say: Callable[[str], None] = lambda line: None
) -> AsyncIterator[LiveBench]:
    """Start everything; end it, and every process, at the end.

    Args:
        site: the site.
        spec: what happens to it.
        folder: where sockets and files lie; it must exist.
        say: hears what is left out.

    Raises:
        InputError: the load of a class is not known.
        RuntimeError: something does not start.
    """
    plant = LivePlant(
        site,
        spec.state(site),
        traffic=spec.traffic,
        engines=spec.engines,
        bias=spec.bias,
        seed=spec.seed,
        frequency=spec.grid_frequency(),
        meter=spec.meter,
        heat=spec.heat,
    )
    bench = LiveBench(site, spec, plant, Places(folder))
    # what the traffic process reads
    write_atomically(folder / "site.json", site.to_json())
    write_atomically(folder / "twin.json", spec.to_json())
    async with AsyncExitStack() as stack:
        await _converter(bench, stack)
        await _engines(bench, stack)
        await _nodes(bench, stack)
        _run(stack, plant.run(spec.step_s, bench.after), "plant")
        await _router(bench, stack)
        await _agents(bench, stack)
        await _node_meters(bench, stack, say)
        bench.places.webhook, bench.places.metrics = free_port(), free_port()
        write_files(site, spec, bench.places)
        url = f"http://{bench.places.router}"
        bench.daemons["traffic"] = await start_process(
            stack,
            folder / "traffic.log",
            *(sys.executable, "-m", "ebplan.twin.live.traffic", str(folder), url),
        )
        yield bench


async def _converter(bench: LiveBench, stack: AsyncExitStack) -> None:
    """Show converter and meter; without a battery the meter stands alone."""
    battery = bench.site.battery
    settings = PlantSettings(
        power_kw=battery.converter_rated_kw if battery else 10.0,
        energy_kwh=battery.energy_kwh if battery else 1.0,
        soc=bench.plant.soc,
        serial=SERIAL,
        nominal_hz=bench.spec.grid_frequency().nominal_hz,
    )
    made = SunSpecPlant(settings, behind=PlantConverter(bench.plant))
    bench.converter = await stack.enter_async_context(made)
    bench.places.modbus = made.port


async def _engines(bench: LiveBench, stack: AsyncExitStack) -> None:
    default = default_class(bench.site)
    for name, (pool, index) in named(bench.plant.named_pools).items():
        server = EngineServer(bench.plant, pool, index, default_class=default)
        bench.engines[name] = await stack.enter_async_context(server)
        bench.places.engines[name] = server.url
        bench.places.pool_of[name] = pool.name


async def _nodes(bench: LiveBench, stack: AsyncExitStack) -> None:
    """Put engines on nodes, each with its GPUs behind a daemon of its own."""
    folder = bench.places.folder
    library_file = await asyncio.to_thread(nvml_stub.build, folder)
    nodes: list[list[tuple[str, NamedPool, int, int]]] = [[]]
    for name, (pool, index) in named(bench.plant.named_pools).items():
        each = library.load_fleet(bench.site.pools[pool.name].fleet_model).gpus_per_instance
        if sum(one[3] for one in nodes[-1]) + each > NODE_GPUS:
            nodes.append([])
        nodes[-1].append((name, pool, index, each))
    for n, those in enumerate(nodes, 1):
        node, slot = f"node{n}", 0
        for name, _, _, each in those:
            bench.places.node_of[name] = (node, tuple(range(slot, slot + each)))
            slot += each
        gpus = PlantGpus(folder / f"{node}.gpus", [one[1:] for one in those])
        stack.callback(gpus.close)
        bench.gpus[node], bench.places.nodes[node] = gpus, {}
        bench.daemons[node] = await start_daemon(
            stack,
            folder / f"{node}.sock",
            "ebplan.adapters.daemon.capd",
            *("--socket", str(folder / f"{node}.sock")),
            *("--baseline", str(folder / f"{node}.limits.json")),
            *("--restore-s", str(bench.spec.restore_s)),
            environment=gpus.stub.environment(library_file),
        )


async def _router(bench: LiveBench, stack: AsyncExitStack) -> None:
    bench.places.router = f"127.0.0.1:{free_port()}"
    servers = {name: f"127.0.0.1:{server.port}" for name, server in bench.engines.items()}
    bench.config = router_config(bench.site, bench.places, servers)
    bench.router = await stack.enter_async_context(HaproxyBench(bench.config))
    _run(stack, _see_drains(bench, HaproxyRouter(bench.config)), "drains")


async def _see_drains(bench: LiveBench, router: HaproxyRouter) -> None:
    """Let the plant know which engines the router sends nothing."""
    places = named(bench.plant.named_pools)
    while True:
        reading = await router.read()
        if isinstance(reading, RouterReading):
            for name, (pool, index) in places.items():
                server = reading.servers.get(name)
                drained = server is not None and reading.leased and server.weight == 0.0
                pool.drain(index, drained)
        await asyncio.sleep(ROUTER_EVERY_S)


async def _agents(bench: LiveBench, stack: AsyncExitStack) -> None:
    folder = bench.places.folder
    watched = [f"--engine={name}={url}" for name, url in bench.places.engines.items()]
    bench.daemons["waked"] = await start_daemon(
        stack,
        folder / "waked.sock",
        "ebplan.adapters.daemon.waked",
        *("--socket", str(folder / "waked.sock")),
        *("--state", str(folder / "watched.json"), *watched),
    )


async def _node_meters(bench: LiveBench, stack: AsyncExitStack, say: Callable[[str], None]) -> None:
    """Let the first node show its power by IPMI, where that is installed, others by Redfish."""
    folder, first = bench.places.folder, True
    authority, context = own_certificate(folder)
    secret = folder / "node.password"
    secret.touch(mode=0o600)
    secret.write_text(redfish_double.PASSWORD)
    controllers = []
    for node in bench.gpus:
        if first and bench.spec.ipmi and ipmi_sim.can_run():
            home = folder / "ipmi"
            home.mkdir(exist_ok=True)
            made = await asyncio.to_thread(ipmi_sim.IpmiSim, home)
            controllers.append((node, await stack.enter_async_context(made)))
            assert made.process is not None
            bench.daemons["ipmi"] = made.process
            bench.places.nodes[node] = {
                "driver": "ipmi_dcmi",
                "host": "127.0.0.1",
                "port": made.port,
                "user": ipmi_sim.USER,
                "password": {"file": str(secret)},
                "privilege": "administrator",  # the simulator's module asks for it
            }
        elif first and bench.spec.ipmi:
            bench.left_out.append("IPMI: ipmi_sim, its headers or gcc are not installed")
            say(f"left out: {bench.left_out[-1]}")
        shown = redfish_double.RedfishDouble(partial(bench.node_w, node), tls=context)
        await stack.enter_async_context(shown)
        bench.places.nodes[node] = bench.places.nodes[node] or {
            "driver": "redfish",
            "url": f"https://127.0.0.1:{shown.port}",
            "user": redfish_double.USER,
            "password": {"file": str(secret)},
            "authority": str(authority),
        }
        bench.places.redfish[node] = f"https://127.0.0.1:{shown.port}"
        first = False
    if controllers:
        _run(stack, _show_ipmi(bench, controllers), "ipmi")


async def _show_ipmi(bench: LiveBench, controllers: list[tuple[str, ipmi_sim.IpmiSim]]) -> None:
    while True:
        for node, controller in controllers:
            controller.state.watts = round(bench.node_w(node))
        await asyncio.sleep(SHOW_EVERY_S)


def _run(stack: AsyncExitStack, work: object, name: str) -> None:
    """Let something go on until the stack ends; if it fails, whoever waits for it hears."""
    assert asyncio.iscoroutine(work)
    task = asyncio.create_task(work, name=name)

    def failed(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"the bench's {name} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    task.add_done_callback(failed)

    async def stop() -> None:
        task.cancel()
        await asyncio.wait([task])

    stack.push_async_callback(stop)
