"""Of plans that cost the same, the one in which the battery holds its power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.subjects import example
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers import search
from ebplan.solvers.blocks.battery import loss_lines
from ebplan.solvers.steady import steadied

FloatArray = NDArray[np.float64]


def posed(name: str) -> Problem:
    case = example(name)
    return pose(case.event, case.site, case.state)


WINDOW, ABSORB = posed("price_window"), posed("surplus_absorb")
COMPUTE_KW = np.full(WINDOW.grid.n_steps, WINDOW.baseline_kw[0] - WINDOW.other_kw[0])


def cells_kwh(problem: Problem, battery_kw: FloatArray) -> FloatArray:
    """Return what has left the cells by each step edge, (T + 1,)."""
    battery = problem.battery
    assert battery is not None
    eta = battery.cell_efficiency
    loss = np.max([s * np.abs(battery_kw) + c for s, c in loss_lines(battery)], axis=0)
    out_kw = np.where(battery_kw > 0.0, (battery_kw + loss) / eta, (battery_kw + loss) * eta)
    return np.r_[0.0, np.cumsum(out_kw * problem.grid.durations_s / 3600.0)]


def test_a_price_window_has_one_power_for_each_price_at_the_same_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steady = solve_problem(WINDOW)
    monkeypatch.setattr(search, "steadied", lambda *_: None)
    corner = solve_problem(WINDOW)
    assert steady.objective == pytest.approx(corner.objective, rel=1e-9)
    prices = WINDOW.energy_prices_per_kwh
    uneven = 0
    for price in set(prices.tolist()):
        inside = (prices == price) & (WINDOW.grid.starts_s < 7200.0)
        level, turning = (
            {round(s.battery_kw, 6) for s, i in zip(plan.steps, inside, strict=True) if i}
            for plan in (steady, corner)
        )
        assert len(level) <= 1
        uneven += len(turning) > 1
    assert uneven  # or there was nothing to level
    assert all(s.battery_kw == 0.0 for s in steady.steps if s.t_s >= 7200.0)


def test_by_hand_what_lies_between_two_bends_of_the_loss_is_averaged() -> None:
    """0.5 kW and 2 kW by turns, in steps as long as one another: 1.25 kW."""
    battery_kw = np.zeros(WINDOW.grid.n_steps)
    at = np.flatnonzero(np.isclose(WINDOW.grid.durations_s, 202.5))[:2]
    assert list(np.diff(at)) == [1]
    battery_kw[at] = -0.5, -2.0
    prices = WINDOW.energy_prices_per_kwh.copy()
    prices[: at[0]], prices[at[1] + 1 :] = 13.0, 14.0
    update = {"energy_per_kwh": tuple(prices.tolist())}
    told = WINDOW.model_copy(update={"prices": WINDOW.prices.model_copy(update=update)})
    level_kw = steadied(told, battery_kw, COMPUTE_KW)
    assert level_kw is not None
    assert level_kw[at] == pytest.approx(-1.25)
    assert np.flatnonzero(level_kw).tolist() == at.tolist()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), least_kw=st.sampled_from([-3.0, 0.0]))
def test_it_moves_no_energy_across_a_price_and_draws_no_dearer_one(
    seed: int, least_kw: float
) -> None:
    rng = np.random.default_rng(seed)
    battery_kw = rng.uniform(least_kw, least_kw + 3.0, WINDOW.grid.n_steps)
    battery_kw[rng.random(len(battery_kw)) < 0.2] = 0.0
    level_kw = steadied(WINDOW, battery_kw, COMPUTE_KW)
    if level_kw is None:
        return
    prices, hours = WINDOW.energy_prices_per_kwh, WINDOW.grid.durations_s / 3600.0
    edges = np.flatnonzero(np.r_[True, np.diff(prices) != 0.0, True])
    before, after = cells_kwh(WINDOW, battery_kw), cells_kwh(WINDOW, level_kw)
    assert after[edges] == pytest.approx(before[edges], abs=1e-9)
    assert float((prices * hours * (battery_kw - level_kw)).sum()) <= 1e-6
    again = steadied(WINDOW, level_kw, COMPUTE_KW)
    assert again is None or again == pytest.approx(level_kw, abs=1e-5)


def test_what_is_asked_and_what_a_limit_holds_stays() -> None:
    asked = ABSORB.in_event
    battery_kw = np.where(asked, -np.linspace(0.0, 1.0, len(asked)), 0.0)
    compute_kw = np.full(len(asked), 4.0)
    assert steadied(ABSORB, battery_kw, compute_kw) is None
    battery_kw = np.zeros(WINDOW.grid.n_steps)
    battery_kw[::2] = -1.0
    limit = (WINDOW.baseline_kw[0] + 0.1,) * WINDOW.grid.n_steps
    assert steadied(WINDOW, battery_kw, COMPUTE_KW) is not None
    tight = WINDOW.model_copy(update={"import_limit_kw": limit})
    assert steadied(tight, battery_kw, COMPUTE_KW) is None
