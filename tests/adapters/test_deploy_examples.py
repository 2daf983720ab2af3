"""The example files of a site fit together."""

from __future__ import annotations

import tomllib
from pathlib import Path

from ebplan.adapters.devices import DevicesSpec
from ebplan.adapters.events.sources import EventSourcesSpec
from ebplan.adapters.events.webhook import WebhookSpec
from ebplan.adapters.modbus.register_map import RegisterMap
from ebplan.adapters.node.redfish import RedfishAddress
from ebplan.adapters.router.config import RouterConfig
from ebplan.cli_run import REFUSED
from ebplan.controller.run_spec import RunSpec
from ebplan.document import read_data

DEPLOY = Path(__file__).parents[2] / "examples" / "deploy"


def test_engines_are_servers_of_the_router() -> None:
    spec = DevicesSpec.parse(read_data(DEPLOY / "devices.toml"))
    router = RouterConfig.parse(read_data(DEPLOY / "router.toml"))
    for name, engine in spec.engines.items():
        server = router.pools[engine.pool].servers[engine.server]
        assert engine.url == f"http://{server.address}", name
    assert spec.lease_s <= router.longest_lease_s


def test_every_file_that_is_named_is_there() -> None:
    spec = DevicesSpec.parse(read_data(DEPLOY / "devices.toml"))
    assert spec.meter is not None
    assert spec.meter.register_map is not None
    assert RegisterMap.read(DEPLOY / spec.meter.register_map).meter is not None
    assert spec.router is not None
    assert (DEPLOY / spec.router.config).exists()


def test_the_meter_of_a_node_that_is_shown_can_be_used() -> None:
    text = (DEPLOY / "devices.toml").read_text()
    start = text.index("# [nodes.node1.power]")
    shown = "\n".join(
        line.removeprefix("# ") for line in text[start : text.index("[droop]")].splitlines()
    )
    spec = DevicesSpec.parse({**tomllib.loads(text), "nodes": {"node1": _node(text, shown)}})
    power = spec.nodes["node1"].power
    assert isinstance(power, RedfishAddress)
    assert power.measurement_point == "ac"


def _node(text: str, shown: str) -> dict[str, object]:
    node: dict[str, object] = dict(tomllib.loads(text)["nodes"]["node1"])
    return {**node, **tomllib.loads(shown)["nodes"]["node1"]}


def test_the_sources_are_sources_and_ask_a_proof_of_who_sends() -> None:
    spec = EventSourcesSpec.parse(read_data(DEPLOY / "event_sources.toml"))
    assert [source.kind for source in spec.sources] == ["folder", "webhook", "openadr3"]
    hook = spec.sources[1]
    assert isinstance(hook, WebhookSpec)
    assert hook.tls is not None
    assert hook.tls.clients is not None
    assert hook.signing_key is not None


def test_no_example_names_an_address_that_somebody_may_have() -> None:
    """192.0.2.0/24 is set aside for documentation (RFC 5737)."""
    for path in DEPLOY.glob("*.toml"):
        for line in path.read_text().splitlines():
            if "host =" in line:
                assert '"192.0.2.' in line, (path.name, line)


def test_the_site_is_run_by_files_that_are_there() -> None:
    spec = RunSpec.parse(read_data(DEPLOY / "run.toml"))
    assert (DEPLOY / spec.devices).exists()
    assert spec.sources is not None
    assert (DEPLOY / spec.sources).exists()
    unit = (DEPLOY / "ebplan-run.service").read_text()
    assert "ebplan run --plain /etc/ebplan/run.toml" in unit
    assert f"SuccessExitStatus={REFUSED}" in unit
