"""What holds for every plant, and how far the two agree.

Over a scenario with a consolidation, a sleep, a cap and everything back, in steps of a second:

- mean draw of each phase, settled: within ``POWER_BOUND``; chance in the requests in flight and the
  bend of the load curve lower the request-level plant's mean by less than a percent;
- requests served over the whole scenario: within four standard deviations of a Poisson count of
  what comes, in the difference between both; no bias is seen over several seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from twin_cases import POOL, case, some_commands

from ebplan import InputError, Planner
from ebplan.adapters.commands import (
    CapPower,
    Command,
    LimitAdmission,
    LockClock,
    Route,
    Sleep,
    Wake,
)
from ebplan.twin import Bias, FluidPlant, Plant
from ebplan.twin.disturbances import InstanceLost, InstanceReturned, OtherLoadStep
from ebplan.twin.requests import RequestPlant

pytestmark = pytest.mark.slow

PLANTS: list[type[FluidPlant] | type[RequestPlant]] = [FluidPlant, RequestPlant]
Kind = type[FluidPlant] | type[RequestPlant]
either = pytest.mark.parametrize("kind", PLANTS)
POWER_BOUND = 0.01
AT: dict[str, object] = {"at_s": 0.0, "pool": POOL}


def told(command: type[Command], **fields: object) -> Command:
    return command.model_validate({**AT, **fields})  # type: ignore[no-any-return, union-attr]


@either
def test_it_is_a_plant(kind: Kind) -> None:
    of = case("under_frequency")
    one: Plant = kind(of.site, of.state)
    one.step((), 2.5)
    assert one.now_s == 2.5
    state = one.state().pools[POOL]
    assert (state.active, state.total) == (4, 4)
    assert set(state.load_req_per_s) == {"interactive", "batch"}


@either
@pytest.mark.parametrize("dt_s", [0.0, -1.0, math.inf, math.nan])
def test_a_step_is_some_time(kind: Kind, dt_s: float) -> None:
    of = case("under_frequency")
    with pytest.raises(InputError, match="dt_s"):
        kind(of.site, of.state).step((), dt_s)


@either
def test_what_cannot_be_done_is_said(kind: Kind) -> None:
    of = case("under_frequency")
    one = kind(of.site, of.state)
    (refused,) = one.step((told(Sleep, count=2),), 1.0).refused
    assert refused == ("sleep", POOL, 2, 0)


@either
@pytest.mark.parametrize(
    "command",
    [
        Route(at_s=0.0, pool="nowhere", active=1, drained=0),
        LimitAdmission(at_s=0.0, pool=POOL, request_class="none", req_per_s=1.0),
        LockClock(at_s=0.0, pool=POOL, active=1, clock_mhz=900.0),
    ],
)
def test_commands_for_what_the_site_does_not_have_are_refused(kind: Kind, command: Command) -> None:
    of = case("under_frequency")
    with pytest.raises(InputError):
        kind(of.site, of.state).step((command,), 1.0)


@either
def test_a_lost_instance_draws_nothing_at_once_and_the_rest_takes_its_load(kind: Kind) -> None:
    of = case("under_frequency")
    happens = (InstanceLost(at_s=5.0, pool=POOL), InstanceReturned(at_s=100.0, pool=POOL))
    one = kind(of.site, of.state, disturbances=happens)
    before_kw = one.step((), 5.0).pool_kw[POOL]
    just_after = one.step((), 0.05)
    assert just_after.pool_kw[POOL] == pytest.approx(0.75 * before_kw, rel=0.03)
    assert just_after.lost == {POOL: 1}
    one.step((), 60.0)
    three_kw = float(np.mean([one.step((), 1.0).pool_kw[POOL] for _ in range(30)]))
    assert just_after.pool_kw[POOL] < three_kw < before_kw
    one.step((), 60.0)
    assert one.step((), 30.0).pool_kw[POOL] == pytest.approx(before_kw, rel=0.02)


@either
def test_the_state_after_a_loss_can_be_planned_from(kind: Kind) -> None:
    of = case("under_frequency")
    plant = kind(of.site, of.state, disturbances=(InstanceLost(at_s=1.0, pool=POOL),))
    m = plant.step((), 60.0)
    state = m.state().model_copy(update={"at": of.state.at})
    plan = Planner(of.site).plan(of.event, state)
    assert plan.check.ok
    assert {epoch.active + epoch.drained for epoch in plan.pools[POOL]} == {3}


@either
def test_energy_is_what_it_is_made_of(kind: Kind) -> None:
    of, rng = case("demand_response"), np.random.default_rng(1)
    one = kind(of.site, of.state, disturbances=(OtherLoadStep(at_s=0.0, kw=1.5),))
    for _ in range(30):
        m = one.step(some_commands(rng), 3.0)
    r = m.registers
    made_kwh = 1.5 * m.at_s / 3600.0 + sum(r.pools_kwh.values())
    made_kwh += r.battery_in_kwh - r.battery_out_kwh
    assert r.battery_out_kwh > 0.0
    assert r.grid_kwh == pytest.approx(made_kwh, rel=1e-9)


@either
def test_slower_responses_settle_later(kind: Kind) -> None:
    of = case("under_frequency")
    drawn = []
    for bias in (Bias(), Bias(response_time=2.0)):
        one = kind(of.site, of.state, bias=bias)
        one.step((told(Route, active=3, drained=1),), 10.0)
        drawn.append(one.step((), 1.0).pool_kw[POOL])
    assert drawn[1] > drawn[0] + 0.02


@either
def test_more_power_of_awake_instances_is_more_power(kind: Kind) -> None:
    of = case("under_frequency")
    drawn = [
        kind(of.site, of.state, bias=bias).step((), 30.0).pool_kw[POOL]
        for bias in (Bias(), Bias(load_power=1.05))
    ]
    assert drawn[1] == pytest.approx(1.05 * drawn[0], rel=1e-3)


PHASES: tuple[tuple[str, tuple[Command, ...]], ...] = (
    ("at rest", ()),
    ("consolidated", (told(Route, active=3, drained=1),)),
    ("asleep", (told(Sleep, count=1),)),
    ("capped", (told(CapPower, w_per_gpu=440.0),)),
    ("back", (told(CapPower, w_per_gpu=None), told(Wake, count=1))),
    ("as before", (told(Route, active=4, drained=0),)),
)
SETTLE_S, MEAN_S = 60.0, 120.0


def phases(make: Callable[[], Plant]) -> tuple[list[float], float, float]:
    """Return the mean draw of each phase, requests served and those that wait at the end."""
    plant, drawn_kw = make(), []
    for _, commands in PHASES:
        plant.step(commands, SETTLE_S)
        m = plant.step((), MEAN_S)
        drawn_kw.append(m.pool_kw[POOL])
    reading = m.pools[POOL]
    return (
        drawn_kw,
        sum(reading.served_requests.values()),
        sum(reading.waiting_requests.values()),
    )


def test_both_plants_agree_in_the_mean() -> None:
    of = case("under_frequency")
    fluid_kw, fluid_served, waits = phases(lambda: FluidPlant(of.site, of.state))
    assert waits == 0.0
    served, seeds = [], range(4)
    for seed in seeds:
        kw, done, waits = phases(lambda seed=seed: RequestPlant(of.site, of.state, seed=seed))
        assert kw == pytest.approx(fluid_kw, rel=POWER_BOUND)
        assert done == pytest.approx(fluid_served, abs=4.0 * math.sqrt(fluid_served))
        assert waits < 10.0
        served.append(done)
    mean_off = abs(np.mean(served) - fluid_served)
    assert mean_off <= 3.0 * math.sqrt(fluid_served / len(seeds))
    # the phases differ by much more than the bound, so agreeing is no accident
    assert min(abs(np.diff(fluid_kw[:2]))) > 10.0 * POWER_BOUND * max(fluid_kw)


def test_a_consolidation_settles_alike() -> None:
    """The streams that a drained instance still has hold its draw up for a second or two."""
    of = case("under_frequency")
    means = []
    for plant in (FluidPlant(of.site, of.state), RequestPlant(of.site, of.state, seed=2)):
        plant.step((), 30.0)
        plant.step((told(Route, active=3, drained=1),), 1.0)
        means.append([plant.step((), 5.0).pool_kw[POOL] for _ in range(8)])
    fluid, requests = np.array(means)
    assert requests == pytest.approx(fluid, abs=0.12)
    assert requests[-2:] == pytest.approx(fluid[-2:], rel=0.02)
