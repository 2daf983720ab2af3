"""Whether a counted load has changed: alarms at the rate that was asked, shifts found soon."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan import load_case
from ebplan.planner.change import ShiftTest, shifts_of_mean, shifts_of_rate, threshold_nats
from ebplan.planner.counted import CountedLoads
from ebplan.planner.expectation import Tolerance
from ebplan.state import State

CASE = load_case("examples/under_frequency.json")
(POOL,) = CASE.state.pools
RATE = CASE.state.pools[POOL].load_req_per_s["interactive"]


@given(st.floats(1e-4, 10.0), st.floats(10.0, 1e6))
def test_the_threshold_gives_the_run_that_was_asked(falls: float, run_s: float) -> None:
    """Siegmund 2.56: run = (exp(h) - h - 1) / I."""
    h = threshold_nats(falls, run_s)
    assert (math.expm1(h) - h) / falls == pytest.approx(run_s, rel=1e-6, abs=1e-3)


def test_nats_by_hand() -> None:
    """A count of 60 over 10 s where 40 are usual, looked at for a shift by half."""
    up = shifts_of_rate(4.0, 2.0)[0]
    assert up.per_reading == pytest.approx(math.log(1.5))
    assert up.per_second == pytest.approx(2.0)
    test = ShiftTest([up], 1.0)
    found = test.add(60.0, 10.0)
    assert 60.0 * math.log(1.5) - 20.0 > threshold_nats(up.falls_nats_per_s, 1.0)
    assert found is not None
    assert (found.mean, found.lasted_s, found.upwards) == (6.0, 10.0, True)


def test_noise_alone_raises_alarms_no_oftener_than_asked() -> None:
    """Two hundred runs of an hour at a run of an hour: as many alarms or fewer."""
    chance = np.random.default_rng(1)
    counts = chance.poisson(RATE, 200 * 3600)
    test, alarms = ShiftTest(shifts_of_rate(RATE, 0.1 * RATE), 3600.0), 0
    for count in counts:
        if test.add(float(count), 1.0) is not None:
            alarms += 1
            test = ShiftTest(shifts_of_rate(RATE, 0.1 * RATE), 3600.0)
    assert 10 < alarms < 220


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.6, 0.7, 1.3, 1.5]))
def test_a_step_of_a_load_is_found_within_a_minute(seed: int, factor: float) -> None:
    chance = np.random.default_rng(seed)
    loads, state, came = CountedLoads(Tolerance()), CASE.state, 0.0
    planned = {POOL: {"interactive": RATE}}
    found_s = None
    for second in range(1, 361):
        rate = RATE * (factor if second > 300 else 1.0)
        came += chance.poisson(rate)
        told = loads.see(counted(state, second, came, rate), planned)
        if second > 300 and loads.changed:
            found_s = second - 300
            break
    assert found_s is not None
    # the load is what came since the step, not what is remembered from before
    load = told.pools[POOL].load_req_per_s["interactive"]
    assert abs(load - factor * RATE) < 4.0 * math.sqrt(factor * RATE / found_s) + 0.1 * RATE


def test_a_counter_that_begins_anew_and_a_state_without_counters() -> None:
    loads = CountedLoads(Tolerance())
    planned = {POOL: {"interactive": RATE}}
    for second, came in ((1, 1000.0), (2, 1000.0 + RATE), (3, 5.0), (4, 5.0 + RATE)):
        told = loads.see(counted(CASE.state, second, came, RATE), planned)
        assert not loads.changed
    assert told.pools[POOL].load_req_per_s["interactive"] == pytest.approx(RATE)
    bare = CASE.state.model_copy(update={"at": CASE.state.at + timedelta(seconds=9)})
    assert loads.see(bare, planned) == bare


def test_a_mean_is_looked_for_both_ways() -> None:
    test = ShiftTest(shifts_of_mean(0.1, 0.1, 0.01), 3600.0)
    lower = next(f for _ in range(10_000) if (f := test.add(-0.3, 1.0)) is not None)
    assert lower.mean == pytest.approx(-0.3)
    assert not lower.upwards


def counted(state: State, second: int, came: float, rate: float) -> State:
    """Return a state a second later, with a counter."""
    pool = state.pools[POOL].model_copy(
        update={
            "arrived_requests": {"interactive": came},
            "load_req_per_s": {**state.pools[POOL].load_req_per_s, "interactive": rate},
        }
    )
    at = state.at + timedelta(seconds=second)
    return state.model_copy(update={"at": at, "pools": {POOL: pool}})
