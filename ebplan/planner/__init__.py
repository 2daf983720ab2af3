"""The planner: events and states in, checked plans out, by a deadline where one is given.

| module         | what it does                                                             |
|----------------|--------------------------------------------------------------------------|
| ``planner``    | the public face: plan, replan, arm, activate                             |
| ``ladder``     | one problem by a deadline: carried, merit order, rounded, exact          |
| ``one_shot``   | one problem without a deadline, explained                                |
"""

from __future__ import annotations

from ebplan.planner.one_shot import Method, solve_problem
from ebplan.planner.planner import Planner

__all__ = ["Method", "Planner", "solve_problem"]
