"""Limits on latency: optima on paper, what they stop, and what a plan then says."""

from __future__ import annotations

import pytest
import small_problems as small
from by_cause import approx, cost
from hypothesis import given
from hypothesis import strategies as st

from ebplan import solve_problem
from ebplan.models.curves import CapCurve
from ebplan.models.latency import ClassLatency, Queue
from ebplan.models.latency_bounds import latency_bounds
from ebplan.problem import ClockLockProblem, PoolProblem, Problem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.operations import bounds_of, operated, operations
from ebplan.solvers.quality import bounded, latency

SHORTFALL = small.prices(shortfall_per_kwh=100.0)
ONE_SLOT = Queue(slots=1.0, service_s=1.0)


def known(**fields: float) -> ClassLatency:
    return ClassLatency(**{"prefill_s": 1.0, "itl_s": 0.04} | fields)


def one_instance(asked: ClassLatency | None) -> Problem:
    """Return half a load on one instance, half a kW asked: only a cap can release.

    It draws 0.2 + 0.8 x 0.5^0.1 = 0.946426 kW, and may be capped to 0.4 kW, where it still serves
    0.9 x sqrt(0.4) = 0.57.
    """
    pool = small.pool(
        active_at_start=1,
        drained_at_start=0,
        queue=ONE_SLOT,
        classes=(small.requests(load=0.5, max_rejected=0.0, latency=asked),),
    )
    return after_notice(pool)


def after_notice(pool: PoolProblem) -> Problem:
    """Return half a kW asked for 0.9 h; compute has a tenth of an hour to settle before."""
    return small.problem(
        edges_s=(0.0, 360.0, 3600.0),
        release_kw=(0.0, 0.5),
        event_start_s=360.0,
        pools=(pool,),
        prices=SHORTFALL,
    )


# --- tokens and caps --------------------------------------------------------------------------


def test_without_a_limit_the_cap_goes_all_the_way() -> None:
    assert cost(one_instance(None)) == approx()
    assert cost(one_instance(known())) == approx()


def test_a_hard_limit_on_tokens_stops_the_cap() -> None:
    # 0.04 s of 0.05 s: 0.8 of the speed, k = max(0.8^2, 1 + (0.8 - 1) / 0.5) = 0.64 of the draw.
    # 0.36 x 0.946426 = 0.340713 kW are released, 0.159287 kW miss for 0.9 h at 100 per kWh.
    assert cost(one_instance(known(itl_limit_s=0.05))) == approx(shortfall=14.3358)


@pytest.mark.parametrize(
    ("price", "expected"), [(0.02, {"late": 4.7335}), (0.2, {"shortfall": 14.3358})]
)
def test_a_priced_limit_is_crossed_where_that_is_cheaper(
    price: float, expected: dict[str, float]
) -> None:
    # Below 0.64 of the draw 0.5 x (0.5 / sqrt(0.64)) / (0.8 x 0.946426) = 0.412736 of the load is
    # late per kW: 0.159287 kW make 0.065743, for an hour 4.7335 at 0.02 per second. That is less
    # than the shortfall it saves; at 0.2 per second it is more.
    problem = one_instance(known(itl_limit_s=0.05, late_per_instance_s=price))
    assert cost(problem) == approx(**expected)


def test_the_plan_says_which_limit_stops_the_cap() -> None:
    plan = solve_problem(one_instance(known(itl_limit_s=0.05))).model_dump()
    assert plan["check"]["ok"]
    assert any("limit on inter-token latency" in s for s in plan["explanation"])
    assert plan["pools"]["pool"][0]["classes"]["chat"]["itl_s"] == pytest.approx(0.05, rel=1e-4)


def test_late_requests_are_what_is_charged_for() -> None:
    plan = solve_problem(one_instance(known(itl_limit_s=0.05, late_per_instance_s=0.02)))
    assert plan.check.ok
    late = plan.service["pool"]["chat"].late_requests
    # 2 requests per second and instance, 0.02 per second and instance: 0.01 for each
    assert plan.cost["late"] == pytest.approx(0.01 * late, rel=1e-4)


# --- first tokens and consolidation -----------------------------------------------------------


def three_instances(load: float, **limits: float) -> Problem:
    """Return three instances that cannot be capped; what is released is drained.

    At the cap floor, the draw at 0.4, the speed is 0.968408 (0.929955 of 0.991615 kW, to the power
    0.5). A limit of 8.6001 s leaves 8.6001 x 0.968408 - 1 = ln(0.65 / 0.05) / 0.35 s to wait: 0.65
    of the capacity may be used.
    """
    curve = small.load_curve()
    pool = small.pool(
        active_at_start=3,
        drained_at_start=0,
        min_utilisation=0.4,
        cap_curve=CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=float(curve.power_kw(0.4))),
        queue=ONE_SLOT,
        classes=(small.requests(load=load, max_rejected=0.0, latency=known(**limits)),),
    )
    return after_notice(pool)


