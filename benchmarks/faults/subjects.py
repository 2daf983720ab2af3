"""The adapters that are tried, each with its device on loopback behind a line that can turn bad."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.faults.matrix import Start, Subject
from ebplan.adapters.answers import Answer, Applied
from ebplan.adapters.daemon.capd_name import NAME as CAPD
from ebplan.adapters.daemon.engine_keeper import EngineKeeper
from ebplan.adapters.daemon.gpu_keeper import GpuKeeper
from ebplan.adapters.daemon.server import LeaseServer
from ebplan.adapters.daemon.waked_name import NAME as WAKED
from ebplan.adapters.fake import FakeGpus
from ebplan.adapters.gpu.capd_client import CapdGpus
from ebplan.adapters.modbus.connection import ModbusAddress
from ebplan.adapters.modbus.drive import BatterySettings
from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.meter import SunSpecMeter
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery
from ebplan.adapters.router.config import RouterConfig
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.adapters.serving.vllm import VllmServing
from ebplan.adapters.serving.waked_client import WakeAgent
from ebplan.twin.wire.fault_proxy import FaultProxy
from ebplan.twin.wire.haproxy_bench import HaproxyBench, free_port
from ebplan.twin.wire.sunspec_plant import PlantSettings, SunSpecPlant
from ebplan.twin.wire.vllm_double import VllmDouble

SERIAL = b"EB-0001"
OTHER_SERIAL = b"EB-6666"
TIMEOUT_S = 0.2
LIMIT_KW = 5.0


@asynccontextmanager
async def sunspec_battery() -> AsyncIterator[Subject]:
    """A converter with models 701 to 715."""
    async with _battery("SunSpec battery", "der") as subject:
        yield subject


@asynccontextmanager
async def legacy_battery() -> AsyncIterator[Subject]:
    """A converter with models 103 to 124."""
    async with _battery("legacy battery", "legacy") as subject:
        yield subject


@asynccontextmanager
async def sunspec_meter() -> AsyncIterator[Subject]:
    """A meter; it is told nothing, so a reading stands for the command."""
    async with AsyncExitStack() as stack:
        plant = await stack.enter_async_context(SunSpecPlant())
        plant.meter_kw = 4.95
        line = await stack.enter_async_context(_line(plant.port))
        meter = SunSpecMeter(_address(line.port), serial=SERIAL.decode())

        async def command() -> Answer:
            reading = await meter.read()
            if hasattr(reading, "grid_kw"):
                return Applied(device="meter", command="read", asked=None, confirmed=None)
            return reading

        yield Subject("meter", line, command, meter.read, _nothing_unsafe, meter.close)


@asynccontextmanager
async def router() -> AsyncIterator[Subject]:
    """HAProxy on its runtime socket."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        engine = await stack.enter_async_context(VllmDouble())
        config = RouterConfig.parse(
            {
                "name": "bench",
                "listen": f"127.0.0.1:{free_port()}",
                "socket": f"{folder}/admin.sock",
                "directory": folder,
                "pools": {"p": {"servers": {"a": {"address": f"127.0.0.1:{engine.port}"}}}},
                "classes": {"all": {"pool": "p", "protected": True}},
                "default_class": "all",
            }
        )
        await stack.enter_async_context(HaproxyBench(config))
        line = await stack.enter_async_context(
            FaultProxy(
                config.socket,
                listen=f"{folder}/bad.sock",
                slow_s=1.0,
                edit=lambda data: data.replace(b"node: bench", b"node: other"),
            )
        )
        behind = _behind(config, f"{folder}/bad.sock")
        device = HaproxyRouter(behind, timeout_s=TIMEOUT_S)

        async def command() -> Answer:
            return await device.renew(5.0)

        async def safe() -> str:
            seen = (await HaproxyRouter(config).read()).servers["a"].weight  # type: ignore[union-attr]
            return "" if seen == 1.0 else f"weight {seen:g}"

        yield Subject("HAProxy", line, command, device.read, safe, device.close)


@asynccontextmanager
async def serving() -> AsyncIterator[Subject]:
    """An engine by HTTP; waking it stands for the command, for it may be sent to one awake."""
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(VllmDouble())
        line = await stack.enter_async_context(
            FaultProxy(
                ("127.0.0.1", engine.port),
                slow_s=1.0,
                edit=lambda data: data.replace(b"is_sleeping", b"is_somebody"),
            )
        )
        device = VllmServing(
            "engine", f"http://127.0.0.1:{line.port}", guardian=None, timeout_s=TIMEOUT_S
        )
        device.turn_s = TIMEOUT_S

        async def safe() -> str:
            return "asleep" if engine.asleep else ""

        yield Subject("vLLM", line, device.wake, device.read, safe, device.close)


