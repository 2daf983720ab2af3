"""What pools, re-plans and threads share is the same for all of them, and stays as it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from random_problems import random_problem

from ebplan.solvers.blocks.response import response_weights
from ebplan.solvers.epochs import arrived_lately, arriving_later, change, one_before, window
from ebplan.solvers.formulation import formulate
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.program import FloatArray, Program


def stated_and_ruled(seed: int) -> tuple[Program, FloatArray]:
    """Return the program of a random problem and the point of the merit order."""
    problem = random_problem(seed)
    formulation = formulate(problem)
    return formulation.program, merit_order(problem, formulation)


def test_threads_get_what_one_gets() -> None:
    seeds = [seed for seed in range(30) for _ in range(4)]
    alone = {seed: stated_and_ruled(seed) for seed in set(seeds)}
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(stated_and_ruled, seeds))
    for seed, (program, x) in zip(seeds, together, strict=True):
        expected, ruled = alone[seed]
        assert np.array_equal(program.entry_value, expected.entry_value)
        assert np.array_equal(program.entry_column, expected.entry_column)
        assert np.array_equal(program.row_upper, expected.row_upper)
        assert np.array_equal(x, ruled)


def test_what_is_shared_cannot_be_written_to() -> None:
    problem = random_problem(3)
    pool, grid = problem.pools[0], problem.grid
    shared = [
        grid.starts_s,
        grid.durations_s,
        grid.epoch_starts_s,
        grid.epoch_durations_s,
        grid.epoch_of_step,
        *response_weights(pool, grid, None, problem.direction),
        *response_weights(pool, grid, np.array(grid.edges_s), problem.direction),
        window(grid, 30.0),
        *(e.value for e in (one_before(3), change(3))),
        *(e.value for e in (arriving_later(grid, 5.0), arrived_lately(grid, 5.0, 30.0))),
    ]
    for array in shared:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0


def test_an_equal_grid_has_the_same_matrices() -> None:
    grid = random_problem(3).grid
    again = type(grid).model_validate(grid.model_dump())
    assert again is not grid
    assert arriving_later(again, 5.0) is arriving_later(grid, 5.0)
    longer = grid.model_copy(update={"edges_s": (*grid.edges_s[:-1], grid.horizon_s + 60.0)})
    assert longer.durations_s[-1] == pytest.approx(grid.durations_s[-1] + 60.0)
    assert longer.epoch_durations_s[-1] == pytest.approx(grid.epoch_durations_s[-1] + 60.0)
