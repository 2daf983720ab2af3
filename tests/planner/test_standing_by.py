"""Between calls a site may keep instances without load: what compute absorbs with."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ebplan import Case, InputError, Planner, load_case
from ebplan.closed_loop import ClosedLoop, Cycle
from ebplan.planner import Restoration
from ebplan.planner.standing_by import with_standing_by
from ebplan.pose import pose
from ebplan.twin import FluidPlant

CASE = load_case("examples/surplus_absorb.json")
POOL = "llama70b"
CALL_S, HANDED_S = 40.0, 130.0


def everyone_at_work() -> Case:
    """Return the example with its drained instance at work, as a site comes up."""
    pools = {POOL: CASE.state.pools[POOL].model_copy(update={"active": 4, "drained": 0})}
    return CASE.model_copy(update={"state": CASE.state.model_copy(update={"pools": pools})})


def lived(case: Case, drained: dict[str, int]) -> list[Cycle]:
    """Live through a call of which nobody knew, until the battery should carry its share alone."""
    start = case.state.at + timedelta(seconds=CALL_S)
    event = case.event.model_copy(update={"start": start, "duration_s": 300.0})
    plant = FluidPlant(case.site, case.state)
    with Planner(case.site, restoration=Restoration(drained=drained), clock="work") as planner:
        planner.start(wait_s=30.0)
        loop = ClosedLoop(planner, plant, [event], cycle_s=5.0, deadline_s=5.0)
        return list(loop.run(CALL_S + HANDED_S))


@pytest.mark.parametrize("case", [CASE, everyone_at_work()])
def test_what_stands_by_takes_over_from_the_battery(case: Case) -> None:
    cycles = lived(case, {POOL: 1})
    assert all(cycle.plan.check.ok for cycle in cycles)
    before = next(c for c in reversed(cycles) if c.kind == "idle").measured[-1]
    last = cycles[-1].measured[-1]
    assert before.pools[POOL].drained == 1
    assert last.pools[POOL].drained == 0
    assert last.grid_kw is not None
    assert before.grid_kw is not None
    assert last.grid_kw - before.grid_kw >= 1.5 - 1e-3
    assert -last.battery_kw == pytest.approx(0.79, abs=0.02)  # 0.90 kW are left to it


def test_left_to_the_money_everyone_works_and_the_battery_takes_up_all() -> None:
    """Four instances answer sooner than three, which is worth more than the watts."""
    cycles = lived(CASE, {})
    assert cycles[-1].measured[-1].battery_kw == pytest.approx(-1.5, abs=0.01)


def test_they_serve_where_the_load_does_not_fit_the_others() -> None:
    problem = pose(CASE.event, CASE.site, CASE.state)
    (pool,) = problem.pools  # 2.2 instances' worth of load, planned to 95 % at most
    assert [
        with_standing_by(problem, {POOL: kept}).pools[0].highest_active for kept in range(4)
    ] == [4, 3, 3, 3]
    (busy,) = pool.classes[:1]
    more = busy.model_copy(update={"load": busy.load + 1.0})
    full = pool.model_copy(update={"classes": (more, *pool.classes[1:])})
    packed = problem.model_copy(update={"pools": (full,)})
    assert with_standing_by(packed, {POOL: 1}).pools[0].highest_active == 4
    assert with_standing_by(problem, {}) is problem


@pytest.mark.parametrize(
    ("drained", "says"),
    [({"other": 1}, "llama70b"), ({POOL: 4}, "0 to 3"), ({POOL: -1}, "allowed: >= 0")],
)
def test_what_cannot_stand_by_is_refused(drained: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Planner(CASE.site, restoration=Restoration.parse({"drained": drained}))
