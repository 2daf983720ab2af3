"""A step of ten seconds gives what a hundred of a tenth give, whatever happens inside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twin_cases import POOL, case, some_commands

from ebplan.frequency import ResponseCurve
from ebplan.twin import Droop, FluidPlant, FrequencyModel, LoadNoise, Measurements
from ebplan.twin.disturbances import (
    ConverterReturn,
    ConverterTrip,
    FrequencyContingency,
    InstanceLost,
    InstanceReturned,
    LoadStep,
    OtherLoadStep,
)

KNEE = ResponseCurve(shape="knee", dead_band_hz=0.015, knee_hz=0.1, knee_fraction=0.2, full_hz=0.3)
STEP = ResponseCurve(shape="threshold", full_hz=0.05)


def plant(seed: int, curve: ResponseCurve = KNEE) -> FluidPlant:
    """Return a plant to which everything happens."""
    of = case("demand_response")
    rng = np.random.default_rng(seed)
    at = sorted(rng.uniform(0.0, 60.0, size=8).tolist())
    happens = (
        LoadStep(at_s=at[0], pool=POOL, request_class="batch", req_per_s=float(rng.uniform(0, 30))),
        InstanceLost(at_s=at[1], pool=POOL, mode="drained"),
        ConverterTrip(at_s=at[2]),
        ConverterReturn(at_s=at[3]),
        FrequencyContingency(at_s=at[4], deviation_hz=-0.4, fall_s=3.0, hold_s=5.0, recovery_s=9.0),
        InstanceReturned(at_s=at[5], pool=POOL),
        OtherLoadStep(at_s=at[6], kw=2.0),
    )
    full = of.site.battery
    assert full is not None
    return FluidPlant(
        of.site,
        of.state.model_copy(update={"soc": float(rng.choice([full.soc_min, 0.5, full.soc_max]))}),
        load_noise=LoadNoise(std=0.1, correlation_s=20.0, every_s=2.5),
        seed=seed,
        disturbances=happens,
        frequency=FrequencyModel(std_hz=0.05),
        droop=Droop(curve=curve),
    )


def numbers(m: Measurements) -> list[float]:
    """Return everything measured but the means over the last step."""
    pool = m.pools[POOL]
    r = m.registers
    return [
        *(m.soc or 0.0, m.frequency_hz, pool.active, pool.drained, pool.asleep, pool.lost),
        *(r.grid_kwh, r.battery_out_kwh, r.battery_in_kwh, *r.pools_kwh.values()),
        *pool.backlog_requests.values(),
        *pool.waiting_requests.values(),
        *pool.served_requests.values(),
        *pool.rejected_requests.values(),
    ]


@given(seed=st.integers(0, 10_000), curve=st.sampled_from([KNEE, STEP]))
@settings(max_examples=60, deadline=None)
def test_many_short_steps_are_one_long_one(seed: int, curve: ResponseCurve) -> None:
    rng = np.random.default_rng(seed)
    long, short = plant(seed, curve), plant(seed, curve)
    for _ in range(6):
        told = some_commands(rng)
        at_once = long.step(told, 10.0)
        means = [short.step(told if k == 0 else (), 0.1) for k in range(100)]
        assert numbers(at_once) == pytest.approx(numbers(means[-1]), rel=1e-9, abs=1e-9)
        battery_kw = np.mean([m.battery_kw for m in means])
        assert at_once.battery_kw == pytest.approx(battery_kw, rel=1e-6, abs=1e-7)
        pool_kw = np.mean([m.pool_kw[POOL] for m in means])
        assert at_once.pool_kw[POOL] == pytest.approx(pool_kw, rel=1e-9)


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run(seed: int) -> str:
        one, rng = plant(seed), np.random.default_rng(3)
        return "\n".join(repr(one.step(some_commands(rng), 1.0)) for _ in range(60))

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_energy_is_what_it_is_made_of() -> None:
    """The grid's register is other load and pools less what the battery gave."""
    of = case("demand_response")
    one, rng = FluidPlant(of.site, of.state), np.random.default_rng(1)
    other_kw = one.step((), 1.0).grid_kw
    assert other_kw is not None
    other_kw -= sum(one.step((), 1.0).pool_kw.values())
    for _ in range(50):
        m = one.step(some_commands(rng), 3.0)
    r = m.registers
    made_kwh = other_kw * m.at_s / 3600.0 + sum(r.pools_kwh.values())
    made_kwh += r.battery_in_kwh - r.battery_out_kwh
    assert r.battery_out_kwh > 0.0
    assert r.grid_kwh == pytest.approx(made_kwh, rel=1e-9)
