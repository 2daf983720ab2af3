"""The independent checker: replays a plan and holds it to every law.

It is handed a problem and a plan, no solver and no formulation, and shares no code with either:
the model curves, the response of compute, the battery and the money are written out once more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ebplan.checker import (
    cost_laws,
    document_laws,
    fleet_laws,
    latency_laws,
    left_out_laws,
    lens_laws,
    margin_laws,
    request_laws,
    site_laws,
)
from ebplan.checker.evidence import Evidence, Finding
from ebplan.checker.replay import Replay, replay
from ebplan.plan import CheckResult, Plan, Violation
from ebplan.problem import Problem

__all__ = ["LAWS", "check_plan"]

DocumentLaw = Callable[[Problem, Plan], list[Finding]]
Law = Callable[[Evidence, Replay], list[Finding]]

_DOCUMENT_LAWS: tuple[DocumentLaw, ...] = (
    document_laws.finite,
    document_laws.problem_hash,
    document_laws.shape,
)
_REPLAY_LAWS: tuple[Law, ...] = (
    document_laws.identity,
    document_laws.grid,
    fleet_laws.counts,
    fleet_laws.transitions,
    fleet_laws.dwell,
    fleet_laws.warmth,
    lens_laws.cap_floor,
    lens_laws.natural_draw,
    lens_laws.cap_frontier,
    lens_laws.min_utilisation,
    lens_laws.max_utilisation,
    lens_laws.utilisation,
    lens_laws.cap_set_point,
    lens_laws.clock_set_point,
    request_laws.requests,
    request_laws.pull_forward,
    request_laws.lowered,
    request_laws.backlog,
    left_out_laws.left_out,
    request_laws.service,
    latency_laws.latency,
    fleet_laws.compute_power,
    site_laws.balance,
    site_laws.mechanisms,
    site_laws.target,
    site_laws.shortfall,
    site_laws.shortfall_intervals,
    site_laws.export_limit,
    site_laws.handoff,
    site_laws.battery_power,
    site_laws.battery_direction,
    site_laws.restoring,
    site_laws.alternation,
    site_laws.battery_energy,
    site_laws.energy_limits,
    margin_laws.margin,
    cost_laws.cost,
    cost_laws.objective,
    document_laws.bound,
    document_laws.status,
)
LAWS = tuple(law.__name__ for law in (*_DOCUMENT_LAWS, *_REPLAY_LAWS))
"""Names of the laws, in the order in which they are asked."""


def check_plan(problem: Problem, plan: Plan) -> CheckResult:
    """Hold a plan to every law of its problem.

    A plan with numbers that are not finite, or of another shape than its problem, is told so and
    nothing else: the other laws cannot be asked of it.
    """
    violations = [v for law in _DOCUMENT_LAWS for v in _named(law.__name__, law(problem, plan))]
    askable = not {"finite", "shape"} & {v.law for v in violations}
    if askable:
        # what is not a number on the way (a negative load in a power law) breaks its law below
        with np.errstate(all="ignore"):
            evidence = Evidence.of(problem, plan)
            replayed = replay(evidence)
            for law in _REPLAY_LAWS:
                violations += _named(law.__name__, law(evidence, replayed))
    return CheckResult(ok=not violations, violations=tuple(violations))


def _named(law: str, findings: list[Finding]) -> list[Violation]:
    return [
        Violation(law=law, at_s=f.at_s, amount=f.amount, allowed=f.allowed, message=f.message)
        for f in findings
    ]
