"""Whatever the event, the site and the state: a checked plan, never an exception instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from random_cases import random_case, random_state

from ebplan.errors import InputError
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.planner.ladder import Ladder
from ebplan.solvers.session import Session

pytestmark = pytest.mark.slow

SEEDS = range(60)


def is_sound(plan: Plan) -> None:
    assert plan.check.ok, plan.check.violations
    assert plan.answer is not None
    assert (plan.bound is None) == (plan.gap is None)
    if plan.bound is not None:
        assert plan.bound <= plan.objective
    if plan.answer.rung != "exact":
        assert plan.status == plan.answer.rung


@pytest.mark.parametrize("seed", SEEDS)
def test_a_checked_plan_comes_back(seed: int, solver: Session, tmp_path: Path) -> None:
    event, site, state = random_case(seed)
    planner = Planner(site)
    planner._ladder = Ladder(solver, tmp_path)
    rng = np.random.default_rng((seed, 9))
    refused = []
    try:
        is_sound(planner.plan(event, state, deadline_s=0.05))
        for step in (1, 2):
            later_s = float(rng.choice([1.0, 20.0, 200.0, 3000.0])) * step
            is_sound(planner.replan(random_state(rng, site, at_s=later_s), deadline_s=0.05))
    except InputError as error:
        refused.append(error)
    # the one thing nobody can plan with: no instance of any pool is left
    assert [error.field for error in refused] in ([], ["state.pools"])


@pytest.mark.parametrize("seed", range(20))
def test_a_checked_plan_comes_back_from_what_is_armed(
    seed: int, solver: Session, tmp_path: Path
) -> None:
    event, site, state = random_case(seed)
    rng = np.random.default_rng((seed, 11))
    planner = Planner(site)
    planner._ladder = Ladder(solver, tmp_path)
    now = event.model_copy(update={"start": state.at})
    planner.arm([now], state).result(60.0)
    refused = []
    try:
        for there in (state, random_state(rng, site, at_s=5.0)):
            begins = now.model_copy(update={"start": there.at})
            plan = planner.activate(begins, there, deadline_s=0.05)
            assert plan.check.ok
            assert plan.answer is not None
            assert plan.status in (plan.answer.rung, "optimal", "gap")
    except InputError as error:
        refused.append(error.field)
    finally:
        planner._ladder = None  # the solver is everybody's
        planner.close()
    assert refused in ([], ["state.pools"])


def test_random_cases_are_planned_and_by_every_rung(solver: Session, tmp_path: Path) -> None:
    """Which rung answers by a deadline is up to the machine; each does by one of these."""
    rungs: set[str] = set()
    for deadline_s in (0.02, 0.05, 0.1, 0.3, 1.0):
        for seed in range(30):
            event, site, state = random_case(seed)
            planner = Planner(site)
            planner._ladder = Ladder(solver, tmp_path)
            try:
                plan = planner.plan(event, state, deadline_s=deadline_s)
            except InputError:
                continue
            assert plan.answer is not None
            rungs.add(plan.answer.rung)
        if rungs >= {"exact", "rounded", "merit_order"}:
            return
    pytest.fail(f"only {sorted(rungs)} answered")