@asynccontextmanager
async def gpus() -> AsyncIterator[Subject]:
    """The daemon of caps on its socket."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cards = FakeGpus({0: 500.0, 1: 500.0})
        keeper = GpuKeeper(cards, 0.2)  # type: ignore[arg-type]
        server = LeaseServer(keeper, folder / "capd.sock", daemon=CAPD, safe_s=0.2)
        await server.start()
        stack.push_async_callback(server.stop, 2.0)
        line = await stack.enter_async_context(
            FaultProxy(
                str(folder / "capd.sock"),
                listen=str(folder / "bad.sock"),
                slow_s=1.0,
                edit=lambda data: data.replace(CAPD.encode(), b"ebplan-else"),
            )
        )
        device = CapdGpus("node", folder / "bad.sock", timeout_s=TIMEOUT_S)

        async def command() -> Answer:
            renewed = await device.renew(5.0)
            return (await device.cap({0: 400.0}))[0] if isinstance(renewed, Applied) else renewed

        async def safe() -> str:
            return "" if cards.cap_w(1) == cards.cap_range.high else "another GPU is capped"

        yield Subject("ebplan-capd", line, command, device.read, safe, device.close)


@asynccontextmanager
async def agent() -> AsyncIterator[Subject]:
    """The agent that wakes engines, on its socket."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        engine = await stack.enter_async_context(VllmDouble())
        keeper = EngineKeeper({"engine": engine.url}, folder / "watched.json")
        server = LeaseServer(keeper, folder / "waked.sock", daemon=WAKED)
        await server.start()
        stack.push_async_callback(server.stop, 2.0)
        line = await stack.enter_async_context(
            FaultProxy(
                str(folder / "waked.sock"),
                listen=str(folder / "bad.sock"),
                slow_s=1.0,
                edit=lambda data: data.replace(WAKED.encode(), b"ebplan-else-x"),
            )
        )
        device = WakeAgent(folder / "bad.sock", timeout_s=TIMEOUT_S)

        async def command() -> Answer:
            return await device.renew(5.0)

        async def safe() -> str:
            return "asleep" if engine.asleep else ""

        yield Subject("ebplan-waked", line, command, command, safe, device.close)


SUBJECTS: dict[str, Start] = {
    "SunSpec battery": sunspec_battery,
    "legacy battery": legacy_battery,
    "meter": sunspec_meter,
    "HAProxy": router,
    "vLLM": serving,
    "ebplan-capd": gpus,
    "ebplan-waked": agent,
}
"""By the name in the table."""


@asynccontextmanager
async def _battery(name: str, models: str) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as stack:
        settings = PlantSettings(power_kw=10.0, models=models)  # type: ignore[arg-type]
        plant = await stack.enter_async_context(SunSpecPlant(settings))
        line = await stack.enter_async_context(_line(plant.port))
        kind = SunSpecBattery if models == "der" else LegacyBattery
        told = BatterySettings(
            serial=SERIAL.decode(),
            max_discharge_kw=LIMIT_KW,
            max_charge_kw=LIMIT_KW,
            guardian="the bench",
        )
        device = kind(_address(line.port), told)
        step = 0

        async def command() -> Answer:
            nonlocal step
            step += 1
            return await device.hold(1.0 + 0.1 * (step % 5))

        async def safe() -> str:
            # within its limits, whatever arrived
            seen_kw = plant.battery_kw
            return "" if abs(seen_kw) <= LIMIT_KW + 0.05 else f"{seen_kw:g} kW"

        yield Subject(name, line, command, device.read, safe, device.close)


def _line(port: int) -> FaultProxy:
    def another(data: bytes) -> bytes:
        return data.replace(SERIAL, OTHER_SERIAL)

    return FaultProxy(("127.0.0.1", port), slow_s=1.0, edit=another)


def _address(port: int) -> ModbusAddress:
    return ModbusAddress(host="127.0.0.1", port=port, timeout_s=TIMEOUT_S)


def _behind(config: RouterConfig, socket: str) -> RouterConfig:
    """Return a configuration whose socket is behind the line, and which is the same otherwise."""
    moved = config.model_copy(update={"socket": socket})
    object.__setattr__(moved, "digest", config.digest)
    return moved


async def _nothing_unsafe() -> str:
    return ""
