"""Posing what a pool may be allowed besides routing, sleeping and capping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebplan import Case, InputError, load_case
from ebplan.models import library
from ebplan.pose import pose
from ebplan.pose.ways import tries
from ebplan.problem import PoolProblem, Problem
from ebplan.site import SleepTiming

EXAMPLE = Path(__file__).parents[2] / "examples" / "demand_response.json"
POOL = "llama70b"
SITE = f"site__pools__{POOL}"
STATE = f"state__pools__{POOL}"
TO_CONNECTION_POINT = 1.06 * 1.02
"""Loss stages of the bench from a GPU outward, without the constant ones."""


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case(EXAMPLE)


def changed(case: Case, **paths: Any) -> Problem:
    """Pose the example with fields changed; ``a__b`` names the path a.b."""
    data = case.model_dump(mode="json")
    for path, value in paths.items():
        *parents, last = path.split("__")
        place = data
        for key in parents:
            place = place[key]
        place[last] = value
    new = Case.parse(data)
    return pose(new.event, new.site, new.state)


def pool_of(problem: Problem) -> PoolProblem:
    (pool,) = problem.pools
    return pool


def test_a_lower_precision_serves_more_at_the_cautious_end(case: Case) -> None:
    model, pool = library.load_tier("h100-qwen3-235b-fp8"), pool_of(changed(case))
    assert pool.tier is not None
    assert pool.tier.name == "fp8"
    assert pool.tier.capacity_factor == model.capacity_factor_low
    busy_kw = pool.full_kw - pool.drained_kw
    assert pool.tier.load_curve.full_kw == pytest.approx(
        pool.drained_kw + model.power_ratio_high * busy_kw
    )
    shares = {c.name: c.lowered.eligible_share for c in pool.classes if c.lowered}
    assert shares == {"interactive": 0.5, "batch": 1.0}
    batch = next(c for c in pool.classes if c.name == "batch")
    assert batch.lowered is not None
    price = case.site.pools[POOL].classes["batch"].tiers["fp8"].price_per_request
    assert batch.lowered.price_per_instance_s == pytest.approx(
        price * batch.requests_per_s_per_instance
    )


def test_what_the_lower_precision_serves_at_the_start_is_not_the_own_instances_load(
    case: Case,
) -> None:
    tier = {"active": 1, "drained": 0, "load_req_per_s": {"batch": 8.0}}
    pool = pool_of(changed(case, **{f"{STATE}__tier": tier, f"{STATE}__active": 3}))
    assert pool.tier is not None
    rate = pool.classes[0].requests_per_s_per_instance
    assert pool.tier.load_at_start == pytest.approx(8.0 / rate)
    assert pool.utilisation_at_start == pytest.approx(22.8 / rate / 3)
    assert pool.serving_at_start == 4
    each = 8.0 / rate / pool.tier.capacity_factor
    assert pool.power_at_start_kw() == pytest.approx(
        3 * float(pool.load_curve.power_kw(pool.utilisation_at_start))
        + float(pool.tier.load_curve.power_kw(each))
    )


def test_a_locked_clock_reaches_as_low_as_its_range(case: Case) -> None:
    model = library.load_clock("v100-sm-clock")
    lock = {"clock_model": model.name, "clock_range_mhz": [1000.0, model.max_clock_mhz]}
    pool = pool_of(changed(case, **{f"{SITE}__clock_lock": lock}))
    assert pool.clock_lock is not None
    curve = pool.clock_lock.cap_curve
    assert curve.elasticity == model.elasticity_high
    assert curve.full_kw == pytest.approx(pool.cap_curve.full_kw)
    share = (1000.0 / model.max_clock_mhz) ** model.power_exponent
    assert curve.floor_kw == pytest.approx(share * curve.full_kw)


def test_a_prewarm_draws_on_every_gpu_of_the_pool(case: Case) -> None:
    pool = pool_of(changed(case, **{f"{STATE}__warm_remaining_s": 40.0}))
    assert pool.prewarm is not None
    assert pool.prewarm.power_kw == pytest.approx(0.05 * 8 * TO_CONNECTION_POINT)
    assert pool.prewarm.warm_until_s == 40.0


@pytest.mark.parametrize(
    ("probability", "expected"), [(0.0, 1), (0.009, 1), (0.05, 2), (0.1, 2), (0.11, 3), (0.5, 7)]
)
def test_as_many_tries_as_leave_one_in_a_hundred_not_awake(
    probability: float, expected: int
) -> None:
    timing = SleepTiming(
        sleep_s=3.0,
        wake_s=6.0,
        min_asleep_s=60.0,
        min_awake_s=60.0,
        wake_failure_probability=probability,
    )
    assert tries(timing) == expected
    assert probability**expected <= 0.01 + 1e-12


def test_a_wake_that_fails_now_and_then_takes_longer_and_costs_more(case: Case) -> None:
    pool = pool_of(changed(case, **{f"{SITE}__sleep__wake_failure_probability": 0.2}))
    prices = case.site.pools[POOL].prices
    assert pool.wake_s == 3 * case.site.pools[POOL].sleep.wake_s
    assert pool.wake_per_instance == pytest.approx(prices.wake_per_instance / 0.8)


@pytest.mark.parametrize("measured", [False, True])
def test_sleep_is_credited_with_less_than_idle_only_where_measured(
    case: Case, measured: bool
) -> None:
    problem = changed(
        case, **{f"{SITE}__asleep_kw_per_gpu": 0.05, f"{SITE}__asleep_measured": measured}
    )
    pool = pool_of(problem)
    expected_kw = 0.05 * 2 * TO_CONNECTION_POINT if measured else pool.drained_kw
    assert pool.asleep_kw == pytest.approx(expected_kw)
    assert any("until asleep_measured" in caveat for caveat in problem.caveats) is not measured


def test_queued_requests_become_work_that_may_be_done_ahead(case: Case) -> None:
    problem = changed(case, **{f"{STATE}__queued_requests": {"batch": 3600.0}})
    interactive, batch = pool_of(problem).classes
    assert interactive.pull_forward is None
    assert batch.pull_forward is not None
    assert batch.pull_forward.available == pytest.approx(3600.0 / batch.requests_per_s_per_instance)
    assert pool_of(changed(case)).classes[1].pull_forward is None


LOCK = {"clock_model": "v100-sm-clock", "clock_range_mhz": [945.0, 1380.0]}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown clock model": (
        {f"{SITE}__clock_lock": LOCK | {"clock_model": "a100"}},
        f"site.pools.{POOL}.clock_lock.clock_model",
    ),
    "a clock below the data": (
        {f"{SITE}__clock_lock": LOCK | {"clock_range_mhz": [300.0, 1380.0]}},
        f"site.pools.{POOL}.clock_lock.clock_range_mhz",
    ),
    "a clock above the model's": (
        {f"{SITE}__clock_lock": LOCK | {"clock_range_mhz": [945.0, 2500.0]}},
        f"site.pools.{POOL}.clock_lock.clock_range_mhz",
    ),
    "clocks the wrong way round": (
        {f"{SITE}__clock_lock": LOCK | {"clock_range_mhz": [1380.0, 945.0]}},
        f"site.pools.{POOL}.clock_lock.clock_range_mhz",
    ),
    "an unknown tier model": (
        {f"{SITE}__tier__tier_model": "int4"},
        f"site.pools.{POOL}.tier.tier_model",
    ),
    "a protected class at a quality it does not accept": (
        {f"{SITE}__classes__interactive__min_quality_score": 0.995},
        f"site.pools.{POOL}.classes.interactive.tiers.fp8.quality_score",
    ),
    "a lower quality for nothing": (
        {
            f"{SITE}__classes__batch__min_quality_score": 0.995,
            f"{SITE}__classes__batch__tiers__fp8__price_per_request": 0.0,
        },
        f"site.pools.{POOL}.classes.batch.tiers.fp8.price_per_request",
    ),
    "a drain that warmth makes dearer": (
        {f"{SITE}__prewarm__drain_per_instance": 3.0},
        f"site.pools.{POOL}.prewarm.drain_per_instance",
    ),
    "a wake that warmth makes slower": (
        {f"{SITE}__prewarm__wake_s": 30.0},
        f"site.pools.{POOL}.prewarm.wake_s",
    ),
    "power that rises faster than it falls": (
        {f"{SITE}__rise_response": {"delay_s": 0.0, "time_constant_s": 0.1}},
        f"site.pools.{POOL}.rise_response",
    ),
    "a wake that fails more often than not": (
        {f"{SITE}__sleep__wake_failure_probability": 0.7},
        f"site.pools.{POOL}.sleep.wake_failure_probability",
    ),
    "instances of a tier that the site does not know": (
        {
            f"{SITE}__tier": None,
            f"{STATE}__active": 3,
            f"{STATE}__tier": {"active": 1, "load_req_per_s": {"batch": 8.0}},
        },
        f"state.pools.{POOL}.tier",
    ),
    "a tier that serves more than comes": (
        {
            f"{STATE}__active": 3,
            f"{STATE}__tier": {"active": 1, "load_req_per_s": {"batch": 80.0}},
        },
        f"state.pools.{POOL}.tier.load_req_per_s.batch",
    ),
    "a queue of a class that serves nothing ahead": (
        {f"{STATE}__queued_requests": {"interactive": 10.0}},
        f"state.pools.{POOL}.queued_requests.interactive",
    ),
    "warmth that the site does not know": (
        {f"{SITE}__prewarm": None, f"{STATE}__warm_remaining_s": 10.0},
        f"state.pools.{POOL}.warm_remaining_s",
    ),
    "instances on their way to a tier that is not there": (
        {
            f"{SITE}__tier": None,
            f"{STATE}__active": 3,
            f"{STATE}__in_transit": [{"to": "tier", "count": 1, "remaining_s": 5.0}],
        },
        f"state.pools.{POOL}.tier",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_fit_is_refused_in_one_line(case: Case, what: str) -> None:
    changes, field = BAD[what]
    with pytest.raises(InputError) as refused:
        changed(case, **changes)
    assert refused.value.field == field
    assert "\n" not in str(refused.value)
