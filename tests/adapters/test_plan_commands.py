"""A plan's commands: complete at the start, only changes later, in the safe order."""

import itertools
from pathlib import Path

import pytest

from ebplan import Planner, load_case
from ebplan.adapters.commands import (
    CapPower,
    HoldConnectionPoint,
    LimitAdmission,
    RestConverter,
    Route,
    commands,
)
from ebplan.plan import Plan

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def plan() -> Plan:
    case = load_case(EXAMPLES / "under_frequency.json")
    return Planner(case.site).plan(case.event, case.state)


def test_first_instant_states_everything(plan: Plan) -> None:
    first = [c.command for c in commands(plan) if c.at_s == 0.0]
    expected = ["arm_droop", "rest_converter", "route"]
    assert first == [*expected, "limit_admission", "limit_admission", "cap_power"]


def test_commands_replay_to_the_plan(plan: Plan) -> None:
    """Carrying the commands out one after the other gives every step and epoch of the plan."""
    listed = commands(plan)
    for step in plan.steps:
        told = HoldConnectionPoint | RestConverter
        last = [c for c in listed if isinstance(c, told) and c.at_s <= step.t_s][-1]
        if isinstance(last, RestConverter):
            assert step.target_kw == 0.0
            assert step.battery_kw == pytest.approx(0.0, abs=1.1e-3)
        else:
            assert last.grid_kw == pytest.approx(step.grid_kw, abs=1.1e-3)
    for pool, epochs in plan.pools.items():
        for epoch in epochs:
            past = [c for c in listed if c.at_s <= epoch.t_s and getattr(c, "pool", pool) == pool]
            routed = [c for c in past if isinstance(c, Route)][-1]
            assert (routed.active, routed.drained) == (epoch.active, epoch.drained)
            assert [c for c in past if isinstance(c, CapPower)][-1].w_per_gpu == epoch.cap_w_per_gpu


def test_nothing_is_said_twice(plan: Plan) -> None:
    routes = [c for c in commands(plan) if isinstance(c, Route)]
    assert all(
        (a.active, a.drained) != (b.active, b.drained) for a, b in itertools.pairwise(routes)
    )


def test_admission_is_limited_where_requests_are_rejected() -> None:
    case = load_case(EXAMPLES / "infeasible_target.json")
    plan = Planner(case.site).plan(case.event, case.state)
    limits = {
        c.request_class: c.req_per_s
        for c in commands(plan)
        if isinstance(c, LimitAdmission) and c.at_s == 0.0
    }
    assert limits["interactive"] is None
    assert limits["batch"] == pytest.approx(0.0, abs=1e-6)


def test_times_never_run_back(plan: Plan) -> None:
    times = [c.at_s for c in commands(plan)]
    assert times == sorted(times)
