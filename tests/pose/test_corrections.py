"""What tracking found goes into the problem: powers, capacities, caps that deliver less."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan import Case, Planner, check_plan, load_case
from ebplan.errors import InputError
from ebplan.pose import pose
from ebplan.pose.battery import pose_battery
from ebplan.problem import PoolProblem, Problem
from ebplan.state import PoolCorrection, State
from ebplan.wear import Wear

EXAMPLES = Path(__file__).parents[2] / "examples"
POOL = "llama70b"


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case(EXAMPLES / "under_frequency.json")


def told(case: Case, load: float = 1.0, **correction: float) -> State:
    pool = case.state.pools[POOL]
    changes = {
        "correction": PoolCorrection(**correction) if correction else None,
        "load_req_per_s": {k: r * load for k, r in pool.load_req_per_s.items()},
    }
    pools = {POOL: pool.model_copy(update=changes)}
    return case.state.model_copy(update={"pools": pools})


def posed(case: Case, load: float = 1.0, **correction: float) -> Problem:
    return pose(case.event, case.site, told(case, load, **correction))


def pool_of(case: Case, load: float = 1.0, **correction: float) -> PoolProblem:
    return posed(case, load, **correction).pools[0]


def test_without_a_correction_the_problem_is_what_it_was(case: Case) -> None:
    plain = posed(case)
    assert plain == pose(case.event, case.site, case.state)
    assert "correction" not in plain.model_dump()["pools"][0]
    assert Problem.parse(plain.to_json().encode()).digest() == plain.digest()


def test_a_correction_is_recorded_and_moves_the_digest(case: Case) -> None:
    one = posed(case, busy_gain=1.05)
    assert one.pools[0].correction == PoolCorrection(busy_gain=1.05)
    assert one.digest() != posed(case).digest()
    again = Problem.parse(one.to_json().encode())
    assert again == one
    assert again.digest() == one.digest()
    assert any("as measured" in caveat for caveat in one.caveats)


def test_powers_are_those_that_were_measured(case: Case) -> None:
    plain, one = pool_of(case), pool_of(case, idle_gain=1.1, busy_gain=0.9)
    u = np.linspace(0.0, 1.0, 50)
    busy_kw = plain.load_curve.power_kw(u) - plain.drained_kw
    assert one.load_curve.power_kw(u) == pytest.approx(plain.drained_kw * 1.1 + 0.9 * busy_kw)
    assert one.drained_kw == pytest.approx(1.1 * plain.drained_kw)
    assert one.asleep_kw == plain.asleep_kw
    assert one.cap_curve.full_kw == pytest.approx(
        float(one.load_curve.power_kw(one.max_utilisation))
    )
    # a device's lowest limit stays what it is
    assert one.cap_curve.floor_kw <= plain.cap_curve.floor_kw


def test_what_instances_serve_is_what_was_measured(case: Case) -> None:
    plain, one = pool_of(case), pool_of(case, capacity_gain=0.9)
    assert one.load == pytest.approx(plain.load / 0.9)
    for was, now in zip(plain.classes, one.classes, strict=True):
        assert now.requests_per_s_per_instance == pytest.approx(
            0.9 * was.requests_per_s_per_instance
        )
    assert one.load_curve.full_kw == pytest.approx(plain.load_curve.full_kw)


def test_a_cap_that_delivers_less_costs_more_and_reaches_less_far(case: Case) -> None:
    plain, one = pool_of(case).cap_curve, pool_of(case, cap_delivery=0.8).cap_curve
    assert one.full_kw == plain.full_kw
    assert plain.full_kw - one.floor_kw == pytest.approx(0.8 * (plain.full_kw - plain.floor_kw))
    set_kw = np.linspace(plain.floor_kw, plain.full_kw, 20)
    left_kw = plain.full_kw - 0.8 * (plain.full_kw - set_kw)
    assert one.capacity(left_kw) == pytest.approx(plain.capacity(set_kw), abs=1e-9)


def test_a_de_rated_cap_is_set_deeper_and_the_checker_asks_for_it(case: Case) -> None:
    event = case.event.model_copy(
        update={
            "target": case.event.target.model_copy(update={"delta_kw": -1.2}),
            "type": "congestion_curtailment",
            "duration_s": 3600.0,
            "handoff": None,
        }
    )
    state = told(case, load=1.4, cap_delivery=0.8)
    plan = Planner(case.site).plan(event, state)
    problem = pose(event, case.site, state)
    assert plan.check.ok
    pool = problem.pools[0]
    capped = [e for e in plan.pools[POOL] if e.cap_w_per_gpu is not None]
    assert capped
    for epoch in capped:
        assert epoch.cap_w_per_gpu is not None
        set_kw = epoch.cap_w_per_gpu * pool.gpus_per_instance / 1000.0 / pool.gpu_kw_per_kw
        natural_kw = float(pool.load_curve.power_kw(epoch.utilisation))
        took_kw = natural_kw - epoch.power_kw / epoch.active
        assert took_kw == pytest.approx(0.8 * (natural_kw - set_kw), abs=2e-4)
    assert any("de-rated" in sentence for sentence in plan.explanation)
    # the same plan where caps deliver in full is told limits that do not give its power
    full = problem.model_copy(update={"pools": (pool.model_copy(update={"correction": None}),)})
    found = check_plan(full, plan.model_copy(update={"problem_hash": full.digest()}))
    assert any("cap_w_per_gpu" in violation.message for violation in found.violations)


def test_the_efficiency_of_the_battery_is_what_was_measured(case: Case) -> None:
    state = case.state.model_copy(update={"battery_efficiency_gain": 0.97})
    plain, one = (pose(case.event, case.site, s).battery for s in (case.state, state))
    assert plain is not None
    assert one is not None
    assert one.cell_efficiency == pytest.approx(0.97 * plain.cell_efficiency)
    # a battery that loses nothing is a meter that errs: half of the site's loss is left
    most = case.state.model_copy(update={"battery_efficiency_gain": 1.2})
    most_of = pose(case.event, case.site, most).battery
    assert most_of is not None
    assert most_of.cell_efficiency == pytest.approx(1.0 - 0.5 * (1.0 - plain.cell_efficiency))
    least = case.state.model_copy(update={"battery_efficiency_gain": 0.7})
    low = case.site.model_copy(
        update={"battery": case.site.battery.model_copy(update={"cell_efficiency": 0.6})}
        if case.site.battery
        else {}
    )
    assert pose(case.event, low, least).battery is not None


def test_a_battery_that_has_faded_holds_less(case: Case) -> None:
    assert case.site.battery is not None
    faded = case.state.model_copy(update={"battery_energy_gain": 0.94})
    event = case.event.model_copy(
        update={"response": case.event.response.model_copy(update={"restore_soc": 0.6})}
    )
    plain, problem = (pose(event, case.site, state) for state in (case.state, faded))
    one = problem.battery
    assert plain.battery is not None
    assert one is not None
    for field in ("energy_kwh", "start_kwh", "min_kwh", "max_kwh", "reserve_kwh"):
        assert getattr(one, field) == pytest.approx(0.94 * getattr(plain.battery, field))
    assert problem.restore_kwh == pytest.approx(0.94 * 0.6 * case.site.battery.energy_kwh)
    assert one.cell_efficiency == plain.battery.cell_efficiency
    assert sum(s.width_kwh for s in one.terminal) == pytest.approx(one.energy_kwh)
    assert any("planned to hold what was measured, 9.4 kWh" in c for c in problem.caveats)
    assert not any("planned to hold" in caveat for caveat in plain.caveats)


def test_a_share_of_faded_cells_costs_what_it_did(case: Case) -> None:
    assert case.site.battery is not None
    wear = {
        "replacement_per_kwh": 30000.0,
        "temperature_c": 25.0,
        "depth_stress": {"coefficient": 1e-4, "exponent": 1.5},
        "calendar": [
            {"soc": 0.1, "loss_per_year": 0.01},
            {"soc": 0.95, "loss_per_year": 0.03},
        ],
        "segments": 4,
    }
    battery = case.site.battery.model_copy(update={"wear_per_kwh": None, "wear": Wear.parse(wear)})
    horizon_s = 4.0 * 3600.0
    faded = case.state.model_copy(update={"battery_energy_gain": 0.9})
    plain, one = (
        pose_battery(battery, state, horizon_s, currency="JPY") for state in (case.state, faded)
    )
    assert len(one.depth_segments) == len(plain.depth_segments) == 4
    for before, after in zip(plain.depth_segments, one.depth_segments, strict=True):
        assert after.from_kwh == pytest.approx(0.9 * before.from_kwh)
        assert after.price_per_kwh == pytest.approx(before.price_per_kwh / 0.9)
    (line,), (before_line,) = one.calendar, plain.calendar
    full, was_full = (
        line.price_per_kwh_h * one.max_kwh + line.price_per_h,
        before_line.price_per_kwh_h * plain.max_kwh + before_line.price_per_h,
    )
    assert full == pytest.approx(was_full)


gains = st.floats(0.5, 2.0)


@settings(max_examples=80, deadline=None)
@given(st.floats(0.7, 1.7), gains, gains, gains, st.floats(0.3, 1.0))
def test_every_correction_poses_a_problem_or_says_why_not(
    load: float, idle: float, busy: float, capacity: float, caps: float
) -> None:
    case = load_case(EXAMPLES / "under_frequency.json")
    with suppress(InputError):  # too little load for the instances, or more draw than is allowed
        pool = pool_of(
            case, load, idle_gain=idle, busy_gain=busy, capacity_gain=capacity, cap_delivery=caps
        )
        assert PoolProblem.model_validate(pool.model_dump()) == pool


def light_pool(lowest_w: float, delivery: float) -> tuple[Case, State]:
    """The second pool of the mixed example, planned down to next to no load."""
    case = load_case(EXAMPLES / "mixed_pools.json")
    name = "qwen235b"
    changes = {"allow_extrapolation": True, "cap_range_w_per_gpu": (lowest_w, 700.0)}
    pool = case.site.pools[name].model_copy(update=changes)
    site = case.site.model_copy(update={"pools": {**case.site.pools, name: pool}})
    correction = {"correction": PoolCorrection(cap_delivery=delivery)}
    told = case.state.pools[name].model_copy(update=correction)
    state = case.state.model_copy(update={"pools": {**case.state.pools, name: told}})
    return case.model_copy(update={"site": site}), state


@pytest.mark.parametrize("lowest_w", [200.0, 250.0, 280.0])
@pytest.mark.parametrize("delivery", [0.9, 0.6, 0.5, 0.4, 0.3])
def test_no_de_rated_cap_has_to_be_set_below_the_devices_lowest(
    lowest_w: float, delivery: float
) -> None:
    case, state = light_pool(lowest_w, delivery)
    problem = pose(case.event, case.site, state)
    pool = problem.pools[1]
    assert pool.may_cap != any("none are planned" in caveat for caveat in problem.caveats)
    if not pool.may_cap:
        return
    to_w = 1000.0 * pool.gpu_kw_per_kw / pool.gpus_per_instance
    for u in np.linspace(pool.min_utilisation, pool.max_utilisation, 40):
        natural_kw = float(pool.load_curve.power_kw(u))
        each_kw = np.linspace(pool.cap_curve.floor_kw, natural_kw, 200)
        serves = pool.cap_curve.capacity(each_kw) * pool.max_utilisation >= u
        limits_w = (natural_kw - (natural_kw - each_kw[serves]) / delivery) * to_w
        assert (limits_w >= lowest_w - 0.1).all()


def test_caps_that_deliver_next_to_nothing_at_light_load_are_not_planned() -> None:
    case, state = light_pool(200.0, 0.3)
    plan = Planner(case.site).plan(case.event, state)
    assert plan.check.ok
    assert all(epoch.cap_w_per_gpu is None for epoch in plan.pools["qwen235b"])
    assert any("below the lowest limit of the GPUs" in said for said in plan.explanation)
