"""How time, gap and memory grow: ``python -m benchmarks.size --write docs/size.md``.

Each case is planned by pools (``solvers/decompose.py``) and checked, and HiGHS gets the same
program whole, as it is and without its whole numbers; each runs in a process of its own, whose peak
memory is its own.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.mixed import mixed
from benchmarks.reference import run_highs
from benchmarks.scaling import scaled
from benchmarks.subjects import example
from benchmarks.tables import table
from ebplan.case import Case
from ebplan.checker import check_plan
from ebplan.document import write_atomically
from ebplan.errors import NoPlanError
from ebplan.optimality import OPTIMAL_GAP
from ebplan.pose import pose
from ebplan.solvers import highs
from ebplan.solvers.decompose import Decomposed, solve_by_pools
from ebplan.solvers.extract import extract_plan
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.program import Program
from ebplan.solvers.search import gap_of, objective, peaks_to_watch, settle

POOLS = (1, 3, 10, 30, 100)
INSTANCES = 100
WHOLE_LIMIT_S = 60.0
"""HiGHS gets so long for the whole program at once."""
MOST_ROUNDS = 10
"""Rounds of watching further instants, as in the planner."""
FEW_POOLS = 10
"""The first of the two exponents is fitted up to so many pools."""


HEAD = """\
# Planning at size

Written by `python -m benchmarks.size --write docs/size.md`; do not edit.

Pools of {instances} instances each. `by pools` is `ebplan/solvers/decompose.py`: prices of what the
pools share, answers of each pool to them, whole numbers from the answers; its gap is certified by
its own bound. `HiGHS LP` and `HiGHS MIP` are the same program handed over whole, without and with
its whole numbers, for at most {limit:g} s. Times are medians; each case runs in a process of its
own, whose peak memory is its own. Up to 30 pools the planner solves at once, beyond by pools.

- `alike`: the pool of `under_frequency` with other loads; `3 h`: that of `curtailment_3h`;
  `mixed`: both pools of `mixed_pools` in turn, with other loads, tiers and clock locks."""


@dataclass(frozen=True)
class Family:
    """Cases of one kind, by pools and instances in each."""

    name: str
    build: Callable[[int, int], Case]


def _alike(pools: int, instances: int) -> Case:
    return scaled(example("under_frequency"), instances=instances, pools=pools)


def _hours(pools: int, instances: int) -> Case:
    return scaled(example("curtailment_3h"), instances=instances, pools=pools)


def _differing(pools: int, instances: int) -> Case:
    return mixed(example("mixed_pools"), instances=instances, pools=pools)


FAMILIES = {
    family.name: family
    for family in (Family("alike", _alike), Family("3 h", _hours), Family("mixed", _differing))
}
"""``alike``: the pool of ``under_frequency`` with other loads; ``3 h``: that of ``curtailment_3h``;
``mixed``: both pools of ``mixed_pools`` in turn, with other loads, tiers and clock locks."""


@dataclass(frozen=True)
class Sized:
    """One case, planned by pools; times are medians over the repeats."""

    family: str
    pools: int
    instances: int
    """In each pool."""
    rows: int
    columns: int
    seconds: dict[str, float]
    """By step: pose, build, relaxation, whole, rest, after; ``solve`` and ``plan`` sum them up.
    ``whole_mip``: the program at once."""
    rounds: int
    tries: int
    gap: float
    """Certified, as a share of the money."""
    ok: bool
    """The checker's verdict."""
    memory_mib: float
    """Peak of the process until then."""
    objective: float
    relaxed: float
    """Lower bound of the linear relaxation by pools."""
    whole_lp: tuple[float, float]
    """Seconds and optimum of the relaxation at once."""
    whole_mip: tuple[float, float, float] | None
    """Seconds, objective and bound of the program at once; None where nothing was found."""


def measure(family: str, pools: int, instances: int, repeats: int, limit_s: float) -> Sized:
    """Plan one case several times, then let HiGHS solve it whole."""
    case = FAMILIES[family].build(pools, instances)
    runs = [_plan(case) for _ in range(repeats)]
    formulation, solution, gap, ok = runs[-1][1:]
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    program = formulation.program
    relaxed = run_highs(program, {"time_limit": limit_s}, relaxed=True)
    seconds = {step: float(np.median([run[0][step] for run in runs])) for step in runs[0][0]}
    whole_mip = _whole(program, limit_s) if limit_s > 0.0 else None
    seconds["whole_mip"] = np.nan if whole_mip is None else whole_mip[0]
    return Sized(
        family=family,
        pools=pools,
        instances=instances,
        rows=program.n_rows,
        columns=program.n_columns,
        seconds=seconds,
        rounds=solution.relaxation.rounds,
        tries=solution.tries,
        gap=gap,
        ok=ok,
        memory_mib=memory_mib,
        objective=solution.objective,
        relaxed=solution.relaxation.bound,
        whole_lp=(relaxed.seconds, relaxed.objective),
        whole_mip=whole_mip,
    )


def in_process(family: str, pools: int, instances: int, repeats: int, limit_s: float) -> Sized:
    """Measure one case in a process of its own."""
    # spawned: a forked process would begin with the peak of this one
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, family, pools, instances, repeats, limit_s).result()


