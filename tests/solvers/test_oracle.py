"""The formulation against an independent statement, instance by instance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import oracle
import pytest
from random_problems import ABSORBS_FROM, random_problem, random_problem_without

from ebplan.models import kernel
from ebplan.problem import Problem
from ebplan.solvers import highs
from ebplan.solvers.formulation import formulate
from ebplan.solvers.program import FloatArray, Group

pytestmark = pytest.mark.slow

RELEASES = [range(first, first + 10) for first in range(0, 120, 10)]
ABSORBS = [range(ABSORBS_FROM + first, ABSORBS_FROM + first + 10) for first in range(0, 80, 10)]


@pytest.fixture
def whole_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every weight of the kernels: the oracle simulates the lag without cutting its tail."""
    monkeypatch.setattr(kernel, "NEGLIGIBLE_WEIGHT", 0.0)


@pytest.mark.usefixtures("whole_kernels")
@pytest.mark.parametrize(
    "seeds", RELEASES + ABSORBS, ids=lambda seeds: f"seeds_{seeds[0]}_to_{seeds[-1]}"
)
def test_same_optimum_instance_by_instance(seeds: range) -> None:
    # what limits on latency change has seeds of its own below
    assert not optima_apart({seed: random_problem(seed, latency=False) for seed in seeds})


@pytest.mark.usefixtures("whole_kernels")
@pytest.mark.parametrize(
    "seeds",
    [RELEASES[0], RELEASES[1], RELEASES[2], ABSORBS[0], ABSORBS[1]],
    ids=lambda seeds: f"seeds_{seeds[0]}_to_{seeds[-1]}",
)
def test_same_optimum_without_some_mechanisms(seeds: range) -> None:
    assert not optima_apart({seed: random_problem_without(seed) for seed in seeds})


def optima_apart(problems: dict[int, Problem]) -> dict[int, float]:
    """Return the seeds whose optimum is not the oracle's, and how far it is, as a share."""
    apart = {}
    for seed, problem in problems.items():
        program = formulate(problem).program
        solution = highs.solve(program, gap=1e-6)
        moved = sum(abs(money) for money in program.cost_by_cause(solution.x).values())
        difference = solution.objective - oracle.optimum(problem)
        if abs(difference) > 1e-5 * moved + 1e-6:
            apart[seed] = difference / moved
    return apart


def test_in_many_of_these_problems_work_waits() -> None:
    # What is never drawn is never tested. A deadline binds where as much waits as came within it.
    seen = {"deferred > 0": 0, "deferred < 0": 0, "deadline binds": 0}
    for seed in (seed for seeds in RELEASES + ABSORBS for seed in seeds):
        program = formulate(random_problem(seed)).program
        x = highs.solve(program).x
        room = program.row_upper - program.activity(x)
        put_off = _of(program.columns, x, ".deferred.")
        waits = _of(program.columns, x, ".backlog.") > 1e-3
        seen["deferred > 0"] += bool((put_off > 1e-6).any())
        seen["deferred < 0"] += bool((put_off < -1e-6).any())
        seen["deadline binds"] += bool(
            (waits & (_of(program.rows, room, ".deadline.") < 1e-6)).any()
        )
    assert min(seen.values()) >= 30, seen


def test_in_many_of_these_problems_a_pool_runs_in_other_ways() -> None:
    parts = {
        "clock-locked": (".clock_lock.active",),
        "lower precision": (".fp8.active",),
        "swapped": (".to_tier", ".to_own"),
        "pre-warmed": (".prewarm",),
        "drained or woken warm": (".drained_warm", ".to_wake_warm"),
        "worked ahead": (".pulled.",),
        "served at the lower precision": (".lowered.",),
    }
    seen = dict.fromkeys(parts, 0)
    for seed in (seed for seeds in RELEASES + ABSORBS for seed in seeds):
        program = formulate(random_problem(seed, latency=False)).program
        x = highs.solve(program).x
        for name, groups in parts.items():
            seen[name] += any((_of(program.columns, x, part) > 1e-3).any() for part in groups)
    assert min(seen.values()) >= 10, seen


def test_in_many_of_these_problems_wear_decides() -> None:
    seen = {"deep taken": 0, "refilled": 0, "calendar counts": 0}
    for seed in (seed for seeds in RELEASES + ABSORBS for seed in seeds):
        problem = random_problem(seed)
        if problem.battery is None or not (
            problem.battery.depth_segments or problem.battery.calendar
        ):
            continue
        program = formulate(problem).program
        x = highs.solve(program).x
        layers = [
            x[g.start : g.start + g.size] for g in program.columns if "depth_energy" in g.name
        ]
        deep = layers[1:]
        seen["deep taken"] += any(bool((np.diff(layer) < -1e-4).any()) for layer in deep)
        seen["refilled"] += any(bool((np.diff(layer) > 1e-4).any()) for layer in layers)
        seen["calendar counts"] += abs(program.cost_by_cause(x).get("calendar", 0.0)) > 1e-3
    assert min(seen.values()) >= 15, seen


LIMITED = [*range(40), *range(ABSORBS_FROM, ABSORBS_FROM + 40)]
"""Seeds whose problems are drawn with limits on latency, whatever their own stream says."""


@pytest.mark.usefixtures("whole_kernels")
@pytest.mark.parametrize(
    "seeds", [LIMITED[i : i + 10] for i in range(0, 80, 10)], ids=lambda s: f"from_{s[0]}"
)
def test_same_optimum_with_limits_on_latency(seeds: list[int]) -> None:
    assert not optima_apart({seed: random_problem(seed, latency=True) for seed in seeds})


def test_in_many_of_these_problems_limits_on_latency_bind() -> None:
    # A hard limit binds where its row is tight while instances run; a priced one is crossed.
    seen = dict.fromkeys(("ttft_limit", "itl_limit", "ttft_cap", "late", "slow"), 0)
    for seed in LIMITED:
        problem = random_problem(seed, latency=True)
        program = formulate(problem).program
        x = highs.solve(program).x
        room = program.row_upper - program.activity(x)
        room = np.minimum(room, program.activity(x) - program.row_lower)
        binds = set()
        for group in program.rows:
            pool, _, row = group.name.partition(".")
            if pool in {p.name for p in problem.pools} and row.split(".")[0] in seen:
                runs = x[program.column_range(f"{pool}.active")] > 0.5
                if (runs & (room[group.start : group.start + group.size] < 1e-6)).any():
                    binds.add(row.split(".")[0])
        for row in binds:
            seen[row] += 1
        for column in ("late", "slow"):
            seen[column] += bool((_of(program.columns, x, f".{column}.") > 1e-6).any())
    assert min(seen.values()) >= 5, seen


def _of(groups: Sequence[Group], values: FloatArray, part: str) -> FloatArray:
    """Return the values of all groups with this part in their names, one after the other."""
    chosen = [values[g.start : g.start + g.size] for g in groups if part in g.name]
    return np.concatenate([np.zeros(0), *chosen])
