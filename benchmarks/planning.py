"""What planning is to reach, and what it reaches: ``python -m benchmarks.planning --help``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import click
import numpy as np

import benchmarks.subjects  # noqa: F401  (fills the registry)
from benchmarks import closed_loop, size
from benchmarks.machine import describe_machine
from benchmarks.processes import COMMANDS, measure_process
from benchmarks.reference import Run, run_highs
from benchmarks.registry import SUBJECTS
from benchmarks.tables import table
from benchmarks.variants import variants
from ebplan.case import Case
from ebplan.checker import check_plan
from ebplan.document import write_atomically
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.planner.deadline import Deadline
from ebplan.planner.ladder import Ladder
from ebplan.pose import pose
from ebplan.solvers.extract import extract_plan
from ebplan.solvers.formulation import formulate
from ebplan.solvers.meaning import integers_of
from ebplan.solvers.merit_order import merit_order
from ebplan.solvers.search import settle
from ebplan.solvers.session import Session
from ebplan.solvers.structure import structure_key

HEAD = """\
# Planning: what it is to reach

Written by `python -m benchmarks.planning --write docs/planning.md`; do not edit.

A cell is the median / the 90th percentile of n plans, wall time, each of another case: loads,
states of charge and depths differ. One plan is a whole re-plan with solver processes that stand by:
pose, build, solve, extract, check. Exact is a search that ended at its gap, as a share of the
objective; a certified gap is a share of the money, to the relaxation's bound. **HiGHS defaults**
gets the same arrays right after each plan, with threads and gap alone set, and at most 20 s. Growth
is of whole plans by pools of 100 instances. Costs are shares of the objective, over the best that
is known of the case: small where the event costs much, large where the money nearly cancels.
"""

EXACT_GAP = 1e-3
TIMELY_S = {"4": 0.02, "64": 0.02, "1,000": 0.2}
"""Deadlines by the number of instances."""


@dataclass(frozen=True)
class Planned:
    """One case, planned once to the end."""

    first_s: float
    """Until the first checked plan with a certified gap."""
    done_s: float
    """Until the search had ended."""
    last: Plan
    timely: Plan
    """What is returned at the deadline that size has."""
    outside_s: float
    """What a re-plan takes outside the solver."""
    highs: Run

    @property
    def best(self) -> float:
        """Return the best objective that is known."""
        return min(self.last.objective, self.highs.objective)

    @property
    def apart(self) -> float:
        """Return how far the search ended from its bound, as a share of the objective."""
        if self.last.bound is None:
            return np.inf
        return (self.last.objective - self.last.bound) / abs(self.last.objective)

    def over(self, plan: Plan) -> float:
        """Return the cost of a plan over the best known, as a share."""
        return (plan.objective - self.best) / abs(self.best)


@dataclass(frozen=True)
class Row:
    """One number to reach."""

    what: str
    case: str
    n: int
    goal: str
    measured: str
    reached: bool
    highs: str = ""


def plan_all(cases: Sequence[Case], *, timely_s: float, limit_s: float) -> list[Planned]:
    """Plan cases one after the other, and hand each to HiGHS as well.

    Args:
        cases: one after the other.
        timely_s: deadline of the plan whose cost is told.
        limit_s: the search ends at its gap, or then.
    """
    session = Session()
    try:
        session.wait_ready(count=2)
        ladder = Ladder(session, problems_to=None)
        plan_one(ladder, cases[-1], timely_s, limit_s)  # first touches are not counted
        return [plan_one(ladder, case, timely_s, limit_s) for case in cases]
    finally:
        session.close()


def plan_one(ladder: Ladder, case: Case, timely_s: float, limit_s: float) -> Planned:
    """Plan one case to the end of its search, and once by a deadline."""
    found: list[tuple[float, Plan]] = []
    began = perf_counter()
    problem = pose(case.event, case.site, case.state)
    last = ladder.answer(
        problem,
        Deadline(limit_s),
        on_better=lambda plan: found.append((perf_counter() - began, plan)),
    )
    done_s = perf_counter() - began
    first_s = next((s for s, plan in found if plan.gap is not None), done_s)
    timely = ladder.answer(problem, Deadline(timely_s))
    program = formulate(problem).program
    return Planned(first_s, done_s, last, timely, outside(case), run_highs(program, {}))


def outside(case: Case) -> float:
    """Return the seconds of everything in a re-plan but the solver and the rule in hand."""
    began = perf_counter()
    problem = pose(case.event, case.site, case.state)
    formulation = formulate(problem)
    structure_key(formulation.program)
    integers_of(problem, formulation)
    before_s = perf_counter() - began
    x = merit_order(problem, formulation)  # any point will do
    began = perf_counter()
    settled = settle(problem, formulation, x)
    plan = extract_plan(problem, formulation, settled, status="merit_order", bound=None, gap=None)
    check_plan(problem, plan)
    return before_s + perf_counter() - began


def search_rows(instances: str, subject: str, planned: Sequence[Planned]) -> Iterator[Row]:
    """Yield what is to be reached with and without the search, for one size and event."""
    large = instances == "1,000"
    exact_s = [p.done_s for p in planned]
    proven = all(p.apart <= EXACT_GAP for p in planned)
    limits_s = (5.0, np.inf) if large else (0.1, 0.25)
    highs = _ms([p.highs.seconds for p in planned])
    unproven = sum(not p.highs.proven for p in planned)
    yield Row(
        "exact to 0.1 %" + ("" if proven else ", NOT PROVEN"),
        subject,
        len(planned),
        "<= 5,000 ms" if large else "<= 100 / 250 ms",
        _ms(exact_s),
        proven and _within(exact_s, *limits_s),
        highs + (f" ({unproven} of {len(planned)} not proven)" if unproven else ""),
    )
    first_s = [p.first_s for p in planned]
    limit_s = 0.2 if large else 0.015
    yield Row(
        "first checked plan with certified gap",
        subject,
        len(planned),
        f"<= {1000.0 * limit_s:g} ms",
        _ms(first_s),
        _within(first_s, limit_s),
    )
    if instances != "4":
        gaps = [p.timely.gap for p in planned if p.timely.gap is not None]
        over = [p.over(p.timely) for p in planned]
        allowed = 0.003 if large else 0.005
        yield Row(
            f"cost by {1000.0 * TIMELY_S[instances]:g} ms over the best known (certified gap)",
            subject,
            len(planned),
            f"<= {allowed:.1%}",
            f"{_percent(over)} ({_percent(gaps)})",
            float(np.median(over)) <= allowed,
        )
    outside_s = [p.outside_s for p in planned]
    limit_s = 0.025 if large else 0.005
    yield Row(
        "outside the solver, per re-plan",
        subject,
        len(planned),
        f"<= {1000.0 * limit_s:g} ms",
        _ms(outside_s),
        _within(outside_s, limit_s),
    )


def growth_rows(repeats: int) -> Iterator[Row]:
    """Yield how the time of a plan grows with the number of pools."""
    for family in ("alike", "3 h"):
        sized = [size.in_process(family, pools, 100, repeats, 0.0) for pools in (1, 3, 10, 30, 100)]
        for least, most, goal in ((1, 10, 1.2), (10, 100, 1.3)):
            slope = size.exponent(sized, "plan", least, most)
            assert slope is not None
            yield Row(
                f"growth from {least} to {most} pools, by pools",
                family,
                repeats,
                f"exponent <= {goal}",
                f"{slope:.2f}",
                slope <= goal,
            )
        peak_mib = max(s.memory_mib for s in sized)
        yield Row(
            "largest case: peak memory of the process",
            f"{family}, 10,000 instances",
            repeats,
            "<= 2,048 MiB",
            f"{peak_mib:,.0f} MiB",
            peak_mib <= 2048.0,
        )


def armed_rows(times: int = 1000) -> Iterator[Row]:
    """Yield how long an armed plan takes to be found, and to be followed."""
    case = SUBJECTS["5 min, 64"].build()
    event = case.event.model_copy(update={"start": case.state.at})
    with Planner(case.site) as planner:
        planner.arm([event], case.state).result()

        def looks_up() -> None:
            if planner.armed_for(event, case.state) is None:
                raise RuntimeError("the plan is not armed")

        calls: dict[str, Callable[[], object]] = {
            "armed: validity test and look-up": looks_up,
            "armed: `activate`, to the plan that is followed": lambda: planner.activate(
                event, case.state
            ),
        }
        for what, call in calls.items():
            seconds = []
            for _ in range(times):
                began = perf_counter()
                call()
                seconds.append(perf_counter() - began)
            micro = np.quantile(np.array(seconds) * 1e6, [0.5, 0.9])
            measured = " / ".join(f"{value:,.0f}" for value in micro) + " µs"
            yield Row(what, "5 min, 64", times, "<= 100 µs", measured, bool(micro[0] <= 100.0))


def process_rows(repeats: int) -> Iterator[Row]:
    """Yield what a person at a prompt waits for."""
    limits_s = {"--help": 0.25, "solve": 1.2}
    for command, arguments in COMMANDS.items():
        limit_s = next((s for word, s in limits_s.items() if word in arguments), None)
        if limit_s is not None:
            seconds = measure_process(arguments, repeats)
            goal = f"<= {1000.0 * limit_s:,.0f} ms"
            reached = _within(seconds, limit_s)
            yield Row("whole process", f"`{command}`", repeats, goal, _ms(seconds), reached)


def loop_rows(hours: float) -> Iterator[Row]:
    """Yield how fast a closed loop runs."""
    run = closed_loop.measure(4, hours=hours, seed=1)[0]
    for kind, goal in (("idle", 1000.0), ("event", 50.0)):
        took_s = run.planning_s[kind] + run.plant_s[kind]
        speed = run.cycles[kind] / took_s
        what = f"closed loop on the fluid plant, {kind} cycles"
        yield Row(
            what,
            "4 instances",
            run.cycles[kind],
            f">= {goal:,.0f} x real time",
            f"{speed:,.0f} x",
            speed >= goal,
        )


def _within(seconds: Sequence[float], median_s: float, p90_s: float = np.inf) -> bool:
    middle, high = np.quantile(seconds, [0.5, 0.9])
    return bool(middle <= median_s and high <= p90_s)


def _ms(seconds: Sequence[float]) -> str:
    values = np.quantile(np.array(seconds) * 1000.0, [0.5, 0.9])
    return " / ".join(f"{v:.1f}" if v < 10.0 else f"{v:,.0f}" for v in values) + " ms"


def _percent(shares: Sequence[float]) -> str:
    if not shares:
        return "no bound"
    return " / ".join(f"{value:.2%}" for value in np.quantile(shares, [0.5, 0.9]))


SUBJECTS_OF = {
    "4": ("5 min, 4", "4 h, 4"),
    "64": ("5 min, 64", "4 h, 64"),
    "1,000": ("5 min, 10 x 100", "4 h, 10 x 100"),
}
"""Subjects by the number of instances."""


def all_rows(*, plans: int, heavy_plans: int, limit_s: float, hours: float) -> Iterator[Row]:
    """Yield all rows, telling what is being measured."""
    for instances, subjects in SUBJECTS_OF.items():
        for subject in subjects:
            click.echo(subject, file=sys.stderr)
            count = heavy_plans if instances == "1,000" else plans
            cases = variants(SUBJECTS[subject].build(), count)
            planned = plan_all(cases, timely_s=TIMELY_S[instances], limit_s=limit_s)
            yield from search_rows(instances, subject, planned)
    click.echo("growth, armed, processes, closed loop", file=sys.stderr)
    yield from growth_rows(3)
    yield from armed_rows()
    yield from process_rows(9)
    yield from loop_rows(hours)


def rows_table(rows: Sequence[Row]) -> list[str]:
    """Return the rows as a Markdown table."""
    head = ("what", "case", "n", "to reach", "measured", "reached", "HiGHS defaults")
    return table(
        head,
        [
            (r.what, r.case, f"{r.n:,}", r.goal, r.measured, "yes" if r.reached else "NO", r.highs)
            for r in rows
        ],
    )


@click.command()
@click.option("--plans", type=click.IntRange(min=2), default=20, show_default=True)
@click.option("--heavy-plans", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--limit", type=click.FloatRange(min=0.1), default=60.0, show_default=True)
@click.option("--hours", type=click.FloatRange(min=2.0), default=4.0, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
def main(plans: int, heavy_plans: int, limit: float, hours: float, write: Path | None) -> None:
    """Print what planning is to reach, and what it reaches."""
    rows = list(all_rows(plans=plans, heavy_plans=heavy_plans, limit_s=limit, hours=hours))
    missed = sum(not row.reached for row in rows)
    told = f"{len(rows) - missed} of {len(rows)} reached."
    if write is None:
        click.echo("\n".join([*rows_table(rows), "", told]))
    else:
        page = [HEAD, *describe_machine(), "", *rows_table(rows), "", told]
        write_atomically(write, "\n".join(page) + "\n")


if __name__ == "__main__":
    main()
