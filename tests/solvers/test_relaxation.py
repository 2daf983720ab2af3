"""The relaxation by pools has the value of the relaxation at once, and bounds it all the way."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from time import monotonic

import numpy as np
import pytest
from many_pools import in_parts, many_pools, relaxed_optimum
from random_problems import ABSORBS_FROM, EITHER_WAY_FROM

from benchmarks.mixed import mixed
from benchmarks.subjects import example
from ebplan.errors import NoPlanError
from ebplan.pose import pose
from ebplan.solvers.part_solver import Answer, PartSolver
from ebplan.solvers.parts import Parts
from ebplan.solvers.pilot import MOST_SAMPLED, Pilot
from ebplan.solvers.program import FloatArray
from ebplan.solvers.relaxation import Relaxation, relax
from ebplan.solvers.restricted_master import RestrictedMaster

pytestmark = pytest.mark.slow

GAP = 1e-6
MORE_THAN_SAMPLED = MOST_SAMPLED + 5
CASES = [
    (pools, first + i, alike)
    for first in (0, ABSORBS_FROM, EITHER_WAY_FROM)
    for i, (pools, alike) in enumerate(
        [(1, True), (2, True), (3, False), (5, True), *[(MORE_THAN_SAMPLED, True)] * 4]
        + [(MORE_THAN_SAMPLED, False)] * 2
    )
]


def assert_bounds(relaxation: Relaxation, optimum: float) -> None:
    """Every round's bounds enclose the optimum, and the best are kept."""
    slack = 1e-6 * max(abs(optimum), 1.0)
    assert all(bound <= optimum + slack for bound in relaxation.bounds)
    assert all(ceiling >= optimum - slack for ceiling in relaxation.ceilings)
    assert len(relaxation.bounds) == len(relaxation.ceilings) == relaxation.rounds
    assert relaxation.bound == max(relaxation.bounds)
    assert relaxation.objective == min(relaxation.ceilings)


@pytest.mark.parametrize(("pools", "seed", "alike"), CASES)
def test_the_value_by_pools_is_the_value_at_once(pools: int, seed: int, alike: bool) -> None:
    program, parts = in_parts(many_pools(pools, seed, alike=alike))
    relaxation, optimum = relax(parts, gap=GAP), relaxed_optimum(program)
    assert_bounds(relaxation, optimum)
    within = 2.0 * GAP * max(abs(optimum), 1e-3)
    assert relaxation.bound == pytest.approx(optimum, abs=within)
    assert relaxation.objective == pytest.approx(optimum, abs=within)


