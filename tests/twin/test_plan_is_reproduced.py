"""Without bias and noise the plant does what the plan says.

What may differ, and by how much:

- The draw that is held: a new one is sent when it differs by more than a watt (``SAME_DRAW_KW``).
- Compute: chords of the load curve lie up to 0.2 % below it (``NATURAL_DRAW_MARGIN``), so the plant
  may draw that much more, or less where a cap trims it. Where a pool has just been told something
  the plan is cautious: a drained instance falls from saturation (``docs/formulation.md``, 3.5), a
  rise in a release is as fast as a fall, a pre-warm draws for its whole epoch. Then the plant draws
  less, and no more than one instance from idle to saturation.
- State of charge: by the energy of those two, and the tangents of the loss curve.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from twin_cases import case, plan_of

from ebplan.adapters.commands import SAME_DRAW_KW, commands
from ebplan.models import library
from ebplan.plan import Plan
from ebplan.solvers.set_points import NATURAL_DRAW_MARGIN
from ebplan.twin import Bias, FluidPlant, Measurements, carry_out

EXAMPLES = (
    *("under_frequency", "demand_response", "surplus_absorb", "curtailment_3h"),
    *("mixed_pools", "fcr_tracking"),
)
SETTLED_S = 90.0
"""By then every response has settled: eleven of the slowest time constants."""
CAUTION_KW = {
    "under_frequency": 0.03,
    "demand_response": 0.34,  # the pre-warm: 0.43 kW for 10 s, counted for an epoch of 45 s
    "surplus_absorb": 1e-6,
    "curtailment_3h": 0.006,
    "mixed_pools": 0.005,
    "fcr_tracking": 1e-6,
}
"""How far the plan's compute lies above the plant's at most."""
LOSS_GAP = 1.0 / 64.0
"""Tangents of the loss curve lie so far below it, as a share of b2 times rated power."""


@pytest.fixture(params=EXAMPLES, scope="module")
def carried(request: pytest.FixtureRequest) -> tuple[str, Plan, list[Measurements]]:
    of, plan = case(request.param), plan_of(request.param)
    plant = FluidPlant(of.site, of.state)
    edges_s = [step.t_s for step in plan.steps]
    return request.param, plan, carry_out(plan, plant, 10.0, measure_at_s=edges_s)


def step_means(plan: Plan, times_s: list[float], energy_kwh: list[float]) -> np.ndarray:
    """Return the mean power of each step from a register."""
    edges_s = np.array([s.t_s for s in plan.steps] + [times_s[-1]])
    at = np.interp(edges_s, [0.0, *times_s], [0.0, *energy_kwh])
    return np.diff(at) / np.diff(edges_s) * 3600.0


Carried = tuple[str, Plan, list[Measurements]]


def compute_kw(carried: Carried) -> tuple[np.ndarray, np.ndarray]:
    """Return the plan's and the plant's compute, step by step."""
    _, plan, measured = carried
    energy = [sum(m.registers.pools_kwh.values()) for m in measured]
    return np.array([s.compute_kw for s in plan.steps]), step_means(
        plan, [m.at_s for m in measured], energy
    )


def test_everything_told_is_done(carried: Carried) -> None:
    assert [m.refused for m in carried[2] if m.refused] == []


def test_the_draw_is_held(carried: Carried) -> None:
    _, plan, measured = carried
    times_s = [m.at_s for m in measured]
    grid_kw = step_means(plan, times_s, [m.registers.grid_kwh for m in measured])
    planned_kw = np.array([s.grid_kw for s in plan.steps])
    # where nothing is asked and the battery rests, the draw is the pools' own (tests below)
    held = np.array([s.target_kw != 0.0 or abs(s.battery_kw) > SAME_DRAW_KW for s in plan.steps])
    assert held.any()
    assert np.abs(grid_kw - planned_kw)[held].max() <= SAME_DRAW_KW + 1e-6


def test_compute_settles_to_the_plan(carried: Carried) -> None:
    _, plan, _ = carried
    told_s = [0.0, *(c.at_s for c in commands(plan) if hasattr(c, "pool"))]
    since_s = np.array([min(s.t_s - t for t in told_s if t <= s.t_s) for s in plan.steps])
    planned_kw, drawn_kw = compute_kw(carried)
    settled = since_s >= SETTLED_S
    assert settled.any()
    off_kw = np.abs(drawn_kw - planned_kw)[settled]
    assert (off_kw <= NATURAL_DRAW_MARGIN * planned_kw[settled]).all()


def test_compute_is_nowhere_above_the_plan_and_below_by_its_caution_only(carried: Carried) -> None:
    planned_kw, drawn_kw = compute_kw(carried)
    assert (drawn_kw <= planned_kw * (1.0 + NATURAL_DRAW_MARGIN)).all()
    assert (planned_kw - drawn_kw).max() <= CAUTION_KW[carried[0]]


def test_state_of_charge_follows(carried: Carried) -> None:
    name, plan, measured = carried
    battery = case(name).site.battery
    assert battery is not None
    planned_kw, drawn_kw = compute_kw(carried)
    tangents_kw = LOSS_GAP * battery.converter_loss_quadratic * battery.converter_rated_kw
    off_kw = np.abs(planned_kw - drawn_kw) + tangents_kw + SAME_DRAW_KW
    hours = np.array([s.duration_s for s in plan.steps]) / 3600.0
    allowed = np.cumsum(off_kw * hours) / battery.cell_efficiency / battery.energy_kwh
    ends_s = [s.t_s + s.duration_s for s in plan.steps]
    soc = np.interp(ends_s, [m.at_s for m in measured], [m.soc for m in measured])
    assert (np.abs(soc - [s.soc for s in plan.steps]) <= allowed + 1e-9).all()


def test_counts_and_requests_are_those_of_the_plan(carried: Carried) -> None:
    _, plan, measured = carried
    for name, epochs in plan.pools.items():
        for epoch, after in pairwise(epochs):
            in_time = [m for m in measured if epoch.t_s < m.at_s < after.t_s]
            for reading in (m.pools[name] for m in in_time[-1:]):
                locked = epoch.clock_lock.active if epoch.clock_lock else 0
                assert reading.active == epoch.active + locked
                assert reading.asleep == epoch.asleep
                assert max(reading.waiting_requests.values()) <= 1e-3
        for key, service in plan.service[name].items():
            end = measured[-1].pools[name]
            assert end.served_requests[key] == pytest.approx(service.served, rel=1e-4, abs=1.0)
            assert end.rejected_requests[key] == pytest.approx(service.rejected, rel=1e-4, abs=1.0)


def test_what_the_plan_did_not_know_is_the_batterys() -> None:
    """5 % more than believed: caps hold who is capped, one drained draws more, the draw is held."""
    of, plan = case("under_frequency"), plan_of("under_frequency")
    plant = FluidPlant(of.site, of.state, bias=Bias(load_power=1.05))
    (pool,) = of.site.pools.values()
    fleet = library.load_fleet(pool.fleet_model)
    factor, _ = of.site.loss_to_connection_point(fleet.measurement_point)
    planned = next(s for s in plan.steps if s.t_s >= 200.0)
    for m in carry_out(plan, plant, 1.0):
        if 200.0 < m.at_s <= 300.0:
            (pool_kw,) = m.pool_kw.values()
            more_kw = 0.05 * fleet.idle_kw * factor
            assert pool_kw - planned.compute_kw == pytest.approx(more_kw, abs=1e-3)
            assert m.battery_kw - planned.battery_kw == pytest.approx(more_kw, abs=2e-3)
            assert m.grid_kw == pytest.approx(planned.grid_kw, abs=SAME_DRAW_KW)
