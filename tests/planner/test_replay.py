"""Work instead of seconds: the same bytes; and an answer that was recorded is found again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from random_cases import EXAMPLES

from benchmarks.scaling import scaled
from benchmarks.subjects import example
from ebplan.case import Case, load_case
from ebplan.errors import InputError
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.planner.climb import AT_ONCE_POOLS
from ebplan.planner.deadline import Deadline
from ebplan.planner.ladder import Ladder
from ebplan.planner.replay import replay
from ebplan.pose import pose
from ebplan.solvers.session import Session

pytestmark = pytest.mark.slow

PRINT = """
from ebplan import Planner, load_case
case = load_case({file!r})
with Planner(case.site, clock="work") as planner:
    print(planner.plan(case.event, case.state).to_json())
"""


@pytest.mark.parametrize("name", ["under_frequency", "surplus_queue"])
def test_counting_work_gives_the_same_bytes_in_any_process(name: str) -> None:
    file = EXAMPLES / f"{name}.json"
    case = load_case(file)
    with Planner(case.site, clock="work") as planner:
        first, second = (planner.plan(case.event, case.state).to_json() for _ in range(2))
    assert first == second
    code = PRINT.format(file=str(file))
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.rstrip("\n") == first


def same(one: Plan, other: Plan) -> bool:
    """Tell whether two plans say the same, how they came about apart."""
    apart = {"answer", "explanation", "bound", "gap", "status"}
    return one.model_dump(exclude=apart) == other.model_dump(exclude=apart)


@pytest.mark.parametrize("name", ["under_frequency", "demand_response", "fcr_tracking"])
@pytest.mark.parametrize("deadline_s", [0.15, 10.0])
def test_a_recorded_answer_is_found_again(ladder: Ladder, name: str, deadline_s: float) -> None:
    case = load_case(EXAMPLES / f"{name}.json")
    problem = pose(case.event, case.site, case.state)
    fresh = Session()
    try:
        assert fresh.wait_ready()
        plan = Ladder(fresh, None).answer(problem, Deadline(deadline_s))
        assert plan.answer is not None
        assert plan.answer.hot_from is None
        assert same(replay(problem, plan), plan)
    finally:
        fresh.close()


def test_a_hot_answer_is_found_again_from_the_problem_it_started_from(case: Case) -> None:
    fuller = case.state.model_copy(update={"soc": 0.7})
    problems = [pose(case.event, case.site, state) for state in (case.state, fuller)]
    fresh = Session()
    try:
        assert fresh.wait_ready()
        ladder = Ladder(fresh, None)
        ladder.answer(problems[0], Deadline(10.0))
        plan = ladder.answer(problems[1], Deadline(10.0))
    finally:
        fresh.close()
    assert plan.answer is not None
    assert plan.answer.hot_from == problems[0].digest()
    assert same(replay(problems[1], plan, hot_from=problems[0]), plan)
    with pytest.raises(InputError, match="hot_from"):
        replay(problems[1], plan)
    with pytest.raises(InputError, match="problem_hash"):
        replay(problems[0], plan)


@pytest.mark.parametrize("name", ["demand_response", "fcr_tracking", "surplus_queue"])
def test_a_hot_answer_that_a_deadline_cut_off_is_found_again(solver: Session, name: str) -> None:
    case = load_case(EXAMPLES / f"{name}.json")
    soc = case.state.soc
    assert soc is not None
    emptier = case.state.model_copy(update={"soc": soc - 0.03})
    first, second = (pose(case.event, case.site, state) for state in (case.state, emptier))
    assert solver.wait_ready()
    ladder = Ladder(solver, None)
    ladder.answer(first, Deadline(10.0))
    plan = ladder.answer(second, Deadline(0.12))
    assert plan.answer is not None
    if plan.answer.rung == "merit_order":
        pytest.skip("this machine found no point in time")
    hot_from = {None: None, first.digest(): first}[plan.answer.hot_from]
    assert same(replay(second, plan, hot_from=hot_from), plan)


def test_an_answer_by_pools_is_found_again(solver: Session) -> None:
    case = scaled(example("under_frequency"), instances=4, pools=AT_ONCE_POOLS + 2)
    problem = pose(case.event, case.site, case.state)
    assert solver.wait_ready()
    told: list[Plan] = []
    Ladder(solver, None).answer(problem, Deadline(20.0), on_better=told.append)
    plan = next(one for one in told if one.answer and one.answer.rung == "rounded")
    assert plan.answer is not None
    rounds, tries = plan.answer.work
    assert rounds >= 1
    assert same(replay(problem, plan), plan)
    less = plan.answer.model_copy(update={"work": (1, tries)})
    assert not same(replay(problem, plan.model_copy(update={"answer": less})), plan)


def test_the_command_line_replays(case: Case, tmp_path: Path) -> None:
    problem = pose(case.event, case.site, case.state)
    plan = Ladder(None, None).answer(problem, Deadline(0.05))
    (tmp_path / "p.json").write_text(problem.to_json())
    (tmp_path / "a.json").write_text(plan.to_json())
    command = [sys.executable, "-m", "ebplan", "replay", "a.json", "p.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    objective = f"{plan.objective:g}"
    assert done.stdout == f"the same plan: merit_order, objective {objective} JPY\n"
    other = plan.model_copy(update={"objective": plan.objective + 1.0})
    (tmp_path / "a.json").write_text(other.to_json())
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("error: another plan: objective")
