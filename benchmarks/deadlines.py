"""Plans by deadlines, while solvers are killed: ``python -m benchmarks.deadlines --help``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import click
import numpy as np

import benchmarks.subjects  # noqa: F401  (fills the registry)
from benchmarks.machine import describe_machine
from benchmarks.registry import SUBJECTS
from benchmarks.tables import table
from benchmarks.variants import variants
from ebplan.case import Case
from ebplan.document import write_atomically
from ebplan.plan import Plan
from ebplan.planner import Planner, solve_problem
from ebplan.pose import pose

SIZES = {4: "5 min, 4", 64: "5 min, 64", 1000: "5 min, 10 x 100"}
"""Subjects by their number of instances."""
DEADLINES_S = (0.02, 0.05, 0.2, 1.0, 5.0)
KILLED = 0.05
"""Share of the calls under which a solver process is killed, at a random instant."""
VARIANTS = 20
"""Cases of one size; the calls go through them in turn."""
LONGEST_S = 30.0
"""Time given to what the others are compared with."""
ARMING_S = {64: 0.05}
"""Deadlines that are tried once more while plans are armed, by size."""
FEWEST = 50
"""Calls made in any case, however long they take."""
ALLOWED_MS = 10.0
"""Overrun that the p99 may have."""

HEAD = """\
# Plans by deadlines

Written by `python -m benchmarks.deadlines --write docs/deadlines.md --plot
docs/figures/deadlines.png`; do not edit.

`Planner.plan(event, state, deadline_s=...)`, called over and over with {variants} cases of each
size in turn: other loads, states of charge and depths of the 5 min event. Under {killed:.0%} of the
calls a solver process is killed at a random instant before the deadline. The **overrun** is the
wall time from the call to the return, less the deadline; the **cost** is the plan's objective over
the best that is known of its case, a plan that had {longest:g} s included. **Merit order** is the
rule that needs no solver: each planner falls back on it. `n` is 1,000, or what {limit:g} s allow.
Calls follow one another at once, except that after a kill the next waits until another process
stands by. `arming`: plans are computed in advance all the while, in the same interpreter.

