"""How a pool of engines begins: law, sizes, doors, arrivals, and what is in service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ebplan.errors import InputError
from ebplan.models import library
from ebplan.site import Pool
from ebplan.state import PoolState
from ebplan.twin.noise import stream
from ebplan.twin.requests.arrivals import (
    Arrivals,
    ClosedLoopArrivals,
    PoissonArrivals,
    Sampler,
    TraceArrivals,
)
from ebplan.twin.requests.engine import Engine, Pace
from ebplan.twin.requests.kv_cache import KvCache
from ebplan.twin.requests.law import EngineLaw, engine_law, implied_sizes
from ebplan.twin.requests.router import Door, MeasuredRate
from ebplan.twin.requests.settings import ClosedLoop, EngineModel, Poisson, Sizes, Trace, Traffic

_CLASSES = 1000
"""Streams of chance that each pool has of a kind."""
_ROUNDS = 50


@dataclass(frozen=True)
class Parts:
    """What a pool of engines is made of."""

    law: EngineLaw
    model: EngineModel
    engines: int
    """How many engines there are, lost ones left out."""
    doors: dict[str, Door]
    arrivals: dict[str, Arrivals]
    samplers: dict[str, Sampler]
    in_service: dict[str, int]
    """Requests in service at the beginning, by class."""
    lowered: dict[str, int]
    """Those of them in the lower precision."""
    wakes: np.random.Generator
    residues: np.random.Generator

    def engine(self, pace: Pace) -> Engine:
        """Return an empty engine."""
        model = self.model
        blocks = model.kv_tokens // model.block_tokens
        cache = KvCache(blocks, model.block_tokens, keep=model.prefix_caching)
        return Engine(self.law, cache, pace, max(int(model.spare_blocks * blocks), 1))


def parts_of(
    name: str,
    index: int,
    pool: Pool,
    state: PoolState,
    *,
    engine: EngineModel,
    traffic: Mapping[str, Traffic],
    seed: int,
) -> Parts:
    """Return what a pool is made of.

    Args:
        name: of the pool, for errors.
        index: its place among the pools: each has chances of its own.
        pool: the pool of the site.
        state: how it begins.
        engine: its engines.
        traffic: how its classes come; at random, at the state's rate, where one is left out.
        seed: of every chance.

    Raises:
        InputError: traffic of a class that there is not, or that no engine can serve.
    """
    fleet = library.load_fleet(pool.fleet_model)
    law = engine_law(fleet, engine)
    if unknown := sorted(set(traffic) - set(pool.classes)):
        raise InputError(
            field=f"traffic.{name}.{unknown[0]}",
            value="given",
            allowed=", ".join(pool.classes),
            remedy="name a request class of the pool",
        )
    blocks = engine.kv_tokens // engine.block_tokens
    longest = 0.95 * blocks * engine.block_tokens - 2 * engine.block_tokens
    if longest < 2.0:
        raise InputError(
            field=f"engines.{name}.kv_tokens",
            value=engine.kv_tokens,
            allowed=f">= {4 * engine.block_tokens}",
            remedy="give the engine a cache that holds a request",
        )
    doors, arrivals, samplers = {}, dict[str, Arrivals](), {}
    for j, (key, requests) in enumerate(pool.classes.items()):
        of = traffic.get(key, Poisson())
        sizes = None if isinstance(of, Trace) else of.sizes
        sizes = sizes or implied_sizes(fleet, requests.workload, law)
        place = _CLASSES * index + j
        sampler = Sampler(key, sizes, longest, stream(seed, "sizes", place))
        samplers[key] = sampler
        rate = state.load_req_per_s[key]
        if isinstance(of, ClosedLoop):
            arrivals[key] = ClosedLoopArrivals(of, sampler)
        elif isinstance(of, Trace):
            arrivals[key] = TraceArrivals(key, of, longest)
        else:
            arrivals[key] = PoissonArrivals(of, rate, sampler, stream(seed, "arrivals", place))
        doors[key] = _door(state, key, protected=requests.protected)
        for _ in range(round(state.backlog_requests.get(key, 0.0))):
            doors[key].backlog.append(sampler.draw(0.0))
    in_service = _in_service(state, law, {k: s.sizes for k, s in samplers.items()}, traffic)
    lower = state.tier.load_req_per_s if state.tier else {}
    return Parts(
        law=law,
        model=engine,
        engines=state.total - state.lost,
        doors=doors,
        arrivals=arrivals,
        samplers=samplers,
        in_service=in_service,
        lowered={
            key: round(n * min(lower.get(key, 0.0) / state.load_req_per_s[key], 1.0))
            for key, n in in_service.items()
            if state.load_req_per_s[key] > 0.0
        },
        wakes=stream(seed, "wakes", index),
        residues=stream(seed, "residues", index),
    )


def _door(state: PoolState, key: str, *, protected: bool) -> Door:
    rate = state.load_req_per_s[key]
    lowered = state.tier.load_req_per_s.get(key, 0.0) if state.tier else 0.0
    return Door(
        protected=protected,
        comes=MeasuredRate(rate),
        serves=MeasuredRate(rate),
        lowers=MeasuredRate(lowered),
        queued=round(state.queued_requests.get(key, 0.0)),
        lower_req_per_s=lowered,
    )


def _in_service(
    state: PoolState, law: EngineLaw, sizes: Mapping[str, Sizes], traffic: Mapping[str, Traffic]
) -> dict[str, int]:
    """Return the requests in service of each class, settled: rate times time in service.

    Users of a closed loop are all there, beyond the slots as well; a trace begins with none.
    """
    engines = max(state.active + (state.tier.active if state.tier else 0), 1)
    rates = {}
    for key, rate in state.load_req_per_s.items():
        if isinstance(of := traffic.get(key, Poisson()), Poisson):
            rates[key] = of.at_first(rate)
    each = 0.0
    for _ in range(_ROUNDS):
        total = sum(rate * law.in_service_s(sizes[key], each) for key, rate in rates.items())
        each = min(total / engines, float(law.slots))
    there = {key: round(rate * law.in_service_s(sizes[key], each)) for key, rate in rates.items()}
    for key, of in traffic.items():
        if isinstance(of, ClosedLoop):
            there[key] = of.users
    return there
