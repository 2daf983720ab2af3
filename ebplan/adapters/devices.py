"""The devices of a site, and which of them serve which instance: what `devices.toml` holds.

An engine is one serving instance with everything that belongs to it: its server behind the router,
its GPUs on a node, its address. The site says what instances can do; this says where they are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ebplan.adapters.modbus.connection import ModbusAddress
from ebplan.adapters.modbus.drive import BatterySettings
from ebplan.adapters.node.ipmi_dcmi import DcmiAddress
from ebplan.adapters.node.rapl import RaplAddress
from ebplan.adapters.node.redfish import RedfishAddress
from ebplan.adapters.secrets import SecretSource
from ebplan.document import Document, FieldFault, NonNegative, Part, Positive
from ebplan.site.pool import Name


class ConverterSpec(Part):
    """A battery converter."""

    driver: Literal["sunspec", "sunspec_legacy", "register_map"]
    """Models 701 to 715; models 103 to 124; or a map declared in a file."""
    address: ModbusAddress | None = None
    """Where it is; a declared map says that itself."""
    register_map: str | None = None
    """The declared map, with driver ``register_map``; its path counts from this file."""
    settings: BatterySettings = BatterySettings()
    """What it may be told at most, whatever a plan says, and who it must be."""
    commissioning: str | None = None
    """The record that ``ebplan commission`` wrote; its path counts from this file."""

    @model_validator(mode="after")
    def _found_in_one_way(self) -> ConverterSpec:
        _require_one(self.driver, self.address, self.register_map)
        return self


class MeterSpec(Part):
    """The meter at the connection point."""

    driver: Literal["sunspec", "register_map"]
    """Models 201 to 214 (or 701); or a map declared in a file."""
    address: ModbusAddress | None = None
    """Where it is; a declared map says that itself."""
    register_map: str | None = None
    """The declared map, with driver ``register_map``; its path counts from this file."""
    serial: str | None = None
    """Serial number that it must show."""
    age_s: NonNegative = 1.0
    """How old a reading may be: the meter's own averaging and refreshing."""

    @model_validator(mode="after")
    def _found_in_one_way(self) -> MeterSpec:
        _require_one(self.driver, self.address, self.register_map)
        return self


class RouterSpec(Part):
    """The router in front of the engines."""

    driver: Literal["haproxy"]
    """HAProxy by its runtime API."""
    config: str
    """The document that its configuration was rendered from; its path counts from this file."""
    timeout_s: Positive = 0.5
    """How long an answer is waited for."""


NodePowerSpec = Annotated[DcmiAddress | RedfishAddress | RaplAddress, Field(discriminator="driver")]
"""What meters a node."""


class NodeSpec(Part):
    """A node with GPUs."""

    driver: Literal["capd"]
    """`ebplan-capd` on its socket; it runs with the rights that caps need, we do not."""
    socket: str
    """Its socket."""
    cap_low_w: Positive
    """The least a GPU is ever capped to, whatever a plan says."""
    timeout_s: Positive = 0.5
    """How long an answer is waited for."""
    power: NodePowerSpec | None = None
    """What meters the whole node, or its processors; it is read and never told anything."""


class EngineSpec(Part):
    """One serving instance."""

    driver: Literal["vllm"]
    """vLLM with its development endpoints on a network of its own."""
    pool: Name
    """Pool of the site that it belongs to."""
    url: str = Field(pattern=r"^http://[^/\s@]+$")
    """Its own address, past the router, on a network of its own; its key is not part of it."""
    server: str = Field(pattern=r"^[A-Za-z0-9_.:-]+(/[A-Za-z0-9_.:-]+)?$")
    """What the router calls it."""
    node: Name
    """Node it runs on."""
    gpus: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    """Its GPUs on that node."""
    model: str | None = None
    """Name that it serves its model under; the first it lists if absent."""
    api_key: SecretSource | None = None
    """Where its key is, if it asks for one."""
    timeout_s: Positive = 2.0
    """How long an answer is waited for."""


class DroopSpec(Part):
    """The droop that is armed in the converter."""

    nominal_hz: Positive
    """Nominal frequency."""
    dead_band_hz: NonNegative
    """Nothing is done up to this deviation."""
    full_hz: Positive
    """Everything is done from this deviation on."""
    response_s: Positive = 0.1
    """Time in which 90 % of the power follows."""


class DevicesSpec(Document):
    """Where the devices of a site are, and what they may be told at most."""

    kind: Literal["devices"] = "devices"
    name: str
    """Name of the site."""
    lease_s: float = Field(default=3.0, ge=1.0, le=60.0)
    """Term of the leases: so long after the controller is gone the site is safe. Converters count
    whole seconds."""
    battery: ConverterSpec | None = None
    """The battery's converter."""
    meter: MeterSpec | None = None
    """The meter at the connection point."""
    router: RouterSpec | None = None
    """The router."""
    nodes: dict[Name, NodeSpec] = Field(default_factory=dict)
    """Nodes with GPUs."""
    waked: str | None = None
    """Socket of `ebplan-waked`; without, no engine is put to sleep."""
    engines: dict[Name, EngineSpec] = Field(default_factory=dict)
    """Serving instances."""
    warm_prompts: dict[Name, tuple[str, ...]] = Field(default_factory=dict)
    """What is loaded to warm the caches of a pool."""
    droop: DroopSpec | None = None
    """The droop that `arm_droop` arms."""

    @model_validator(mode="after")
    def _engines_have_places_of_their_own(self) -> DevicesSpec:
        for name, engine in self.engines.items():
            if engine.node not in self.nodes:
                raise FieldFault(
                    field=f"engines.{name}.node",
                    value=engine.node,
                    allowed=", ".join(self.nodes) or "a node; there is none",
                    remedy="correct the name or add the node",
                )
        for what, places in (
            ("server", {n: (e.server,) for n, e in self.engines.items()}),
            ("url", {n: (e.url,) for n, e in self.engines.items()}),
            ("gpus", {n: tuple(f"{e.node}/{g}" for g in e.gpus) for n, e in self.engines.items()}),
        ):
            owner: dict[str, str] = {}
            for name, place in ((n, place) for n, those in places.items() for place in those):
                if place in owner:
                    raise FieldFault(
                        field=f"engines.{name}.{what}",
                        value=place,
                        allowed=f"what no other engine has; {owner[place]} has it",
                        remedy="correct one of the two",
                    )
                owner[place] = name
        return self

    @model_validator(mode="after")
    def _warms_pools_that_are(self) -> DevicesSpec:
        pools = {engine.pool for engine in self.engines.values()}
        for pool in self.warm_prompts:
            if pool not in pools:
                raise FieldFault(
                    field=f"warm_prompts.{pool}",
                    value=pool,
                    allowed=", ".join(sorted(pools)) or "a pool; no engine names one",
                    remedy="correct the name",
                )
        return self


def _require_one(driver: str, address: object, register_map: str | None) -> None:
    declared = driver == "register_map"
    if declared != (register_map is not None):
        raise FieldFault(
            field="register_map",
            value=register_map,
            allowed="a file with driver 'register_map', none with the others",
            remedy="add or remove register_map",
        )
    if declared == (address is not None):
        raise FieldFault(
            field="address",
            value="an address" if address is not None else None,
            allowed="an address with SunSpec drivers; a declared map holds its own",
            remedy="add or remove address",
        )
