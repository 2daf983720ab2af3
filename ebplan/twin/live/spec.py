"""What ``twin.toml`` holds: the site that is simulated in real time, and what happens to it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from ebplan.document import Document, Fraction, NonNegative, Positive
from ebplan.errors import InputError
from ebplan.site import Site
from ebplan.state import State
from ebplan.twin.requests.settings import EngineModel, Traffic
from ebplan.twin.settings import BatteryHeat, Bias, FrequencyModel, MeterModel

LOOP_S, LOOPS = 300, 288
EXAMPLE_LOAD = {"interactive": 28.0, "batch": 7.0}
"""Rates of the built-in site's examples."""


class TwinSpec(Document):
    """A simulated site in real time."""

    kind: Literal["twin"] = "twin"
    site: str = "powerd-lab-phase-a"
    """Site file, or the name of a built-in site."""
    soc: Fraction = 0.6
    """State of charge at the beginning."""
    load_req_per_s: dict[str, dict[str, NonNegative]] = Field(default_factory=dict)
    """Requests per second by pool and class; those of the examples where the site has their
    classes."""
    traffic: dict[str, dict[str, Traffic]] = Field(default_factory=dict)
    """How classes come, by pool and class; at random at the rates above where one is left out."""
    engines: dict[str, EngineModel] = Field(default_factory=dict)
    """The engines of a pool, by pool."""
    bias: Bias = Bias()
    """How the truth differs from the planner's models."""
    frequency: FrequencyModel | None = None
    """The grid's frequency; a synthetic loop of five minutes where it is left out."""
    meter: MeterModel = MeterModel()
    """The meter at the connection point."""
    heat: BatteryHeat | None = None
    """How warm the battery gets, and what that leaves of its power; it stays cool where it is left
    out."""
    seed: int = 0
    """Of every chance."""
    lease_s: float = Field(default=3.0, ge=1.0, le=60.0)
    """Term of the leases in the devices file."""
    timeout_s: Positive = 0.5
    """How long the devices file lets converter, router and GPUs be waited for."""
    restore_s: Positive = 2.0
    """Over how long GPUs come back to their limits when a lease ends."""
    step_s: Annotated[float, Field(ge=0.005, le=0.1)] = 0.02
    """Length of a step of the plant on the wall clock."""
    ipmi: bool = True
    """Whether nodes show their power by IPMI; where it is not installed they show it by Redfish."""

    def state(self, site: Site) -> State:
        """Return how the site begins: every instance awake and empty.

        Raises:
            InputError: the load of a class is not known, or two pools have a class of one name.
        """
        classes = [key for pool in site.pools.values() for key in pool.classes]
        if twice := sorted({key for key in classes if classes.count(key) > 1}):
            raise InputError(
                field="site.pools",
                value=twice[0],
                allowed="names of classes that no two pools share: the router tells them apart",
                remedy="rename one of them",
            )
        pools = {}
        for name, pool in site.pools.items():
            load = self.load_req_per_s.get(name)
            if load is None and set(pool.classes) == set(EXAMPLE_LOAD):
                load = EXAMPLE_LOAD
            if load is None or set(load) != set(pool.classes):
                raise InputError(
                    field=f"load_req_per_s.{name}",
                    value=sorted(load or ()),
                    allowed=f"a rate for each of {', '.join(pool.classes)}",
                    remedy="say how many requests per second come",
                )
            pools[name] = {"active": pool.instances, "load_req_per_s": load}
        soc = None if site.battery is None else self.soc
        return State.model_validate({"at": datetime.now(UTC), "soc": soc, "pools": pools})

    def grid_frequency(self) -> FrequencyModel:
        """Return the frequency: as told, or the synthetic loop."""
        return self.frequency or FrequencyModel(trace=synthetic_loop())


def synthetic_loop() -> tuple[tuple[float, float], ...]:
    """Return a synthetic frequency: five minutes about 50 Hz, for a day.

    Three sine waves that fit the loop (300, 75 and 25 s; 15, 10 and 5 mHz) have a standard
    deviation of 13 mHz. Assumed; nobody measured it.
    """
    loop = [
        50.0
        + sum(
            hz * math.sin(2.0 * math.pi * t / period_s + phase)
            for hz, period_s, phase in ((0.015, 300.0, 0.0), (0.010, 75.0, 1.0), (0.005, 25.0, 2.0))
        )
        for t in range(LOOP_S)
    ]
    return tuple((float(n * LOOP_S + t), loop[t]) for n in range(LOOPS) for t in range(LOOP_S))
