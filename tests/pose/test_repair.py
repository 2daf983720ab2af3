"""A measured state that contradicts its site: what it counts as, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebplan.case import Case, load_case
from ebplan.errors import InputError
from ebplan.pose.repair import pose_measured
from ebplan.problem import Problem
from ebplan.state import MeteredPower, PoolState, Settling, State, TierState

EXAMPLES = Path(__file__).parents[2] / "examples"
POOL = "llama70b"


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case(EXAMPLES / "under_frequency.json")


def posed(case: Case, state: State) -> tuple[Problem, tuple[str, ...]]:
    problem, _, _, notes = pose_measured(case.event, case.site, state)
    assert all(any(note in caveat for caveat in problem.caveats) for note in notes)
    return problem, notes


def pool(case: Case, **changes: object) -> State:
    told = case.state.pools[POOL].model_copy(update=changes)
    return case.state.model_copy(update={"pools": {POOL: told}})


def test_a_sound_state_is_left_alone(case: Case) -> None:
    _, notes = posed(case, case.state)
    assert notes == ()


@pytest.mark.parametrize(("soc", "counts_as"), [(0.0, 0.1), (1.0, 0.95)])
def test_a_state_of_charge_out_of_range_counts_as_the_limit(
    case: Case, soc: float, counts_as: float
) -> None:
    problem, notes = posed(case, case.state.model_copy(update={"soc": soc}))
    assert problem.battery is not None
    assert problem.battery.start_kwh == pytest.approx(counts_as * problem.battery.energy_kwh)
    assert notes == (f"a state of charge of {soc:g} counts as {counts_as:g}",)


def test_without_a_state_of_charge_the_battery_is_left_out(case: Case) -> None:
    problem, notes = posed(case, case.state.model_copy(update={"soc": None}))
    assert problem.battery is None
    assert "battery is left out" in notes[0]


def test_who_is_not_accounted_for_is_lost(case: Case) -> None:
    problem, notes = posed(case, pool(case, active=3))
    assert problem.pools[0].instances == 3
    assert "1 of 4 instances" in notes[0]


def test_who_is_too_many_is_there(case: Case) -> None:
    problem, notes = posed(case, pool(case, active=6))
    assert problem.pools[0].instances == 6
    assert "2 more than the site says" in notes[0]


def test_classes_that_are_not_the_sites(case: Case) -> None:
    problem, notes = posed(case, pool(case, load_req_per_s={"interactive": 30.0, "other": 5.0}))
    assert [c.load > 0.0 for c in problem.pools[0].classes] == [True, False]
    assert "request classes" in notes[0]


def test_a_lower_precision_that_is_not_there_counts_as_drained(case: Case) -> None:
    problem, notes = posed(case, pool(case, active=3, tier=TierState(active=1)))
    assert problem.pools[0].drained_at_start == 1
    assert "no lower precision" in notes[0]


@pytest.mark.parametrize(("share", "busy"), [(0.01, 0), (0.09, 4)])
def test_a_load_below_the_models_is_planned_with_what_it_keeps_busy(
    case: Case, share: float, busy: int
) -> None:
    loads = {name: share * rate for name, rate in case.state.pools[POOL].load_req_per_s.items()}
    problem, notes = posed(case, pool(case, load_req_per_s=loads))
    assert problem.pools[0].active_at_start == busy
    assert notes


@pytest.mark.parametrize("kw", [1e9, -1e9])
def test_a_reading_beyond_belief_is_left_out(case: Case, kw: float) -> None:
    meter = MeteredPower(kw=kw, measurement_point="connection_point")
    problem, notes = posed(case, case.state.model_copy(update={"grid": meter}))
    plain, _ = posed(case, case.state)
    assert problem.baseline_kw == plain.baseline_kw
    assert "not believed" in notes[0]


def test_a_reading_below_what_the_models_say_is_left_out(case: Case) -> None:
    meter = MeteredPower(kw=0.5, measurement_point="connection_point")
    _, notes = posed(case, case.state.model_copy(update={"grid": meter}))
    assert "shows less than the models say" in notes[0]


def test_a_site_beyond_its_contract_is_planned_from_where_it_is(case: Case) -> None:
    meter = MeteredPower(kw=12.5, measurement_point="connection_point")
    problem, notes = posed(case, case.state.model_copy(update={"grid": meter}))
    assert problem.baseline_kw[0] == pytest.approx(12.5)
    assert "more than the contracted" in notes[0]


def test_power_on_its_way_that_no_response_explains_is_left_out(case: Case) -> None:
    slow = Settling(kw=2.0, time_constant_s=1e4)
    problem, notes = posed(case, pool(case, settling=(slow,)))
    assert problem.pools[0].settling == ()
    assert "longer than it answers" in notes[0]


def test_a_pool_of_which_nothing_is_known_is_left_out() -> None:
    two = load_case(EXAMPLES / "mixed_pools.json")
    first = next(iter(two.state.pools))
    state = two.state.model_copy(update={"pools": {first: two.state.pools[first]}})
    problem, notes = posed(two, state)
    assert [p.name for p in problem.pools] == [first]
    assert "nothing is known of pool" in notes[0]


def test_nothing_is_left_to_plan_with(case: Case) -> None:
    lost = PoolState(active=0, lost=4, load_req_per_s={"interactive": 0.0, "batch": 0.0})
    state = case.state.model_copy(update={"pools": {POOL: lost}})
    with pytest.raises(InputError, match="at least one instance"):
        posed(case, state)
