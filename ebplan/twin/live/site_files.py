"""The files with which ``ebplan run`` finds a live site: devices, router, sources, key, run."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ebplan.adapters.modbus.commissioning import Commissioning, Probe
from ebplan.adapters.router.config import RouterConfig
from ebplan.audit.keys import SigningKey
from ebplan.document import write_atomically
from ebplan.site import Site
from ebplan.twin.live.converter import FULL_HZ
from ebplan.twin.live.spec import TwinSpec

SERIAL = "TWIN-0001"
CAP_LOW_W = 200.0
DEAD_BAND_HZ = 0.01
"""Dead band of the droop in the devices file; assumed."""


@dataclass
class Places:
    """Where everything of a live site is."""

    folder: Path
    router: str = ""
    """Host and port of the router."""
    modbus: int = 0
    """Port of converter and meter."""
    webhook: int = 0
    """Port on which ``ebplan run`` hears calls."""
    metrics: int = 0
    """Port of the controller's page for Prometheus."""
    engines: dict[str, str] = field(default_factory=dict)
    """Address of each engine, by name."""
    pool_of: dict[str, str] = field(default_factory=dict)
    """Pool of each engine."""
    node_of: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    """Node and GPUs of each engine."""
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What meters each node, as the devices file has it; empty where nothing does."""
    redfish: dict[str, str] = field(default_factory=dict)
    """Address of each node's Redfish service."""


def router_config(site: Site, places: Places, servers: Mapping[str, str]) -> RouterConfig:
    """Return the router's document, and write it.

    Args:
        site: the site.
        places: where everything is.
        servers: host and port of each engine, by name.
    """
    classes = {
        key: {"pool": name, "protected": requests.protected, "paths": [f"/{key}"]}
        for name, pool in site.pools.items()
        for key, requests in pool.classes.items()
    }
    config = RouterConfig.parse(
        {
            "name": "twin",
            "listen": places.router,
            "socket": f"{places.folder}/admin.sock",
            "directory": str(places.folder),
            "pools": {
                pool: {
                    "servers": {
                        name: {"address": address}
                        for name, address in servers.items()
                        if places.pool_of[name] == pool
                    }
                }
                for pool in site.pools
            },
            "classes": classes,
            "default_class": default_class(site),
        }
    )
    write_atomically(places.folder / "router.json", config.to_json())
    return config


def default_class(site: Site) -> str:
    """Return the class of requests that say nothing of themselves: the first protected one."""
    known = [(key, c.protected) for p in site.pools.values() for key, c in p.classes.items()]
    return next((key for key, protected in known if protected), known[0][0])


def write_files(site: Site, spec: TwinSpec, places: Places) -> None:
    """Write what a controller needs."""
    folder = places.folder
    (folder / "calls").mkdir(exist_ok=True)
    if not (folder / "site.key").exists():
        SigningKey.make("twin").write(folder / "site.key")
    public = str(SigningKey.read(folder / "site.key").verify_key)
    write_atomically(folder / "site.pub", f"{public}\n")
    token = folder / "webhook.token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_urlsafe(24))
    if site.battery is not None:
        probes = tuple(
            Probe.parse({"name": name, "outcome": "passed", "seen": "the simulated timer reverts"})
            for name in ("set-point", "sign", "timer", "renewal")
        )
        record = Commissioning(
            device="battery", serial=SERIAL, at=datetime.now(UTC), probes=probes, may_arm=True
        )
        write_atomically(folder / "commissioning.json", record.to_json())
    write_atomically(folder / "devices.json", json.dumps(_devices(site, spec, places), indent=1))
    sources = {
        "kind": "event_sources",
        "site": "twin",
        "inbox": "inbox.json",
        "sources": [
            {"kind": "folder", "name": "calls", "path": "calls", "poll_s": 0.2},
            {"kind": "webhook", "port": places.webhook, "token": {"file": str(token)}},
        ],
    }
    write_atomically(folder / "sources.json", json.dumps(sources, indent=1))
    write_atomically(folder / "run.toml", RUN.format(metrics=places.metrics))


RUN = """\
# a site that is simulated: ebplan run run.toml
kind = "run"
site = "site.json"
devices = "devices.json"
sources = "sources.json"

[audit]
folder = "audit"
key = "site.key"

[metrics]
port = {metrics}
"""


def _devices(site: Site, spec: TwinSpec, places: Places) -> dict[str, Any]:
    folder = places.folder
    address = {"host": "127.0.0.1", "port": places.modbus, "timeout_s": spec.timeout_s}
    devices: dict[str, Any] = {
        "kind": "devices",
        "name": "twin",
        "lease_s": spec.lease_s,
        "meter": {"driver": "sunspec", "address": address, "age_s": spec.meter.averaging_s},
        "router": {"driver": "haproxy", "config": "router.json", "timeout_s": spec.timeout_s},
        "nodes": {
            name: {
                "driver": "capd",
                "socket": str(folder / f"{name}.sock"),
                "cap_low_w": CAP_LOW_W,
                "timeout_s": spec.timeout_s,
                **({"power": power} if power else {}),
            }
            for name, power in places.nodes.items()
        },
        "waked": str(folder / "waked.sock"),
        "engines": {
            name: {
                "driver": "vllm",
                "pool": places.pool_of[name],
                "url": url,
                "server": name,
                "node": places.node_of[name][0],
                "gpus": list(places.node_of[name][1]),
            }
            for name, url in places.engines.items()
        },
    }
    if site.battery is not None:
        battery = site.battery
        devices["battery"] = {
            "driver": "sunspec",
            "address": address,
            "settings": {
                "serial": SERIAL,
                "max_charge_kw": battery.charge_limit_kw,
                "max_discharge_kw": battery.discharge_limit_kw,
                "soc_min": battery.soc_min,
                "soc_max": battery.soc_max,
                "first_term_s": max(round(spec.lease_s), 1),
            },
            "commissioning": "commissioning.json",
        }
        nominal_hz = spec.grid_frequency().nominal_hz
        devices["droop"] = {
            "nominal_hz": nominal_hz,
            "dead_band_hz": DEAD_BAND_HZ,
            "full_hz": FULL_HZ,
        }
    return devices
