"""The planner: events and states in, checked plans out, by a deadline where one is given.

| module            | what it does                                                          |
|-------------------|-----------------------------------------------------------------------|
| ``planner``       | the public face: plan, replan, arm, activate                          |
| ``readings``      | which readings of a measured state are believed                       |
| ``followed``      | the plan that is being carried out, and what of it still holds        |
| ``expectation``   | what it expects to be measured, and how far that may be missed        |
| ``estimate``      | the load that no model explains                                       |
| ``counted``       | loads whose requests are counted, and whether they have changed       |
| ``change``        | whether a level has shifted, by readings whose noise is known         |
| ``standing``      | what is planned between events                                        |
| ``restoration``   | how the battery gets its charge back, below a limit                   |
| ``contingencies`` | what may happen, and where a plan made for it holds                   |
| ``arming``        | plans for it, computed in spare time and looked up                    |
| ``gate``          | spare work stands aside for what has a deadline                       |
| ``ladder``        | one problem by a deadline: carried, merit order, rounded, exact       |
| ``climb``         | it on its way up: points of the solver become checked plans           |
| ``deadline``      | how long a plan may take, and takes to finish                         |
| ``replay``        | a recorded answer, found again                                        |
| ``one_shot``      | one problem without a deadline, explained                             |
"""

from __future__ import annotations

from ebplan.planner.one_shot import Method, solve_problem
from ebplan.planner.planner import Planner
from ebplan.planner.restoration import Restoration, Restoring

__all__ = ["Method", "Planner", "Restoration", "Restoring", "solve_problem"]
