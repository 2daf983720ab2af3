"""The escalation rule keeps limits on latency in every way to run an instance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebplan.case import Case, load_case
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers.operations import operations
from ebplan.solvers.quality import bounded

EXAMPLE = Path(__file__).parents[2] / "examples" / "mixed_pools.json"


def limited(itl_s: float, target_kw: float = -3.4) -> Problem:
    """Return the example of two pools, the second with a limit on its inter-token latency."""
    data: dict[str, Any] = load_case(EXAMPLE).model_dump(mode="json")
    data["event"]["target"]["delta_kw"] = target_kw
    pool = data["site"]["pools"]["qwen235b"]
    pool["latency"] = {"chat": {"prefill_s": 0.2, "itl_s": 0.03, "provenance": "assumed"}}
    pool["classes"]["chat"]["limits"] = {"itl_s": itl_s}
    case = Case.parse(data)
    return pose(case.event, case.site, case.state)


@pytest.mark.parametrize("itl_s", [0.032, 0.036, 0.05])
@pytest.mark.parametrize("target_kw", [-1.0, -3.4, -6.0])
def test_the_rule_keeps_a_limit_with_a_clock_at_hand(itl_s: float, target_kw: float) -> None:
    plan = solve_problem(limited(itl_s, target_kw), method="merit_order")
    assert plan.check.ok
    itl = [e.classes["chat"].itl_s for e in plan.pools["qwen235b"]]
    assert all(one is not None and one <= itl_s + 1e-9 for one in itl)


def test_a_tighter_limit_raises_the_floor_of_the_clock() -> None:
    floors = []
    for itl_s in (0.05, 0.036, 0.032):
        pool = bounded(limited(itl_s).pools[1])
        floors.append(operations(pool)[1].cap_curve.floor_kw)
    assert floors == sorted(floors)
    assert floors[0] < floors[-1]
