"""The ladder: which rung answers, what it claims, and what happens when the solver fails."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from random_cases import EXAMPLES

from ebplan.case import Case, load_case
from ebplan.errors import InputError
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import Plan
from ebplan.planner import solve_problem
from ebplan.planner.climb import Climb
from ebplan.planner.deadline import Deadline
from ebplan.planner.ladder import Ladder
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers.formulation import formulate
from ebplan.solvers.session import Listening, Session
from ebplan.solvers.worker import Done, Point

NAMES = ("under_frequency", "curtailment_3h", "surplus_absorb", "mixed_pools", "fcr_tracking")


def problem_of(case: Case) -> Problem:
    return pose(case.event, case.site, case.state)


@pytest.fixture
def problem(case: Case) -> Problem:
    return problem_of(case)


def kinds(plan: Plan) -> list[str]:
    assert plan.answer is not None
    return [warning.kind for warning in plan.answer.warnings]


@pytest.mark.parametrize("name", NAMES)
def test_with_time_the_search_answers_and_is_as_good_as_the_one_shot_plan(
    ladder: Ladder, name: str
) -> None:
    problem = problem_of(load_case(EXAMPLES / f"{name}.json"))
    plan, best = ladder.answer(problem, Deadline(20.0)), solve_problem(problem)
    assert plan.answer is not None
    assert plan.check.ok
    assert plan.answer.rung == "exact"
    apart = plan.objective - best.objective
    assert abs(apart) <= 2.0 * OPTIMAL_GAP * max(abs(best.money), 1.0)


def test_without_a_solver_the_rule_answers_without_a_bound(problem: Problem, tmp_path) -> None:
    plan = Ladder(None, tmp_path).answer(problem, Deadline(0.05))
    assert plan.status == "merit_order"
    assert plan.bound is plan.gap is None
    assert plan.check.ok


def test_a_rounded_answer_is_never_called_optimal_and_has_its_gap(
    ladder: Ladder, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears = Listening.next

    def only_rounded(self: Listening, timeout_s: float) -> object:
        message = hears(self, timeout_s)
        return None if isinstance(message, Point) and message.rung == "exact" else message

    monkeypatch.setattr(Listening, "next", only_rounded)
    plan = ladder.answer(problem, Deadline(5.0))
    assert plan.status == "rounded"
    assert plan.gap is not None
    assert plan.bound is not None
    best = solve_problem(problem)
    assert plan.bound <= best.objective + 1e-6
    assert plan.objective <= 1.005 * best.objective


def killed(session: Session, with_signal: int, after_s: float) -> threading.Thread:
    def strike() -> None:
        time.sleep(after_s)
        os.kill(session.pids()[0], with_signal)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGSEGV])
def test_a_solver_that_dies_is_replaced_by_the_one_standing_by_and_the_plan_says_so(
    ladder: Ladder, with_signal: int, tmp_path
) -> None:
    # two hours with every mechanism: the search takes a while
    problem = problem_of(load_case(EXAMPLES / "demand_response.json"))
    assert ladder.session is not None
    assert ladder.session.wait_ready(count=2)
    strike = killed(ladder.session, with_signal, 0.2)
    plan = ladder.answer(problem, Deadline(5.0))
    strike.join()
    assert plan.check.ok
    assert plan.answer is not None
    assert plan.answer.rung in ("rounded", "exact")
    assert kinds(plan) == ["solver_lost"]
    warning = plan.answer.warnings[0]
    assert f"signal {int(with_signal)}" in warning.message
    assert warning.problem_file is not None
    with open(warning.problem_file, "rb") as file:
        assert Problem.parse(file.read()) == problem
    assert ladder.session.wait_ready()
    assert kinds(ladder.answer(problem, Deadline(5.0))) == []


def test_a_problem_that_kills_every_solver_is_handed_out_twice(
    ladder: Ladder, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = ladder.session
    assert session is not None
    assert session.wait_ready(count=2)

    def deadly(self: Listening, timeout_s: float) -> object:
        os.kill(self._process.process.pid, signal.SIGKILL)
        while True:  # what it said before it died is not heard
            hears(self, timeout_s)

    hears = Listening.next
    monkeypatch.setattr(Listening, "next", deadly)
    plan = ladder.answer(problem, Deadline(5.0))
    assert plan.status == "merit_order"
    assert kinds(plan) == ["solver_lost", "solver_lost"]


def test_a_solver_that_hangs_is_killed_and_the_deadline_kept(
    ladder: Ladder, problem: Problem
) -> None:
    assert ladder.session is not None
    stopped = ladder.session.pids()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    plan = ladder.answer(problem, Deadline(0.1))
    assert plan.status == "merit_order"
    time.sleep(0.7)
    assert ladder.session.wait_ready()
    assert set(stopped) - set(ladder.session.pids())
    for pid in set(stopped) & set(ladder.session.pids()):
        os.kill(pid, signal.SIGCONT)
    assert ladder.session.wait_ready()
    better = ladder.answer(problem, Deadline(10.0))
    assert better.status == "optimal"


def spoiled(point: Point, how: str) -> Point:
    if how == "no number":
        return replace(point, x=np.full_like(point.x, np.nan))
    if how == "too short":
        return replace(point, x=point.x[:-1])
    if how == "huge":
        return replace(point, x=np.full_like(point.x, -1e30))
    return replace(point, x=point.x + 0.37)


@pytest.mark.parametrize("how", ["no number", "too short", "huge", "nonsense"])
def test_what_the_solver_says_is_not_believed(
    ladder: Ladder, problem: Problem, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    hears = Listening.next

    def lies(self: Listening, timeout_s: float) -> object:
        message = hears(self, timeout_s)
        return spoiled(message, how) if isinstance(message, Point) else message

    monkeypatch.setattr(Listening, "next", lies)
    plan = ladder.answer(problem, Deadline(3.0))
    assert plan.check.ok
    assert plan.answer is not None
    if how != "nonsense":  # nonsense may be settled into a plan: then it is one
        assert plan.status == "merit_order"
        assert set(kinds(plan)) == {"not_finite"}


def test_a_new_structure_says_which_part_of_the_problem_made_it(ladder: Ladder, case: Case) -> None:
    ladder.answer(problem_of(case), Deadline(1.0))
    again = ladder.answer(problem_of(case), Deadline(1.0))
    assert again.answer is not None
    assert again.answer.structure == ()
    longer = case.event.model_copy(update={"duration_s": 900.0})
    other = ladder.answer(problem_of(case.model_copy(update={"event": longer})), Deadline(1.0))
    assert other.answer is not None
    assert other.answer.structure[0].startswith("time grid: ")


def test_a_plan_of_the_state_before_is_carried_on_without_a_solver(
    case: Case, problem: Problem, tmp_path
) -> None:
    from ebplan.planner.one_shot import carried_plan

    plan = solve_problem(problem)
    more = {
        name: pool.model_copy(
            update={"load_req_per_s": {k: 1.02 * v for k, v in pool.load_req_per_s.items()}}
        )
        for name, pool in case.state.pools.items()
    }
    busier = pose(case.event, case.site, case.state.model_copy(update={"pools": more}))
    carried = Ladder(None, tmp_path).answer(
        busier, Deadline(0.05), partial(carried_plan, busier, plan, 0.0)
    )
    assert carried.status == "carried"
    assert carried.check.ok
    counts = [[e.active for e in p.pools["llama70b"]] for p in (plan, carried)]
    assert counts[0] == counts[1]


def test_a_bound_above_a_plan_is_dropped_and_named(
    ladder: Ladder, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears = Listening.next

    def lies(self: Listening, timeout_s: float) -> object:
        message = hears(self, timeout_s)
        return replace(message, bound=1e9) if isinstance(message, Point | Done) else message

    monkeypatch.setattr(Listening, "next", lies)
    plan = ladder.answer(problem, Deadline(3.0))
    assert plan.check.ok
    assert "numerical" in kinds(plan)
    assert plan.bound is None
    assert plan.status != "optimal"


def test_a_deadline_is_a_number(ladder: Ladder, problem: Problem) -> None:
    with pytest.raises(InputError, match="deadline_s"):
        ladder.answer(problem, Deadline(float("nan")))


def test_without_time_for_the_solver_the_plan_says_so(ladder: Ladder, problem: Problem) -> None:
    plan = ladder.answer(problem, Deadline(0.0))
    assert plan.status == "merit_order"
    assert kinds(plan) == ["no_time"]


def test_a_search_waits_for_a_process_that_is_free(ladder: Ladder, problem: Problem) -> None:
    session = ladder.session
    assert session is not None
    assert session.wait_ready(count=2)
    long = problem_of(load_case(EXAMPLES / "demand_response.json"))
    formulation = formulate(long)
    climb = Climb(long, formulation, Deadline(60.0), session=session)
    busy = [session.submit(climb._job(formulation)) for _ in range(2)]

    def stop() -> None:
        for listening in busy:
            assert listening is not None
            listening.cancel()

    timer = threading.Timer(0.3, stop)
    timer.start()
    plan = ladder.answer(problem, Deadline(10.0))
    timer.join()
    assert plan.status == "optimal"
    assert kinds(plan) == []


def test_each_better_plan_is_told(ladder: Ladder, problem: Problem) -> None:
    told: list[Plan] = []
    plan = ladder.answer(problem, Deadline(10.0), on_better=told.append)
    assert told[0].status == "merit_order"
    assert all(one.check.ok for one in told)
    assert [one.objective for one in told] == sorted((one.objective for one in told), reverse=True)
    assert told[-1].objective == plan.objective
