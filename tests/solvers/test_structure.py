"""Programs of one structure differ in vectors only; others say where and why they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebplan.case import Case, load_case
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.rounding import Relaxation
from ebplan.solvers.structure import structure_key, what_changed, why_changed

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def case() -> Case:
    return load_case(EXAMPLES / "under_frequency.json")


def with_soc(case: Case, soc: float) -> Problem:
    return pose(case.event, case.site, case.state.model_copy(update={"soc": soc}))


def with_load(case: Case, share: float) -> Problem:
    pools = {
        name: pool.model_copy(
            update={"load_req_per_s": {k: v * share for k, v in pool.load_req_per_s.items()}}
        )
        for name, pool in case.state.pools.items()
    }
    return pose(case.event, case.site, case.state.model_copy(update={"pools": pools}))


def test_another_state_of_charge_is_written_in_place(case: Case) -> None:
    before, after = (formulate(with_soc(case, soc)).program for soc in (0.6, 0.35))
    assert structure_key(before) == structure_key(after)
    assert what_changed(before, after) == ()
    hot = Relaxation(before, highs.load(before, {}, relaxed=True))
    first = hot.optimum()
    hot.write(after)
    cold = Relaxation(after, highs.load(after, {}, relaxed=True))
    then, afresh = hot.optimum(), cold.optimum()
    assert first is not None
    assert then is not None
    assert afresh is not None
    assert then[1] == pytest.approx(afresh[1], rel=1e-9)
    assert then[1] != pytest.approx(first[1], rel=1e-6)


def test_another_load_changes_entries_and_says_which_pool(case: Case) -> None:
    before, after = with_load(case, 1.0), with_load(case, 0.97)
    programs = formulate(before).program, formulate(after).program
    assert structure_key(programs[0]) != structure_key(programs[1])
    assert [group.size for group in programs[0].columns] == [
        group.size for group in programs[1].columns
    ]
    reasons = why_changed(before, after)
    assert len(reasons) == 1
    assert reasons[0].startswith("pool llama70b: ")
    assert "classes" in reasons[0]
    assert all(told.startswith("entries of rows ") for told in what_changed(*programs))


def test_a_lost_battery_and_a_new_grid_are_named(case: Case) -> None:
    whole = pose(case.event, case.site, case.state)
    without = pose(case.event, case.site.model_copy(update={"battery": None}), case.state)
    assert "battery: there on one side only" in why_changed(whole, without)
    told = what_changed(formulate(whole).program, formulate(without).program)
    assert any(line.startswith("columns discharge: ") for line in told)
    longer = case.event.model_copy(update={"duration_s": case.event.duration_s + 600.0})
    reasons = why_changed(whole, pose(longer, case.site, case.state))
    assert any(reason.startswith("time grid: ") for reason in reasons)