@pytest.mark.parametrize("seed", [3, ABSORBS_FROM + 3])
def test_from_no_prices_at_all_the_value_is_the_same(seed: int) -> None:
    program, parts = in_parts(many_pools(4, seed))
    relaxation = relax(parts, gap=GAP, prices=np.zeros(len(parts.lower)))
    optimum = relaxed_optimum(program)
    assert_bounds(relaxation, optimum)
    assert relaxation.bound == pytest.approx(optimum, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_what_pools_do_is_a_point_of_their_relaxation(seed: int) -> None:
    _, parts = in_parts(many_pools(MORE_THAN_SAMPLED, seed))
    for part, x in zip(parts.pools, relax(parts).points, strict=True):
        activity = part.rows.times(x)
        assert (part.row_lower - activity).max(initial=0.0) <= 1e-6
        assert (activity - part.row_upper).max(initial=0.0) <= 1e-6
        assert (part.lower - x).max() <= 1e-6
        assert (x - part.upper).max() <= 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_any_prices_bound_the_optimum(seed: int) -> None:
    program, parts = in_parts(many_pools(3, seed))
    optimum = relaxed_optimum(program)
    rng = np.random.default_rng(seed)
    for scale in (0.0, 0.1, 10.0):
        prices = parts.admissible(scale * rng.normal(size=len(parts.lower)))
        bound = parts.constant + parts.least_paid(prices)
        bound += sum(PartSolver(part).answer(prices).value for part in parts.everyone())
        assert bound <= optimum + 1e-6 * max(abs(optimum), 1.0)


def test_prices_that_are_known_save_rounds() -> None:
    _, parts = in_parts(many_pools(MORE_THAN_SAMPLED, 3))
    first = relax(parts, gap=GAP)
    again = relax(parts, gap=GAP, prices=first.prices)
    assert again.bounds[0] == pytest.approx(first.bound, rel=1e-9)


def test_a_pilot_of_all_pools_knows_the_prices() -> None:
    program, parts = in_parts(many_pools(MOST_SAMPLED, 3))
    pilot, optimum = Pilot(parts), relaxed_optimum(program)
    assert pilot.exact
    assert relax(parts, gap=GAP).bounds[0] == pytest.approx(optimum, rel=1e-6)


def test_a_pilot_of_some_stands_for_all() -> None:
    _, parts = in_parts(many_pools(MORE_THAN_SAMPLED, 3))
    pilot = Pilot(parts)
    assert not pilot.exact
    assert len(pilot.sample) == MOST_SAMPLED
    assert sum(sampled.times for sampled in pilot.sample) == MORE_THAN_SAMPLED


def test_a_pilot_corrected_by_everyone_bounds_better() -> None:
    """Half of these pools have a tier or a clock lock: twelve of them do not speak for all."""
    case = mixed(example("mixed_pools"), instances=100, pools=30)
    _, parts = in_parts(pose(case.event, case.site, case.state))
    pilot = Pilot(parts)
    asked = pilot.prices()
    assert asked is not None
    solvers = [PartSolver(part) for part in parts.everyone()]
    bounds = []
    for _ in range(2):
        answers = [solver.answer(asked) for solver in solvers]
        bounds.append(parts.least_paid(asked) + sum(answer.value for answer in answers))
        pilot.correct(answers[:-1])
        asked = pilot.prices()
        assert asked is not None
    optimum = relax(parts).objective - parts.constant
    assert optimum - bounds[1] < 0.1 * (optimum - bounds[0])


def test_a_deadline_leaves_a_bound_in_hand() -> None:
    program, parts = in_parts(many_pools(MORE_THAN_SAMPLED, 0))
    relaxation = relax(parts, gap=0.0, until=monotonic())
    assert relaxation.rounds == 1
    assert_bounds(relaxation, relaxed_optimum(program))


class Elsewhere:
    """Pools that answer behind a wall that only bytes can pass."""

    def __init__(self, parts: Parts) -> None:
        self.solvers = [PartSolver(pickle.loads(pickle.dumps(part))) for part in parts.pools]
        self.asked = 0

    def __call__(self, prices: FloatArray) -> Sequence[Answer]:
        self.asked += 1
        sent = pickle.loads(pickle.dumps(prices))
        return [pickle.loads(pickle.dumps(solver.answer(sent))) for solver in self.solvers]


def test_pools_may_answer_elsewhere() -> None:
    program, parts = in_parts(many_pools(5, 1))
    elsewhere = Elsewhere(parts)
    relaxation = relax(parts, gap=GAP, ask=elsewhere)
    assert elsewhere.asked == relaxation.rounds
    assert relaxation.bound == pytest.approx(relaxed_optimum(program), rel=1e-5)


def test_the_box_holds_prices_where_they_are() -> None:
    _, parts = in_parts(many_pools(3, 2))
    master = RestrictedMaster(parts)
    zero = np.zeros(len(parts.lower))
    master.add([(p, PartSolver(part).answer(zero)) for p, part in enumerate(parts.pools)])
    centre, width = np.linspace(-1.0, 1.0, len(zero)), np.full(len(zero), 0.25)
    mix = master.mix(centre, width)
    assert np.abs(mix.prices - centre).max() <= 0.25 + 1e-9
    wide = master.mix(centre, 1e6 * width)
    assert not wide.broken
    assert wide.objective >= mix.objective - 1e-6


def test_a_part_without_a_point_says_so() -> None:
    _, parts = in_parts(many_pools(2, 2))
    part = parts.pools[0]
    never = type(part)(**{**vars(part), "lower": part.upper + 1.0, "upper": part.upper + 1.0})
    with pytest.raises(NoPlanError, match="a part"):
        PartSolver(never).answer(np.zeros(len(parts.lower)))