@pytest.mark.parametrize(
    ("load", "limits", "active"),
    [
        (1.4, {}, 2),  # 0.7 each
        (
            1.4,
            {"ttft_p95_limit_s": 8.6001},
            3,
        ),  # 0.7 / sqrt(0.972) = 0.71 of the capacity: too much
        (1.2, {"ttft_p95_limit_s": 8.6001}, 2),  # 0.6 / sqrt(0.960) = 0.61
        (1.4, {"ttft_p95_limit_s": 8.6001, "late_per_instance_s": 0.0}, 2),
    ],
)
def test_a_limit_on_the_first_token_stops_consolidation(
    load: float, limits: dict[str, float], active: int
) -> None:
    plan = solve_problem(three_instances(load, **limits))
    assert plan.check.ok
    assert plan.pools["pool"][0].active == active


def test_the_utilisation_that_a_first_token_leaves() -> None:
    pool = three_instances(1.2, ttft_p95_limit_s=8.6001).pools[0]
    assert latency_bounds(pool).max_utilisation == pytest.approx(0.65, abs=1e-5)
    assert bounded(pool).max_utilisation == pytest.approx(0.65, abs=1e-5)


def test_the_plan_says_that_first_tokens_keep_instances_at_work() -> None:
    # Two instances take 1.27 of 1.3 in time; the rest is turned away rather than a third one kept.
    problem = three_instances(1.3, ttft_p95_limit_s=8.6001)
    pool = problem.pools[0]
    valued = {"max_rejected": 1.3, "value_per_instance_s": 0.05}
    classes = (pool.classes[0].model_copy(update=valued),)
    pool = pool.model_copy(update={"classes": classes})
    plan = solve_problem(problem.model_copy(update={"pools": (pool,)}))
    assert plan.check.ok
    assert plan.pools["pool"][0].active == 2
    assert any("limit on time to first token" in s for s in plan.explanation)


# --- other ways to run instances ----------------------------------------------------------------


def test_a_locked_clock_that_is_too_slow_is_not_used() -> None:
    # The tangent at the start lies above the draw at the lowest load. At the pool's own elasticity
    # 0.97 of the speed can be held for sure, with an elasticity of 4 only 0.77.
    own = one_instance(known(itl_limit_s=0.0445)).pools[0]
    steep = CapCurve(full_kw=1.0, elasticity=4.0, floor_kw=0.8)
    lock = ClockLockProblem(cap_curve=steep, power_exponent=2.0, max_clock_mhz=1980.0)
    problem = after_notice(own.model_copy(update={"clock_lock": lock}))
    locked = operations(problem.pools[0])[1]
    with pytest.raises(ValueError, match="itl_limit_s"):
        latency_bounds(operated(problem.pools[0], locked))
    assert bounds_of(problem.pools[0], locked).max_utilisation == 0.0
    program = formulate(problem).program
    x = highs.solve(program).x
    assert x[program.column_range("pool.clock_lock.active")] == pytest.approx(0.0)


# --- limits that no plan could keep -----------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"ttft_p95_limit_s": 0.99}, "ttft_p95_limit_s"),
        ({"itl_limit_s": 0.039}, "itl_limit_s"),
        ({"ttft_p95_limit_s": 0.99, "late_per_instance_s": 1.0}, "ttft_p95_limit_s"),
        ({"itl_limit_s": 0.039, "late_per_instance_s": 1.0}, "itl_limit_s"),
    ],
)
def test_a_limit_that_not_even_an_idle_instance_keeps_is_refused(
    limits: dict[str, float], field: str
) -> None:
    with pytest.raises(ValueError, match=rf"chat\.latency\.{field}"):
        one_instance(known(**limits))


def test_a_latency_without_a_queue_is_refused() -> None:
    with pytest.raises(ValueError, match="queue"):
        small.pool(classes=(small.requests(latency=known()),))


# --- laws of the model in a pool --------------------------------------------------------------

POOL: PoolProblem = one_instance(known()).pools[0]
loads = st.floats(0.1, 0.6)
powers = st.floats(0.5, 0.85)


@given(loads, powers, powers)
def test_a_deeper_cap_lets_wait_longer(load: float, kw: float, deeper_kw: float) -> None:
    deeper_kw, kw = sorted((deeper_kw, kw))
    shallow, deep = (latency(POOL, POOL.classes[0], load, p, 1.0) for p in (kw, deeper_kw))
    assert shallow.ttft_p95_s is not None
    assert deep.ttft_p95_s is not None
    assert shallow.itl_s is not None
    assert deep.itl_s is not None
    assert deep.ttft_p95_s >= shallow.ttft_p95_s
    assert deep.itl_s >= shallow.itl_s


@given(powers, loads, loads)
def test_more_load_at_the_same_power_waits_longer(kw: float, less: float, more: float) -> None:
    less, more = sorted((less, more))
    few, many = (latency(POOL, POOL.classes[0], load, kw, 1.0) for load in (less, more))
    assert few.ttft_p95_s is not None
    assert many.ttft_p95_s is not None
    assert many.ttft_p95_s >= few.ttft_p95_s


def test_at_full_capacity_nothing_is_promised() -> None:
    full = latency(POOL, POOL.classes[0], 1.0, 1.0, 1.0)
    assert full.ttft_p95_s is None
    assert full.itl_s == pytest.approx(0.04)
    assert latency(POOL, POOL.classes[0], 0.0, 0.0, 0.0).itl_s is None
