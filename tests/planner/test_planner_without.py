"""A planner that leaves mechanisms out: in every plan, again and again, and nothing is armed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebplan import InputError
from ebplan.case import Case
from ebplan.planner import Planner


def test_every_plan_leaves_them_out(case: Case, tmp_path: Path) -> None:
    out = ("consolidation", "sleep", "admission")
    with Planner(case.site, clock="work", problems_to=tmp_path, without=out) as planner:
        plan = planner.activate(case.event, case.state)
        assert set(out) <= set(plan.without)
        assert {e.active for e in plan.pools["llama70b"]} == {4}
        later = case.state.model_copy(update={"soc": 0.4})
        again = planner.replan(later)
        assert again is not plan
        assert set(out) <= set(again.without)
        with pytest.raises(ValueError, match="left out"):
            planner.arm(state=case.state)


def test_a_name_that_is_no_mechanism_is_refused(case: Case) -> None:
    with pytest.raises(InputError, match="sleeep"):
        Planner(case.site, without=("sleeep",))
