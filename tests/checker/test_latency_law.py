"""Latency: every way to misstate it, and a limit that is just kept or just broken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from handmade import make_plan
from handmade_fleet import FLEET_STORY, make_fleet, make_fleet_problem
from handmade_latency import times_s, way_times_s
from handmade_physics import ways
from handmade_problem import STORY, Decision, make_pool
from planting import (
    Case,
    against_pool,
    altered,
    altered_class,
    broken_laws,
    handmade,
    retold,
    scaled_cost,
)

from ebplan.checker import check_plan
from ebplan.models.latency import ClassLatency, Queue
from ebplan.problem import ClassProblem

INTERACTIVE = ClassLatency(prefill_s=0.3, itl_s=0.03)
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


def fleet_with_latency() -> Case:
    """Return the handmade fleet with a latency of its interactive requests."""
    interactive, batch = make_fleet().classes
    interactive = interactive.model_copy(update={"latency": INTERACTIVE})
    problem = make_fleet_problem(pools=(make_fleet(classes=(interactive, batch)),))
    return problem, make_plan(problem, {"chat": FLEET_STORY})


def test_the_slowest_way_in_use_counts() -> None:
    problem, plan = fleet_with_latency()
    assert check_plan(problem, plan).violations == ()
    pool = problem.pools[0]
    slowest = set()
    for told in FLEET_STORY:
        tokens_s = {
            name: way_times_s(pool, way, 0)["itl_s"] or 0.0
            for name, way in ways(pool, told).items()
        }
        if max(tokens_s.values()) > 1.01 * (INTERACTIVE.itl_s or 0.0):
            slowest.add(max(tokens_s, key=lambda name: tokens_s[name]))
    assert slowest >= {"own", "clock_lock"}


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_time_of_another_way_is_found(k: int) -> None:
    problem, plan = fleet_with_latency()
    epochs = list(plan.pools["chat"])
    classes = epochs[k].classes
    one = classes["interactive"].model_copy(update={"itl_s": INTERACTIVE.itl_s})
    epochs[k] = epochs[k].model_copy(update={"classes": classes | {"interactive": one}})
    assert broken_laws(problem, plan.model_copy(update={"pools": {"chat": tuple(epochs)}})) == {
        "latency"
    }


def test_an_uncapped_retelling_is_in_time() -> None:
    problem, plan = retold(CAPPED, replace(STORY[CAPPED], power_each_kw=None))
    assert plan.pools["chat"][CAPPED].classes["interactive"].itl_s == pytest.approx(0.03)
    assert check_plan(problem, plan).ok
