"""Laws of the document: numbers are numbers, shapes agree, it answers its problem, with proof.

The first two must hold before the others can be asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from ebplan.checker.evidence import Evidence, Finding, worst
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import MONEY, MONEY_SHARE, POWER_KW, RATIO, TIME_S
from ebplan.document import Part
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import Plan
from ebplan.problem import Problem

LEAVES = (str, int, bool, type(None))
"""Classes of values that are no float and hold none."""


def finite(problem: Problem, plan: Plan) -> list[Finding]:
    """Every number of the plan is finite."""
    if _all_finite(plan):
        return []
    bad = [path for path, number in _numbers(plan, "plan") if not math.isfinite(number)]
    if not bad:  # finite each, and beyond all bounds together
        return []
    return [Finding(None, len(bad), 0.0, f"{len(bad)} values are not finite, first {bad[0]}")]


def _all_finite(plan: Plan) -> bool:
    """Tell whether every number is finite, without saying where one is not.

    A sum is finite only if every term is. It is the longest of all laws, so leaves are told by
    their class, and never put on the list of what is left.
    """
    total = 0.0
    left: list[object] = [plan]
    while left:
        value = left.pop()
        if isinstance(value, Part):
            inner: Iterable[object] = value.__dict__.values()
        elif isinstance(value, dict):
            inner = value.values()
        elif isinstance(value, tuple):
            inner = value
        elif isinstance(value, float):
            inner = ()
            total += value
        else:
            continue
        for one in inner:
            kind = one.__class__
            if kind is float:
                total += one  # type: ignore[operator]
            elif kind not in LEAVES:
                left.append(one)
    return math.isfinite(total)


def _numbers(value: object, path: str) -> Iterator[tuple[str, float]]:
    """Walk through documents, dicts and tuples to the numbers."""
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, Part):
        for name, inner in value.__dict__.items():
            yield from _numbers(inner, f"{path}.{name}")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, f"{path}.{name}")
    elif isinstance(value, tuple):
        for i, inner in enumerate(value):
            yield from _numbers(inner, f"{path}.{i}")


def shape(problem: Problem, plan: Plan) -> list[Finding]:
    """Steps, pools, epochs and request classes are those of the problem."""
    grid = problem.grid
    found = []
    if len(plan.steps) != grid.n_steps:
        found.append(_miscount(len(plan.steps), grid.n_steps, "steps"))
    pools = {pool.name: {c.name for c in pool.classes} for pool in problem.pools}
    if set(plan.pools) != set(pools) or set(plan.service) != set(pools):
        found.append(Finding(None, 1.0, 0.0, f"pools must be {sorted(pools)}"))
        return found
    for name, classes in pools.items():
        epochs = plan.pools[name]
        if len(epochs) != grid.n_epochs:
            found.append(_miscount(len(epochs), grid.n_epochs, f"epochs of pool {name}"))
        given = [set(epoch.classes) for epoch in epochs] + [set(plan.service[name])]
        if any(names != classes for names in given):
            message = f"request classes of pool {name} must be {sorted(classes)}"
            found.append(Finding(None, 1.0, 0.0, message))
    for pool in problem.pools:
        for way in ("clock_lock", "tier"):
            has = getattr(pool, way) is not None
            wrong = [e.t_s for e in plan.pools[pool.name] if (getattr(e, way) is not None) != has]
            if wrong:
                message = f"{way} of pool {pool.name} must be {'given' if has else 'left out'}"
                found.append(Finding(wrong[0], len(wrong), 0.0, message))
    return found


def _miscount(found: int, asked: int, what: str) -> Finding:
    return Finding(None, abs(found - asked), 0.0, f"{found} {what} instead of {asked}")


def problem_hash(problem: Problem, plan: Plan) -> list[Finding]:
    """The plan answers this problem and no other."""
    if plan.problem_hash == problem.digest():
        return []
    return [Finding(None, 1.0, 0.0, "problem_hash is not the digest of the problem")]


def identity(evidence: Evidence, _: Replay) -> list[Finding]:
    """Event, start, currency, converter, hand-off and what is left out are the problem's."""
    problem, plan, battery = evidence.problem, evidence.plan, evidence.problem.battery
    wrong = [
        field
        for field in ("event_id", "start", "currency", "without")
        if getattr(plan, field) != getattr(problem, field)
    ]
    if plan.measurement_point != "connection_point":
        wrong.append("measurement_point")
    if plan.handoff.asked_s != problem.handoff_from_s:
        wrong.append("handoff.asked_s")
    converter = plan.converter
    if battery is None or converter is None:
        wrong += ["converter"] * (battery is not None or converter is not None)
    else:
        wrong += [
            f"converter.{field}"
            for field in ("droop_reserve_kw", "reserve_kwh", "delay_s")
            if getattr(converter, field) != getattr(battery, field)
        ]
    if not wrong:
        return []
    return [Finding(None, len(wrong), 0.0, f"differ from the problem: {', '.join(wrong)}")]


def grid(evidence: Evidence, _: Replay) -> list[Finding]:
    """Step and epoch times, target and baseline are the problem's."""
    steps, starts = evidence.steps, evidence.starts_s
    found = []
    for field, expected, allowed in (
        ("t_s", starts, TIME_S),
        ("duration_s", np.diff(evidence.edges_s), TIME_S),
        ("target_kw", evidence.target_kw, POWER_KW),
        ("baseline_kw", evidence.baseline_kw, POWER_KW),
    ):
        stated = np.array([getattr(step, field) for step in steps])
        message = f"{field} of a step differs from the problem's"
        found += worst(np.abs(stated - expected), allowed, starts, message)
    for pool in evidence.problem.pools:
        stated = np.array([epoch.t_s for epoch in evidence.plan.pools[pool.name]])
        found += worst(
            np.abs(stated - evidence.epoch_starts_s),
            TIME_S,
            evidence.epoch_starts_s,
            f"t_s of an epoch of pool {pool.name} differs from the problem's",
        )
    return found


SURCHARGES = ("firmness", "reserve", "margin", "recovery")
"""Causes that only say what is given up last."""


def bound(evidence: Evidence, _: Replay) -> list[Finding]:
    """The bound lies nowhere above the objective, and the gap is theirs."""
    plan = evidence.plan
    if plan.bound is None or plan.gap is None:
        if plan.bound is None and plan.gap is None:
            return []
        return [Finding(None, 1.0, 0.0, "bound and gap come together or not at all")]
    size = abs(plan.objective)
    found = worst(
        plan.bound - plan.objective,
        MONEY + MONEY_SHARE * size,
        None,
        f"bound {plan.bound:g} lies above the objective {plan.objective:g}",
    )
    # a bound above the objective by rounding is a gap of nothing; surcharges are no money
    apart = max(plan.objective - plan.bound, 0.0)
    money = abs(plan.objective - sum(plan.cost.get(cause, 0.0) for cause in SURCHARGES))
    return found + worst(
        abs(plan.gap * money - apart),
        MONEY + RATIO * size,
        None,
        f"gap {plan.gap:g} is not (objective - bound) / |objective less surcharges|",
    )


def status(evidence: Evidence, _: Replay) -> list[Finding]:
    """A plan is called optimal, or its gap known, only with the proof."""
    plan = evidence.plan
    if plan.status not in ("optimal", "gap"):
        return []
    if plan.gap is None:
        return [Finding(None, 1.0, 0.0, f"status {plan.status} without a gap")]
    if plan.status == "gap":
        return []
    return worst(plan.gap, OPTIMAL_GAP, None, f"called optimal with a gap of {plan.gap:g}")
