"""Where the draw exceeds what the converter hides: bound and search against dense sampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_problems import ABSORBS_FROM, random_problem

from ebplan.problem import Problem
from ebplan.solvers import transients
from ebplan.solvers.decision import PoolDecision, decide
from ebplan.solvers.formulation import formulate
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.program import FloatArray
from ebplan.solvers.transients import compute_kw, draw_of, hidden_kw, judged_from, overshoot

seeds = st.integers(0, 3 * ABSORBS_FROM - 1)
WITHIN = np.unique(np.r_[0.0, np.geomspace(1e-5, 1.0, 200), np.linspace(0.0, 1.0, 200)])


def decided(problem: Problem, shaken: int) -> tuple[PoolDecision, ...]:
    """Return what the merit order decides, or decisions drawn at random that move every epoch."""
    formulation = formulate(problem)
    x = merit_order(problem, formulation)
    if shaken:
        rng, program = np.random.default_rng(shaken), formulation.program
        for counts, lenses in zip(formulation.counts, formulation.lenses, strict=True):
            columns = [*counts.serving, *(lens.power for lens in lenses)]
            for moved in columns:
                x[moved] = rng.uniform(program.lower[moved], program.upper[moved])
    return decide(problem, formulation, x)


def sampled(problem: Problem, decisions: tuple[PoolDecision, ...], sign: int) -> FloatArray:
    """Return how far the draw lies above what is hidden at worst, at many instants, (T,)."""
    edges = np.array(problem.grid.edges_s)
    kinks = [
        epoch_s + response.delay_s
        for pool in problem.pools
        for response in (pool.cap_response, pool.route_response, pool.rise_response)
        if response is not None
        for epoch_s in problem.grid.epoch_starts_s
    ]
    ends = np.unique(np.r_[edges, kinks])
    ends = ends[ends <= edges[-1]]
    times = (ends[:-1, None] + np.diff(ends)[:, None] * WITHIN).ravel()
    step = np.searchsorted(edges, np.repeat(0.5 * (ends[:-1] + ends[1:]), len(WITHIN))) - 1
    draw_kw = compute_kw(problem, decisions, times)
    aim = np.array(problem.baseline_kw) + np.array(problem.target_kw) - np.array(problem.other_kw)
    room_kw = sign * aim + hidden_kw(problem, sign) + problem.tolerance_kw
    over_kw = sign * draw_kw - room_kw[step]
    return np.array([over_kw[step == t].max() for t in range(problem.grid.n_steps)])


@given(seeds, st.integers(0, 50))
def test_the_overshoot_is_that_of_dense_sampling(seed: int, shaken: int) -> None:
    problem = random_problem(seed)
    decisions = decided(problem, shaken)
    for sign in judged_from(problem):
        over_kw, at_s = overshoot(problem, draw_of(problem, decisions), sign)
        dense_kw = sampled(problem, decisions, sign)
        edges, asked = np.array(problem.grid.edges_s), problem.in_event
        beyond_kw = np.maximum(dense_kw[asked], 0.0)
        found_kw = np.maximum(over_kw[asked], 0.0)
        size_kw = 1.0 + float(np.abs(problem.baseline_kw).max())
        # the search closes in on a peak further than samples lie apart
        assert (found_kw >= beyond_kw - 1e-4 * size_kw).all()
        assert found_kw == pytest.approx(beyond_kw, abs=1e-3 * size_kw)
        assert (over_kw[~asked] == -np.inf).all()
        inside = (at_s >= edges[:-1]) & (at_s <= edges[1:])
        assert inside.all()


@given(seeds, st.integers(0, 50))
def test_the_draw_never_exceeds_its_bound(seed: int, shaken: int) -> None:
    problem = random_problem(seed)
    draw = draw_of(problem, decided(problem, shaken))
    spans, _ = transients._smooth_spans(problem)
    times = spans[:, :1] + np.diff(spans) * WITHIN
    draw_kw = draw.kw(times.ravel()).reshape(times.shape)
    for sign in (1, -1):
        bound_kw = transients._bound_kw(draw, spans, sign)
        assert (sign * draw_kw <= bound_kw[:, None]).all()


@given(seeds)
def test_pools_that_answer_alike_are_summed(seed: int) -> None:
    problem = random_problem(seed, pools=2)
    decisions = decided(problem, 1)
    one_by_one = [compute_kw(problem, (decision,), None) for decision in decisions]
    assert compute_kw(problem, decisions, None) == pytest.approx(np.sum(one_by_one, axis=0))
