"""Plans of the examples on the request-level plant: the planner knows nothing of single requests.

What may differ from the fluid plant: compute by ``ENERGY_BOUND``, from the draw of streams after a
drain, the bend of the load curve under chance, and for ``mixed_pools`` a fleet whose throughput the
law gives back to 0.5 %; requests served by chance and by those still in service.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from twin_cases import case, plan_of

from ebplan.adapters.commands import SAME_DRAW_KW
from ebplan.twin import FluidPlant, RequestPlant, carry_out

pytestmark = pytest.mark.slow

ENERGY_BOUND = 0.01


@pytest.mark.parametrize("example", ["under_frequency", "surplus_absorb", "mixed_pools"])
def test_a_plan_is_carried_out_alike(example: str) -> None:
    of, plan = case(example), plan_of(example)
    edges_s = [step.t_s for step in plan.steps]
    fluid, single = (
        carry_out(plan, plant, 10.0, measure_at_s=edges_s)
        for plant in (FluidPlant(of.site, of.state), RequestPlant(of.site, of.state))
    )
    assert [m.refused for m in single if m.refused] == []
    for name, end in single[-1].pools.items():
        drawn_kwh = [m[-1].registers.pools_kwh[name] for m in (fluid, single)]
        assert drawn_kwh[1] == pytest.approx(drawn_kwh[0], rel=ENERGY_BOUND)
        for key, served in fluid[-1].pools[name].served_requests.items():
            off = abs(end.served_requests[key] - served)
            assert off <= 4.0 * math.sqrt(served) + end.in_flight_requests[key]
            assert end.waiting_requests[key] < 10.0
    # the battery holds the draw over what requests do
    asked = [s for s in plan.steps if s.target_kw != 0.0 and s.t_s > 1.0]
    times_s = [0.0, *(m.at_s for m in single)]
    kwh = [0.0, *(m.registers.grid_kwh for m in single)]
    for step in asked:
        begin, end_kwh = np.interp([step.t_s, step.t_s + step.duration_s], times_s, kwh)
        held_kw = (end_kwh - begin) * 3600.0 / step.duration_s
        assert held_kw == pytest.approx(step.grid_kw, abs=2.0 * SAME_DRAW_KW)
