"""What single readings say: of a pool while nothing moves, of the battery while it goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ebplan.adapters.commands import HoldConnectionPoint
from ebplan.case import Case
from ebplan.models.tracking.assumed import MOVED_SOC
from ebplan.models.tracking.storage import Way
from ebplan.plan import Plan, PoolEpoch
from ebplan.planner import Planner
from ebplan.planner.cells import CellsWatch
from ebplan.planner.watch import NOTHING, Watch
from ebplan.pose import pose
from ebplan.problem import PoolProblem, Problem
from ebplan.state import PoolState, Settling, State, TierState
from ebplan.twin import FluidPlant, MeterModel
from ebplan.twin.disturbances import BatteryDrift

POOL = "llama70b"
LONG_S = 1e6
Said = tuple[list[tuple[Way, float]], list[float]]


@pytest.fixture
def problem(case: Case) -> Problem:
    return pose(case.event, case.site, case.state)


@pytest.fixture
def plan(case: Case) -> Plan:
    return Planner(case.site).plan(case.event, case.state)


def resting(plan: Plan, **changes: object) -> tuple[PoolEpoch, ...]:
    """Return one epoch in which every instance is active, with changes."""
    first = plan.pools[POOL][0]
    at_rest = {"active": 4, "drained": 0, "asleep": 0, "cap_w_per_gpu": None}
    return (first.model_copy(update={**at_rest, **changes}),)


def told(case: Case, power_kw: float | None, **changes: object) -> PoolState:
    return case.state.pools[POOL].model_copy(update={"power_kw": power_kw, **changes})


def test_an_uncapped_pool_says_its_draw_over_the_model(
    case: Case, problem: Problem, plan: Plan
) -> None:
    (pool,) = problem.pools
    watch = Watch(pool, resting(plan))
    reading = watch.read(told(case, 1.05 * pool.power_at_start_kw()), 100.0, LONG_S)
    assert reading.power is not None
    (idle, busy), value = reading.power
    assert idle == pytest.approx(4 * pool.drained_kw / pool.power_at_start_kw())
    assert idle + busy == pytest.approx(1.0)
    assert value == pytest.approx(1.05)
    assert reading.cap is None
    assert reading.capacity is None


def capped_kw(pool: PoolProblem, cap_w: float) -> float:
    return cap_w * pool.gpus_per_instance / 1000.0 / pool.gpu_kw_per_kw


def test_a_capped_pool_says_what_its_cap_took(case: Case, problem: Problem, plan: Plan) -> None:
    (pool,) = problem.pools
    watch = Watch(pool, resting(plan, cap_w_per_gpu=430.0))
    natural_kw = pool.power_at_start_kw() / 4
    meant_kw = natural_kw - capped_kw(pool, 430.0)
    reading = watch.read(told(case, 4 * (natural_kw - 0.7 * meant_kw)), 100.0, LONG_S)
    assert reading.power is None
    assert reading.cap is not None
    assert reading.cap[0] == pytest.approx(0.7)
    # a shallower cap says less, a very shallow one nothing
    shallower = Watch(pool, resting(plan, cap_w_per_gpu=440.0)).read(told(case, 3.9), 100.0, LONG_S)
    assert shallower.cap is not None
    assert shallower.cap[1] > reading.cap[1]
    none = Watch(pool, resting(plan, cap_w_per_gpu=465.0))
    assert none.read(told(case, 4.0), 100.0, LONG_S) == NOTHING


def test_where_requests_wait_the_pool_says_what_it_serves(
    case: Case, problem: Problem, plan: Plan
) -> None:
    (pool,) = problem.pools
    rates = {c.name: c.requests_per_s_per_instance for c in pool.classes}
    full = told(
        case,
        4.3,
        served_req_per_s={name: 0.5 * 4 * 0.9 * rate for name, rate in rates.items()},
        waiting_requests=dict.fromkeys(rates, 100.0),
    )
    reading = Watch(pool, resting(plan)).read(full, 100.0, LONG_S)
    assert reading.capacity == pytest.approx(0.9)
    assert reading.power is None


OTHERWISE = {
    "no meter": {"power_kw": None},
    "a cache being warmed": {"warm_remaining_s": 10.0},
    "a lower precision": {"active": 3, "tier": TierState(active=1)},
    "nobody active": {"active": 0, "drained": 4},
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_otherwise_nothing_is_concluded(
    case: Case, problem: Problem, plan: Plan, what: str
) -> None:
    state = told(case, 4.0).model_copy(update=OTHERWISE[what])
    assert Watch(problem.pools[0], resting(plan)).read(state, 100.0, LONG_S) == NOTHING


def test_while_something_moves_nothing_is_concluded(
    case: Case, problem: Problem, plan: Plan
) -> None:
    (pool,) = problem.pools
    slow_s = pool.route_response.delay_s + 6.0 * pool.route_response.time_constant_s + 2.0
    fast_s = pool.cap_response.delay_s + 6.0 * pool.cap_response.time_constant_s + 2.0
    state = told(case, 4.0)
    rest = Watch(pool, resting(plan))
    assert rest.read(state, 100.0, slow_s - 1.0) == NOTHING  # counts that have just changed
    assert rest.read(state, 100.0, slow_s + 1.0) != NOTHING
    capped = Watch(pool, resting(plan, cap_w_per_gpu=430.0))
    assert capped.read(state, fast_s - 0.1, LONG_S) == NOTHING
    assert capped.read(state, fast_s + 0.1, LONG_S) != NOTHING
    falling = (Settling(kw=0.5, time_constant_s=8.0),)
    moving = Watch(pool.model_copy(update={"settling": falling}), resting(plan))
    assert moving.read(state, 40.0, LONG_S) == NOTHING
    assert moving.read(state, 60.0, LONG_S) != NOTHING


# --- the battery ----------------------------------------------------------------------------


def moved(case: Case, grid_kw: float, *drifts: BatteryDrift, cells: bool = False) -> Said:
    """Hold a draw, and return what is said of the cells."""
    plant = FluidPlant(
        case.site,
        case.state,
        disturbances=drifts,
        cells_meter=MeterModel() if cells else None,
    )
    plant.step([HoldConnectionPoint(at_s=0.0, grid_kw=grid_kw)], 5.0)
    assert case.site.battery is not None
    watch = CellsWatch(case.site.battery)
    said = [watch.see(plant.step((), 1.0).state()) for _ in range(400)]
    stretches = [one.stretch for one in said if one.stretch is not None]
    return stretches, [one.efficiency for one in said if one.efficiency is not None]


EFFICIENCY = BatteryDrift(at_s=0.0, factor=0.97)
FADE = BatteryDrift(at_s=0.0, number="energy", factor=0.94)


@pytest.mark.parametrize(
    ("drifts", "energy", "efficiency"),
    [((), 1.0, 1.0), ((EFFICIENCY,), 1.0, 0.97), ((FADE,), 0.94, 1.0)],
)
@pytest.mark.parametrize(("grid_kw", "way"), [(1.0, "giving"), (9.0, "taking")])
def test_what_moves_one_way_says_energy_and_efficiency_together(
    case: Case,
    grid_kw: float,
    way: Way,
    drifts: tuple[BatteryDrift, ...],
    energy: float,
    efficiency: float,
) -> None:
    stretches, by_cells = moved(case, grid_kw, *drifts)
    assert len(stretches) >= 2
    assert by_cells == []
    together = energy * efficiency if way == "giving" else energy / efficiency
    for said, value in stretches:
        assert said == way
        assert value == pytest.approx(together, rel=1e-6)


@pytest.mark.parametrize("grid_kw", [1.0, 9.0])
def test_where_cells_are_measured_each_is_said_by_itself(case: Case, grid_kw: float) -> None:
    stretches, by_cells = moved(case, grid_kw, EFFICIENCY, FADE, cells=True)
    assert len(stretches) >= 2
    for said, value in stretches:
        assert said == "counted"
        assert value == pytest.approx(0.94, rel=1e-6)
    assert len(by_cells) > 300
    assert by_cells == pytest.approx([0.97] * len(by_cells), rel=1e-6)


def test_a_reading_of_the_cells_that_cannot_be_is_left_out(case: Case) -> None:
    assert case.site.battery is not None
    watch, told = CellsWatch(case.site.battery), states(case, 7.0, 7.0)
    model_kw = (7.0 + 0.008 * 7.0 + 0.02 * 49.0 / 8.0) / 0.975
    for kw, said in ((model_kw, 1.0), (1000.0 * model_kw, None), (-model_kw, None)):
        watch.see(told[0])
        found = watch.see(told[1].model_copy(update={"cells_kw": kw})).efficiency
        assert found == (None if said is None else pytest.approx(said))


def states(case: Case, *kw: float, every_s: float = 1.0) -> list[State]:
    """Return a battery at these powers, its state of charge falling as its model says."""
    battery, soc, found = case.site.battery, 0.6, []
    assert battery is not None
    for n, power_kw in enumerate(kw):
        soc -= abs(power_kw) / battery.cell_efficiency * every_s / 3600.0 / battery.energy_kwh
        at = case.state.at + timedelta(seconds=every_s * n)
        found.append(case.state.model_copy(update={"at": at, "soc": soc, "battery_kw": power_kw}))
    return found


def says(case: Case, told: list[State]) -> bool:
    assert case.site.battery is not None
    watch = CellsWatch(case.site.battery)
    return any(watch.see(state).stretch is not None for state in told)


def test_a_power_that_jumps_or_an_unseen_minute_begins_a_stretch_anew(case: Case) -> None:
    assert case.site.battery is not None
    enough = int(MOVED_SOC * case.site.battery.energy_kwh * 3600.0 / 7.0) + 5
    steady = states(case, *[7.0] * enough)
    assert says(case, steady)
    half = enough // 2
    assert not says(case, states(case, *[7.0] * half, 5.0, *[7.0] * half))
    assert not says(case, [*steady[:half], *states(case, *[7.0] * half, every_s=60.0)[1:]])
    tripped = steady[half].model_copy(update={"converter_available": False})
    assert not says(case, [*steady[:half], tripped, *steady[half + 1 :]])
    assert not says(case, states(case, *[0.1] * enough))
