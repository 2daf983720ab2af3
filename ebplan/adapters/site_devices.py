"""The devices of a site, opened: what a controller commands and reads, by role."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ebplan.adapters.roles import Battery, GpuPower, GridMeter, Leased, NodePower, Router, Serving


class Reads(Protocol):
    """Whatever can be read."""

    async def read(self) -> object:
        """Return a reading, or why there is none."""
        ...


class Closes(Protocol):
    """Whatever is open."""

    async def close(self) -> None:
        """Give up the connection."""
        ...


@dataclass(frozen=True)
class Place:
    """Where an engine is: its server at the router, its GPUs on a node."""

    pool: str
    server: str
    node: str
    gpus: tuple[int, ...]


@dataclass(frozen=True)
class SiteDevices:
    """Devices by role; None or empty where the site has none."""

    battery: Battery | None = None
    meter: GridMeter | None = None
    router: Router | None = None
    nodes: Mapping[str, GpuPower] = field(default_factory=dict)
    node_power: Mapping[str, NodePower] = field(default_factory=dict)
    """What meters a node, by node."""
    engines: Mapping[str, Serving] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    """Where each engine is."""
    warm_prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What warms the caches of a pool."""
    agent: Closes | None = None
    """Who wakes engines when nobody renews; shared by them."""

    def readable(self) -> dict[str, Reads]:
        """Return what a control loop reads each time, by name.

        Meters of nodes are not among it: management controllers take seconds, and a loop that
        waits for a silent one holds nothing.
        """
        meter = {} if self.meter is None else {"meter": self.meter}
        return {**meter, **self.actuators()}  # type: ignore[dict-item]

    def node_meters(self) -> dict[str, Reads]:
        """Return the meters of nodes, by name; to be read beside a control loop, not in it."""
        return {f"power {name}": power for name, power in self.node_power.items()}

    def actuators(self) -> dict[str, Leased]:
        """Return everything that holds a lease, by name."""
        named: dict[str, Leased | None] = {
            "battery": self.battery,
            "router": self.router,
            **{f"node {name}": node for name, node in self.nodes.items()},
            **{f"engine {name}": engine for name, engine in self.engines.items()},
        }
        return {name: device for name, device in named.items() if device is not None}

    async def close(self) -> None:
        """Give up every connection; leases lapse by themselves."""
        meters = [*self.node_power.values(), *((self.meter,) if self.meter else ())]
        await asyncio.gather(*(one.close() for one in (*self.actuators().values(), *meters)))
        if self.agent is not None:
            await self.agent.close()
