"""Ways to plant a breach in a handmade plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from handmade import make_plan
from handmade_fleet import FLEET_STORY, make_fleet_problem
from handmade_problem import STORY, Decision, make_problem

from ebplan.checker import check_plan
from ebplan.plan import HandOffResult, Plan
from ebplan.problem import DeferralProblem, Problem

Case = tuple[Problem, Plan]


def broken_laws(problem: Problem, plan: Plan) -> set[str]:
    result = check_plan(problem, plan)
    assert result.ok == (not result.violations)
    assert all(v.amount > v.allowed for v in result.violations)
    return {violation.law for violation in result.violations}


@dataclass(frozen=True)
class Planter:
    """A problem, what its one pool is told, and the plan of it, to be broken in one place."""

    problem: Problem
    story: Sequence[Decision]

    @cached_property
    def plan(self) -> Plan:
        return make_plan(self.problem, {"chat": self.story})

    def case(self) -> Case:
        return self.problem, self.plan

    def against(self, problem: Problem | None = None, **changes: object) -> Case:
        """Return the handmade plan against a changed problem that it claims to answer."""
        changed = (problem or self.problem).model_copy(update=changes)
        return changed, self.plan.model_copy(update={"problem_hash": changed.digest()})

    def against_pool(self, **changes: object) -> Case:
        return self.against(pools=(self.problem.pools[0].model_copy(update=changes),))

    def against_deferral(self, deferral: DeferralProblem | None) -> Case:
        """Return the plan against a pool whose last class may wait otherwise, or not at all."""
        *others, last = self.problem.pools[0].classes
        return self.against_pool(classes=(*others, last.model_copy(update={"deferral": deferral})))

    def against_part(self, part: str, **changes: object) -> Case:
        """Return the plan against a pool with another clock lock, tier or pre-warm."""
        stated = getattr(self.problem.pools[0], part)
        return self.against_pool(**{part: stated.model_copy(update=changes)})

    def against_class(self, i: int, **changes: object) -> Case:
        classes = list(self.problem.pools[0].classes)
        classes[i] = classes[i].model_copy(update=changes)
        return self.against_pool(classes=tuple(classes))

    def against_battery(self, **changes: object) -> Case:
        assert self.problem.battery is not None
        return self.against(battery=self.problem.battery.model_copy(update=changes))

    def altered(self, **changes: object) -> Case:
        return self.problem, self.plan.model_copy(update=changes)

    def altered_step(self, t: int, **changes: object) -> Case:
        steps = list(self.plan.steps)
        steps[t] = steps[t].model_copy(update=changes)
        return self.altered(steps=tuple(steps))

    def altered_epoch(self, k: int, **changes: object) -> Case:
        epochs = list(self.plan.pools["chat"])
        epochs[k] = epochs[k].model_copy(update=changes)
        return self.altered(pools={"chat": tuple(epochs)})

    def altered_way(self, k: int, way: str, **changes: object) -> Case:
        """Return a plan that says something else of a locked clock or a lower precision."""
        stated = getattr(self.plan.pools["chat"][k], way)
        return self.altered_epoch(k, **{way: stated.model_copy(update=changes)})

    def scaled_way(self, k: int, way: str, field: str, factor: float = 1.01) -> Case:
        value = getattr(getattr(self.plan.pools["chat"][k], way), field)
        return self.altered_way(k, way, **{field: value * factor})

    def altered_class(self, k: int, name: str, **changes: object) -> Case:
        classes = self.plan.pools["chat"][k].classes
        return self.altered_epoch(
            k, classes=classes | {name: classes[name].model_copy(update=changes)}
        )

    def altered_shortfall(self, **changes: object) -> Case:
        first, *rest = self.plan.shortfall
        return self.altered(shortfall=(first.model_copy(update=changes), *rest))

    def retold(self, k: int, told: Decision, **changes: object) -> Case:
        """Return a plan, consistent in itself, that tells the pool something else at one epoch."""
        pool = self.problem.pools[0].model_copy(update=changes)
        problem = self.problem.model_copy(update={"pools": (pool,)})
        story = (*self.story[:k], told, *self.story[k + 1 :])
        return problem, make_plan(problem, {"chat": story})

    def step_at(self, t_s: float) -> int:
        return next(t for t, step in enumerate(self.plan.steps) if step.t_s == t_s)

    def scaled_step(self, t_s: float, field: str, factor: float = 1.01) -> Case:
        t = self.step_at(t_s)
        return self.altered_step(t, **{field: getattr(self.plan.steps[t], field) * factor})

    def scaled_epoch(self, k: int, field: str, factor: float = 1.01) -> Case:
        value = getattr(self.plan.pools["chat"][k], field)
        return self.altered_epoch(k, **{field: value * factor})

    def recharged(self, **money: float) -> Case:
        """Return a plan that charges itself other money for some causes."""
        changed = self.plan.cost | money
        return self.altered(cost=changed, objective=sum(changed.values()), **unproven())

    def scaled_cost(self, cause: str, factor: float) -> Case:
        return self.recharged(**{cause: self.plan.cost[cause] * factor})

    def handed_over_at(self, complete_s: float | None) -> HandOffResult:
        return self.plan.handoff.model_copy(update={"complete_s": complete_s})


def unproven() -> dict[str, object]:
    return {"status": "rounded", "bound": None, "gap": None}


RELEASE = Planter(make_problem(), STORY)
FLEET = Planter(make_fleet_problem(), FLEET_STORY)

handmade = RELEASE.case
against = RELEASE.against
against_pool = RELEASE.against_pool
against_battery = RELEASE.against_battery
altered = RELEASE.altered
altered_step = RELEASE.altered_step
altered_epoch = RELEASE.altered_epoch
altered_class = RELEASE.altered_class
against_deferral = RELEASE.against_deferral
altered_shortfall = RELEASE.altered_shortfall
retold = RELEASE.retold
step_at = RELEASE.step_at
scaled_step = RELEASE.scaled_step
scaled_epoch = RELEASE.scaled_epoch
scaled_cost = RELEASE.scaled_cost
handed_over_at = RELEASE.handed_over_at
