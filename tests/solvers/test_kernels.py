"""The response kernels: laws of the weights, and a simulation that knows no closed form."""

from __future__ import annotations

import itertools

import numpy as np
import oracle_lag
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import random_problem

from ebplan.models import kernel
from ebplan.models.kernel import (
    NEGLIGIBLE_WEIGHT,
    FloatArray,
    lag_at,
    mean_lag,
    mean_weights,
    weights_at,
)
from ebplan.site import Response
from ebplan.timegrid import TimeGrid, build_time_grid

reproducible = settings(max_examples=60, deadline=None, derandomize=True)
responses = st.builds(Response, delay_s=st.floats(0.0, 20.0), time_constant_s=st.floats(0.05, 60.0))
grids = st.builds(lambda seed: random_problem(seed).grid, st.integers(0, 999))


def edge_weights(response: Response, grid: TimeGrid) -> FloatArray:
    return weights_at(response, grid, np.array(grid.edges_s))


@reproducible
@given(responses, grids)
def test_weights_are_shares_of_the_inputs(response: Response, grid: TimeGrid) -> None:
    for weights in (mean_weights(response, grid), edge_weights(response, grid)):
        assert weights.sum(axis=1) == pytest.approx(np.ones(len(weights)), abs=1e-12)
        assert weights.min() >= -1e-12
        assert weights.shape[1] == grid.n_epochs + 1


@reproducible
@given(responses, grids)
def test_no_weight_looks_ahead(response: Response, grid: TimeGrid) -> None:
    later = np.arange(grid.n_epochs)[None, :] > grid.epoch_of_step[:, None]
    assert not mean_weights(response, grid)[:, 1:][later].any()
    assert edge_weights(response, grid)[0, 0] == 1.0


@reproducible
@given(responses, grids)
def test_what_is_cut_is_negligible(response: Response, grid: TimeGrid) -> None:
    exact_mean, exact_edge = oracle_lag.simulate_lag(response, grid)
    for cut, exact in (
        (mean_weights(response, grid), exact_mean),
        (edge_weights(response, grid), exact_edge),
    ):
        kept = (cut > 0.0) & (exact >= NEGLIGIBLE_WEIGHT)
        assert (np.abs(cut - exact)[~kept] <= NEGLIGIBLE_WEIGHT * grid.n_epochs).all()
        # The current epoch takes what is cut of the others: at most one share from each.
        assert np.abs(cut - exact).max() <= NEGLIGIBLE_WEIGHT * grid.n_epochs


@pytest.mark.parametrize(("delay_s", "constant_s"), [(0.0, 0.4), (1.5, 4.0), (20.0, 10.0)])
def test_weights_equal_a_fine_simulation(
    delay_s: float, constant_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Heun steps of a millisecond through T y' = x(t - delay) - y; error O(dt / T)
    monkeypatch.setattr(kernel, "NEGLIGIBLE_WEIGHT", 0.0)
    response = Response(delay_s=delay_s, time_constant_s=constant_s)
    grid = TimeGrid(edges_s=(0.0, 0.5, 2.0, 5.0, 11.0, 30.0, 60.0), epoch_steps=(0, 2, 4))
    inputs = np.array([3.0, 1.0, 2.5, 0.5])
    dt = 1e-3
    t = np.arange(0.0, grid.horizon_s, dt) + 0.5 * dt
    x = inputs[np.searchsorted(grid.epoch_starts_s, t - delay_s, "right")]
    y = np.empty(len(t) + 1)
    y[0] = inputs[0]
    for i, now in enumerate(x):
        slope = (now - y[i]) / constant_s
        ahead = (now - (y[i] + dt * slope)) / constant_s
        y[i + 1] = y[i] + 0.5 * dt * (slope + ahead)
    at = np.rint(np.array(grid.edges_s) / dt).astype(int)
    means = [0.5 * (y[a:b].mean() + y[a + 1 : b + 1].mean()) for a, b in itertools.pairwise(at)]
    assert edge_weights(response, grid) @ inputs == pytest.approx(y[at], abs=2e-3)
    assert mean_weights(response, grid) @ inputs == pytest.approx(means, abs=2e-3)


@reproducible
@given(responses, responses, grids)
def test_the_lag_is_what_the_slow_step_is_behind(
    one: Response, other: Response, grid: TimeGrid
) -> None:
    fast_mean, fast_edge = (oracle_lag.unit_steps(w) for w in oracle_lag.simulate_lag(one, grid))
    slow_mean, slow_edge = (oracle_lag.unit_steps(w) for w in oracle_lag.simulate_lag(other, grid))
    edges = np.array(grid.edges_s)
    assert np.abs(mean_lag(one, other, grid) - (fast_mean - slow_mean)).max() <= NEGLIGIBLE_WEIGHT
    assert np.abs(lag_at(one, other, grid, edges) - (fast_edge - slow_edge)).max() <= (
        NEGLIGIBLE_WEIGHT
    )


times = st.floats(0.0, 4000.0).map(lambda t: round(t, 3))


@reproducible
@given(times, times, times, times, st.lists(times, max_size=3))
def test_the_grid_has_an_edge_at_every_move(
    notice_s: float, rise_s: float, hold_s: float, recovery_s: float, marks_s: list[float]
) -> None:
    begin_s, full_s = notice_s, round(notice_s + rise_s, 3)
    end_s = round(full_s + hold_s + 1.0, 3)
    horizon_s = round(end_s + recovery_s + 1.0, 3)
    grid = build_time_grid(
        start_s=begin_s,
        begin_s=begin_s,
        full_s=full_s,
        end_s=end_s,
        horizon_s=horizon_s,
        marks_s=marks_s,
    )
    wanted = {begin_s, full_s, end_s, horizon_s, *(m for m in marks_s if m < horizon_s)}
    assert wanted <= set(grid.edges_s)
    assert set(grid.epoch_starts_s.tolist()) <= set(grid.edges_s)
    # Compute may change when the response begins and when it ends.
    assert {begin_s, end_s} <= set(grid.epoch_starts_s.tolist())
    assert grid.durations_s.sum() == pytest.approx(horizon_s)
    assert grid.epoch_durations_s.sum() == pytest.approx(horizon_s)
    assert (np.diff(grid.epoch_of_step) >= 0).all()


def test_a_grid_whose_times_are_not_whole_milliseconds() -> None:
    # A state measured between two milliseconds, 30 s of event, 15 s of recovery.
    begin_s = 116.1094
    grid = build_time_grid(
        start_s=begin_s,
        begin_s=begin_s,
        full_s=begin_s,
        end_s=begin_s + 30.0,
        horizon_s=begin_s + 45.0,
    )
    assert grid.horizon_s == pytest.approx(begin_s + 45.0, abs=1e-3)


@given(st.integers(0, 100_000), st.integers(1_000, 600_000))
def test_every_epoch_begins_below_the_horizon(begin_ms: int, length_ms: int) -> None:
    """Five seconds after the end begins an epoch, unless the plan ends there."""
    begin_s, end_s = begin_ms / 1000.0, (begin_ms + length_ms) / 1000.0
    grid = build_time_grid(
        start_s=begin_s, begin_s=begin_s, full_s=begin_s + 1.0, end_s=end_s, horizon_s=end_s + 5.0
    )
    assert grid.epoch_starts_s[-1] < grid.horizon_s
