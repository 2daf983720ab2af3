"""No request is lost and none is made: served, turned away, or somewhere in the plant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_cases import anywhere, request_plant
from twin_cases import POOL, case, some_commands

from ebplan.twin.disturbances import InstanceLost, InstanceReturned, LoadStep
from ebplan.twin.requests import ClosedLoop, EngineModel, Poisson, RequestPlant, Sizes
from ebplan.twin.requests.engine import Engine

pytestmark = pytest.mark.slow


def check_engines(plant: RequestPlant) -> None:
    """Hold every engine's cache and counts to what they can be."""
    for pool in plant.request_pools.values():
        for engine in pool.engines:
            cache = engine.cache
            assert min(cache.held, cache.kept, cache.free) >= 0
            assert engine.free_blocks >= -1e-6
            if not engine.in_service:
                assert cache.held == 0
        in_service = sum(engine.in_service for engine in pool.engines)
        assert in_service == sum(pool.reading().in_flight_requests.values())


@given(seed=st.integers(0, 10_000), example=st.sampled_from(["demand_response", "surplus_queue"]))
@settings(max_examples=40, deadline=None)
def test_whatever_is_told_every_request_is_somewhere(seed: int, example: str) -> None:
    rng = np.random.default_rng(seed)
    at = sorted(rng.uniform(0.0, 120.0, size=3).tolist())
    happens = (
        LoadStep(at_s=at[0], pool=POOL, request_class="batch", req_per_s=float(rng.uniform(0, 60))),
        InstanceLost(at_s=at[1], pool=POOL, mode="active"),
        InstanceReturned(at_s=at[2], pool=POOL),
    )
    plant = request_plant(example, seed=seed, upsets=happens)
    began = plant.step((), 1e-3)
    before = anywhere(began)
    for _ in range(8):
        m = plant.step(some_commands(rng), float(rng.uniform(0.1, 30.0)))
        check_engines(plant)
        reading, came = m.pools[POOL], began.pools[POOL].arrived_requests
        for name, there in anywhere(m).items():
            assert there == before[name] + reading.arrived_requests[name] - came[name]
        on_the_way = sum(t.instances for t in reading.transit)
        awake = reading.active + reading.drained + reading.tier_active + reading.tier_drained
        total = awake + reading.asleep + reading.lost + on_the_way
        assert total == case(example).site.pools[POOL].instances


def test_a_small_cache_puts_requests_aside_and_loses_none() -> None:
    """Preemption: 60 users with long answers and a cache that holds a few of them."""
    of = case("under_frequency")
    sizes = Sizes(prompt_tokens=400.0, output_tokens=800.0, prefixes=10, prefix_share=0.5)
    loop = ClosedLoop(users=60, sizes=sizes)
    nobody = Poisson(rates=((0.0, 0.0),))
    plant = RequestPlant(
        of.site,
        of.state,
        traffic={POOL: {"interactive": loop, "batch": nobody}},
        engines={POOL: EngineModel(kv_tokens=8_000)},
        seed=4,
    )
    for _ in range(200):
        m = plant.step((), 1.0)
        check_engines(plant)
        assert m.pools[POOL].in_flight_requests["interactive"] <= 60
    engines: list[Engine] = plant.request_pools[POOL].engines
    assert sum(engine.preempted for engine in engines) > 0
    reading = m.pools[POOL]
    there = reading.in_flight_requests["interactive"] + reading.waiting_requests["interactive"]
    assert there == 60
    assert reading.served_requests["interactive"] > 100


@pytest.mark.parametrize("users", [8, 96, 200])
def test_users_of_a_closed_loop_are_always_somewhere(users: int) -> None:
    loop, nobody = ClosedLoop(users=users), Poisson(rates=((0.0, 0.0),))
    plant = request_plant(traffic={"interactive": loop, "batch": nobody})
    for _ in range(20):
        reading = plant.step((), 1.0).pools[POOL]
        there = reading.in_flight_requests["interactive"] + reading.waiting_requests["interactive"]
        assert there == users
        assert reading.in_flight_requests["interactive"] == min(users, 96)
