"""The request-level plant: seeds and steps, prefixes, sleep, drained instances, arrivals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_cases import NOBODY, anywhere, mean_kw, request_plant, told
from twin_cases import POOL, case, some_commands

from ebplan import InputError
from ebplan.adapters.commands import (
    Route,
    Sleep,
    Wake,
    WarmCache,
)
from ebplan.twin import FluidPlant, LoadNoise
from ebplan.twin.disturbances import InstanceLost, LoadStep
from ebplan.twin.requests import (
    Answer,
    ClosedLoop,
    EngineModel,
    Poisson,
    RequestPlant,
    Sizes,
    Trace,
    TracedRequest,
    Traffic,
)


def busy_plant(seed: int) -> RequestPlant:
    """Return a plant to which a lot happens."""
    of = case("demand_response")
    happens = (
        LoadStep(at_s=7.3, pool=POOL, request_class="batch", req_per_s=30.0),
        InstanceLost(at_s=13.7, pool=POOL),
    )
    noise = LoadNoise(std=0.1, correlation_s=20.0, every_s=2.5)
    return RequestPlant(of.site, of.state, seed=seed, disturbances=happens, load_noise=noise)


# --- seeds and steps ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run(seed: int) -> str:
        one, rng = busy_plant(seed), np.random.default_rng(3)
        return "\n".join(repr(one.step(some_commands(rng), 1.0)) for _ in range(40))

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_times_to_the_first_token_do_not_depend_on_steps() -> None:
    """They lie between arrival and answer, and waiting for a slot is part of them."""

    def run(users: int, dt_s: float) -> tuple[list[Answer], float]:
        answers: list[Answer] = []
        of = case("under_frequency")
        traffic: dict[str, Traffic] = {"interactive": ClosedLoop(users=users), "batch": NOBODY}
        one = RequestPlant(of.site, of.state, traffic={POOL: traffic}, listener=answers.append)
        for _ in range(round(30.0 / dt_s)):
            m = one.step((), dt_s)
        return answers, m.pools[POOL].ttft_s["interactive"]

    (long, mean_s), (short, same_s) = run(64, 1.0), run(64, 0.1)
    assert same_s == pytest.approx(mean_s)
    told = [(a.ttft_s, a.itl_s) for a in long if a.ttft_s is not None]
    assert [t for t, _ in told] == pytest.approx([a.ttft_s for a in short if a.ttft_s is not None])
    assert all(0.0 < a.ttft_s <= a.answered_s - a.came_s + 1e-9 for a in long if a.ttft_s)
    assert np.mean([t for t, _ in told]) == pytest.approx(0.0245, rel=0.1)  # a step
    assert np.mean([i for _, i in told if i is not None]) == pytest.approx(0.0245, rel=0.1)
    crowded, waited_s = run(160, 1.0)
    # 160 users, 96 slots: two fifths of the time of a request is spent waiting
    assert waited_s > 10.0 * mean_s
    assert len(crowded) > len(long)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_cut_of_time_moves_no_request(seed: int) -> None:
    """Counts are the same to the last one, energies to rounding."""
    rng = np.random.default_rng(seed)
    long, short = busy_plant(seed), busy_plant(seed)
    for _ in range(5):
        commands = some_commands(rng)
        at_once = long.step(commands, 5.0)
        for k in range(50):
            m = short.step(commands if k == 0 else (), 0.1)
        for name in ("served", "rejected", "waiting", "backlog", "queued", "in_flight", "arrived"):
            field = f"{name}_requests"
            assert getattr(at_once.pools[POOL], field) == getattr(m.pools[POOL], field)
        assert at_once.registers.pools_kwh[POOL] == pytest.approx(
            m.registers.pools_kwh[POOL], rel=1e-9
        )


def test_it_begins_near_the_fluid_plant() -> None:
    of = case("under_frequency")
    fluid_kw = FluidPlant(of.site, of.state).step((), 1.0).pool_kw[POOL]
    first = request_plant().step((), 1.0)
    assert first.pool_kw[POOL] == pytest.approx(fluid_kw, rel=0.02)
    in_flight = sum(first.pools[POOL].in_flight_requests.values())
    assert in_flight == pytest.approx(35.0 * 1.5, abs=25.0)


# --- prefixes and caches --------------------------------------------------------------------------


def served(traffic: Traffic, engine: EngineModel | None = None, seconds: float = 120.0) -> float:
    of = case("under_frequency")
    plant = RequestPlant(
        of.site,
        of.state,
        traffic={POOL: {"interactive": traffic, "batch": NOBODY}},
        engines={POOL: engine} if engine else None,
    )
    return plant.step((), seconds).pools[POOL].served_requests["interactive"]


def test_prefix_reuse_raises_capacity() -> None:
    def users(share: float, prefixes: int) -> ClosedLoop:
        sizes = Sizes(
            prompt_tokens=2_000.0, output_tokens=60.0, prefixes=prefixes, prefix_share=share
        )
        return ClosedLoop(users=96, sizes=sizes)

    none, half, most = (served(users(share, 20)) for share in (0.0, 0.5, 0.9))
    assert none * 1.3 < half < most / 1.3
    # more prefixes than the cache holds help less; without keeping them nothing helps
    small = EngineModel(kv_tokens=100_000)
    assert served(users(0.9, 2_000), small) < 0.7 * most
    without = EngineModel(prefix_caching=False)
    assert served(users(0.9, 20), without) == pytest.approx(none, rel=0.02)


def cached(plant: RequestPlant) -> list[int]:
    return [len(e.cache.prefixes()) for e in plant.request_pools[POOL].engines]


def prefix_plant(example: str = "under_frequency") -> RequestPlant:
    sizes = Sizes(prompt_tokens=400.0, output_tokens=50.0, prefixes=12, prefix_share=0.8)
    return request_plant(example, traffic={"interactive": Poisson(sizes=sizes)})


def test_sleep_and_loss_lose_the_cache() -> None:
    plant = prefix_plant()
    plant.step((), 60.0)
    assert all(cached(plant))
    plant.step([told(Route, active=3, drained=1)], 30.0)
    assert all(cached(plant))  # a drained instance keeps it
    m = plant.step([told(Sleep, count=1)], 30.0)
    assert m.pools[POOL].asleep == 1
    assert sorted(cached(plant))[:2][0] == 0
    m = plant.step([told(Wake, count=1)], 20.0)
    assert (m.pools[POOL].asleep, m.pools[POOL].drained) == (0, 1)
    assert sorted(cached(plant))[0] == 0
    plant.step([told(Route, active=4, drained=0)], 60.0)
    assert all(cached(plant))


def test_a_prewarm_gives_every_awake_instance_the_prefixes_of_protected_classes() -> None:
    plant = prefix_plant("demand_response")
    of = case("demand_response").site.pools[POOL]
    assert of.prewarm is not None
    assert of.classes["interactive"].protected
    plant.step([told(Route, active=2, drained=2)], 60.0)
    m = plant.step([told(Sleep, count=1)], 30.0)
    m = plant.step([told(Wake, count=1)], 30.0)
    assert m.pools[POOL].drained == 2
    assert min(cached(plant)) == 0
    plant.step([told(WarmCache)], of.prewarm.lead_s + 1.0)
    assert min(cached(plant)) >= 10


# --- drained and sleeping instances ---------------------------------------------------------------


def test_a_drained_instance_finishes_its_streams_before_it_sleeps() -> None:
    long = Sizes(prompt_tokens=100.0, output_tokens=1_500.0, output_spread=0.0)
    traffic = {"interactive": ClosedLoop(users=40, sizes=long), "batch": NOBODY}
    answers: list[Answer] = []
    of = case("under_frequency")
    plant = RequestPlant(of.site, of.state, traffic={POOL: traffic}, listener=answers.append)
    plant.step((), 5.0)
    began = plant.step((), 0.1)
    m = plant.step([told(Route, active=3, drained=1), told(Sleep, count=1)], 2.0)
    assert m.refused == ()
    (drained,) = plant.request_pools[POOL]._roster.of("drained")
    engine = plant.request_pools[POOL].engines[drained]
    assert engine.in_service > 0
    assert m.pools[POOL].asleep == 0
    longest_s = 1_500.0 * 0.03
    streams, waited_s = engine.in_service, 0.0
    while engine.in_service:
        assert m.pools[POOL].transit == ()
        m = plant.step((), 1.0)
        assert engine.in_service <= streams  # nobody new
        streams, waited_s = engine.in_service, waited_s + 1.0
    assert waited_s <= longest_s
    m = plant.step((), of.site.pools[POOL].sleep.sleep_s + 0.1)
    assert m.pools[POOL].asleep == 1
    came = [x.pools[POOL].arrived_requests["interactive"] for x in (began, m)]
    there = [anywhere(x)["interactive"] for x in (began, m)]
    assert there[1] - there[0] == came[1] - came[0] > 0
    assert all(a.answered_s > a.came_s or a.came_s == 0.0 for a in answers)


def test_one_put_to_work_again_does_not_sleep() -> None:
    long = Sizes(prompt_tokens=100.0, output_tokens=800.0, output_spread=0.0)
    plant = request_plant(
        traffic={"interactive": ClosedLoop(users=40, sizes=long), "batch": NOBODY}
    )
    plant.step([told(Route, active=3, drained=1), told(Sleep, count=1)], 2.0)
    plant.step([told(Route, active=4, drained=0)], 60.0)
    m = plant.step([told(Route, active=3, drained=1)], 60.0)
    assert (m.pools[POOL].drained, m.pools[POOL].asleep) == (1, 0)


def test_its_power_stays_up_while_it_has_streams() -> None:
    long = Sizes(prompt_tokens=100.0, output_tokens=1_500.0, output_spread=0.0)
    loads: dict[str, Traffic] = {"interactive": ClosedLoop(users=16, sizes=long), "batch": NOBODY}
    plant = request_plant(traffic=loads)
    full_kw = mean_kw(plant, 20)
    plant.step([told(Route, active=3, drained=1)], 5.0)
    assert mean_kw(plant, 3) > 0.95 * full_kw
    plant.step((), 80.0)
    assert mean_kw(plant, 5) < 0.9 * full_kw


def test_requests_of_a_lost_instance_are_served_by_the_others() -> None:
    plant = request_plant(
        upsets=(InstanceLost(at_s=10.0, pool=POOL),),
        traffic={"interactive": ClosedLoop(users=60), "batch": NOBODY},
    )
    plant.step((), 9.9)
    m = plant.step((), 0.2)
    there = m.pools[POOL].in_flight_requests["interactive"]
    assert there + m.pools[POOL].waiting_requests["interactive"] == 60
    assert there <= 60
    assert mean_kw(plant, 60) > 0.0


# --- arrivals -------------------------------------------------------------------------------------


def test_random_arrivals_come_at_their_rate() -> None:
    rates = ((0.0, 20.0), (300.0, 5.0))
    plant = request_plant(traffic={"interactive": Poisson(rates=rates), "batch": NOBODY})
    first = plant.step((), 300.0).pools[POOL].arrived_requests["interactive"]
    both = plant.step((), 400.0).pools[POOL].arrived_requests["interactive"]
    assert first == pytest.approx(6_000.0, abs=4.0 * 6_000.0**0.5)
    assert both - first == pytest.approx(2_000.0, abs=4.0 * 2_000.0**0.5)


def test_a_trace_comes_as_it_was_recorded() -> None:
    requests = tuple(
        TracedRequest(at_s=0.5 * k, prompt_tokens=200, output_tokens=40, prefix=k % 3)
        for k in range(100)
    )
    answers: list[Answer] = []
    of = case("under_frequency")
    traffic: dict[str, Traffic] = {"interactive": Trace(requests=requests), "batch": NOBODY}
    plant = RequestPlant(of.site, of.state, traffic={POOL: traffic}, listener=answers.append)
    m = plant.step((), 20.0)
    assert m.pools[POOL].arrived_requests["interactive"] == 41
    m = plant.step((), 60.0)
    assert m.pools[POOL].served_requests["interactive"] == 100
    assert [a.came_s for a in answers] == [r.at_s for r in requests]
    assert {a.output_tokens for a in answers} == {40.0}


def test_what_the_plant_cannot_do_is_refused() -> None:
    of = case("under_frequency")
    for traffic, engines in (
        ({"nowhere": {}}, {}),
        ({POOL: {"none": NOBODY}}, {}),
        ({}, {"nowhere": EngineModel()}),
        ({}, {POOL: EngineModel(kv_tokens=20)}),
        (
            {
                POOL: {
                    "batch": Trace(
                        requests=(TracedRequest(at_s=0, prompt_tokens=400_000, output_tokens=1),)
                    )
                }
            },
            {},
        ),
    ):
        with pytest.raises(InputError):
            RequestPlant(of.site, of.state, traffic=traffic, engines=engines)
    step = LoadStep(at_s=1.0, pool=POOL, request_class="interactive", req_per_s=1.0)
    plant = request_plant(upsets=(step,), traffic={"interactive": ClosedLoop(users=3)})
    with pytest.raises(InputError, match="load_step"):
        plant.step((), 2.0)
