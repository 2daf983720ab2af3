"""A program in parts says the same as the whole."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from many_pools import in_parts, many_pools
from random_problems import ABSORBS_FROM, EITHER_WAY_FROM, random_problem

from ebplan.solvers.part_solver import load, optimum
from ebplan.solvers.parts import Parts, cut, join, owners
from ebplan.solvers.program import Group

SEEDS = [first + i for first in (0, ABSORBS_FROM, EITHER_WAY_FROM) for i in range(12)]


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_bounds_and_costs_of_the_parts_are_those_of_the_whole(seed: int) -> None:
    program, parts = in_parts(random_problem(seed, pools=3))
    rng = np.random.default_rng(seed)
    points = [rng.uniform(-1.0, 1.0, part.n_columns) for part in parts.everyone()]
    x = parts.whole(points)
    activity, coupled = program.activity(x), np.zeros(len(parts.lower))
    own, cost = [], parts.constant
    for part, point in zip(parts.everyone(), points, strict=True):
        coupled += part.profile(point)
        own.append(part.rows.times(point))
        cost += float(part.cost @ point)
        assert np.array_equal(x[part.columns], point)
        assert np.array_equal(program.lower[part.columns], part.lower)
        assert np.array_equal(program.upper[part.columns], part.upper)
        assert np.array_equal(program.integer[part.columns], part.integer)
    assert cost == pytest.approx(float(program.cost @ x) + program.constant)
    assert np.sort(np.r_[coupled, *own]) == pytest.approx(np.sort(activity), abs=1e-9)
    assert sum(part.n_columns for part in parts.everyone()) == program.n_columns


def test_what_couples_pools_that_answer_alike_is_their_channel() -> None:
    problem = many_pools(5, seed=1)
    program, parts = in_parts(problem)
    channels = [group for group in program.rows if group.name.startswith("channel.")]
    assert len(parts.lower) == sum(group.size for group in channels)
    assert len(channels) == 2
    assert len(parts.lower) == 2 * problem.grid.n_epochs


def test_prices_pay_for_the_profile() -> None:
    _, parts = in_parts(random_problem(7, pools=2))
    rng = np.random.default_rng(0)
    prices = rng.normal(size=len(parts.lower))
    for part in parts.everyone():
        x = rng.uniform(size=part.n_columns)
        paid = float(part.cost @ x) - float(prices @ part.profile(x))
        assert float(part.priced(prices) @ x) == pytest.approx(paid)


def test_parts_joined_again_have_the_optimum_of_the_whole() -> None:
    program, parts = in_parts(random_problem(11, pools=2))
    everyone = [(part, 1.0) for part in parts.everyone()]
    again = join(everyone, parts.lower, parts.upper)
    _, _, value = optimum(load(again), "the parts together")
    none = np.full(program.n_columns, -1)
    alone = cut(program, none, 1).site
    _, _, expected = optimum(load(alone), "the whole")
    assert value == pytest.approx(expected, rel=1e-7, abs=1e-7)


def test_a_part_that_stands_twice_costs_and_contributes_twice() -> None:
    _, parts = in_parts(random_problem(11, pools=2))
    part = parts.pools[0]
    double = join([(part, 2.0)], parts.lower, parts.upper)
    x = np.random.default_rng(0).uniform(size=part.n_columns)
    activity = double.rows.times(x)
    assert np.array_equal(double.cost, 2.0 * part.cost)
    assert activity[: part.n_rows] == pytest.approx(part.rows.times(x))
    assert activity[part.n_rows :] == pytest.approx(2.0 * part.profile(x))


def test_a_price_on_an_open_side_is_not_admissible() -> None:
    _, parts = in_parts(random_problem(7, pools=2))
    open_above = Parts(**{**vars(parts), "upper": np.full(len(parts.upper), np.inf)})
    prices = np.linspace(-1.0, 1.0, len(parts.lower))
    admissible = open_above.admissible(prices)
    assert np.array_equal(admissible, np.maximum(prices, 0.0))
    assert np.isfinite(open_above.least_paid(admissible))
    assert np.array_equal(parts.admissible(prices), prices)


def test_columns_belong_to_the_longest_name_that_begins_theirs() -> None:
    groups = [Group("a.active", 0, 2), Group("a.b.active", 2, 1), Group("grid", 3, 1)]
    assert owners(groups, ["a", "a.b"]).tolist() == [0, 0, 1, -1]


def test_a_part_travels_to_another_process_as_it_is() -> None:
    _, parts = in_parts(random_problem(7, pools=2))
    again = pickle.loads(pickle.dumps(parts))
    for part, copy in zip(parts.everyone(), again.everyone(), strict=True):
        assert np.array_equal(part.rows.value, copy.rows.value)
        assert optimum(load(part), "a part")[2] == optimum(load(copy), "its copy")[2]
