"""One problem on its way up the ladder: what the solver finds becomes checked plans.

The best is in hand at every instant. A solver that dies, is silent, or answers no numbers costs its
rungs and leaves a warning with the saved problem.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import numpy as np

from ebplan.document import write_atomically
from ebplan.errors import InputError, NoPlanError
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import Answer, Plan, PlanStatus, PlanWarning, Rung, WarningKind, money_gap
from ebplan.planner.deadline import Deadline, Finishing
from ebplan.planner.one_shot import checked
from ebplan.problem import Problem
from ebplan.solvers.decompose import ByPools, by_pools_of
from ebplan.solvers.extract import extract_plan
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.meaning import integers_of
from ebplan.solvers.program import FloatArray
from ebplan.solvers.search import SAME_MONEY, gap_of, objective, peaks_to_watch, settle
from ebplan.solvers.session import Listening, Session, SolverLost
from ebplan.solvers.structure import structure_key
from ebplan.solvers.worker import Done, Job, Point

log = logging.getLogger("ebplan.planner")
log.addHandler(logging.NullHandler())  # who uses the package says where warnings go

InHand = Callable[[Formulation], Plan | None]

AT_ONCE_POOLS = 30
"""Up to so many pools are planned at once; more of them by pools (docs/size.md)."""
MOST_ROUNDS = 4
"""Rounds of watching further instants; each closes in on a peak, two are usual."""
MOST_LOST = 1
"""Times a problem is handed to another process after one has died under it."""
WORK_MOVES, WORK_CHECKS = 200, 60
"""Limits of work: linear programs of the local search, and times the search asks to go on."""
STALLED_S = 600.0
"""Where work is counted, a solver that is silent for so long is given up."""
KEPT_PROBLEMS = 50
"""Saved problems that are kept in a folder."""
BOUND_ROUNDING = 1e-5
"""A bound above a point by more than this share of it is none; solvers round."""


class Climb:
    """One problem on its way up the ladder."""

    def __init__(
        self,
        problem: Problem,
        formulation: Formulation,
        deadline: Deadline,
        *,
        session: Session | None = None,
        finishing: Finishing | None = None,
        problems_to: Path | None = None,
        on_better: Callable[[Plan], None] | None = None,
    ) -> None:
        """Begin at the foot.

        Args:
            problem: what to plan.
            formulation: of it.
            deadline: how long it may take.
            session: solver processes; None climbs without a solver.
            finishing: what is known of how long a plan takes to finish; learns.
            problems_to: folder for problems that a solver failed on; None saves none.
            on_better: told of each checked plan that betters the one in hand.
        """
        self.problem, self.deadline = problem, deadline
        self.session, self.problems_to = session, problems_to
        self.finishing = finishing or Finishing()
        self.on_better = on_better
        self.formulation = formulation
        self.key = structure_key(formulation.program)
        self.best: Plan | None = None
        self.bound: float | None = None
        self.structure: tuple[str, ...] = ()
        self.warnings: list[PlanWarning] = []
        self.listening: Listening | None = None
        self.lost = 0
        """Solver processes that died under it."""

    # --- rungs ------------------------------------------------------------------------------

    def without_solver(self, rung: Rung, make: InHand) -> bool:
        """Put a plan in hand that takes no solver; tell whether there is one."""
        began = monotonic()
        plan = make(self.formulation)
        if plan is None:
            return False
        try:
            plan = checked(self.problem, plan)
        except NoPlanError as error:
            if rung == "merit_order":
                self.warn("check_failed", f"{rung}: {error}")
            return False
        self.finishing.took(monotonic() - began, self.formulation.program.n_columns)
        self.take(plan, Answer(rung=rung))
        return True

    def submit(self, formulation: Formulation, *, patient: bool = True) -> bool:
        """Hand a formulation to the solver; tell whether one listens to it now.

        Args:
            formulation: of the problem.
            patient: whether to wait for a process that is free, as long as there is time.
        """
        self.listening = None
        session = self.session
        if session is None:
            return False
        plans = 1 if self.best else 2
        takes_s = plans * self.finishing.usual_s(formulation.program.n_columns)
        spare_s = self.deadline.left_s() - takes_s
        if spare_s < 0.0:
            # no time to make a plan of what it finds: it would only be in the way
            if patient:
                self.note(
                    "no_time", f"the solver was not asked: a plan takes {1e3 * takes_s:.0f} ms"
                )
            return False
        self.listening = session.submit(self._job(formulation))
        until = monotonic() + min(spare_s, STALLED_S)
        while patient and self.listening is None and self.deadline.left_s() > takes_s:
            if monotonic() >= until:
                break
            if session.wait_ready(POLL_S):
                self.listening = session.submit(self._job(formulation))
        if patient and self.listening is None:
            self.warn("solver_silent", "no solver process was free in time")
        return self.listening is not None

    def _job(self, formulation: Formulation) -> Job:
        left_s = self.deadline.left_s() - self.reserve_s(formulation)
        work = self.deadline.clock == "work"
        same = formulation is self.formulation
        return Job(
            number=0,
            key=self.key if same else structure_key(formulation.program),
            program=formulation.program,
            integers=integers_of(self.problem, formulation),
            seconds=None if work or not np.isfinite(left_s) else max(left_s, 0.001),
            moves=WORK_MOVES if work else None,
            checks=WORK_CHECKS if work else None,
            by_pools=self.by_pools_for(self.problem, formulation),
            name=self.problem.digest(),
            # a basis is named by its problem alone: none is kept of a round that watched instants
            cold=work or bool(formulation.instants_s),
        )

    def let_go(self) -> None:
        """Stop what nobody waits for any more, and have lost processes replaced."""
        if self.listening is not None:
            self.listening.cancel()
        if self.session is not None:
            self.session.mend_aside()

    @staticmethod
    def by_pools_for(problem: Problem, formulation: Formulation) -> ByPools | None:
        """Tell many pools apart; a target followed both ways is planned at once."""
        names = [pool.name for pool in problem.pools]
        many = len(names) > AT_ONCE_POOLS and not problem.tracks
        return by_pools_of(formulation, names) if many else None

    def listen(self) -> None:
        """Turn what the solver finds into checked plans until the time has come."""
        formulation, watched = self.formulation, list[float]()
        for _ in range(MOST_ROUNDS + MOST_LOST):
            if self.listening is None:
                return
            lost = self.lost
            last = self._one_round(self.listening, formulation)
            if self.lost > lost:
                # another process stands by: once more, but not with what kills each
                if self.lost > MOST_LOST or not self.submit(formulation):
                    return
                continue
            self.listening.cancel()
            if last is None or self.deadline.left_s() < 3.0 * self.reserve_s(formulation):
                return
            more = peaks_to_watch(self.problem, formulation, last.x)
            if not more:
                return
            watched += more
            formulation = formulate(self.problem, instants_s=watched)
            self.submit(formulation)

    def _one_round(self, listening: Listening, formulation: Formulation) -> Point | None:
        """Follow one job; return the last point that became a plan."""
        used: Point | None = None
        waiting: Point | None = None
        proven = False
        for message in self._messages(listening, formulation):
            self.raise_bound(message.bound)
            if isinstance(message, Done):
                proven = message.proven
                if message.error is not None:
                    self.warn("numerical", message.error)
                break
            if message.rung == "relaxed":
                continue
            # The first point becomes a plan at once; of later ones the last that comes in time.
            if used is None and self.deadline.until is not None:
                used = message if self.use(message, formulation) else None
            else:
                waiting = message
        if waiting is not None and self.use(waiting, formulation, proven=proven):
            return waiting
        if used is None and not self.warnings:
            self.note("no_time", "the solver found nothing in the time that was left to it")
        return used

    def _messages(self, listening: Listening, formulation: Formulation) -> Iterator[Point | Done]:
        """Yield messages as long as there is time left to make a plan of one."""
        while True:
            left_s = self.deadline.left_s() - self.reserve_s(formulation)
            if left_s <= 0.0:
                return
            wait_s = min(left_s, STALLED_S if self.deadline.cancelled is None else POLL_S)
            try:
                message = listening.next(wait_s)
            except SolverLost as lost:
                session = self.session
                if session is None or not session.closed:
                    self.lost += 1
                    self.warn("solver_lost", str(lost))
                return
            if message is not None:
                yield message
                if isinstance(message, Done):
                    return
            elif wait_s == STALLED_S:
                self.warn("solver_silent", f"the solver said nothing for {STALLED_S:g} s")
                return

    # --- plans ------------------------------------------------------------------------------

    def use(self, point: Point, formulation: Formulation, *, proven: bool = False) -> bool:
        """Make a point a checked plan, and keep it if it is better; tell whether it was sound."""
        if not (np.isfinite(point.x).all() and point.x.shape == (formulation.program.n_columns,)):
            self.warn("not_finite", f"the solver's {point.rung} point is no plan")
            return False
        try:
            return self._use(point, formulation, proven=proven)
        except (ArithmeticError, ValueError) as error:  # finite, and yet no powers and counts
            told = str(error).splitlines()[0]
            self.warn("not_finite", f"the solver's {point.rung} point is no plan: {told}")
            return False

    def _use(self, point: Point, formulation: Formulation, *, proven: bool) -> bool:
        began = monotonic()
        x = settle(self.problem, formulation, point.x)
        if self.best is not None and not proven:
            known = self.best.objective
            if objective(formulation, x) >= known - SAME_MONEY * max(abs(known), 1.0):
                return True  # sound, and no better than what is in hand
        rung: Rung = "exact" if point.rung == "exact" else "rounded"
        status: PlanStatus = "gap" if rung == "exact" else "rounded"
        bound = self._bound_for(formulation, x)
        gap = gap_of(formulation, x, bound)
        if status == "gap" and gap is None:
            status = "rounded"
        if rung == "exact" and gap is not None and gap <= OPTIMAL_GAP:
            status = "optimal"
        plan = extract_plan(self.problem, formulation, x, status=status, bound=bound, gap=gap)
        if plan.bound is not None and plan.bound > plan.objective:  # by rounding of small causes
            plan = plan.model_copy(update={"bound": plan.objective})
        try:
            plan = checked(self.problem, plan)
        except NoPlanError as error:
            self.warn("check_failed", f"{rung} point: {error}")
            return False
        self.finishing.took(monotonic() - began, formulation.program.n_columns)
        watched_s = formulation.instants_s
        answer = Answer(
            rung=rung,
            index=point.index,
            watched_s=watched_s,
            hot_from=point.hot_from,
            work=point.work,
        )
        self.take(plan, answer)
        return True

    def _bound_for(self, formulation: Formulation, x: FloatArray) -> float | None:
        """Return the bound, where it is one: no point lies below it by more than rounding."""
        if self.bound is None:
            return None
        found = objective(formulation, x)
        self._drop_nonsense(found)
        return None if self.bound is None else min(self.bound, found)

    def _drop_nonsense(self, found: float) -> None:
        """Forget a bound that lies above what was found."""
        bound = self.bound
        if bound is not None and bound - found > BOUND_ROUNDING * max(abs(found), 1.0):
            self.warn("numerical", f"the solver's bound {bound:g} lies above a plan of {found:g}")
            self.bound = None

    @staticmethod
    def _rank(plan: Plan) -> int:
        return 0 if plan.answer is None else _RANKS.get(plan.answer.rung, 0)

    def take(self, plan: Plan, answer: Answer) -> None:
        """Keep a checked plan if it is the best so far, or as good and better proven."""
        known = self.best
        if known is not None:
            cheaper = plan.objective < known.objective - SAME_MONEY * max(abs(known.objective), 1.0)
            same = plan.objective <= known.objective + SAME_MONEY * max(abs(known.objective), 1.0)
            if not cheaper and not (same and _RANKS[answer.rung] >= self._rank(known)):
                return
        self.best = plan.model_copy(update={"answer": answer})
        if self.on_better is not None:
            self.on_better(self.best)

    def raise_bound(self, bound: float | None) -> None:
        """Take note of what is proven."""
        if bound is not None and np.isfinite(bound):
            self.bound = bound if self.bound is None else max(self.bound, bound)

    def reserve_s(self, formulation: Formulation) -> float:
        """Return the time that one more plan takes."""
        return self.finishing.seconds(formulation.program.n_columns)

    def note(self, kind: WarningKind, message: str, saved: str | None = None) -> None:
        """Note what the caller should know of how the plan came about."""
        self.warnings.append(PlanWarning(kind=kind, message=message, problem_file=saved))

    def warn(self, kind: WarningKind, message: str) -> None:
        """Note that something went wrong, and save the problem."""
        saved: str | None = None
        if (folder := self.problems_to) is not None:
            file = folder / f"ebplan-problem-{self.problem.digest()[:12]}.json"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(file, self.problem.to_json())
                saved = str(file)
                _keep_newest(folder)
            except (OSError, InputError) as error:
                message += f" (its problem could not be saved: {error})"
        log.warning("%s: %s (problem: %s)", kind, message, saved)
        self.note(kind, message, saved)

    def result(self) -> Plan:
        """Return the best plan with how it came about.

        Raises:
            NoPlanError: there is none.
        """
        plan = self.best
        if plan is None or plan.answer is None:
            raise NoPlanError("no plan passed the check, the merit order's neither")
        self._drop_nonsense(plan.objective)
        bound = self.bound
        if bound is not None and (plan.bound is None or bound > plan.bound):
            # what was proven after this plan was made is proven of it as well
            bound = min(bound, plan.objective)
            gap = money_gap(plan.objective, bound, plan.cost)
            status = plan.status
            if plan.answer.rung == "exact":
                status = "optimal" if gap <= OPTIMAL_GAP else "gap"
            plan = plan.model_copy(update={"bound": bound, "gap": gap, "status": status})
        work = self.deadline.clock == "work"
        assert plan.answer is not None
        answer = plan.answer.model_copy(
            update={
                "clock": self.deadline.clock,
                "deadline_s": self.deadline.seconds,
                "took_s": None if work else monotonic() - self.deadline.began,
                "structure": () if work else self.structure,
                "warnings": tuple(self.warnings),
            }
        )
        explanation = (_SENTENCES[answer.rung], *self.problem.caveats)
        return plan.model_copy(update={"answer": answer, "explanation": explanation})


_RANKS: dict[str, int] = {"carried": 0, "merit_order": 0, "armed": 0, "rounded": 1, "exact": 2}
POLL_S = 0.02
"""How often a cancelled call is looked for."""
_SENTENCES: dict[str, str] = {
    "exact": "The search for the optimum answered.",
    "rounded": "Whole numbers from the linear relaxation answered; its optimum is the bound.",
    "merit_order": "The escalation rule answered: least impact first, not optimised.",
    "carried": "The plan that was being followed answered, under the measured state.",
    "armed": "A plan computed in advance answered.",
}


def _keep_newest(folder: Path) -> None:
    """Leave the newest of the saved problems."""
    saved = sorted(folder.glob("ebplan-problem-*.json"), key=lambda file: file.stat().st_mtime)
    for file in saved[:-KEPT_PROBLEMS]:
        file.unlink(missing_ok=True)
