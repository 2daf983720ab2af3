"""Replay an answer: the same point of the same rung, found again from the recorded problem.

A plan that was asked for by a deadline says which point answered (``plan.answer``). The solver is
deterministic, its basis that of a named problem; so the point is found again by running the same
work, without a clock, up to it.
"""

from __future__ import annotations

from dataclasses import replace

from ebplan.errors import InputError, NoPlanError
from ebplan.plan import Answer, Plan
from ebplan.planner.climb import WORK_CHECKS, WORK_MOVES, Climb
from ebplan.planner.deadline import Deadline
from ebplan.planner.one_shot import checked, merit_order_plan
from ebplan.problem import Problem
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.meaning import integers_of
from ebplan.solvers.structure import structure_key
from ebplan.solvers.worker import Done, Job, Point, Worker


def replay(problem: Problem, plan: Plan, *, hot_from: Problem | None = None) -> Plan:
    """Return the plan that a recorded answer names.

    Args:
        problem: the problem that was answered.
        plan: the recorded plan.
        hot_from: the problem whose basis the solver started from, where the answer names one.

    Raises:
        InputError: plan and problem do not belong together, the answer came from a plan before it
            (carried, armed) or from further instants that were watched, or the problem it started
            from is missing.
        NoPlanError: the point was not found again.
    """
    answer = plan.answer
    if plan.problem_hash != problem.digest():
        raise _not_replayed("problem_hash", plan.problem_hash[:12], "the problem of this plan")
    if answer is None:
        raise InputError(
            field="answer",
            value=None,
            allowed="a plan that was asked for by a deadline",
            remedy="solve the problem again: without a deadline the plan is the same each time",
        )
    if answer.rung in ("carried", "armed"):
        raise InputError(
            field="answer.rung",
            value=answer.rung,
            allowed="exact, rounded or merit_order",
            remedy="replay the plan that this one came from",
        )
    formulation = formulate(problem, instants_s=answer.watched_s)
    if answer.rung == "merit_order":
        return checked(problem, merit_order_plan(problem, formulation))
    named = None if hot_from is None else hot_from.digest()
    if answer.hot_from != named:
        raise _not_replayed("answer.hot_from", answer.hot_from, "the problem it started from")
    point = _found_again(problem, formulation, answer, hot_from)
    climb = Climb(problem, formulation, Deadline())
    climb.raise_bound(plan.bound)
    if not climb.use(point, formulation, proven=True) or climb.best is None:
        raise NoPlanError("the recorded point is no sound plan")
    return climb.best


def differences(recorded: Plan, again: Plan) -> tuple[str, ...]:
    """Say in which fields two plans differ, how they came about and what is proven apart."""
    apart = {"answer", "explanation", "bound", "gap", "status"}
    fields = [name for name in Plan.model_fields if name not in apart]
    return tuple(
        _difference(name, getattr(recorded, name), getattr(again, name))
        for name in fields
        if getattr(recorded, name) != getattr(again, name)
    )


def _difference(name: str, was: object, found: object) -> str:
    if isinstance(was, float) and isinstance(found, float):
        return f"{name} {was:g}, found {found:g}"
    return name


def _found_again(
    problem: Problem, formulation: Formulation, answer: Answer, hot_from: Problem | None
) -> Point:
    rung, index, clock = answer.rung, answer.index, answer.clock
    found: list[Point] = []

    def hear(message: Point | Done) -> None:
        if isinstance(message, Point) and (message.rung, message.index) == (rung, index):
            found.append(message)

    worker = Worker(hear, lambda _: False)
    if hot_from is not None:
        first = formulate(hot_from)
        worker.solve(_job(hot_from, first, stop_at=("relaxed", 0)))
        found.clear()
    last = replace(
        _job(problem, formulation, stop_at=(rung, index), clock=clock),
        work_by_pools=(answer.work[0], answer.work[1]) if answer.work else None,
    )
    worker.solve(last)
    if not found:
        raise NoPlanError(f"the {rung} point number {index} was not found again")
    return found[0]


def _job(
    problem: Problem,
    formulation: Formulation,
    *,
    stop_at: tuple[str, int],
    clock: str = "seconds",
) -> Job:
    return Job(
        number=0,
        key=structure_key(formulation.program),
        program=formulation.program,
        integers=integers_of(problem, formulation),
        moves=WORK_MOVES if clock == "work" else None,
        checks=WORK_CHECKS if clock == "work" else None,
        by_pools=Climb.by_pools_for(problem, formulation),
        stop_at=stop_at,  # type: ignore[arg-type]
        name=problem.digest(),
    )


def _not_replayed(field: str, value: object, allowed: str) -> InputError:
    return InputError(
        field=field,
        value=value,
        allowed=allowed,
        remedy="give the plan and the problem as they were recorded",
    )
