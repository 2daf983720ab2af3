"""What the request-level plant makes of limits, paces, caps, clocks and precisions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from request_cases import NOBODY, rate_between, request_plant, told
from twin_cases import POOL, case

from ebplan.adapters.commands import (
    CapPower,
    Command,
    LimitAdmission,
    LoadWeights,
    LockClock,
    PaceBacklog,
    Route,
    RouteLower,
    ServeAhead,
)
from ebplan.models import library
from ebplan.twin.disturbances import PoolDrift
from ebplan.twin.requests import (
    Answer,
    ClosedLoop,
    RequestPlant,
    Traffic,
)

pytestmark = pytest.mark.slow

# --- the door -------------------------------------------------------------------------------------


@given(limit=st.floats(0.0, 60.0), seed=st.integers(0, 1_000))
@settings(max_examples=25, deadline=None)
def test_admission_never_turns_a_protected_class_away(limit: float, seed: int) -> None:
    plant = request_plant(seed=seed)
    limits = [
        told(LimitAdmission, request_class=name, req_per_s=limit)
        for name in ("interactive", "batch")
    ]
    m = plant.step(limits, 60.0)
    reading = m.pools[POOL]
    assert reading.rejected_requests["interactive"] == 0.0
    if limit < 3.0:
        assert reading.rejected_requests["batch"] > 0.0
        assert reading.waiting_requests["interactive"] > 0.0
    m = plant.step([told(LimitAdmission, request_class="interactive", req_per_s=None)], 120.0)
    assert m.pools[POOL].rejected_requests["interactive"] == 0.0
    assert m.pools[POOL].waiting_requests["interactive"] < 30.0


def test_limits_and_paces_are_kept_in_the_mean() -> None:
    plant = request_plant("demand_response", seed=3)
    comes = case("demand_response").state.pools[POOL].load_req_per_s["batch"]
    m0 = plant.step([told(LimitAdmission, request_class="batch", req_per_s=0.5 * comes)], 5.0)
    m1 = plant.step((), 600.0)
    rejected = rate_between(m0, m1, "rejected_requests")
    assert rejected == pytest.approx(0.5 * comes, rel=0.15)
    m1 = plant.step(
        [
            told(LimitAdmission, request_class="batch", req_per_s=None),
            told(PaceBacklog, request_class="batch", req_per_s=0.25 * comes),
        ],
        5.0,
    )
    m2 = plant.step((), 600.0)
    put_off = rate_between(m1, m2, "backlog_requests")
    assert put_off == pytest.approx(0.25 * comes, rel=0.1)
    m3 = plant.step([told(PaceBacklog, request_class="batch", req_per_s=-2.0)], 100.0)
    assert rate_between(m2, m3, "backlog_requests") == pytest.approx(-2.0, rel=0.02)
    m4 = plant.step((), 3_600.0)
    assert m4.pools[POOL].backlog_requests["batch"] == 0.0


def test_queued_work_is_served_ahead_at_the_rate() -> None:
    plant = request_plant("surplus_queue")
    queued = case("surplus_queue").state.pools[POOL].queued_requests["batch"]
    m = plant.step([told(ServeAhead, request_class="batch", req_per_s=4.0)], 20.0)
    assert queued - m.pools[POOL].queued_requests["batch"] == pytest.approx(80.0, abs=1.0)


# --- caps, clocks, precision ----------------------------------------------------------------------


def capped_rate(*commands: Command, upsets: tuple[PoolDrift, ...] = ()) -> tuple[float, float]:
    """Return requests per second and mean draw of a saturated pool."""
    of = case("demand_response")
    traffic: dict[str, Traffic] = {"interactive": ClosedLoop(users=160), "batch": NOBODY}
    plant = RequestPlant(of.site, of.state, traffic={POOL: traffic}, disturbances=upsets)
    m0 = plant.step(commands, 30.0)
    m1 = plant.step((), 300.0)
    return rate_between(m0, m1, "served_requests", "interactive"), m1.pool_kw[POOL]


def test_a_cap_holds_the_draw_and_costs_what_the_elasticity_says() -> None:
    of = case("demand_response").site
    factor, _ = of.loss_to_connection_point("gpu")
    state = case("demand_response").state.pools[POOL]
    free, free_kw = capped_rate()
    capped, capped_kw = capped_rate(told(CapPower, w_per_gpu=420.0))
    assert capped_kw == pytest.approx(state.active * 2 * 0.420 * factor, rel=0.2)
    cap = library.load_cap(of.pools[POOL].cap_model)
    slope = np.log(capped / free) / np.log(capped_kw / free_kw)
    assert cap.elasticity_low < slope < 1.15 * cap.elasticity_high
    high, high_kw = capped_rate(told(CapPower, w_per_gpu=600.0))
    assert (high, high_kw) == (free, free_kw)


def test_a_cap_above_what_the_load_draws_slows_nothing() -> None:
    answers: list[list[float]] = []
    for commands in ((), (told(CapPower, w_per_gpu=480.0),)):
        took: list[Answer] = []
        of = case("under_frequency")
        light: dict[str, Traffic] = {"interactive": ClosedLoop(users=8), "batch": NOBODY}
        plant = RequestPlant(of.site, of.state, traffic={POOL: light}, listener=took.append)
        plant.step(commands, 60.0)
        answers.append([a.answered_s for a in took])
    assert answers[0] == answers[1]


def test_capacity_drifts() -> None:
    drift = PoolDrift(at_s=1.0, pool=POOL, number="capacity", factor=0.8)
    free, _ = capped_rate()
    less, _ = capped_rate(upsets=(drift,))
    assert less == pytest.approx(0.8 * free, rel=0.03)


def test_the_lower_precision_serves_what_it_is_told() -> None:
    of = case("demand_response")
    plant = RequestPlant(of.site, of.state, seed=1)
    plant.step((), 5.0)
    m = plant.step([told(Route, active=2, drained=2)], 30.0)
    m = plant.step([told(LoadWeights, precision="lower", count=1)], 120.0)
    assert m.pools[POOL].tier_drained == 1
    lower = told(RouteLower, active=1, drained=0, req_per_s={"batch": 3.0}, w_per_gpu=None)
    m0 = plant.step([lower], 30.0)
    m1 = plant.step((), 300.0)
    assert m1.pools[POOL].tier_active == 1
    assert m1.pools[POOL].lowered_req_per_s["batch"] == pytest.approx(3.0, rel=0.2)
    assert rate_between(m0, m1, "served_requests") > 0.0


def test_a_locked_clock_slows_and_saves() -> None:
    of = case("mixed_pools")
    name, pool = next((n, p) for n, p in of.site.pools.items() if p.clock_lock is not None)
    (key, *others) = pool.classes
    traffic: dict[str, Traffic] = {key: ClosedLoop(users=1_000), **dict.fromkeys(others, NOBODY)}
    found = []
    for lock in (False, True):
        plant = RequestPlant(of.site, of.state, traffic={name: traffic})
        n = plant.step((), 1.0).pools[name].active
        commands = [
            LockClock(at_s=0.0, pool=name, active=n, clock_mhz=900.0),
            Route(at_s=0.0, pool=name, active=0, drained=0),
        ]
        m0 = plant.step(commands if lock else (), 100.0)
        m1 = plant.step((), 600.0)
        assert m1.pools[name].locked == (n if lock else 0)
        answered = m1.pools[name].served_requests[key] - m0.pools[name].served_requests[key]
        found.append((answered, m1.pool_kw[name]))
    (free, free_kw), (slow, slow_kw) = found
    assert 0.2 * free < slow < 0.95 * free
    assert slow_kw < 0.9 * free_kw
