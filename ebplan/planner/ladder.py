"""One problem by a deadline: the best checked plan at that instant, never an exception instead.

Rungs, each leaving a checked plan that a later one may better:

    carried       the plan that is being followed, under the measured state: no solver
    merit_order   the escalation rule: no solver
    rounded       whole numbers from the linear relaxation, whose optimum is the bound
    exact         the search, started from the best rounded point

The solver runs in another process (``solvers/session.py``). This one has a plan in hand before it
listens, makes each better point a checked plan as long as there is time to, and returns what it
has when the time has come. A solver that dies, is silent, or answers no numbers costs its rungs
and leaves a warning with the saved problem.

Two clocks: seconds, or work (linear programs tried, checks of the search), which gives the same
bytes on every machine of the same versions. Either way the plan tells which point of which rung
answered, so that ``replay`` finds it again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ebplan.plan import Plan
from ebplan.planner.climb import Climb, InHand
from ebplan.planner.deadline import Deadline, Finishing
from ebplan.planner.one_shot import merit_order_plan
from ebplan.problem import Problem
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.session import Session
from ebplan.solvers.structure import what_changed, why_changed


@dataclass
class Ladder:
    """Answers problems by deadlines; remembers what it needs to be fast."""

    session: Session | None
    """Solver processes; None answers without a solver."""
    problems_to: Path | None
    """Folder for the problems that a solver failed on; None saves none."""
    finishing: Finishing = field(default_factory=Finishing)
    _before: tuple[Problem, Formulation, str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(
        self,
        problem: Problem,
        deadline: Deadline,
        in_hand: InHand | None = None,
        on_better: Callable[[Plan], None] | None = None,
    ) -> Plan:
        """Return the best checked plan at the deadline.

        Args:
            problem: what to plan.
            deadline: how long it may take; with neither limit the search runs to its end.
            in_hand: makes a plan of this problem from one that is known, from its formulation;
                None where it cannot.
            on_better: told of each checked plan that betters the one in hand, the first included.

        Raises:
            NoPlanError: not even the escalation rule passed the check.
        """
        formulation = formulate(problem)
        climb = Climb(
            problem,
            formulation,
            deadline,
            session=self.session,
            finishing=self.finishing,
            problems_to=self.problems_to,
            on_better=on_better,
        )
        try:
            # the solver works while this process puts a plan in hand
            climb.submit(formulation, patient=False)
            climb.structure = self._structure(problem, formulation, climb.key)
            if in_hand is None or not climb.without_solver("carried", in_hand):
                climb.without_solver("merit_order", partial(merit_order_plan, problem))
            if climb.listening is None:
                climb.submit(formulation)
            climb.listen()
        finally:
            climb.let_go()
        return climb.result()

    def _structure(self, problem: Problem, formulation: Formulation, key: str) -> tuple[str, ...]:
        """Say what made the model a new one since the problem before."""
        with self._lock:
            before, self._before = self._before, (problem, formulation, key)
        if before is None or before[2] == key:
            return ()
        why = why_changed(before[0], problem)
        return why or what_changed(before[1].program, formulation.program)
