"""Latency: every way to misstate it, and a limit that is just kept or just broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from handmade_latency import times_s
from handmade_problem import STORY, Decision, make_pool, make_problem
from planting import (
    Case,
    against_pool,
    altered,
    altered_class,
    altered_epoch,
    broken_laws,
    handmade,
    retold,
    scaled_cost,
)

from ebplan.checker import check_plan
from ebplan.checker.evidence import Evidence, PoolEvidence
from ebplan.checker.latency_laws import ways
from ebplan.models.curves import CapCurve
from ebplan.models.latency import Queue
from ebplan.plan import ClockLockEpoch
from ebplan.problem import ClassProblem, ClockLockProblem

CAPPED, CAPPED_DEEPER = 3, 4
"""Epochs with a cap; the first has the longest wait, the second the slowest tokens."""


def limited(which: int = 0, **limits: float | None) -> tuple[ClassProblem, ClassProblem]:
    """Return the classes with other limits on the latency of one."""
    classes = list(make_pool().classes)
    known = classes[which].latency
    assert known is not None
    latency = known.model_copy(update=limits)
    classes[which] = classes[which].model_copy(update={"latency": latency})
    return classes[0], classes[1]


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("field", ["ttft_p95_s", "itl_s"])
@pytest.mark.parametrize("name", ["interactive", "batch"])
@pytest.mark.parametrize("k", range(len(STORY)))
def test_one_percent_of_a_stated_time_is_found(
    k: int, name: str, field: str, factor: float
) -> None:
    stated = getattr(handmade()[1].pools["chat"][k].classes[name], field)
    assert broken_laws(*altered_class(k, name, **{field: factor * stated})) == {"latency"}


@pytest.mark.parametrize("field", ["ttft_p95_s", "itl_s"])
def test_a_time_left_out_is_found(field: str) -> None:
    assert broken_laws(*altered_class(1, "batch", **{field: None})) == {"latency"}


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("k", [CAPPED, CAPPED_DEEPER])
def test_one_percent_of_late_requests_is_found(k: int, factor: float) -> None:
    late = handmade()[1].pools["chat"][k].classes["batch"].late_req_per_s
    assert late > 0.1
    assert broken_laws(*altered_class(k, "batch", late_req_per_s=factor * late)) == {"latency"}


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_one_percent_of_their_total_is_found(factor: float) -> None:
    service = handmade()[1].service["chat"]
    batch = service["batch"]
    batch = batch.model_copy(update={"late_requests": batch.late_requests * factor})
    assert broken_laws(*altered(service={"chat": service | {"batch": batch}})) == {"latency"}


def test_late_requests_of_a_class_without_a_price_are_found() -> None:
    assert broken_laws(*altered_class(3, "interactive", late_req_per_s=0.1)) == {"latency"}


def test_late_is_free_where_a_plan_forgets_to_charge_for_it() -> None:
    assert broken_laws(*scaled_cost("late", 0.0)) == {"cost"}


@pytest.mark.parametrize(
    ("field", "limit", "k"),
    [("ttft_p95_s", "ttft_p95_limit_s", CAPPED), ("itl_s", "itl_limit_s", CAPPED_DEEPER)],
)
@pytest.mark.parametrize(("factor", "broken"), [(1.001, set()), (0.999, {"latency"})])
def test_a_hard_limit_is_kept_or_broken_by_a_hair(
    field: str, limit: str, k: int, factor: float, broken: set[str]
) -> None:
    longest = times_s(make_pool(), STORY[k], 0)[field]
    assert longest is not None
    found = against_pool(classes=limited(**{limit: factor * longest}))
    assert broken_laws(*found) == broken
    if broken:
        (violation,) = check_plan(*found).violations
        assert violation.at_s == found[1].pools["chat"][k].t_s
        assert limit.split("_limit")[0] in violation.message


def test_a_longer_queue_than_planned_is_found() -> None:
    queue = Queue(slots=8.0, service_s=6.06)
    assert broken_laws(*against_pool(queue=queue)) == {"latency", "cost"}


def test_a_price_for_what_was_free_is_found() -> None:
    classes = limited(ttft_p95_limit_s=8.0, late_per_instance_s=1.0)
    assert broken_laws(*against_pool(classes=classes)) == {"latency", "cost"}


@pytest.mark.parametrize(("stated", "broken"), [(None, set()), (1e4, {"latency"})])
def test_at_full_capacity_there_is_no_percentile(stated: float | None, broken: set[str]) -> None:
    # two instances, uncapped and saturated: 2.2 - 0.2 = 2 x 1
    told = Decision(2, 2, 0, rejected=(0.0, 0.2))
    problem, plan = retold(1, told, max_utilisation=1.0)
    epochs = list(plan.pools["chat"])
    classes = {
        name: one.model_copy(update={"ttft_p95_s": stated})
        for name, one in epochs[1].classes.items()
    }
    epochs[1] = epochs[1].model_copy(update={"classes": classes})
    plan = plan.model_copy(update={"pools": {"chat": tuple(epochs)}})
    assert broken_laws(problem, plan) == broken


def with_locked_clock(active: int, power_each_kw: float, each: float) -> Case:
    """Return the plan with some load of epoch 1 told to instances under a locked clock."""
    lock = ClockLockProblem(
        cap_curve=CapCurve(full_kw=1.0, elasticity=0.5, floor_kw=0.5),
        power_exponent=2.0,
        max_clock_mhz=1980.0,
    )
    epoch = ClockLockEpoch(
        active=active,
        utilisation=each,
        capacity_used=each,
        power_kw=active * power_each_kw,
        clock_mhz=1500.0,
    )
    problem = make_problem(pools=(make_pool(clock_lock=lock),))
    return problem, altered_epoch(1, clock_lock=epoch)[1]


def test_what_a_locked_clock_serves_the_others_do_not() -> None:
    problem, plan = with_locked_clock(1, 0.9, 0.5)
    evidence = Evidence.of(problem, plan)
    own, locked = ways(PoolEvidence.of(problem.pools[0], plan.pools["chat"]), plan.pools["chat"])
    assert evidence.pools[0].load[1] == pytest.approx(2.2)
    assert (own.load[1], locked.load[1]) == pytest.approx((1.7, 0.5))
    assert locked.used[1] == pytest.approx(0.5 / np.sqrt(0.9))


def test_the_slowest_way_in_use_counts() -> None:
    # at 0.6 kW and 0.5 load a locked instance is slower than any other: its tokens count
    problem, plan = with_locked_clock(1, 0.6, 0.5)
    natural_kw = 0.3 + 0.5 * 0.5**0.1 + 0.2 * 0.5**0.5
    slow = max(1.0 / min((0.6 / natural_kw) ** 0.5, 1.0 + 0.5 * (0.6 / natural_kw - 1.0)), 1.0)
    for itl_s, said in ((0.03, True), (0.03 * slow, False)):
        epochs = list(plan.pools["chat"])
        classes = epochs[1].classes
        one = classes["interactive"].model_copy(update={"itl_s": itl_s})
        epochs[1] = epochs[1].model_copy(update={"classes": classes | {"interactive": one}})
        found = check_plan(problem, plan.model_copy(update={"pools": {"chat": tuple(epochs)}}))
        messages = [v.message for v in found.violations]
        assert any("chat.interactive: itl_s is not" in m for m in messages) == said


def test_an_uncapped_retelling_is_in_time() -> None:
    problem, plan = retold(CAPPED, replace(STORY[CAPPED], power_each_kw=None))
    assert plan.pools["chat"][CAPPED].classes["interactive"].itl_s == pytest.approx(0.03)
    assert check_plan(problem, plan).ok
