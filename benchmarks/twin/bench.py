"""The whitepaper's bench in the request-level plant, seen at the GPUs as its source is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.subjects import example
from ebplan.adapters.commands import Command
from ebplan.state import PoolState
from ebplan.twin import Measurements
from ebplan.twin.requests import EngineModel, RequestPlant, Traffic

SETTLE_S = 60.0
MEASURE_S = 600.0
"""Ten times as long as the whitepaper's samples, so that chance in the lengths of answers, some 2 %
of the requests per second in a minute, does not blur what the law gives."""
USERS = "users"
"""Name of the only request class."""


class Steady(NamedTuple):
    """Steady minutes of a pool."""

    gpu_kw: float
    """Power at the GPUs in kW."""
    req_per_s: float
    """Requests answered per second."""
    in_flight: float
    """Requests in service at its end."""


class LoadedPool(NamedTuple):
    """A pool, and its load."""

    workload: str
    traffic: Traffic
    instances: int = 4
    drained: int = 0
    fleet_model: str | None = None
    """The built-in site's where absent."""
    engine: EngineModel | None = None


def steady(
    pools: Mapping[str, LoadedPool], commands: Sequence[Command] = (), seed: int = 0
) -> dict[str, Steady]:
    """Let pools settle under commands, and return what they then do."""
    case = example("under_frequency")
    (base,) = case.site.pools.values()
    (request_class,) = [c for c in base.classes.values() if not c.protected]
    sites, states = {}, {}
    for name, of in pools.items():
        only = request_class.model_copy(update={"workload": of.workload})
        update: dict[str, object] = {"classes": {USERS: only}, "instances": of.instances}
        if of.fleet_model is not None:
            update["fleet_model"] = of.fleet_model
        sites[name] = base.model_copy(update=update)
        states[name] = PoolState(
            active=of.instances - of.drained, drained=of.drained, load_req_per_s={USERS: 1.0}
        )
    site = case.site.model_copy(update={"pools": sites})
    plant = RequestPlant(
        site,
        case.state.model_copy(update={"pools": states}),
        traffic={name: {USERS: of.traffic} for name, of in pools.items()},
        engines={name: of.engine for name, of in pools.items() if of.engine is not None},
        seed=seed,
    )
    factor, _ = site.loss_to_connection_point("gpu")
    before = plant.step(commands, SETTLE_S)
    after = plant.step((), MEASURE_S)
    return {name: _minutes(before, after, name, factor) for name in pools}


def _minutes(before: Measurements, after: Measurements, name: str, factor: float) -> Steady:
    answered = after.pools[name].served_requests[USERS] - before.pools[name].served_requests[USERS]
    return Steady(
        gpu_kw=after.pool_kw[name] / factor,
        req_per_s=answered / MEASURE_S,
        in_flight=after.pools[name].in_flight_requests[USERS],
    )
