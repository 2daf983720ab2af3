"""The example sites, and commands by chance, for plants."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from ebplan import Case, Plan, Planner, load_case
from ebplan.adapters.commands import (
    ArmDroop,
    CapPower,
    Command,
    HoldConnectionPoint,
    LimitAdmission,
    LoadWeights,
    LockClock,
    PaceBacklog,
    Route,
    RouteLower,
    ServeAhead,
    Sleep,
    Wake,
    WarmCache,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
POOL = "llama70b"


@cache
def case(example: str) -> Case:
    """Return an example's case."""
    return load_case(EXAMPLES / f"{example}.json")


@cache
def plan_of(example: str) -> Plan:
    """Return the plan of an example."""
    of = case(example)
    return Planner(of.site).plan(of.event, of.state)


def some_commands(rng: np.random.Generator) -> list[Command]:
    """Return a few commands for the pool with the whole catalogue, by chance."""
    at = {"at_s": 0.0, "pool": POOL}
    batch, n = {**at, "request_class": "batch"}, int(rng.integers(0, 5))
    rate = float(rng.uniform(0.0, 20.0))
    choices: list[Command] = [
        ArmDroop(at_s=0.0, reserve_kw=float(rng.uniform(0.0, 3.0))),
        HoldConnectionPoint(at_s=0.0, grid_kw=float(rng.uniform(-2.0, 12.0))),
        Route(**at, active=n, drained=4 - n),
        Wake(**at, count=n),
        Sleep(**at, count=n),
        CapPower(**at, w_per_gpu=float(rng.uniform(250.0, 600.0))),
        CapPower(**at, w_per_gpu=None),
        LimitAdmission(**batch, req_per_s=rate if rng.random() < 0.7 else None),
        PaceBacklog(**batch, req_per_s=rate - 10.0),
        ServeAhead(**batch, req_per_s=rate),
        LoadWeights(**at, precision="lower" if rng.random() < 0.5 else "own", count=1),
        RouteLower(**at, active=n, drained=0, req_per_s={"batch": rate}, w_per_gpu=None),
        WarmCache(**at),
        LockClock(**at, active=0, clock_mhz=None),
    ]
    return [choices[i] for i in rng.choice(len(choices), size=int(rng.integers(0, 6)))]
