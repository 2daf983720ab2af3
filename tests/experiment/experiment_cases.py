"""Small protocols for tests."""

from __future__ import annotations

from typing import Any

from ebplan.experiment.protocol import Protocol

RELEASE: dict[str, Any] = {
    "name": "drop",
    "type": "under_frequency",
    "duration_s": 60.0,
    "target": {"fraction_of_baseline": -0.08},
    "response": {"recovery_s": 40.0},
}
ABSORB: dict[str, Any] = {
    "name": "rise",
    "type": "over_frequency",
    "duration_s": 60.0,
    "target": {"fraction_of_baseline": 0.1},
    "response": {"recovery_s": 40.0},
}
SMALL: dict[str, Any] = {
    "kind": "protocol",
    "name": "tiny",
    "shapes": ["short_in_short_out"],
    "concurrencies": [32],
    "mechanisms": [["power_cap"]],
    "events": [RELEASE],
    "settling": {"window_s": 10.0, "most_s": 30.0},
    "bridge_s": 5.0,
    "handoff_s": 20.0,
    "sampling": {"fine_for_s": 10.0},
    "posture": {"absorb": {"drained": 1, "queued_requests": {"batch": 500.0}}},
}


def protocol(**changes: Any) -> Protocol:
    return Protocol.parse({**SMALL, **changes}, file="protocol.toml")
