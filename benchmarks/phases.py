"""How it is measured: one whole re-plan, phase by phase, and the yardstick beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from benchmarks.reference import TIME_LIMIT_S, Run, root_gap, run_highs
from benchmarks.registry import HEAVY_REPEATS, Subject
from ebplan.case import Case
from ebplan.checker import check_plan
from ebplan.optimality import OPTIMAL_GAP
from ebplan.plan import CheckResult
from ebplan.planner.one_shot import MOST_ROUNDS
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.explain import explain
from ebplan.solvers.extract import extract_plan
from ebplan.solvers.formulation import formulate
from ebplan.solvers.highs import Solution
from ebplan.solvers.program import Program
from ebplan.solvers.search import gap_of, objective, peaks_to_watch, settle

PHASES = ("pose", "build", "solve", "watch", "extract", "check")
"""The phases of a re-plan, in order. Watch works the solution out again and looks for peaks inside
a step, after which the planner may build and solve again; extract includes the explanation with
its LP for the next kW."""
OUTSIDE_SOLVER = tuple(phase for phase in PHASES if phase != "solve")


@dataclass(frozen=True)
class Replan:
    """One re-plan, measured."""

    seconds: dict[str, float]
    """By phase, over all rounds."""
    references: tuple[Run, ...]
    """HiGHS with its own options on the same arrays, right after each round."""
    problem: Problem
    program: Program
    solution: Solution
    gap: float | None
    """What is not proven, as a share of the money."""
    verdict: CheckResult
    """What the checker says of the plan."""


@dataclass(frozen=True)
class Measurement:
    """Several re-plans of one subject."""

    subject: Subject
    replans: tuple[Replan, ...]
    root_gap: float
    """Distance of the LP relaxation below the plan, as a share of its objective."""

    def seconds(self, *phases: str) -> list[float]:
        """Return the time of the phases together, by repeat."""
        return [sum(r.seconds[phase] for phase in phases) for r in self.replans]

    def reference_seconds(self) -> list[float]:
        """Return the time of the yardstick, by repeat."""
        return [sum(run.seconds for run in replan.references) for replan in self.replans]

    def solver_ratio(self) -> float:
        """Return median solve time over the median of the yardstick."""
        return float(np.median(self.seconds("solve")) / np.median(self.reference_seconds()))


def replan(case: Case) -> Replan:
    """Plan a case once with the steps of the planner, and measure each phase."""
    seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        began = perf_counter()
        yield
        seconds[name] += perf_counter() - began

    with phase("pose"):
        problem = pose(case.event, case.site, case.state)
    watched: list[float] = []
    references = []
    for _ in range(MOST_ROUNDS):
        with phase("build"):
            formulation = formulate(problem, instants_s=watched)
        with phase("solve"):
            solution = highs.solve(formulation.program, time_limit_s=TIME_LIMIT_S)
        references.append(run_highs(formulation.program, {}))
        with phase("watch"):
            x = settle(problem, formulation, solution.x)
            more = peaks_to_watch(problem, formulation, solution.x)
        if not more:
            break
        watched += more
    gap = gap_of(formulation, x, solution.bound)
    with phase("extract"):
        plan = extract_plan(
            problem,
            formulation,
            x,
            status="optimal" if gap is not None and gap <= OPTIMAL_GAP else "gap",
            bound=None
            if solution.bound is None
            else min(solution.bound, objective(formulation, x)),
            gap=gap,
        )
        explain(problem, plan, formulation, x)
    with phase("check"):
        verdict = check_plan(problem, plan)
    return Replan(
        seconds=seconds,
        references=tuple(references),
        problem=problem,
        program=formulation.program,
        solution=solution,
        gap=gap,
        verdict=verdict,
    )


def measure(subject: Subject, repeats: int) -> Measurement:
    """Plan a subject several times; the yardstick runs after each, under the same load."""
    case = subject.build()
    times = min(repeats, HEAVY_REPEATS) if subject.heavy else repeats
    replans = tuple(replan(case) for _ in range(times))
    first = replans[0]
    gap = root_gap(first.program, first.solution.objective)
    return Measurement(subject=subject, replans=replans, root_gap=gap)
