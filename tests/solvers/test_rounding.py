"""Rounded points are points of the program, better and better, and close to the optimum."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from random_problems import ABSORBS_FROM, random_problem

from ebplan.solvers import highs
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.meaning import integers_of
from ebplan.solvers.program import FloatArray, Program
from ebplan.solvers.rounding import Relaxation, Rounded, rounded_points

SEEDS = [*range(12), *range(ABSORBS_FROM, ABSORBS_FROM + 6)]
CLOSE = 0.02
"""Share of the optimum that most small problems are rounded to within; few instances are hard."""


def rounded(seed: int, **limits: int) -> tuple[Formulation, float, FloatArray, list[Rounded]]:
    problem = random_problem(seed)
    formulation = formulate(problem)
    relaxation = Relaxation(formulation.program, highs.load(formulation.program, {}, relaxed=True))
    optimum = relaxation.optimum()
    assert optimum is not None
    x, bound = optimum
    integers = integers_of(problem, formulation)
    points = list(rounded_points(relaxation, integers, x, keep_on=lambda: True, **limits))
    return formulation, bound, x, points


def worst_breach(program: Program, x: FloatArray) -> float:
    rows = np.repeat(np.arange(program.n_rows), np.diff(program.row_start))
    products = program.entry_value * x[program.entry_column]
    activity = np.bincount(rows, weights=products, minlength=program.n_rows)
    inside = np.clip(activity, program.row_lower, program.row_upper)
    bounded = np.clip(x, program.lower, program.upper)
    return max(float(np.abs(activity - inside).max()), float(np.abs(x - bounded).max()))


@pytest.mark.parametrize("seed", SEEDS)
def test_points_keep_every_row_and_whole_number_and_fall_in_cost(seed: int) -> None:
    formulation, bound, _, points = rounded(seed)
    program = formulation.program
    for point in points:
        assert worst_breach(program, point.x) <= 1e-6
        whole = point.x[program.integer]
        assert np.array_equal(whole, np.round(whole))
        cost = float(program.cost @ point.x) + program.constant
        assert point.objective == pytest.approx(cost, rel=1e-6, abs=1e-6)
        assert point.objective >= bound - 1e-6 * max(abs(bound), 1.0)
    assert all(after.objective < before.objective for before, after in pairwise(points))


def test_most_small_problems_come_close_to_the_optimum_and_none_below_it() -> None:
    over = []
    for seed in SEEDS:
        formulation, _, _, points = rounded(seed)
        best = highs.solve(formulation.program)
        if points:
            size = max(abs(best.objective), 1.0)
            assert points[-1].objective >= best.objective - 1e-6 * size
            over.append((points[-1].objective - best.objective) / size)
    assert len(over) >= 0.9 * len(SEEDS)
    assert np.median(over) <= CLOSE


def test_a_limit_of_moves_is_kept_and_leaves_what_thresholds_found() -> None:
    *_, all_of_them = rounded(3)
    *_, none_moved = rounded(3, most_moves=0)
    assert none_moved
    assert len(none_moved) <= len(all_of_them)
    for a, b in zip(none_moved, all_of_them, strict=False):
        assert np.array_equal(a.x, b.x)


def test_the_relaxation_is_left_as_it_was() -> None:
    problem = random_problem(5)
    formulation = formulate(problem)
    program = formulation.program
    relaxation = Relaxation(program, highs.load(program, {}, relaxed=True))
    before = relaxation.optimum()
    assert before is not None
    points = rounded_points(
        relaxation, integers_of(problem, formulation), before[0], keep_on=lambda: True
    )
    assert list(points)
    after = relaxation.optimum()
    assert after is not None
    assert after[1] == pytest.approx(before[1], rel=1e-9)
