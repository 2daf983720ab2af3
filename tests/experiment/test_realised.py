"""What happened, priced: lower precision and pre-warms as well, and slices put together."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebplan import load_case
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.realised import RecordedPlant, merged, realised
from ebplan.twin import FluidPlant, carry_out

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_precision_and_prewarm_cost_what_the_plan_says() -> None:
    case = load_case(EXAMPLES / "demand_response.json")
    problem = pose(case.event, case.site, case.state)
    plan = solve_problem(problem)
    told = ("prewarming", "swapping", "lowered", "readiness")
    assert any(plan.cost.get(cause, 0.0) > 0.0 for cause in told[:3])
    plant = RecordedPlant(FluidPlant(case.site, case.state))
    plant.begin()
    carry_out(plan, plant, 5.0, measure_at_s=problem.grid.edges_s)
    real = realised(problem, plant.slices, plant.before, 0.0)
    for cause in told:
        assert real.cost[cause] == pytest.approx(plan.cost.get(cause, 0.0), rel=0.02, abs=0.02)


def test_slices_put_together_hold_the_same_energy_and_requests() -> None:
    case = load_case(EXAMPLES / "under_frequency.json")
    problem = pose(case.event, case.site, case.state)
    plan = solve_problem(problem)
    plant = RecordedPlant(FluidPlant(case.site, case.state))
    plant.begin()
    carry_out(plan, plant, 0.25, measure_at_s=problem.grid.edges_s)
    together = merged(plant.slices, 0.0, 1.0)
    assert len(together) < 0.5 * len(plant.slices)
    assert sum(s.measured.dt_s for s in together) == pytest.approx(problem.grid.horizon_s)
    fine, coarse = (realised(problem, s, None, 0.0) for s in (plant.slices, together))
    for cause in ("energy", "stored_energy", "readiness", "draining", "rejected"):
        assert coarse.cost[cause] == pytest.approx(fine.cost[cause], rel=1e-3, abs=2e-3)
    kwh = [
        sum(s.measured.battery_kw * s.measured.dt_s for s in of) for of in (together, plant.slices)
    ]
    assert kwh[0] == pytest.approx(kwh[1])
