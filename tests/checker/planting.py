"""Ways to plant a breach in the handmade plan."""

from __future__ import annotations

from functools import cache

from handmade import make_plan
from handmade_problem import STORY, Decision, make_battery, make_pool, make_problem

from ebplan.checker import check_plan
from ebplan.plan import HandOffResult, Plan
from ebplan.problem import Problem

Case = tuple[Problem, Plan]


@cache
def handmade() -> Case:
    problem = make_problem()
    return problem, make_plan(problem)


def broken_laws(problem: Problem, plan: Plan) -> set[str]:
    result = check_plan(problem, plan)
    assert result.ok == (not result.violations)
    assert all(v.amount > v.allowed for v in result.violations)
    return {violation.law for violation in result.violations}


def against(problem: Problem, **changes: object) -> Case:
    """Return the handmade plan against a changed problem that it claims to answer."""
    changed = problem.model_copy(update=changes)
    return changed, handmade()[1].model_copy(update={"problem_hash": changed.digest()})


def against_pool(**changes: object) -> Case:
    return against(handmade()[0], pools=(make_pool(**changes),))


def against_battery(**changes: object) -> Case:
    return against(handmade()[0], battery=make_battery(**changes))


def altered(**changes: object) -> Case:
    problem, plan = handmade()
    return problem, plan.model_copy(update=changes)


def altered_step(t: int, **changes: object) -> Case:
    steps = list(handmade()[1].steps)
    steps[t] = steps[t].model_copy(update=changes)
    return altered(steps=tuple(steps))


def altered_epoch(k: int, **changes: object) -> Case:
    epochs = list(handmade()[1].pools["chat"])
    epochs[k] = epochs[k].model_copy(update=changes)
    return altered(pools={"chat": tuple(epochs)})


def altered_shortfall(**changes: object) -> Case:
    first, *rest = handmade()[1].shortfall
    return altered(shortfall=(first.model_copy(update=changes), *rest))


def retold(k: int, told: Decision, **changes: object) -> Case:
    """Return a plan, consistent in itself, that tells the pool something else at one epoch."""
    problem = make_problem(pools=(make_pool(**changes),))
    return problem, make_plan(problem, {"chat": (*STORY[:k], told, *STORY[k + 1 :])})


def step_at(t_s: float) -> int:
    return next(t for t, step in enumerate(handmade()[1].steps) if step.t_s == t_s)


def scaled_step(t_s: float, field: str, factor: float = 1.01) -> Case:
    t = step_at(t_s)
    return altered_step(t, **{field: getattr(handmade()[1].steps[t], field) * factor})


def scaled_epoch(k: int, field: str, factor: float = 1.01) -> Case:
    value = getattr(handmade()[1].pools["chat"][k], field)
    return altered_epoch(k, **{field: value * factor})


def scaled_cost(cause: str, factor: float) -> Case:
    cost = handmade()[1].cost
    changed = cost | {cause: cost[cause] * factor}
    return altered(cost=changed, objective=sum(changed.values()), **unproven())


def unproven() -> dict[str, object]:
    return {"status": "rounded", "bound": None, "gap": None}


def handed_over_at(complete_s: float | None) -> HandOffResult:
    return handmade()[1].handoff.model_copy(update={"complete_s": complete_s})