![Cost against deadline](figures/deadlines.png)
"""


@dataclass
class Cell:
    """Calls of one size with one deadline."""

    instances: int
    deadline_s: float
    arming: bool = False
    """Whether plans are computed in advance all the while."""
    overruns_s: list[float] = field(default_factory=list)
    objectives: list[tuple[int, float]] = field(default_factory=list)
    """Case and objective."""
    gaps: list[float] = field(default_factory=list)
    """Certified gaps, where there is a bound."""
    rungs: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    checked: int = 0
    killed: int = 0

    @property
    def n(self) -> int:
        """Number of calls."""
        return len(self.overruns_s)

    def add(self, case: int, plan: Plan, overrun_s: float) -> None:
        """Note one call."""
        assert plan.answer is not None
        self.overruns_s.append(overrun_s)
        self.objectives.append((case, plan.objective))
        self.rungs[plan.answer.rung] += 1
        self.warnings.update(warning.kind for warning in plan.answer.warnings)
        self.checked += plan.check.ok
        if plan.gap is not None:
            self.gaps.append(plan.gap)

    def over(self, best: Sequence[float]) -> list[float]:
        """Return the cost over the best known, by call, as shares."""
        return [(value - best[i]) / abs(best[i]) for i, value in self.objectives]


@dataclass
class Sized:
    """All deadlines of one size, and what they are compared with."""

    instances: int
    cells: list[Cell]
    best: list[float]
    """Best objective that is known, by case."""
    rule: list[float]
    """Objective of the merit order, by case."""

    def rule_over(self) -> list[float]:
        """Return the cost of the merit order over the best known, by case."""
        return [(r - b) / abs(b) for r, b in zip(self.rule, self.best, strict=True)]


def measure(
    instances: int,
    deadlines_s: Sequence[float],
    *,
    calls: int,
    limit_s: float,
    seed: int = 0,
    cases: int = VARIANTS,
    longest_s: float = LONGEST_S,
) -> Sized:
    """Call a planner over and over with each deadline; then give each case a long time.

    Args:
        instances: one of ``SIZES``.
        deadlines_s: deadlines to keep.
        calls: calls per deadline.
        limit_s: no deadline is called longer than this, but at least ``FEWEST`` times.
        seed: of the cases and the kills.
        cases: how many cases there are.
        longest_s: time given to what the others are compared with.
    """
    varied = variants(SUBJECTS[SIZES[instances]].build(), cases, seed=seed)
    rng = np.random.default_rng(seed + 1)
    site = varied[0].site
    with tempfile.TemporaryDirectory() as saved, Planner(site, problems_to=Path(saved)) as p:
        p.start(wait_s=30.0, standby=True)
        for case in varied:  # first touches: imports, memory, how long a plan takes to finish
            p.plan(case.event, case.state, deadline_s=1.0)
        cells = [Cell(instances, d) for d in deadlines_s]
        if instances in ARMING_S:
            cells.append(Cell(instances, ARMING_S[instances], arming=True))
        for cell in cells:
            _call(p, varied, cell, calls, limit_s, rng)
        long = [p.plan(case.event, case.state, deadline_s=longest_s) for case in varied]
    best = [plan.objective for plan in long]
    for i, value in (found for cell in cells for found in cell.objectives):
        best[i] = min(best[i], value)
    problems = [pose(case.event, case.site, case.state) for case in varied]
    rule = [solve_problem(problem, method="merit_order").objective for problem in problems]
    return Sized(instances, cells, best, rule)


def _call(
    planner: Planner,
    varied: Sequence[Case],
    cell: Cell,
    calls: int,
    limit_s: float,
    rng: np.random.Generator,
) -> None:
    """Call a planner over and over, and note it in a cell."""
    until = monotonic() + limit_s
    deadline_s = cell.deadline_s
    spare: Future[int] | None = None
    for k in range(calls):
        if monotonic() >= until and k >= min(FEWEST, calls):
            break
        case = varied[k % len(varied)]
        if cell.arming and (spare is None or spare.done()):
            spare = planner.arm(state=case.state)
        killer = None
        if rng.random() < KILLED:
            cell.killed += 1
            killer = threading.Timer(float(rng.uniform(0.0, deadline_s)), _kill, (planner,))
            killer.start()
        began = monotonic()
        plan = planner.plan(case.event, case.state, deadline_s=deadline_s)
        cell.add(k % len(varied), plan, monotonic() - began - deadline_s)
        if killer is not None:
            killer.join()
            planner.start(wait_s=30.0, standby=True)
    if spare is not None:
        spare.result()


def _kill(planner: Planner) -> None:
    """Kill the solver process that is at work, or one that stands by."""
    with suppress(ProcessLookupError, IndexError):
        os.kill(planner.solver_pids()[0], signal.SIGKILL)


def deadlines_table(sized: Sequence[Sized]) -> list[str]:
    """Return overruns, rungs and cost as a Markdown table."""
    head = (
        "instances", "deadline", "n", "killed", "checked", "overrun p50 / p99 / max, ms", "kept",
        "rounded", "exact", "merit order", "cost over best p50 / p90", "certified gap p50",
    )  # fmt: skip
    rows = []
    for size in sized:
        for cell in size.cells:
            late = np.quantile(np.array(cell.overruns_s) * 1000.0, [0.5, 0.99, 1.0])
            over = np.quantile(cell.over(size.best), [0.5, 0.9])
            share = {rung: count / cell.n for rung, count in cell.rungs.items()}
            rows.append(
                (
                    f"{size.instances:,}",
                    f"{cell.deadline_s:g} s" + (", arming" if cell.arming else ""),
                    f"{cell.n:,}",
                    f"{cell.killed}",
                    f"{cell.checked / cell.n:.1%}",
                    " / ".join(f"{value:,.1f}" for value in late),
                    "yes" if late[1] <= ALLOWED_MS else "NO",
                    *(f"{share.get(rung, 0.0):.1%}" for rung in ("rounded", "exact")),
                    f"{share.get('merit_order', 0.0):.1%}",
                    " / ".join(f"{value:.2%}" for value in over),
                    f"{np.median(cell.gaps):.2%}" if cell.gaps else "",
                )
            )
        rule = np.quantile(size.rule_over(), [0.5, 0.9])
        over_rule = " / ".join(f"{value:.2%}" for value in rule)
        rows.append((f"{size.instances:,}", "merit order", *[""] * 8, over_rule, ""))
    return table(head, rows)


def warnings_lines(sized: Sequence[Sized]) -> list[str]:
    """Say what warnings came with the plans."""
    count: Counter[str] = Counter()
    for size in sized:
        for cell in size.cells:
            count.update(cell.warnings)
    killed = sum(cell.killed for size in sized for cell in size.cells)
    told = ", ".join(f"{n} x `{kind}`" for kind, n in sorted(count.items())) or "none"
    return [f"Solver processes killed: {killed}. Warnings with the plans: {told}."]


@click.command()
@click.option("--instances", type=click.Choice([str(n) for n in SIZES]), multiple=True)
@click.option("--deadline", "deadlines", type=click.FloatRange(min=0.001), multiple=True)
@click.option("--calls", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--limit", type=click.FloatRange(min=0.0), default=300.0, show_default=True)
@click.option("--longest", type=click.FloatRange(min=0.0), default=LONGEST_S, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw cost against deadline here.")
def main(
    instances: tuple[str, ...],
    deadlines: tuple[float, ...],
    calls: int,
    limit: float,
    longest: float,
    write: Path | None,
    plot: Path | None,
) -> None:
    """Print how deadlines are kept, by whom, and at what cost."""
    logging.getLogger("ebplan.planner").setLevel(logging.ERROR)  # kills are reported by number
    sized = []
    for count in [int(n) for n in instances] or list(SIZES):
        click.echo(f"{count} instances", file=sys.stderr)
        sized.append(
            measure(count, deadlines or DEADLINES_S, calls=calls, limit_s=limit, longest_s=longest)
        )
    head = HEAD.format(variants=VARIANTS, killed=KILLED, longest=longest, limit=limit)
    body = [*deadlines_table(sized), "", *warnings_lines(sized)]
    if plot is not None:
        from benchmarks.deadlines_figure import draw

        draw(sized, plot)
    if write is None:
        click.echo("\n".join(body))
    else:
        write_atomically(write, "\n".join([head, *describe_machine(), "", *body]) + "\n")


if __name__ == "__main__":
    main()