def _plan(case: Case) -> tuple[dict[str, float], Formulation, Decomposed, float, bool]:
    """Plan a case by pools as the planner would, and check it."""
    seconds: dict[str, float] = {}
    began = perf_counter()

    def lap(step: str) -> None:
        nonlocal began
        now = perf_counter()
        seconds[step] = seconds.get(step, 0.0) + now - began
        began = now

    problem = pose(case.event, case.site, case.state)
    lap("pose")
    watched: list[float] = []
    names = [pool.name for pool in problem.pools]
    for _ in range(MOST_ROUNDS):
        formulation = formulate(problem, instants_s=watched)
        lap("build")
        solution = solve_by_pools(formulation, names)
        lap("solve")
        for step, taken in solution.seconds_of.items():
            seconds[step] = seconds.get(step, 0.0) + taken
        more = peaks_to_watch(problem, formulation, solution.x)
        lap("after")
        if not more:
            break
        watched += more
    x = settle(problem, formulation, solution.x)
    bound = solution.bound
    gap = gap_of(formulation, x, bound)
    assert bound is not None
    assert gap is not None
    plan = extract_plan(
        problem,
        formulation,
        x,
        status="optimal" if gap <= OPTIMAL_GAP else "gap",
        bound=min(bound, objective(formulation, x)),
        gap=gap,
    )
    ok = check_plan(problem, plan).ok
    lap("after")
    seconds["plan"] = sum(seconds[step] for step in ("pose", "build", "solve", "after"))
    return seconds, formulation, solution, gap, ok


def _whole(program: Program, limit_s: float) -> tuple[float, float, float] | None:
    began = perf_counter()
    try:
        solution = highs.solve(program, time_limit_s=limit_s)
    except NoPlanError:
        return None
    bound = -np.inf if solution.bound is None else solution.bound
    return perf_counter() - began, solution.objective, bound


def exponent(measured: Sequence[Sized], step: str, least: int, most: int) -> float | None:
    """Return the slope of log time over log pools from ``least`` to ``most`` pools.

    None where fewer than two sizes were measured.
    """
    points = [(m.pools, m.seconds[step]) for m in measured if least <= m.pools <= most]
    points = [(pools, seconds) for pools, seconds in points if np.isfinite(seconds)]
    if len({pools for pools, _ in points}) < 2:
        return None
    pools, seconds = np.log(np.array(points)).T
    return float(np.polyfit(pools, seconds, 1)[0])


def sizes_table(measured: Sequence[Sized]) -> list[str]:
    """Return time, gap and memory of each case as a Markdown table."""
    head = (
        "case", "pools x instances", "rows", "build", "HiGHS LP", "HiGHS MIP", "by pools: LP",
        "rounds", "whole numbers", "rest", "tries", "all", "gap", "above HiGHS MIP", "checked",
        "whole plan", "peak MiB",
    )  # fmt: skip
    return table(head, [_row(m) for m in measured])


def _row(m: Sized) -> tuple[str, ...]:
    found, above = "none", ""
    if m.whole_mip is not None:
        seconds, cost, bound = m.whole_mip
        open_gap = (cost - bound) / abs(cost)
        found = _s(seconds) + ("" if open_gap <= OPTIMAL_GAP else f", gap {open_gap:.2%}")
        above = f"{(m.objective - cost) / abs(cost):+.3%}"
    return (
        m.family,
        f"{m.pools} x {m.instances}",
        f"{m.rows:,}",
        _s(m.seconds["build"]),
        _s(m.whole_lp[0]),
        found,
        _s(m.seconds["relaxation"]),
        str(m.rounds),
        _s(m.seconds["whole"]),
        _s(m.seconds["rest"]),
        str(m.tries),
        _s(m.seconds["solve"]),
        f"{m.gap:.3%}",
        above,
        "yes" if m.ok else "NO",
        _s(m.seconds["plan"]),
        f"{m.memory_mib:,.0f}",
    )


def exponents_table(measured: Sequence[Sized]) -> list[str]:
    """Return how time grows with pools, by family and step, as a Markdown table."""
    steps = {
        "whole_mip": "HiGHS MIP", "relaxation": "by pools: LP", "whole": "whole numbers",
        "rest": "rest", "solve": "all", "plan": "whole plan",
    }  # fmt: skip
    most = max(m.pools for m in measured)
    rows = []
    for family in dict.fromkeys(m.family for m in measured):
        of_it = [m for m in measured if m.family == family]
        # from one pool on what is there in any case hides the growth: from ten on it does not
        for least, up_to in dict.fromkeys([(1, FEW_POOLS), (1, most), (FEW_POOLS, most)]):
            slopes = [exponent(of_it, step, least, up_to) for step in steps]
            cells = ("" if slope is None else f"{slope:.2f}" for slope in slopes)
            rows.append((f"{family}, {least} to {up_to} pools", *cells))
    return table(("exponent of time against pools", *steps.values()), rows)


def _s(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds < 1.0 else f"{seconds:.2f} s"


@click.command()
@click.option("--family", "families", multiple=True, type=click.Choice(list(FAMILIES)))
@click.option("--pools", "pools", multiple=True, type=click.IntRange(min=1))
@click.option("--instances", type=click.IntRange(min=1), default=INSTANCES, show_default=True)
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--limit", type=click.FloatRange(min=0.0), default=WHOLE_LIMIT_S, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
def main(
    families: tuple[str, ...],
    pools: tuple[int, ...],
    instances: int,
    repeat: int,
    limit: float,
    write: Path | None,
) -> None:
    """Measure all families and sizes, or those named, and print Markdown tables."""
    measured = [
        in_process(family, count, instances, repeat, limit)
        for family in families or tuple(FAMILIES)
        for count in pools or POOLS
    ]
    lines = [*describe_machine(), "", *sizes_table(measured), "", *exponents_table(measured)]
    if write is None:
        click.echo("\n".join(lines))
    else:
        head = HEAD.format(instances=instances, limit=limit)
        write_atomically(write, "\n".join([head, *lines]) + "\n")


if __name__ == "__main__":
    main()
