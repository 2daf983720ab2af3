"""Posing limits on latency: numbers of the problem, what cannot be known, what cannot be kept."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from ebplan import Case, InputError, load_case
from ebplan.models import library
from ebplan.models.latency_bounds import finest_speed
from ebplan.pose import pose
from ebplan.problem import ClassProblem, Problem

EXAMPLE = Path(__file__).parents[2] / "examples" / "under_frequency.json"
FLEET = library.load_fleet("h200nvl-llama31-70b-bf16-tp2")
WORKLOAD = "short_input"
HARD = {"ttft_p95_s": 6.0, "itl_s": 0.06}
PRICED = {"ttft_p95_s": 3.0, "price_per_late_request": 0.02}


def posed(
    *,
    known: dict[str, Any] | None = None,
    interactive: dict[str, Any] | None = None,
    batch: dict[str, Any] | None = None,
    load: dict[str, float] | None = None,
) -> Problem:
    """Pose the example with the latency of its workload, and limits of its two classes."""
    data = copy.deepcopy(load_case(EXAMPLE).model_dump(mode="json"))
    pool = data["site"]["pools"]["llama70b"]
    pool["latency"] = {WORKLOAD: {"prefill_s": 0.6, "provenance": "assumed"} | (known or {})}
    for name, limits in (("interactive", interactive), ("batch", batch)):
        if limits is not None:
            pool["classes"][name]["limits"] = limits
    if load is not None:
        data["state"]["pools"]["llama70b"]["load_req_per_s"] = load
    case = Case.parse(data)
    return pose(case.event, case.site, case.state)


def classes(problem: Problem) -> dict[str, ClassProblem]:
    return {c.name: c for c in problem.pools[0].classes}


def test_slots_and_service_time_are_those_of_the_fleet_model() -> None:
    queue = posed().pools[0].queue
    assert queue is not None
    assert queue.slots == FLEET.concurrency_limit_per_instance
    # Little's law: as many in service as slots, at the rate of saturation
    served = queue.service_s * FLEET.capacity_req_per_s(WORKLOAD)
    assert served == pytest.approx(queue.slots)


def test_limits_become_those_of_the_class() -> None:
    found = classes(posed(known={"itl_s": 0.035}, interactive=HARD, batch=PRICED))
    hard, priced = found["interactive"].latency, found["batch"].latency
    assert hard is not None
    assert priced is not None
    assert (hard.prefill_s, hard.itl_s) == (0.6, 0.035)
    assert (hard.ttft_p95_limit_s, hard.itl_limit_s) == (6.0, 0.06)
    assert hard.is_hard
    # 0.02 for a late request: as much per second and instance as it serves requests
    assert priced.late_per_instance_s == pytest.approx(0.02 * FLEET.capacity_req_per_s(WORKLOAD))


def test_a_site_that_knows_no_latency_poses_none() -> None:
    case = load_case(EXAMPLE)
    problem = pose(case.event, case.site, case.state)
    assert problem.pools[0].queue is None
    assert all(c.latency is None for c in problem.pools[0].classes)


def test_a_latency_without_limits_asks_nothing() -> None:
    latency = classes(posed())["interactive"].latency
    assert latency is not None
    assert not latency.has_limits


def test_a_limit_on_tokens_needs_their_latency() -> None:
    # this fleet model knows no output tokens, from which it could follow
    with pytest.raises(InputError, match=r"latency\.short_input\.itl_s: got nothing"):
        posed(interactive=HARD)


def test_a_prefill_longer_than_the_service_is_refused() -> None:
    with pytest.raises(InputError, match=r"latency\.short_input\.prefill_s: got 60"):
        posed(known={"prefill_s": 60.0})


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"ttft_p95_s": 0.5}, r"classes\.interactive\.limits\.ttft_p95_s: got 0\.5"),
        ({"itl_s": 0.034}, r"classes\.interactive\.limits\.itl_s: got 0\.034"),
    ],
)
def test_a_limit_that_an_idle_instance_cannot_keep_is_named_as_the_site_has_it(
    limits: dict[str, float], field: str
) -> None:
    with pytest.raises(InputError, match=field):
        posed(known={"itl_s": 0.035}, interactive=limits)


def test_an_overload_loosens_the_limit_on_the_first_token_and_says_so() -> None:
    capacity = 4 * FLEET.capacity_req_per_s(WORKLOAD)
    load = {"interactive": 0.9 * capacity, "batch": 0.0}
    problem = posed(interactive={"ttft_p95_s": 0.9}, load=load)
    found = classes(problem)["interactive"].latency
    assert found is not None
    assert found.ttft_p95_limit_s is not None
    assert found.ttft_p95_limit_s > 0.9
    (caveat,) = [c for c in problem.caveats if "time to first token" in c]
    assert "0.9 s" in caveat
    assert f"{found.ttft_p95_limit_s:.3g} s" in caveat


def test_a_load_that_leaves_a_way_loosens_nothing() -> None:
    problem = posed(known={"itl_s": 0.035}, interactive=HARD, batch=PRICED)
    assert not any("time to first token" in caveat for caveat in problem.caveats)


def test_what_is_limited_can_be_held() -> None:
    pool = posed(known={"itl_s": 0.035}, interactive=HARD).pools[0]
    assert 0.9 < finest_speed(pool) <= 1.0
