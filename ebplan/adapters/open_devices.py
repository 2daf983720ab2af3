"""A devices file becomes devices. Nothing is sent: each connects when it is first asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ebplan.adapters.clock import Clock
from ebplan.adapters.devices import ConverterSpec, DevicesSpec, EngineSpec, NodePowerSpec
from ebplan.adapters.gpu.capd_client import CapdGpus
from ebplan.adapters.modbus.commissioning import Commissioning
from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.meter import RegisterMeter, SunSpecMeter
from ebplan.adapters.modbus.register_battery import RegisterBattery
from ebplan.adapters.modbus.register_map import RegisterMap
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery
from ebplan.adapters.node.ipmi_dcmi import DcmiAddress, DcmiPower
from ebplan.adapters.node.rapl import RaplAddress, RaplPower
from ebplan.adapters.node.redfish import RedfishAddress, RedfishPower
from ebplan.adapters.roles import Droop, GridMeter, NodePower
from ebplan.adapters.router.config import RouterConfig
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.adapters.serving.vllm import VllmServing
from ebplan.adapters.serving.waked_client import WakeAgent
from ebplan.adapters.site_devices import Place, SiteDevices
from ebplan.document import read_data, read_json
from ebplan.errors import InputError
from ebplan.frequency import ResponseCurve

if TYPE_CHECKING:
    from ebplan.adapters.modbus.driven import DrivenBattery


def open_devices(spec: DevicesSpec, *, folder: Path, clock: Clock | None = None) -> SiteDevices:
    """Return the devices of a site.

    Args:
        spec: the devices file.
        folder: what its paths count from.
        clock: what time it is.

    Raises:
        InputError: a file that it names, or a secret, is missing or wrong.
    """
    router = None
    if spec.router is not None:
        path = folder / spec.router.config
        config = RouterConfig.parse(read_data(path), file=str(path))
        _know_servers(spec, config)
        router = HaproxyRouter(config, timeout_s=spec.router.timeout_s, clock=clock)
    agent = None if spec.waked is None else WakeAgent(Path(spec.waked), clock=clock)
    return SiteDevices(
        battery=None if spec.battery is None else open_battery(spec, folder=folder, clock=clock),
        meter=open_meter(spec, folder=folder, clock=clock),
        router=router,
        nodes={
            name: CapdGpus(
                name,
                Path(node.socket),
                allowed_w=(node.cap_low_w, float("inf")),
                timeout_s=node.timeout_s,
                clock=clock,
            )
            for name, node in spec.nodes.items()
        },
        node_power={
            name: open_node_power(name, node.power, folder=folder, clock=clock)
            for name, node in spec.nodes.items()
            if node.power is not None
        },
        engines={
            name: _engine(name, engine, agent, clock) for name, engine in spec.engines.items()
        },
        places={
            name: Place(engine.pool, engine.server, engine.node, engine.gpus)
            for name, engine in spec.engines.items()
        },
        warm_prompts=dict(spec.warm_prompts),
        agent=agent,
    )


def open_battery(spec: DevicesSpec, *, folder: Path, clock: Clock | None = None) -> DrivenBattery:
    """Return the battery of a site that has one.

    Raises:
        InputError: the register map or the commissioning record is missing or wrong.
    """
    battery = spec.battery
    assert battery is not None
    record = _record(battery, folder)
    if battery.register_map is not None:
        declared = _register_map(folder / battery.register_map, "battery")
        return RegisterBattery(declared, battery.settings, commissioning=record, clock=clock)
    assert battery.address is not None
    kind = SunSpecBattery if battery.driver == "sunspec" else LegacyBattery
    return kind(battery.address, battery.settings, commissioning=record, clock=clock)


def open_meter(spec: DevicesSpec, *, folder: Path, clock: Clock | None = None) -> GridMeter | None:
    """Return the meter of a site, if it has one.

    Raises:
        InputError: the register map is missing or wrong.
    """
    meter = spec.meter
    if meter is None:
        return None
    if meter.register_map is not None:
        declared = _register_map(folder / meter.register_map, "meter")
        return RegisterMeter(declared, serial=meter.serial, clock=clock)
    assert meter.address is not None
    return SunSpecMeter(meter.address, serial=meter.serial, age_s=meter.age_s, clock=clock)


def open_node_power(
    node: str, spec: NodePowerSpec, *, folder: Path, clock: Clock | None = None
) -> NodePower:
    """Return what meters a node.

    Args:
        node: its name.
        spec: where the meter is.
        folder: what paths count from.
        clock: what time it is.

    Raises:
        InputError: a secret or a certificate is missing or wrong.
    """
    name, at = f"power {node}", f"nodes.{node}.power"
    match spec:
        case DcmiAddress():
            return DcmiPower(name, spec, spec.password.read(at=f"{at}.password"), clock=clock)
        case RedfishAddress():
            if spec.authority is not None:
                spec = spec.model_copy(update={"authority": str(folder / spec.authority)})
            password = spec.password.read(at=f"{at}.password")
            return RedfishPower(name, spec, password, at=at, clock=clock)
        case RaplAddress():
            return RaplPower(name, spec, clock=clock)


def declared_droop(spec: DevicesSpec) -> Droop | None:
    """Return the shape of the droop that is armed; its capacity comes from the plan."""
    droop = spec.droop
    if droop is None:
        return None
    curve = ResponseCurve(shape="droop", dead_band_hz=droop.dead_band_hz, full_hz=droop.full_hz)
    return Droop(0.0, curve, droop.nominal_hz, droop.response_s)


def _engine(
    name: str, engine: EngineSpec, agent: WakeAgent | None, clock: Clock | None
) -> VllmServing:
    key = engine.api_key
    return VllmServing(
        name,
        engine.url,
        guardian=agent,
        model=engine.model,
        api_key=None if key is None else key.read(at=f"engines.{name}.api_key"),
        timeout_s=engine.timeout_s,
        clock=clock,
    )


def _record(battery: ConverterSpec, folder: Path) -> Commissioning | None:
    if battery.commissioning is None:
        return None
    path = folder / battery.commissioning
    return Commissioning.parse(read_json(path), file=str(path))


def _register_map(path: Path, role: str) -> RegisterMap:
    declared = RegisterMap.read(path)
    if getattr(declared, role) is None:
        raise InputError(
            field=role,
            value=None,
            allowed=f"the registers of a {role}",
            remedy="name the map of the other device",
            file=str(path),
        )
    return declared


def _know_servers(spec: DevicesSpec, config: RouterConfig) -> None:
    for name, engine in spec.engines.items():
        of_pool = config.pools.get(engine.pool)
        theirs = [] if of_pool is None else [*of_pool.servers, *of_pool.lower]
        if engine.server not in theirs:
            raise InputError(
                field=f"engines.{name}.server",
                value=engine.server,
                allowed=", ".join(theirs) or f"a server of pool {engine.pool}; the router has none",
                remedy="name a server that the router's document has in the engine's pool",
            )
