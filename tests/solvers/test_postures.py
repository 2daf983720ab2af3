"""The posture that the escalation rule takes is the first of a search one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oracle_postures import Try, at_work, lowest_kw, released, serves
from random_problems import random_problem

from ebplan.problem import PoolProblem
from ebplan.solvers.operations import operations
from ebplan.solvers.postures import Posture, as_it_is, escalate, take_up
from ebplan.solvers.quality import bounded
from ebplan.solvers.serving import fewest, fits, lowest_power_kw

seeds = st.integers(0, 7999)
sizes = st.sampled_from([None, None, 7, 30])


def random_pools(seed: int, instances: int | None) -> list[PoolProblem]:
    """Return the pools of a random problem as the rule sees them, some of them large."""
    limits = {} if instances is None else {"instances": instances}
    return [bounded(pool) for pool in random_problem(seed, **limits).pools]


def is_that(posture: Posture, one: Try) -> bool:
    """Tell whether a posture is that of the search one by one."""
    demand = posture.demand
    numbers = [
        (posture.draw_kw, one.draw_kw),
        (posture.power_kw, one.power_kw),
        *((demand.rejected[name], load) for name, load in one.rejected.items()),
        *((demand.deferred[name], load) for name, load in one.deferred.items()),
        *((demand.lowered[name], load) for name, load in one.lowered.items()),
    ]
    same = (posture.active, posture.clock_locked) == (one.active, one.locked)
    return same and all(a == pytest.approx(b, rel=1e-9, abs=1e-9) for a, b in numbers)


@given(seeds, sizes, st.floats(0.0, 1.0), st.sampled_from([30.0, 600.0, 7200.0]))
def test_to_release_the_first_that_is_enough_is_taken(
    seed: int, instances: int | None, depth: float, held_s: float
) -> None:
    for pool in random_pools(seed, instances):
        missing_kw = depth * pool.power_at_start_kw()
        posture = escalate(pool, as_it_is(pool), missing_kw, held_s)
        tried = released(pool, missing_kw, held_s)
        enough_kw = pool.power_at_start_kw() - missing_kw
        if tried[-1].draw_kw <= enough_kw + 1e-9:
            assert is_that(posture, tried[-1])
        else:
            # the deepest of all; of those equally deep the first, within rounding
            deepest_kw = min(one.draw_kw for one in tried)
            equal = [one for one in tried if one.draw_kw <= deepest_kw + 1e-9]
            assert any(is_that(posture, one) for one in equal)


@given(seeds, sizes, st.floats(1e-6, 0.5), st.sampled_from([30.0, 600.0, 7200.0]))
def test_to_absorb_as_few_more_instances_as_are_enough_are_put_to_work(
    seed: int, instances: int | None, share: float, held_s: float
) -> None:
    for pool in random_pools(seed, instances):
        missing_kw = share * pool.instances * pool.full_kw
        posture = take_up(pool, as_it_is(pool), missing_kw, held_s)
        one, all_at_work = at_work(pool, missing_kw)
        if all_at_work:
            # what waits comes on top: more load on the same instances
            assert posture.active == one.active
            assert posture.draw_kw >= one.draw_kw - 1e-9
        else:
            assert is_that(posture, one)


@given(seeds, sizes)
@example(seed=690, instances=7)
def test_at_rest_as_little_changes_as_can_be(seed: int, instances: int | None) -> None:
    for pool in random_pools(seed, instances):
        rests, one = as_it_is(pool), released(pool, -1e9, 600.0)[0]
        if one.active == 0 and rests.active > 0:
            # the search turns away whole shares only, and gave up: just enough serves more
            turned_away = rests.demand.rejected
            assert all(turned_away[name] <= load + 1e-9 for name, load in one.rejected.items())
        else:
            assert is_that(rests, one)


@given(seeds, st.lists(st.floats(0.0, 20.0), min_size=1, max_size=8), st.integers(0, 3))
def test_the_fewest_instances_are_those_that_one_by_one_serve_first(
    seed: int, loads: list[float], lowest: int
) -> None:
    counts = np.arange(lowest, 25)
    for pool in random_pools(seed, None):
        for way in operations(pool):
            found = fewest(way, np.array(loads), counts)
            able = [[n for n in counts.tolist() if serves(way, load, n)] for load in loads]
            assert found.tolist() == [float(n[0]) if n else -1.0 for n in able]
            for load, ns in zip(loads, able, strict=True):
                assert counts[fits(way, load, counts)].tolist() == ns


@given(seeds, st.floats(0.01, 1.0))
def test_the_lowest_power_is_where_the_cap_curve_meets_the_load(seed: int, share: float) -> None:
    for pool in random_pools(seed, None):
        for way in operations(pool):
            load = share * way.max_utilisation
            expected = lowest_kw(way, load)
            assert float(lowest_power_kw(way, load)) == pytest.approx(expected, rel=1e-9)
