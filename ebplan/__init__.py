"""ebplan: the planning engine that turns an AI-inference site into a grid asset.

    from ebplan import Planner, load_case

    case = load_case("examples/under_frequency.json")
    plan = Planner(case.site).plan(case.event, case.state)

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebplan.case import Case, load_case, load_site
    from ebplan.checker import check_plan
    from ebplan.errors import EbplanError, InputError, NoPlanError
    from ebplan.event import Event
    from ebplan.plan import Plan
    from ebplan.planner import Planner, solve_problem
    from ebplan.problem import Problem
    from ebplan.site import Site
    from ebplan.state import State

__version__ = "0.1.0"

_HOME = {
    "Case": "case",
    "EbplanError": "errors",
    "Event": "event",
    "InputError": "errors",
    "NoPlanError": "errors",
    "Plan": "plan",
    "Planner": "planner.planner",
    "Problem": "problem",
    "Site": "site",
    "State": "state",
    "check_plan": "checker",
    "load_case": "case",
    "load_site": "case",
    "solve_problem": "planner.one_shot",
}

__all__ = [
    "Case",
    "EbplanError",
    "Event",
    "InputError",
    "NoPlanError",
    "Plan",
    "Planner",
    "Problem",
    "Site",
    "State",
    "check_plan",
    "load_case",
    "load_site",
    "solve_problem",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ebplan' has no attribute {name!r}")
    return getattr(import_module(f"ebplan.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
