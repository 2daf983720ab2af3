"""One contract per role, tried on fakes, on recordings of fakes, and on real devices alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import memory_rigs
import pytest
import scenarios
from memory_rigs import Scenario
from scenarios import Rig

from ebplan.adapters import Battery, GpuPower, GridMeter, NodePower, Router, Serving
from ebplan.adapters.fake import (
    FakeBattery,
    FakeGpus,
    FakeMeter,
    FakeNodePower,
    FakeRouter,
    FakeServing,
    ManualClock,
    Recording,
    record,
    replay,
)

ROLES: dict[str, tuple[tuple[Scenario, ...], Callable[[ManualClock], Rig], type, Any]] = {
    "battery": (scenarios.BATTERY, memory_rigs.battery, FakeBattery, Battery),
    "gpus": (scenarios.GPUS, memory_rigs.gpus, FakeGpus, GpuPower),
    "router": (scenarios.ROUTER, memory_rigs.router, FakeRouter, Router),
    "serving": (scenarios.SERVING, memory_rigs.serving, FakeServing, Serving),
    "meter": (scenarios.METER, memory_rigs.meter, FakeMeter, GridMeter),
    "node power": (scenarios.NODE_POWER, memory_rigs.node_power, FakeNodePower, NodePower),
}
EACH = [
    pytest.param(role, scenario, id=f"{role}-{scenario.__name__}")
    for role, (listed, *_) in ROLES.items()
    for scenario in listed
]


@pytest.mark.parametrize(("role", "scenario"), EACH)
async def test_a_fake_keeps_the_contract(role: str, scenario: Scenario) -> None:
    _, make, _, protocol = ROLES[role]
    rig = make(ManualClock())
    assert isinstance(rig.device, protocol)
    await scenario(rig)


@pytest.mark.parametrize(("role", "scenario"), EACH)
async def test_a_recording_says_it_all_again(role: str, scenario: Scenario, tmp_path: Any) -> None:
    _, make, kind, _ = ROLES[role]
    clock, log = ManualClock(), Recording()
    rig = make(clock)
    rig.device = record(rig.device, log, clock)
    await scenario(rig)
    log.write(tmp_path / "device.jsonl")
    again = replay(kind, Recording.load(tmp_path / "device.jsonl"))
    await scenario(
        Rig(
            again,
            memory_rigs.no_time,
            rig.ttl_s,
            parts=rig.parts,
            busy=memory_rigs.nobody,
        )
    )
