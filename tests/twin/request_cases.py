"""Request-level plants on the example sites, and what their tests look at."""

from __future__ import annotations

import numpy as np
from twin_cases import POOL, case

from ebplan.adapters.commands import Command
from ebplan.twin import Measurements
from ebplan.twin.disturbances import Disturbance
from ebplan.twin.requests import Poisson, RequestPlant, Traffic

STORES = (
    *("served_requests", "rejected_requests", "in_flight_requests"),
    *("waiting_requests", "backlog_requests", "queued_requests"),
)
"""Where a request can be; ``queued`` ones have come before."""


AT: dict[str, object] = {"at_s": 0.0, "pool": POOL}
NOBODY = Poisson(rates=((0.0, 0.0),))


def told(command: type[Command], **fields: object) -> Command:
    return command.model_validate({**AT, **fields})  # type: ignore[no-any-return, union-attr]


def request_plant(
    example: str = "under_frequency",
    *,
    seed: int = 0,
    upsets: tuple[Disturbance, ...] = (),
    traffic: dict[str, Traffic] | None = None,
) -> RequestPlant:
    """Return a plant of an example; traffic is of its pool's classes."""
    of = case(example)
    return RequestPlant(
        of.site,
        of.state,
        seed=seed,
        disturbances=upsets,
        traffic={POOL: traffic} if traffic else None,
    )


def anywhere(m: Measurements, pool: str = POOL) -> dict[str, float]:
    """Return how many requests of each class are anywhere."""
    reading = m.pools[pool]
    return {
        name: sum(getattr(reading, store)[name] for store in STORES)
        for name in reading.served_requests
    }


def mean_kw(plant: RequestPlant, seconds: int) -> float:
    """Return the mean draw of the pool over so many steps of a second."""
    return float(np.mean([plant.step((), 1.0).pool_kw[POOL] for _ in range(seconds)]))


def rate_between(a: Measurements, b: Measurements, field: str, name: str = "batch") -> float:
    after, before = (getattr(m.pools[POOL], field)[name] for m in (b, a))
    return float(after - before) / (b.at_s - a.at_s)
